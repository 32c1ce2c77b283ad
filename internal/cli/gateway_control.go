package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/engine"
	"github.com/strake-dev/strake/internal/gateway"
	"github.com/strake-dev/strake/previews"
)

// controlEvery is how often the controller looks at who visited, and at whether routes are as they should be.
const controlEvery = 10 * time.Second

// openOwn connects to the engine that runs this container.
func openOwn(ctx context.Context) (*engine.Engine, error) {
	return engine.Open(ctx, engine.Options{Host: "unix:///var/run/docker.sock"})
}

// controller lets stacks sleep and wakes them.
type controller struct {
	streams Streams
	engine  *engine.Engine
	manager *previews.Manager
	client  *gateway.Client
	began   time.Time

	mu    sync.Mutex
	wakes map[string]*waking // under way, or ended with an error
	all   sync.WaitGroup
}

// waking is one wake.
type waking struct {
	lines []string
	err   error
	done  bool
}

var _ gateway.Waker = (*controller)(nil)

// gatewayControl runs the controller until ctx ends.
func gatewayControl(ctx context.Context, s Streams) error {
	e, err := openOwn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = e.Close() }() // the process ends
	c := &controller{streams: s, engine: e, client: gateway.NewClient(gatewayDir), began: s.Now(), wakes: map[string]*waking{}}
	c.manager = c.managerFor("")
	defer c.all.Wait()
	served := make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { served <- gateway.ServeWaker(ctx, gatewayDir, c) }()
	c.tell("controller: looking after the previews of this engine")
	c.revive(ctx)
	tick := time.NewTicker(controlEvery)
	defer tick.Stop()
	for {
		if err := c.look(ctx); err != nil && ctx.Err() == nil {
			c.tell("controller: %v", err)
		}
		select {
		case <-tick.C:
		case err := <-served:
			return err
		case <-ctx.Done():
			return <-served
		}
	}
}

func (c *controller) tell(format string, args ...any) {
	fmt.Fprintf(c.streams.Err, format+"\n", args...)
}

// managerFor is a manager whose claims are those of this controller.
func (c *controller) managerFor(stack string) *previews.Manager {
	return &previews.Manager{Host: previewHost{c.engine}, Router: ownRouter{c}, HostName: "local", Version: buildVersion(), Now: c.streams.Now,
		Claim: compose.ConvergeOptions{Owner: controllerOwner(c.streams, stack), Alive: controllerSeesAlive,
			Run: compose.RunOptions{Note: func(e compose.Event) { c.progress(stack, e) }}}}
}

// controllerMachine is what claims of a controller have as their machine: it has none of its own, and there is one at a time.
const controllerMachine = "strake-gateway"

// controllerOwner describes this controller as the holder of a claim.
func controllerOwner(s Streams, stack string) compose.Owner {
	host, _ := os.Hostname() // the container's id; for people, and to tell controllers apart
	return compose.Owner{Command: cmp.Or("strake gateway: "+stack, "strake gateway"), Host: host, User: "strake", Machine: controllerMachine, Boot: host,
		PID: os.Getpid(), Since: s.Now().UTC()}
}

// controllerSeesAlive is whether the holder of a claim may still be at work. An earlier process of the controller is not, nor is one in a
// container that was removed; this process is.
func controllerSeesAlive(o compose.Owner) bool {
	host, _ := os.Hostname() // as in controllerOwner
	return o.Machine != controllerMachine || o.Boot == host && o.Since.After(processBegan)
}

// processBegan is before any claim of this process: its container and PID are those of an earlier one where the container was restarted.
var processBegan = time.Now().Add(-time.Second).UTC()

// revive starts what the engine's restart stopped.
func (c *controller) revive(ctx context.Context) {
	records, err := c.manager.Records(ctx, "")
	if err != nil {
		c.tell("controller: %v", err)
	}
	for _, r := range records {
		if r.State != previews.Ready {
			continue
		}
		if err := c.managerFor(r.Stack).Revive(ctx, r.Project, r.ID); err != nil {
			c.tell("%s: %v", r.Stack, err)
		}
	}
}

