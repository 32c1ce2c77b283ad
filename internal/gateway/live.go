package gateway

import (
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// live is one table made ready for look-ups. It never changes: the next table is another live.
type live struct {
	table    Table
	hosts    map[string][]*route // longest path first
	stacks   map[string]*stack
	networks []network
	replaced chan struct{} // closed when another table is in force
}

type route struct {
	Route
	stack  *stack
	flight *flight // nil without an upstream
}

type stack struct {
	Stack
	use *use
	// cookieDomain is the domain that all hosts of the stack share, so that one permission serves them all. "" for one host.
	cookieDomain string
}

type network struct {
	netip.Prefix
	stack *stack
}

// flight counts the requests on their way to one upstream.
type flight struct{ n atomic.Int64 }

// use is what happened to one stack; it outlives tables.
type use struct {
	last              atomic.Int64 // Unix nanoseconds
	seen              atomic.Bool  // a person was here since
	sockets, inFlight atomic.Int64
	woken             atomic.Int64 // when the controller was last asked to wake it; 0: not since it was ready
}

// board holds the table in force, and the counts that outlive it.
type board struct {
	now     func() time.Time
	live    atomic.Pointer[live]
	mu      sync.Mutex // of replace, and of the maps
	flights map[string]*flight
	uses    map[string]*use
}

func newBoard(now func() time.Time) *board {
	b := &board{now: now, flights: make(map[string]*flight), uses: make(map[string]*use)}
	b.replace(Table{})
	return b
}

// replace puts t, which is valid, in force. A request that has claimed its upstream is not touched; one that has not sees
// t. After replace returns, inFlight of an upstream that t does not name can only fall.
func (b *board) replace(t Table) {
	b.mu.Lock()
	defer b.mu.Unlock()
	next := &live{table: t, hosts: make(map[string][]*route, len(t.Routes)), stacks: make(map[string]*stack, len(t.Stacks)),
		replaced: make(chan struct{})}
	uses := make(map[string]*use, len(t.Stacks))
	for _, s := range t.Stacks {
		st := &stack{Stack: s, use: b.useOf(s)}
		uses[s.Name] = st.use
		next.stacks[s.Name] = st
		for _, n := range s.Networks {
			next.networks = append(next.networks, network{n.Masked(), st})
		}
	}
	flights := make(map[string]*flight, len(t.Routes))
	for _, r := range t.Routes {
		rt := &route{Route: r, stack: next.stacks[r.Stack]}
		if r.Upstream != "" {
			rt.flight = cmpOrNew(flights[r.Upstream], b.flights[r.Upstream])
			flights[r.Upstream] = rt.flight
		}
		next.hosts[r.Host] = append(next.hosts[r.Host], rt)
	}
	for upstream, f := range b.flights { // those that are left drain
		if flights[upstream] == nil && f.n.Load() > 0 {
			flights[upstream] = f
		}
	}
	for _, routes := range next.hosts {
		slices.SortFunc(routes, func(x, y *route) int { return len(y.Path) - len(x.Path) })
	}
	next.shareCookies()
	b.flights, b.uses = flights, uses
	if old := b.live.Swap(next); old != nil {
		close(old.replaced)
	}
}

// cmpOrNew is the first flight there is, else a new one.
func cmpOrNew(flights ...*flight) *flight {
	for _, f := range flights {
		if f != nil {
			return f
		}
	}
	return new(flight)
}

// visited is called for what a person does.
func (u *use) visited(now time.Time) {
	u.last.Store(now.UnixNano())
	u.seen.Store(true)
}

// useOf is the use of s so far. A stack that is neither asleep nor waking has had its wake.
func (b *board) useOf(s Stack) *use {
	u := b.uses[s.Name]
	if u == nil {
		u = new(use)
		u.last.Store(b.now().UnixNano())
	}
	if s.State != Asleep && s.State != Waking {
		u.woken.Store(0)
	}
	return u
}

// shareCookies finds the domain right above all hosts of each stack that has several. A domain of one label can have no
// cookies.
func (l *live) shareCookies() {
	hosts := make(map[*stack][]string)
	for host, routes := range l.hosts {
		for _, r := range routes {
			if !slices.Contains(hosts[r.stack], host) {
				hosts[r.stack] = append(hosts[r.stack], host)
			}
		}
	}
	for s, names := range hosts {
		_, parent, _ := strings.Cut(names[0], ".")
		shared := len(names) > 1 && strings.Contains(parent, ".")
		for _, n := range names {
			_, p, _ := strings.Cut(n, ".")
			shared = shared && p == parent
		}
		if shared {
			s.cookieDomain = parent
		}
	}
}

// find is the route for a path of a host, nil if there is none.
func (l *live) find(host, path string) *route {
	routes := l.hosts[host]
	for _, r := range routes {
		if rest, ok := strings.CutPrefix(path, r.Path); ok && (r.Path == "" || rest == "" || rest[0] == '/') {
			return r
		}
	}
	if len(routes) > 0 && strings.HasPrefix(path, Reserved) { // the gateway's own paths are on every host
		return routes[len(routes)-1]
	}
	return nil
}

// origin is the stack whose network a connection belongs to: it arrived at the proxy's address there, or comes from
// there. allowed is false where it belongs to no network that the table knows to be open.
func (l *live) origin(local, remote netip.Addr) (from *stack, allowed bool) {
	for _, n := range l.networks {
		if n.Contains(local) || n.Contains(remote) {
			return n.stack, true
		}
	}
	if len(l.table.Published) == 0 || local.IsLoopback() {
		return nil, true
	}
	return nil, slices.ContainsFunc(l.table.Published, func(p netip.Prefix) bool { return p.Contains(local) })
}

// claim counts a request to r's upstream, if l is still in force. The order matters: it counts first and looks again
// then, so that whoever replaces the table and then finds nothing in flight knows that nothing will be.
func (b *board) claim(l *live, r *route) bool {
	r.flight.n.Add(1)
	if b.live.Load() == l {
		return true
	}
	r.flight.n.Add(-1)
	return false
}

// inFlight is how many requests to an upstream are not finished.
func (b *board) inFlight(upstream string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if f := b.flights[upstream]; f != nil {
		return int(f.n.Load())
	}
	return 0
}

// visits is the use of each stack of the table, in its order.
func (b *board) visits() []Visit {
	l := b.live.Load()
	visits := make([]Visit, 0, len(l.table.Stacks))
	for _, s := range l.table.Stacks {
		u := l.stacks[s.Name].use
		visits = append(visits, Visit{Stack: s.Name, Last: time.Unix(0, u.last.Load()).UTC(), Seen: u.seen.Load(),
			Sockets: int(u.sockets.Load()), InFlight: int(u.inFlight.Load())})
	}
	return visits
}
