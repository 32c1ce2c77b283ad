package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/engine"
	"github.com/strake-dev/strake/internal/offline"
	"github.com/strake-dev/strake/internal/offline/standin"
)

// isolatedStack is a project as it runs out of reach of everything.
type isolatedStack struct {
	project  *compose.Project
	breaches []offline.Breach
	allow    []string
	routes   []compose.RouteSpec // to the holders, in whose networks the services are
}

// isolate is a project as an isolated stack, which runs strake's image program.
func isolate(ctx context.Context, e *engine.Engine, p *compose.Project, program string) (*isolatedStack, error) {
	have, err := e.Observe(ctx, compose.Scope{Project: offline.Name(p.Name)})
	if err != nil {
		return nil, err
	}
	used, err := previewHost{e}.Subnets(ctx)
	if err != nil {
		return nil, err
	}
	own, err := e.Observe(ctx, compose.Scope{Project: p.Name})
	if err != nil {
		return nil, err
	}
	var busy []string
	for _, c := range own.Containers {
		for _, m := range c.Mounts {
			if m.Type == "bind" && c.Status == compose.Running {
				busy = append(busy, m.Source)
			}
		}
	}
	p = standin.InVolume(p)
	st := &isolatedStack{breaches: offline.Breaches(p), allow: p.Settings.Offline.Allow}
	if st.project, err = offline.Isolate(p, offline.IsolateOptions{Program: program, Engine: have.Engine, Have: have, Used: used, Busy: busy}); err != nil {
		return nil, err
	}
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

// serve has the change end with the gateway on both sides: it reaches the holders in a network that is closed too.
func (st *isolatedStack) serve(c *change, show *progress) {
	g := &gatewayHost{streams: c.streams, engine: c.engine, owner: compose.ConvergeOptions{Owner: owner(c.streams, c.command), Alive: isAlive, NoWait: c.noWait,
		Held: func(e *compose.HeldError) { show.warn("waiting: " + e.Error()) }}}
	c.after = func(ctx context.Context, state compose.State) ([]served, error) {
		if len(st.routes) == 0 || state.Engine.Remote {
			return nil, nil
		}
		all, err := g.serve(ctx, st.project.Name, st.routes, compose.ClosedOptions(state.Engine))
		for i := range all {
			all[i].Service = strings.TrimPrefix(all[i].Service, offline.HolderOf(""))
		}
		return all, err
	}
}

// report reads back what there is of an isolated stack, tries once more to get out of it, and judges.
func (st *isolatedStack) report(ctx context.Context, e *engine.Engine) (offline.Report, error) {
	name := st.project.Name
	ev := offline.Evidence{Want: st.project, Breaches: st.breaches, Allow: st.allow, Guests: map[string][]string{}, Logs: map[string][]byte{}}
	var err error
	if ev.State, err = e.Observe(ctx, compose.Scope{Project: name, Label: labelLocal + "=" + name}); err != nil {
		return offline.Report{}, err
	}
	ev.State.Containers = slices.DeleteFunc(ev.State.Containers, func(c compose.Container) bool { return c.Labels[compose.LabelProject] != name || c.IsOneOff() })
	askStarting(ctx, e, ev.State.Containers)
	ours := map[string]bool{gatewayProxy: true}
	for _, c := range ev.State.Containers {
		ours[c.Name] = true
	}
	for _, n := range ev.State.Networks {
		on, err := e.Attached(ctx, n.ID)
		if err != nil {
			return offline.Report{}, err
		}
		ev.Guests[n.Name] = slices.DeleteFunc(on, func(c string) bool { return ours[c] })
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
