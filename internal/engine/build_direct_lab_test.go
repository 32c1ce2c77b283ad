//go:build lab

package engine_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/strake-dev/strake/fixtures/lab"
	"github.com/strake-dev/strake/internal/engine"
)

// newerEngine stands before an engine and makes it look like one that serves gRPC on its socket: connections that begin as
// HTTP/2 go to its BuildKit, it says that it speaks API 1.52, and the upgraded requests of older engines are gone.
type newerEngine struct {
	socket   string
	engine   string // socket of the engine behind it
	plain    chan net.Conn
	done     chan struct{}
	direct   atomic.Int32 // connections that began as HTTP/2
	upgraded atomic.Int32
	refuse   bool // HTTP/2 connections are closed at once, and upgraded requests work
}

func (n *newerEngine) Accept() (net.Conn, error) {
	select {
	case c := <-n.plain:
		return c, nil
	case <-n.done:
		return nil, net.ErrClosed
	}
}

// Close is called by the HTTP server when it is closed itself, once.
func (n *newerEngine) Close() error {
	close(n.done)
	return nil
}

func (n *newerEngine) Addr() net.Addr { return &net.UnixAddr{Name: n.socket, Net: "unix"} }

// peeked is a connection of which something was read already.
type peeked struct {
	net.Conn
	r *bufio.Reader
}

func (p peeked) Read(b []byte) (int, error) { return p.r.Read(b) }

func startNewer(t *testing.T, on lab.Engine, refuse bool) *newerEngine {
	t.Helper()
	n := &newerEngine{socket: filepath.Join(t.TempDir(), "s"), engine: on.Socket(), plain: make(chan net.Conn), done: make(chan struct{}), refuse: refuse}
	l, err := net.Listen("unix", n.socket)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{
		Rewrite:        func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = "http", "engine" },
		Transport:      &http.Transport{Dial: func(string, string) (net.Conn, error) { return net.Dial("unix", n.engine) }},
		ModifyResponse: saysNewer,
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/grpc") || strings.HasSuffix(r.URL.Path, "/session") {
			n.upgraded.Add(1)
			if !n.refuse {
				http.Error(w, "gone", http.StatusGone)
				return
			}
		}
		proxy.ServeHTTP(w, r)
	})}
	go server.Serve(n) // ends with the test
	go n.listen(l)
	t.Cleanup(func() {
		if err := errors.Join(l.Close(), server.Close()); err != nil {
			t.Error(err)
		}
	})
	return n
}

// saysNewer makes GET /version say 1.52.
func saysNewer(r *http.Response) error {
	if !strings.HasSuffix(r.Request.URL.Path, "/version") {
		return nil
	}
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	newer := strings.ReplaceAll(string(text), `"ApiVersion":"1.51"`, `"ApiVersion":"1.52"`)
	r.Body = io.NopCloser(strings.NewReader(newer))
	r.ContentLength = int64(len(newer))
	r.Header.Set("Content-Length", fmt.Sprint(len(newer)))
	return nil
}

func (n *newerEngine) listen(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return // closed
		}
		go func() {
			p := peeked{c, bufio.NewReader(c)}
			if head, err := p.r.Peek(3); err != nil || string(head) != "PRI" {
				select {
				case n.plain <- p:
				case <-n.done:
					c.Close()
				}
				return
			}
			n.direct.Add(1)
			if n.refuse {
				c.Close()
				return
			}
			n.toBuildKit(p)
		}()
	}
}

// toBuildKit joins the connection with the BuildKit of the engine.
func (n *newerEngine) toBuildKit(c net.Conn) {
	defer c.Close()
	up, err := net.Dial("unix", n.engine)
	if err != nil {
		return
	}
	defer up.Close()
	fmt.Fprintf(up, "POST /grpc HTTP/1.1\r\nHost: engine\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
	r := bufio.NewReader(up)
	if res, err := http.ReadResponse(r, nil); err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		return
	}
	go io.Copy(up, c)
	io.Copy(c, r)
}

func TestBuild_SpeaksGRPCOnTheSocketOfNewerEngines(t *testing.T) {
	lab.Each(t, func(t *testing.T, on lab.Engine) {
		if !strings.HasPrefix(on.APIVersion, "1.5") {
			t.Log("an engine that old is not taken for a newer one")
			return
		}
		for _, refuse := range []bool{false, true} {
			b := newBench(t, on)
			n := startNewer(t, on, refuse)
			e, err := engine.Open(t.Context(), engine.Options{Host: "unix://" + n.socket, Config: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			b.e = e
			b.write("Dockerfile", small+"COPY . /src\n")
			b.mustBuild("web")
			if got := b.shows(b.ref("web"), "ls", "/src"); got != "Dockerfile" {
				t.Errorf("image has %q", got)
			}
			if direct, upgraded := n.direct.Load(), n.upgraded.Load(); direct == 0 || (upgraded > 0) != refuse {
				t.Errorf("refuse %t: %d connections began as HTTP/2, %d requests were upgraded", refuse, direct, upgraded)
			}
			if err := e.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}
