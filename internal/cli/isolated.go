package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/engine"
	"github.com/strake-dev/strake/internal/offline"
	"github.com/strake-dev/strake/internal/offline/standin"
)

// isolatedStack is a project as it runs out of reach of everything.
type isolatedStack struct {
	project *compose.Project
	routes  []compose.RouteSpec // to the holders, in whose networks the services are
	beside  netip.Prefix        // where the gateway meets them
	stale   bool                // what is there is another one: it goes first
}

// isolate has the change be about the isolated stack of some services of the project (nil: all), with what they need.
func (c *change) isolate(ctx context.Context, p *compose.Project, services []string) error {
	program, err := programOn(ctx, c.streams, c.engine)
	if err != nil {
		return err
	}
	if p, err = p.Select(slices.Concat(services, p.Sharers(services)), false); err != nil {
		return err
	}
	c.command = "up --isolated"
	c.isolated, err = isolate(ctx, c.engine, p, program)
	return err
}

// isolate is a project as an isolated stack, which runs strake's image program. A stack of that name that is not of the project is an error.
func isolate(ctx context.Context, e *engine.Engine, p *compose.Project, program string) (*isolatedStack, error) {
	name := offline.Name(p.Name)
	have, err := e.Observe(ctx, compose.Scope{Project: name, Label: labelLocal + "=" + name})
	if err != nil {
		return nil, err
	}
	if err := isOurs(p.Name, have); err != nil {
		return nil, err
	}
	used, err := previewHost{e}.Subnets(ctx)
	if err != nil {
		return nil, err
	}
	st := &isolatedStack{}
	if i := slices.IndexFunc(have.Networks, func(n compose.Network) bool { return n.Name == localName(name) && len(n.Subnets) == 1 }); i >= 0 {
		st.beside = have.Networks[i].Subnets[0]
	} else {
		st.beside, _ = offline.FreeSubnet(&used, localName(name)) // without one there is none for the stack either, which is said
	}
	busy, err := e.MountedBut(ctx, name)
	if err != nil {
		return nil, err
	}
	p = standin.InVolume(p)
	o := offline.IsolateOptions{Program: program, Engine: have.Engine, Have: have, Used: used, Busy: busy, Breaches: offline.Breaches(p, socketAt(e, have.Engine)), Beside: st.beside}
	if st.project, err = offline.Isolate(p, o); err != nil {
		return nil, err
	}
	st.stale = isStale(have, st.project)
	specs, err := compose.Routes(p)
	if err != nil {
		return nil, err
	}
	for _, r := range specs {
		if _, held := st.project.Services[offline.HolderOf(r.Service)]; held {
			r.Service = offline.HolderOf(r.Service)
			st.routes = append(st.routes, r)
		}
	}
	return st, nil
}

// isStale is whether what there is of an isolated stack is not what is wanted now, or was opened: it is taken down before it is brought up,
// so that nothing of it starts where there may be a way out, and what was counted is of this stack alone.
func isStale(have compose.State, want *compose.Project) bool {
	if !slices.ContainsFunc(have.Containers, func(c compose.Container) bool { return c.Labels[compose.LabelProject] == want.Name }) {
		return false
	}
	for _, n := range have.Networks {
		if !n.Internal || !n.Closed || n.Labels[compose.LabelProject] == want.Name && n.Labels[offline.LabelOf] == "" {
			return true
		}
	}
	for _, c := range have.Containers {
		if c.Labels[offline.LabelRole] == offline.RoleSink && c.Status == compose.Running {
			return c.Labels[offline.LabelMade] != want.Services[offline.SinkService].Labels[offline.LabelMade]
		}
	}
	return true // without its sink
}

// clear takes what there is of the isolated stack down, its volumes aside.
func (st *isolatedStack) clear(ctx context.Context, c change) error {
	name := st.project.Name
	down := change{streams: c.streams, engine: c.engine, command: c.command, noWait: c.noWait, reading: "taking down what was there", scope: scopeOfStack(nil, name),
		plan: func(have compose.State) (compose.Plan, error) {
			return compose.Down(nil, have, compose.DownOptions{RemoveOrphans: true})
		}}
	if _, err := down.do(ctx); err != nil {
		return err
	}
	g := &gatewayHost{streams: c.streams, engine: c.engine, owner: compose.ConvergeOptions{Owner: owner(c.streams, c.command), Alive: isAlive, NoWait: c.noWait}}
	return g.withdraw(ctx, name, true)
}

