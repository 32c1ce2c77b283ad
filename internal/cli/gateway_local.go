package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/engine"
	"github.com/strake-dev/strake/internal/gateway"
	"github.com/strake-dev/strake/previews"
)

// A local stack whose project says x-strake.gateway is reached through the gateway too, by names of its own: saas.localhost, and that of
// each work tree. What the gateway has to know of it is kept in a container that never runs, as the records of previews are; the proxy and
// the services that it reaches meet in a network that leads nowhere else, so that Docker Compose finds the stack as it knows it.
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

// localRoutes are the routes of a local stack as it runs. A service that the gateway cannot reach, as it shares the machine's network or
// has no container that runs, has none. Upstreams are names of containers, which are an engine's own.
func localRoutes(project string, specs []compose.RouteSpec, have compose.State) []previews.Route {
	all := slices.SortedFunc(slices.Values(have.Containers), func(a, b compose.Container) int { return cmp.Compare(a.Name, b.Name) })
	var routes []previews.Route
	for _, r := range specs {
		i := slices.IndexFunc(all, func(c compose.Container) bool {
			_, host := c.Networks["host"]
			return c.Service() == r.Service && !c.IsOneOff() && c.Status == compose.Running && len(c.Networks) > 0 && !host
		})
		if i < 0 {
			continue
		}
		host := strings.ReplaceAll(project, "_", "-") + ".localhost"
		if r.Host != "" {
			host = r.Host + "--" + host
		}
		routes = append(routes, previews.Route{Service: r.Service, Host: host, Path: strings.TrimSuffix(r.Path, "/"), Strip: r.Strip, Main: r.Main,
			Upstream: fmt.Sprintf("%s:%d", all[i].Name, r.Port), Network: localName(project)})
	}
	return routes
}

// serve has the change end with the gateway serving the stack, where its project says so. It is the whole project: what is not asked for now
// is served on.
func (c *change) serve(p *compose.Project, noStart bool, show *progress) error {
	if !p.Settings.Gateway || noStart {
		return nil
	}
	specs, err := compose.Routes(p)
	if err != nil {
		return err
	}
	g := &gatewayHost{streams: c.streams, engine: c.engine, owner: compose.ConvergeOptions{Owner: owner(c.streams, c.command), Alive: isAlive,
		Held: func(e *compose.HeldError) { show.warn("waiting: " + e.Error()) }}}
	c.after = func(ctx context.Context) ([]served, error) { return g.serve(ctx, p.Name, specs) }
	return nil
}

