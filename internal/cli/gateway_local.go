package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/previews"
)

// A local stack whose project says x-strake.gateway is reached through the gateway too, by names of its own: saas.localhost, and that of
// each work tree. What the gateway has to know of it is kept in a container that never runs, as the records of previews are; the proxy and
// the services that it reaches meet in a network that leads nowhere else, so that Docker Compose finds the stack as it knows it. Both are
// made and removed under the claim of the project.
const (
	labelLocal = "dev.strake.local" // on that container and network: the project
	localFile  = "local.json"       // in the container: a localRecord
)

// localRecord is a local stack as the gateway knows it.
type localRecord struct {
	Project string           `json:"project"`
	Routes  []previews.Route `json:"routes"`
}

// localName is the name of the container that holds the record of a project, and of the network in which it is reached.
func localName(project string) string { return "strake-local-" + project }

// localHost is the name at which a project's main service is reached.
func localHost(project string) string {
	return strings.Trim(strings.ReplaceAll(project, "_", "-"), "-") + ".localhost"
}

// localRoutes are the routes of a local stack as it runs. A service that the gateway cannot reach, as it shares the machine's network or
// has no container that runs, has none. Upstreams are names of containers, which are an engine's own.
func localRoutes(project string, specs []compose.RouteSpec, have compose.State) []previews.Route {
	all := slices.SortedFunc(slices.Values(have.Containers), func(a, b compose.Container) int { return cmp.Compare(a.Name, b.Name) })
	var routes []previews.Route
	for _, r := range specs {
		i := slices.IndexFunc(all, func(c compose.Container) bool {
			_, host := c.Networks["host"]
			return c.Labels[compose.LabelProject] == project && c.Service() == r.Service && !c.IsOneOff() && c.Status == compose.Running && len(c.Networks) > 0 && !host
		})
		if i < 0 {
			continue
		}
		host := localHost(project)
		if r.Host != "" {
			host = r.Host + "--" + host
		}
		routes = append(routes, previews.Route{Service: r.Service, Host: host, Path: strings.TrimSuffix(r.Path, "/"), Strip: r.Strip, Main: r.Main,
			Upstream: fmt.Sprintf("%s:%d", all[i].Name, r.Port), Network: localName(project)})
	}
	return routes
}

// checkHosts refuses names that no address can have, and those of another stack that is served.
func checkHosts(project string, routes []previews.Route, others []local) error {
	for _, r := range routes {
		if label, _, _ := strings.Cut(r.Host, "."); len(label) > 63 || label == "" {
			return &compose.HintedError{Err: fmt.Errorf("service %s cannot be reached through the gateway: %s is no hostname, its first part has %d characters", r.Service, r.Host, len(label)),
				Next: "give the project a shorter name (-p or name:)"}
		}
		for _, o := range others {
			if o.Project != project && slices.ContainsFunc(o.Routes, func(other previews.Route) bool { return other.Host == r.Host && other.Path == r.Path }) {
				return &compose.HintedError{Err: fmt.Errorf("%s is the address of project %s already", r.Host+r.Path, o.Project), Next: "give one of the projects another name (-p or name:)"}
			}
		}
	}
	return nil
}

// serve has the change end with the gateway serving the stack, where its project says so, else with the gateway leaving it. It is the whole
// project: what is not asked for now is served on.
func (c *change) serve(p *compose.Project, noStart bool, show *progress) error {
	if noStart {
		return nil
	}
	g := &gatewayHost{streams: c.streams, engine: c.engine, owner: compose.ConvergeOptions{Owner: owner(c.streams, c.command), Alive: isAlive, NoWait: c.noWait,
		Held: func(e *compose.HeldError) { show.warn("waiting: " + e.Error()) }}}
	if !p.Settings.Gateway {
		c.after = func(ctx context.Context, state compose.State) ([]served, error) {
			if slices.ContainsFunc(state.Containers, func(c compose.Container) bool { return c.Name == localName(p.Name) }) {
				return nil, g.withdraw(ctx, p.Name, false)
			}
			return nil, nil
		}
		return nil
	}
	specs, err := compose.Routes(p)
	if err == nil && len(specs) == 0 {
		err = &compose.HintedError{Err: fmt.Errorf("x-strake.gateway is set, and no service of %s is known to answer requests", p.Name),
			Next: "say which with x-strake: {route: {port: 8000}} in the service, or leave gateway out"}
	}
	c.after = func(ctx context.Context, state compose.State) ([]served, error) {
		if state.Engine.Remote {
			show.warn("x-strake.gateway is left out: the engine is on another machine, whose gateway is not reached from here")
			return nil, nil
		}
		return g.serve(ctx, p.Name, specs, compose.NetworkSpec{})
	}
	return err
}

