// Package gateway is what stands between a browser and the services of many stacks: it maps hostnames to services, keeps
// strangers out, shows a page where there is no service to show, and wakes what sleeps.
//
// It is two processes of the same binary in two containers. The proxy (Serve) faces visitors and holds no engine's socket.
// The controller (ServeWaker) holds the engine's socket and no port. They share one folder and talk over two unix sockets
// in it: the controller, and the command line on the same machine, tell the proxy what to serve (Client), and the proxy
// asks the controller to wake a stack (Waker).
//
// Caddy does the proxying and TLS. It is loaded once; what changes is a Table behind an atomic pointer, so that no change
// of routes ever reloads Caddy, which would end WebSockets.
package gateway

import (
	"context"
	"log/slog"
	"net"
	"time"
)

// Files in the folder that the proxy and the controller share.
const (
	// ProxySocket is the unix socket that the proxy serves for Client.
	ProxySocket = "proxy.sock"
	// ControllerSocket is the unix socket that the controller serves for the proxy.
	ControllerSocket = "controller.sock"
	// TableFile is the last table, as the proxy keeps it for its next start. It holds keys and password hashes: mode 0600.
	TableFile = "table.json"
)

// LinkParam is the query parameter that carries a signed link's token, and Reserved the beginning of the paths of every
// host that the gateway answers itself.
const (
	LinkParam = "strake"
	Reserved  = "/.strake/"
)

// ProbeHeader marks a request that no person made: it neither counts as a visit nor wakes a stack. Its value is free.
const ProbeHeader = "X-Strake-Probe"

// StateHeader is on every answer that the gateway gives in place of a service, and names why: a State, or unknown,
// forbidden, locked, unreachable.
const StateHeader = "X-Strake-State"

// Options say how a proxy listens and where it keeps its files. Only Dir is required.
type Options struct {
	// Dir is the folder shared with the controller. It must exist, and be short: a socket's path has at most 107 bytes.
	Dir string
	// HTTP and HTTPS are the addresses to listen on, such as ":7080" and ":7443". Empty: not that one. Port 0 takes a free one.
	HTTP, HTTPS string // not the same text
	// Data is the folder of the certificate authority and its certificates. Empty: "caddy" in Dir.
	Data string
	// ACME is the authority that the certificates of HTTPS come from, and then HTTP is there to send visitors to HTTPS. nil: one of the gateway's own,
	// which nobody trusts by himself.
	ACME *ACME
	// Hold is how long a call that is no page waits for a sleeping stack. 0: 20 s.
	Hold time.Duration
	// Started, if any, is called once when the proxy listens everywhere.
	Started func(Listening)
	// Log gets the proxy's own lines. Neither query strings nor cookies nor credentials are ever in them. nil: none.
	Log *slog.Logger
	// Now is the clock of visits, links and cookies. nil: time.Now.
	Now func() time.Time
}

// Listening is where a proxy listens.
type Listening struct {
	HTTP, HTTPS net.Addr // nil where Options name none
	// Root is the path of the certificate authority's root certificate, PEM. Empty without HTTPS, and with ACME.
	Root string
}

// Progress is how far a stack is on its way to be ready.
type Progress struct {
	State State    `json:"state"`
	Lines []string `json:"lines,omitempty"` // for the visitor to read, oldest first
}

// Waker starts what sleeps. The controller implements it; the proxy reaches it over ControllerSocket.
type Waker interface {
	// Wake begins to start stack and returns at once: a stack that is ready or on its way is left alone. That it is ready
	// is told by the next table.
	Wake(ctx context.Context, stack string) error
	// Progress tells how far stack is.
	Progress(ctx context.Context, stack string) (Progress, error)
}

// Visit is what the proxy knows about the use of one stack.
type Visit struct {
	Stack string `json:"stack"`
	// Last is when a person last asked for something of the stack: the beginning of the request, and the end of a
	// WebSocket. A stack that the proxy has not seen used counts as used when the proxy first heard of it.
	Last time.Time `json:"last"`
	// Seen is whether a person was here since the proxy first heard of it.
	Seen bool `json:"seen"`
	// Sockets are open WebSockets; InFlight are all requests that are not finished, WebSockets among them.
	Sockets  int `json:"sockets"`
	InFlight int `json:"in_flight"`
}

// Readiness is what a proxy says about itself.
type Readiness struct {
	Ready  bool   `json:"ready"`
	Routes int    `json:"routes"`
	Stacks int    `json:"stacks"`
	Root   string `json:"root,omitempty"` // path of the root certificate inside the proxy's container
	// Lost says why the table of a former run could not be read, "" if it was, or there was none. The bad file is kept
	// beside it as table.json.bad.
	Lost string `json:"lost,omitempty"`
}