// isWrittenElsewhere refuses to bring a project up beside its isolated stack where that may write to a path that the project writes to.
func isWrittenElsewhere(ctx context.Context, e *engine.Engine, p *compose.Project) error {
	writes := map[string]string{}
	for name, s := range p.Services {
		for _, m := range s.Volumes {
			if m.Type == "bind" && !m.ReadOnly {
				writes[m.Source] = name
			}
		}
	}
	if len(writes) == 0 {
		return nil
	}
	busy, err := e.MountedBy(ctx, offline.Name(p.Name))
	if err != nil {
		return err
	}
	for _, path := range slices.Sorted(maps.Keys(writes)) {
		if slices.ContainsFunc(busy, func(b string) bool { return compose.Within(b, path) || compose.Within(path, b) }) {
			return &compose.HintedError{Err: fmt.Errorf("the isolated stack may write to %s, which service %s writes to", path, writes[path]), Next: "strake down --isolated first"}
		}
	}
	return nil
}

// isOurs refuses a stack that has the name of an isolated one and is not one of the project.
func isOurs(project string, have compose.State) error {
	foreign := offline.Foreign(project, have)
	if foreign == "" || offline.IsOf(project, have) { // what somebody put beside it goes with it
		return nil
	}
	return &compose.HintedError{Err: fmt.Errorf("%s is of a project that is called %s, and not of an isolated stack of %s", foreign, have.Project, project),
		Next: "give one of the two another name (-p or name:)"}
}

// socketAt says of a path of the engine's machine why it leads out of every network; "" where it does not, or nothing is known of it. Where
// the engine is on this machine links are followed, and any socket counts, and a folder that holds one.
func socketAt(e *engine.Engine, on compose.Engine) func(path string) string {
	return func(path string) string {
		real := path
		if !on.Remote {
			if to, err := filepath.EvalSymlinks(path); err == nil {
				real = to
			}
		}
		own := e.SocketThere()
		for _, p := range []string{path, real} {
			if compose.HoldsEngineSocket(p) || strings.HasPrefix(p+"/", "/run/user/") || p == own || strings.HasPrefix(own, strings.TrimSuffix(p, "/")+"/") {
				return "it has the engine's socket, and what it starts is not contained"
			}
		}
		if on.Remote {
			return ""
		}
		if at := socketBelow(real); at != "" {
			return "it has a socket of the machine's, " + at + ", and who answers there may not be contained"
		}
		return ""
	}
}

// mostLookedAt is how many files of a folder are looked at for sockets.
const mostLookedAt = 5000

// socketBelow is a socket that is at a path or in a folder there, as far as mostLookedAt files go; "" for none.
func socketBelow(path string) (found string) {
	left := mostLookedAt
	_ = filepath.WalkDir(path, func(at string, d fs.DirEntry, err error) error { // what cannot be read is left out
		if left--; left < 0 {
			return fs.SkipAll
		}
		if err == nil && d.Type()&fs.ModeSocket != 0 {
			found = at
			return fs.SkipAll
		}
		return nil
	})
	return found
}

// serve has the change end with the gateway on both sides: it reaches the holders in a network that is closed too.
func (st *isolatedStack) serve(c *change, show *progress) {
	g := &gatewayHost{streams: c.streams, engine: c.engine, owner: compose.ConvergeOptions{Owner: owner(c.streams, c.command), Alive: isAlive, NoWait: c.noWait,
		Held: func(e *compose.HeldError) { show.warn("waiting: " + e.Error()) }}}
	c.after = func(ctx context.Context, state compose.State) ([]served, error) {
		if len(st.routes) == 0 || state.Engine.Remote {
			return nil, nil
		}
		all, err := g.serve(ctx, st.project.Name, st.routes, offline.Closed(st.beside, state.Engine))
		for i := range all {
			all[i].Service = strings.TrimPrefix(all[i].Service, offline.HolderOf(""))
		}
		return all, err
	}
}