// look writes down who visited, sends to sleep what nobody looks at, and makes the routes be as they should.
func (c *controller) look(ctx context.Context) error {
	if err := syncRoutes(ctx, c.streams, c.engine, ""); err != nil {
		return err
	}
	visits, err := c.client.Visits(ctx)
	if err != nil {
		return err
	}
	all, err := c.manager.List(ctx, "")
	if err != nil {
		return err
	}
	records, err := c.manager.Records(ctx, "")
	if err != nil {
		return err
	}
	var errs []error
	for _, r := range records {
		i := slices.IndexFunc(all, func(p previews.Preview) bool { return p.Stack == r.Stack })
		if i < 0 {
			continue
		}
		last, open := all[i].LastVisit, 0
		if j := slices.IndexFunc(visits, func(v gateway.Visit) bool { return v.Stack == r.Stack }); j >= 0 {
			open = visits[j].InFlight
			if v := visits[j].Last; v.After(last) {
				last = v
				if visits[j].Seen {
					errs = append(errs, c.manager.Visited(ctx, r.Stack, last))
				}
			}
		}
		idle := c.streams.Now().Sub(slices.MaxFunc([]time.Time{last, r.Updated, c.began}, time.Time.Compare))
		if r.State == previews.Ready && r.Idle > 0 && idle > r.Idle && open == 0 {
			c.tell("%s: nobody looked at it for %s: it sleeps", r.Stack, idle.Round(time.Second))
			m := c.managerFor(r.Stack)
			m.Claim.NoWait = true
			if err := m.SleepIdle(ctx, r.Project, r.ID, r.Updated); !errors.Is(err, compose.ErrHeld) {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

// Wake begins to wake a stack, unless that is under way.
func (c *controller) Wake(ctx context.Context, stack string) error {
	records, err := c.manager.Records(ctx, "")
	i := slices.IndexFunc(records, func(r *previews.Record) bool { return r.Stack == stack })
	if i < 0 {
		return cmp.Or(err, fmt.Errorf("there is no preview %s", stack))
	}
	r := records[i]
	c.mu.Lock()
	defer c.mu.Unlock()
	if w := c.wakes[stack]; w != nil && !w.done {
		return nil
	}
	w := &waking{}
	c.wakes[stack] = w
	ctx = context.WithoutCancel(ctx) // who asked need not stay
	c.all.Go(func() {
		err := c.managerFor(stack).Wake(ctx, r.Project, r.ID)
		c.mu.Lock()
		defer c.mu.Unlock()
		w.err, w.done = err, true
		if err != nil {
			c.tell("%s: %v", stack, err)
		}
	})
	return nil
}

// progress is told of each step of a stack that is changed.
func (c *controller) progress(stack string, e compose.Event) {
	if e.Kind != compose.StepDone && e.Kind != compose.StepFailed || e.Text == "" {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if w := c.wakes[stack]; w != nil && !w.done {
		w.lines = append(w.lines, e.Text)
	}
}

// Progress says how far a wake is.
func (c *controller) Progress(_ context.Context, stack string) (gateway.Progress, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.wakes[stack]
	switch {
	case w == nil:
		return gateway.Progress{State: gateway.Asleep}, nil
	case w.err != nil:
		return gateway.Progress{State: gateway.Failed, Lines: append(slices.Clone(w.lines), w.err.Error())}, nil
	case w.done:
		return gateway.Progress{State: gateway.Ready, Lines: slices.Clone(w.lines)}, nil
	}
	return gateway.Progress{State: gateway.Waking, Lines: slices.Clone(w.lines)}, nil
}

// ownRouter is what the controller's own changes do to routes.
type ownRouter struct{ c *controller }

// Address is not asked by what a controller does.
func (r ownRouter) Address(context.Context) (string, error) {
	return "", errors.New("a controller opens nothing")
}

// Sync makes the routes be as records say.
func (r ownRouter) Sync(ctx context.Context, stack string) error {
	return syncRoutes(ctx, r.c.streams, r.c.engine, stack)
}

// Drain waits until no request is under way to an upstream.
func (r ownRouter) Drain(ctx context.Context, upstream string, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return r.c.client.Drained(ctx, upstream)
}

// Leave takes the proxy out of a network.
func (r ownRouter) Leave(ctx context.Context, network string) error {
	return leave(ctx, r.c.engine, network)
}

// controllerAlive fails where no controller answers.
func controllerAlive(Streams) error {
	c, err := net.DialTimeout("unix", filepath.Join(gatewayDir, "controller.sock"), 2*time.Second)
	if err != nil {
		return err
	}
	return c.Close()
}

// syncRoutes makes the proxy's table, and the networks that it is in, be as the records of all previews say. Of several at once one works
// after the other, so that the table is never older than a record that was written before. What is wrong with one preview is an error where
// its stack is asked for; of others it is said.
func syncRoutes(ctx context.Context, s Streams, e *engine.Engine, asked string) error {
	lock, err := os.OpenFile(filepath.Join(gatewayDir, "sync.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close() // gives the lock back
	if err := lockFile(lock); err != nil {
		return err
	}
	m := &previews.Manager{Host: previewHost{e}, Now: s.Now}
	records, unread := m.Records(ctx, "")
	if unread != nil && records == nil {
		return unread
	}
	state, err := e.Observe(ctx, compose.Scope{Project: gatewayProject, Label: previews.LabelPreview})
	if err != nil {
		return err
	}
	table, wrong := gateway.Valid(routesOf(records, state))
	for _, r := range records {
		if r.State != previews.Closing {
			wrong[r.Stack] = errors.Join(wrong[r.Stack], joinNetworks(ctx, e, r.Routes, state))
		}
	}
	table, ofLocals := withLocals(ctx, e, table, state)
	maps.Copy(wrong, ofLocals)
	own := wrong[asked]
	delete(wrong, asked)
	for _, stack := range slices.Sorted(maps.Keys(wrong)) {
		if err := wrong[stack]; err != nil {
			fmt.Fprintf(s.Err, "%s: %v\n", stack, err)
		}
	}
	if unread != nil {
		fmt.Fprintf(s.Err, "previews: %v\n", unread)
	}
	return errors.Join(own, gateway.NewClient(gatewayDir).Replace(ctx, table))
}

// joinNetworks has the proxy take part in the networks of routes.
func joinNetworks(ctx context.Context, e *engine.Engine, routes []previews.Route, state compose.State) error {
	i := slices.IndexFunc(state.Containers, func(c compose.Container) bool { return c.Name == gatewayProxy })
	if i < 0 {
		return errors.New("the proxy's container is gone")
	}
	proxy := state.Containers[i]
	if proxy.Networks == nil {
		proxy.Networks = map[string]string{}
	}
	var errs []error
	for _, route := range routes {
		_, joined := proxy.Networks[route.Network]
		there := slices.ContainsFunc(state.Networks, func(n compose.Network) bool { return n.Name == route.Network })
		if joined || !there {
			continue
		}
		proxy.Networks[route.Network] = ""
		step := compose.Step{Op: compose.Connect, Name: gatewayProxy, Target: proxy.ID, Network: &compose.NetworkStep{Spec: compose.NetworkSpec{Name: route.Network}}}
		if err := e.Do(ctx, step, nil); err != nil {
			errs = append(errs, fmt.Errorf("join %s: %w", route.Network, err))
		}
	}
	return errors.Join(errs...)
}

// routesOf is the proxy's table of what is recorded and observed.
func routesOf(records []*previews.Record, state compose.State) gateway.Table {
	var t gateway.Table
	for _, n := range state.Networks {
		if n.Labels[compose.LabelProject] == gatewayProject {
			t.Published = append(t.Published, n.Subnets...)
		}
	}
	for _, r := range records {
		stack := gateway.Stack{Name: r.Stack, State: gateway.State(r.State), Title: titleOf(r), Commit: r.Commit, NoIndex: true,
			Access: gateway.Access{Mode: gateway.Mode(r.Access), Hash: r.PasswordHash, Key: r.Key}}
		if f := r.Failure; f != nil && r.State == previews.Failed {
			stack.Lines = append([]string{f.What}, strings.Split(strings.TrimSpace(f.Log), "\n")...)
		}
		for _, n := range state.Networks {
			if n.Labels[previews.LabelPreview] == r.Stack {
				stack.Networks = append(stack.Networks, n.Subnets...)
			}
		}
		t.Stacks = append(t.Stacks, stack)
		for _, route := range r.Routes {
			t.Routes = append(t.Routes, gateway.Route{Host: route.Host, Path: strings.TrimSuffix(route.Path, "/"), Strip: route.Strip, Stack: r.Stack, Upstream: route.Upstream})
		}
	}
	return t
}

// titleOf is what people call a preview.
func titleOf(r *previews.Record) string {
	if r.PR > 0 {
		return fmt.Sprintf("Pull request %d of %s", r.PR, r.Project)
	}
	return cmp.Or(r.Branch, r.ID) + " of " + r.Project
}