// serve has the gateway of the engine serve what runs of a local stack, and returns the addresses of its services, the main one's first. A
// gateway that does not run is started. network is that in which they meet, which leads nowhere else; it may say nothing.
func (g *gatewayHost) serve(ctx context.Context, project string, specs []compose.RouteSpec, network compose.NetworkSpec) ([]served, error) {
	format, err := g.running(ctx)
	if err == nil && format == "" {
		format, err = g.Address(ctx)
	}
	if err != nil {
		return nil, err
	}
	var routes []previews.Route
	err = compose.Hold(ctx, g.engine, project, g.owner, func(h compose.Host) error {
		others, err := locals(ctx, g.engine)
		if err != nil {
			return err
		}
		have, err := h.Observe(ctx, compose.Scope{Project: project})
		if err != nil {
			return err
		}
		routes = localRoutes(project, specs, have)
		if err := checkHosts(project, routes, others); err != nil {
			return err
		}
		text, err := json.Marshal(localRecord{project, routes})
		if err != nil {
			return err
		}
		name, labels := localName(project), map[string]string{labelLocal: project}
		if err := g.engine.Keep(ctx, name, labels, map[string][]byte{localFile: text}); err != nil {
			return err
		}
		network.Name, network.Internal = name, true
		return h.Do(ctx, compose.Step{Op: compose.CreateNetwork, Name: name, Labels: labels, Network: &compose.NetworkStep{Spec: network}}, nil)
	})
	if err == nil {
		err = g.Sync(ctx, localStack(project))
	}
	var all []served
	for _, r := range routes {
		one := served{r.Service, fmt.Sprintf(format, r.Host) + r.Path}
		if r.Main {
			all = slices.Insert(all, 0, one)
		} else {
			all = append(all, one)
		}
	}
	return all, err
}

// withdraw has the gateway serve a local stack no more; with gone only if nothing of the stack is there. A stack that it does not serve is
// none of its business. What a withdrawal that was killed left is taken away by the next one.
func (g *gatewayHost) withdraw(ctx context.Context, project string, gone bool) error {
	name := localName(project)
	marks, err := g.engine.Observe(ctx, compose.Scope{Label: labelLocal + "=" + project})
	if err != nil || len(marks.Containers) == 0 && len(marks.Networks) == 0 {
		return err
	}
	return compose.Hold(ctx, g.engine, project, g.owner, func(h compose.Host) error {
		marks, err := h.Observe(ctx, compose.Scope{Project: project, Label: labelLocal + "=" + project})
		if err != nil {
			return err
		}
		ofProject := func(c compose.Container) bool { return c.Labels[compose.LabelProject] == project }
		if gone && slices.ContainsFunc(marks.Containers, ofProject) {
			return nil // somebody has brought it back
		}
		if err := g.engine.Keep(ctx, name, nil, map[string][]byte{localFile: fmt.Appendf(nil, `{"project":%q}`, project)}); err == nil {
			_ = g.ctl(ctx, gatewayController, nil, "sync", "") // one that does not answer learns it when it does again
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		var errs []error
		for _, n := range marks.Networks {
			if n.Name != name {
				continue // somebody's own, with our label
			}
			errs = append(errs, leave(ctx, h, name))
			for _, c := range marks.Containers {
				if _, joined := c.Networks[name]; joined && ofProject(c) {
					errs = append(errs, h.Do(ctx, compose.Step{Op: compose.Disconnect, Name: c.Name, Target: c.ID, Network: &compose.NetworkStep{Spec: compose.NetworkSpec{Name: name}}}, nil))
				}
			}
			errs = append(errs, h.Do(ctx, compose.Step{Op: compose.RemoveNetwork, Name: name, Target: n.ID}, nil))
		}
		for _, c := range marks.Containers {
			if c.Name == name && errors.Join(errs...) == nil { // it goes last: while it is there the next one goes on
				errs = append(errs, h.Do(ctx, compose.Step{Op: compose.RemoveContainer, Name: name, Target: c.ID}, nil))
			}
		}
		return errors.Join(errs...)
	})
}