// serve has the gateway of the engine serve what runs of a local stack, and returns the addresses of its services, the main one's first. A
// gateway that does not run is started.
func (g *gatewayHost) serve(ctx context.Context, project string, specs []compose.RouteSpec) ([]served, error) {
	have, err := g.engine.Observe(ctx, compose.Scope{Project: project})
	if err != nil {
		return nil, err
	}
	routes := localRoutes(project, specs, have)
	if len(routes) == 0 {
		return nil, &compose.HintedError{Err: fmt.Errorf("x-strake.gateway is set, and no running service of %s can be reached through the gateway", project),
			Next: "say which with x-strake: {route: {port: 8000}} in the service, or leave gateway out"}
	}
	format, err := g.Address(ctx)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(localRecord{project, routes})
	if err != nil {
		return nil, err
	}
	name, labels := localName(project), map[string]string{labelLocal: project}
	network := compose.NetworkSpec{Name: name, Internal: true}
	if err := g.engine.Do(ctx, compose.Step{Op: compose.CreateNetwork, Name: name, Labels: labels, Network: &compose.NetworkStep{Spec: network}}, nil); err != nil {
		return nil, err
	}
	if err := g.engine.Keep(ctx, name, labels, map[string][]byte{localFile: text}); err != nil {
		return nil, err
	}
	if err := g.Sync(ctx); err != nil {
		return nil, err
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
	return all, nil
}

// withdraw has the gateway serve a local stack no more. A stack that it does not serve is none of its business.
func withdraw(ctx context.Context, s Streams, e *engine.Engine, project string) error {
	name := localName(project)
	marks, err := e.Observe(ctx, compose.Scope{Project: project, Label: labelLocal})
	if err != nil {
		return err
	}
	isOurs := func(n string, labels map[string]string) bool { return n == name && labels[labelLocal] == project }
	if i := slices.IndexFunc(marks.Containers, func(c compose.Container) bool { return isOurs(c.Name, c.Labels) }); i >= 0 {
		if err := e.Do(ctx, compose.Step{Op: compose.RemoveContainer, Name: name, Target: marks.Containers[i].ID}, nil); err != nil {
			return err
		}
		g := &gatewayHost{streams: s, engine: e}
		_ = g.ctl(ctx, gatewayController, nil, "sync") // a gateway that does not answer serves nothing
	}
	i := slices.IndexFunc(marks.Networks, func(n compose.Network) bool { return isOurs(n.Name, n.Labels) })
	if i < 0 {
		return nil
	}
	errs := []error{leave(ctx, e, name)}
	for _, c := range marks.Containers {
		if _, joined := c.Networks[name]; joined && c.Labels[compose.LabelProject] == project {
			errs = append(errs, e.Do(ctx, compose.Step{Op: compose.Disconnect, Name: c.Name, Target: c.ID, Network: &compose.NetworkStep{Spec: compose.NetworkSpec{Name: name}}}, nil))
		}
	}
	return errors.Join(append(errs, e.Do(ctx, compose.Step{Op: compose.RemoveNetwork, Name: name, Target: marks.Networks[i].ID}, nil))...)
}

// local is a local stack as it is served.
type local struct {
	localRecord
	state   compose.State   // of its project
	network compose.Network // in which it is reached; the zero value where that is gone
}

// locals are the local stacks that the gateway serves.
func locals(ctx context.Context, e *engine.Engine) ([]local, error) {
	marks, err := e.Observe(ctx, compose.Scope{Label: labelLocal})
	if err != nil {
		return nil, err
	}
	var all []local
	var errs []error
	for _, c := range marks.Containers {
		l := local{localRecord: localRecord{Project: c.Labels[labelLocal]}}
		if c.Name != localName(l.Project) {
			continue // the label alone may come with any image
		}
		text, err := e.Kept(ctx, c.Name, localFile)
		if err == nil {
			err = json.Unmarshal(text, &l.localRecord)
		}
		if err == nil {
			l.state, err = e.Observe(ctx, compose.Scope{Project: l.Project})
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("read the record of %s: %w", c.Labels[labelLocal], err))
			continue
		}
		if i := slices.IndexFunc(marks.Networks, func(n compose.Network) bool { return n.Name == c.Name }); i >= 0 {
			l.network = marks.Networks[i]
		}
		all = append(all, l)
	}
	return all, errors.Join(errs...)
}

// runs is whether something of the stack does.
func (l local) runs() bool {
	return slices.ContainsFunc(l.state.Containers, func(c compose.Container) bool { return c.Status == compose.Running })
}

// join has the services that are reached take part in the network: those that were made anew are not in it yet. Of a stack that is gone the
// proxy leaves the network, so that it can be removed.
func (l local) join(ctx context.Context, e *engine.Engine) error {
	if len(l.state.Containers) == 0 && l.network.Name != "" {
		return leave(ctx, e, l.network.Name)
	}
	var errs []error
	for _, c := range l.state.Containers {
		_, joined := c.Networks[l.network.Name]
		reached := slices.ContainsFunc(l.Routes, func(r previews.Route) bool { name, _, _ := strings.Cut(r.Upstream, ":"); return name == c.Name })
		if !joined && reached && c.Status == compose.Running && l.network.Name != "" {
			errs = append(errs, e.Do(ctx, compose.Step{Op: compose.Connect, Name: c.Name, Target: c.ID, Network: &compose.NetworkStep{Spec: compose.NetworkSpec{Name: l.network.Name}}}, nil))
		}
	}
	return errors.Join(errs...)
}

// addTo adds what the proxy must know to its table. Of a stack of which nothing runs it has no routes: there is nothing at its addresses.
func (l local) addTo(t *gateway.Table) {
	stack := gateway.Stack{Name: "local " + l.Project, State: gateway.Ready, Title: l.Project, Networks: slices.Clone(l.network.Subnets)}
	for _, n := range l.state.Networks {
		if n.Labels[compose.LabelProject] == l.Project {
			stack.Networks = append(stack.Networks, n.Subnets...)
		}
	}
	t.Stacks = append(t.Stacks, stack)
	if !l.runs() {
		return
	}
	for _, r := range l.Routes {
		t.Routes = append(t.Routes, gateway.Route{Host: r.Host, Path: r.Path, Strip: r.Strip, Stack: stack.Name, Upstream: r.Upstream})
	}
}
