package gateway

import (
	"context"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"golang.org/x/sync/errgroup"
)

// proxy is a running proxy.
type proxy struct {
	Options
	board   *board
	waker   Waker
	wrong   throttle
	holds   chan struct{} // one for each call that is held
	root    string        // path of the root certificate
	https   net.Addr      // where visitors with TLS are served; nil is nowhere
	lost    error         // why the table of the last run could not be read
	pages   *template.Template
	putting sync.Mutex // orders what is kept as what is in force

	failures failures
}

// maxHolds is how many calls wait for sleeping stacks at one time. What comes above is told to come again.
const maxHolds = 1000

// Serve runs a proxy until ctx ends. It begins with the table of its last run. There is one proxy at a time in a process,
// since Caddy is there once. It returns nil when ctx ended and all is closed.
func Serve(ctx context.Context, o Options) error {
	if o.Data == "" {
		o.Data = filepath.Join(o.Dir, "caddy")
	}
	if o.Hold == 0 {
		o.Hold = 20 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	p := &proxy{Options: o, board: newBoard(o.Now), waker: dialWaker(o.Dir), holds: make(chan struct{}, maxHolds)}
	var err error
	if p.pages, err = template.New("page").Parse(pageText); err != nil {
		return fmt.Errorf("read the gateway's page: %w", err)
	}
	var table Table
	if table, p.lost = readTable(o.Dir); p.lost != nil {
		o.Log.Error("begin without routes", "why", p.lost)
	}
	p.board.replace(table)
	place := register()
	if !place.CompareAndSwap(nil, p) {
		return errors.New("serve the gateway: another proxy runs in this process")
	}
	defer place.Store(nil)
	ln, err := listenUnix(ctx, filepath.Join(o.Dir, ProxySocket))
	if err != nil {
		return err
	}
	at, err := startCaddy(o)
	if err != nil {
		return errors.Join(err, ln.Close())
	}
	p.root, p.https = at.Root, at.HTTPS
	if o.Started != nil {
		o.Started(at) // the socket listens too: who calls it now is answered as soon as it serves
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return serveUnix(ctx, ln, p.control()) })
	g.Go(func() error {
		<-ctx.Done()
		return caddy.Stop()
	})
	return g.Wait()
}

// text is err's text, "" for nil.
func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// claimKey is the context key of a request's claim.
type claimKey struct{}

// claim is a request's hold on the upstream that it goes to.
type claim struct {
	board      *board
	live       *live
	route      *route
	host, path string
}

// current is the upstream to dial now. Where the table changed since the claim was made, the claim moves to the service's
// new upstream: a dial that failed because the old one has gone is tried again there.
func (c *claim) current() string {
	for {
		l := c.board.live.Load()
		if l == c.live {
			return c.route.Upstream
		}
		r := l.find(c.host, c.path)
		if r == nil || r.flight == nil || r.Stack != c.route.Stack || r.Path != c.route.Path || r.stack.State != Ready {
			return c.route.Upstream
		}
		if c.board.claim(l, r) {
			c.route.flight.n.Add(-1)
			c.live, c.route = l, r
		}
	}
}

// serve answers one request: with a page or word of the gateway's own, or through next from the service.
func (p *proxy) serve(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) {
	if p.secure(w, r) {
		return
	}
	v := visitOf(r)
	v.begun = p.Now()
	for held := false; ; held = true {
		l := p.board.live.Load()
		rt, done := p.admit(w, r, l, &v)
		if done {
			return
		}
		if v.person && !held {
			rt.stack.use.visited(p.Now())
		}
		switch rt.stack.State {
		case Ready:
			if rt.flight == nil {
				p.answer(w, r, unreachable(rt.stack))
				return
			}
			if p.board.claim(l, rt) {
				p.forward(w, r, &claim{board: p.board, live: l, route: rt, host: v.host, path: r.URL.Path}, next)
				return
			}
		case Asleep, Waking:
			if !p.hold(w, r, l, rt.stack, v) {
				return
			}
		default:
			p.answer(w, r, stateOf(rt.stack))
			return
		}
	}
}

// admit finds what a request asks for, and whether it may. done says that it is answered: it may not, or the gateway
// itself was asked.
func (p *proxy) admit(w http.ResponseWriter, r *http.Request, l *live, v *visit) (rt *route, done bool) {
	rt = l.find(v.host, r.URL.Path)
	from, allowed := l.origin(v.local, v.remote)
	switch {
	case !allowed || from != nil && (rt == nil || rt.stack != from):
		p.answer(w, r, forbidden())
		return nil, true
	case rt == nil:
		p.answer(w, r, unknown(v.host))
		return nil, true
	}
	if from != nil {
		v.person, v.machine = false, true // a service of the stack itself
	} else if !p.permitted(w, r, rt.stack, *v) {
		return nil, true
	}
	if strings.HasPrefix(r.URL.Path, Reserved) {
		p.reserved(w, r, rt.stack)
		return nil, true
	}
	return rt, false
}

// forward passes a request on, and counts it while it lasts.
func (p *proxy) forward(w http.ResponseWriter, r *http.Request, c *claim, next caddyhttp.Handler) {
	defer func() { c.route.flight.n.Add(-1) }()
	rt := c.route
	u := rt.stack.use
	u.inFlight.Add(1)
	defer u.inFlight.Add(-1)
	if strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		u.sockets.Add(1)
		defer func() {
			u.sockets.Add(-1)
			if isPerson(r) {
				u.visited(p.Now())
			}
		}()
	}
	if rt.stack.NoIndex {
		w.Header().Set("X-Robots-Tag", "noindex")
	}
	prepare(r, rt)
	err := next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), claimKey{}, c)))
	if err != nil && r.Context().Err() == nil {
		p.Log.Warn("service not reached", "stack", rt.Stack, "upstream", c.route.Upstream, "method", r.Method, "path", r.URL.Path, "why", err)
		p.answer(w, r, unreachable(rt.stack))
	}
}

// prepare makes r what the service shall see: what a proxy says is said by this one only, and what is the gateway's own
// stays here. Caddy adds X-Forwarded-For, -Host and -Proto.
func prepare(r *http.Request, rt *route) {
	for name := range r.Header {
		if strings.HasPrefix(name, "X-Forwarded-") || name == "Forwarded" || name == "X-Real-Ip" {
			delete(r.Header, name)
		}
	}
	_, port, err := net.SplitHostPort(r.Host)
	if err != nil {
		if port = "80"; r.TLS != nil {
			port = "443"
		}
	}
	r.Header["X-Forwarded-Port"] = []string{port}
	stripCookies(r)
	if rt.Strip && rt.Path != "" {
		r.Header["X-Forwarded-Prefix"] = []string{rt.Path}
		r.URL.Path = "/" + strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, rt.Path), "/")
		r.URL.RawPath = strings.TrimPrefix(r.URL.RawPath, rt.Path) // where it does not fit Path, Go does not use it
	}
}

// visit is what is known of a request before it is looked up.
type visit struct {
	host          string
	local, remote netip.Addr
	begun         time.Time
	// person: a person made it; page: the answer is shown as a page; machine: it neither wakes nor waits.
	person, page, machine bool
}

func visitOf(r *http.Request) visit {
	v := visit{host: hostOf(r.Host), page: isPage(r), person: isPerson(r)}
	v.machine = !v.person
	if a, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr); ok {
		v.local = a.AddrPort().Addr().Unmap()
	}
	if a, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		v.remote = a.Addr().Unmap()
	}
	return v
}