// reportOn reads back what there is of an isolated stack, tries once more to get out of it, and judges.
func reportOn(ctx context.Context, e *engine.Engine, name string, allow []string) (offline.Report, error) {
	ev := offline.Evidence{Stack: name, Allow: allow, Guests: map[string][]string{}, Logs: map[string][]byte{}, Sockets: map[string]string{}}
	var err error
	if ev.State, err = e.Observe(ctx, compose.Scope{Project: name, Label: labelLocal + "=" + name}); err != nil {
		return offline.Report{}, err
	}
	ev.State.Containers = slices.DeleteFunc(ev.State.Containers, func(c compose.Container) bool { return c.Labels[compose.LabelProject] != name || c.IsOneOff() })
	made, ok := offline.MadeOf(ev.State)
	if !ok {
		return offline.Report{}, &compose.HintedError{Err: fmt.Errorf("%s has no sink, which says what it is made of", name), Next: "strake up --isolated brings it up"}
	}
	ev.Made = made
	askStarting(ctx, e, ev.State.Containers)
	if err := readBack(ctx, e, &ev); err != nil {
		return offline.Report{}, err
	}
	var control sync.WaitGroup
	control.Go(func() { ev.Now = controlNow(ctx, e, ev.State) })
	defer control.Wait()
	for _, c := range ev.State.Containers {
		if c.Labels[offline.LabelRole] == "" {
			continue
		}
		var out bytes.Buffer
		if err := e.Logs(ctx, c.ID, engine.LogOptions{}, &out, io.Discard); err != nil {
			return offline.Report{}, fmt.Errorf("read what %s counted: %w", c.Name, err)
		}
		ev.Logs[c.Name] = out.Bytes()
	}
	control.Wait()
	return offline.Judge(ev), nil
}

// readBack reads of the engine who is on the stack's networks, what its containers have mounted, and which of them it starts again and again.
func readBack(ctx context.Context, e *engine.Engine, ev *offline.Evidence) error {
	ours, socket := map[string]bool{gatewayProxy: true}, socketAt(e, ev.State.Engine)
	for _, c := range ev.State.Containers {
		ours[c.Name] = true
		for _, m := range c.Mounts {
			if m.Type != "bind" {
				continue
			}
			if why := socket(m.Source); why != "" {
				ev.Sockets[c.Name] = why
			}
		}
		restarted, err := e.Restarted(ctx, c.ID)
		if err != nil {
			return err
		}
		if restarted > 0 && restarted < youngAge {
			ev.Restarting = append(ev.Restarting, c.Name)
		}
	}
	var err error
	if ev.Sharing, err = e.Sharing(ctx, ev.State.Containers); err != nil {
		return err
	}
	for _, n := range ev.State.Networks {
		on, err := e.Attached(ctx, n.ID)
		if err != nil {
			return err
		}
		ev.Guests[n.Name] = slices.DeleteFunc(on, func(c string) bool { return ours[c] })
	}
	return nil
}

// youngAge is how long a container that the engine started again has to run until it counts as ready.
const youngAge = 15 * time.Second

// controlNow repeats the negative control in the network of the sink; nil where it cannot be. What the machine's own addresses are is known
// where the engine is on this one.
func controlNow(ctx context.Context, e *engine.Engine, state compose.State) *offline.Control {
	i := slices.IndexFunc(state.Containers, func(c compose.Container) bool {
		return c.Labels[offline.LabelRole] == offline.RoleSink && c.Status == compose.Running
	})
	if i < 0 {
		return nil
	}
	command := []string{"/strake", "offline", "control"}
	for _, n := range state.Networks {
		for _, p := range n.Subnets {
			if p.Addr().Is4() { // where the machine's own address would be
				command = append(command, "--machine", p.Masked().Addr().Next().String())
			}
		}
	}
	if !state.Engine.Remote {
		for _, a := range machineAddresses() {
			command = append(command, "--machine", a.String())
		}
	}
	var out, errs bytes.Buffer
	code, err := e.Exec(ctx, state.Containers[i].ID, engine.ExecOptions{Command: command}, engine.Streams{Out: &out, Err: &errs})
	var c offline.Control
	if err != nil || code != 0 || json.Unmarshal(out.Bytes(), &c) != nil {
		return nil
	}
	return &c
}

// mostMachineAddresses is how many addresses of this machine a control tries.
const mostMachineAddresses = 8

// machineAddresses are IPv4 addresses of this machine that others may reach.
func machineAddresses() []netip.Addr {
	var all []netip.Addr
	addresses, _ := net.InterfaceAddrs() // without them those of the networks' gateways are tried
	for _, a := range addresses {
		p, err := netip.ParsePrefix(a.String())
		if err == nil && p.Addr().Is4() && !p.Addr().IsLoopback() && len(all) < mostMachineAddresses {
			all = append(all, p.Addr())
		}
	}
	return all
}
