package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/engine"
	"github.com/strake-dev/strake/internal/gateway"
	"github.com/strake-dev/strake/previews"
)

// local is a local stack as it is served.
type local struct {
	localRecord
	state   compose.State   // of its project
	network compose.Network // in which it is reached; the zero value where that is gone
}

// locals are the local stacks that the gateway serves. One whose record is not whole is being written, or was killed while it was.
func locals(ctx context.Context, e *engine.Engine) ([]local, error) {
	marks, err := e.Observe(ctx, compose.Scope{Label: labelLocal})
	if err != nil {
		return nil, err
	}
	var all []local
	for _, c := range marks.Containers {
		l, project := local{}, c.Labels[labelLocal]
		if c.Name != localName(project) || c.Status != compose.Created || c.Labels[compose.LabelProject] != "" {
			continue // the label alone may come with any image
		}
		text, err := e.Kept(ctx, c.Name, localFile)
		if errors.Is(err, fs.ErrNotExist) || err == nil && (json.Unmarshal(text, &l.localRecord) != nil || l.Project != project) {
			continue
		}
		if err == nil {
			l.state, err = e.Observe(ctx, compose.Scope{Project: project})
		}
		if err != nil {
			return nil, fmt.Errorf("read the record of %s: %w", project, err)
		}
		if i := slices.IndexFunc(marks.Networks, func(n compose.Network) bool { return n.Name == c.Name }); i >= 0 {
			l.network = marks.Networks[i]
		}
		all = append(all, l)
	}
	return all, nil
}

// runs is whether something of the stack does, and there is a way to it.
func (l local) runs() bool {
	return l.network.Name != "" && len(l.Routes) > 0 &&
		slices.ContainsFunc(l.state.Containers, func(c compose.Container) bool { return c.Status == compose.Running })
}

// join has exactly the services that are reached take part in the network: those that were made anew are not in it yet. Of a stack of which
// nothing runs the proxy leaves the network, so that it can be removed.
func (l local) join(ctx context.Context, e *engine.Engine) error {
	name := l.network.Name
	if name == "" {
		return nil
	}
	var errs []error
	if !l.runs() {
		errs = append(errs, leave(ctx, e, name))
	}
	network := &compose.NetworkStep{Spec: compose.NetworkSpec{Name: name}}
	for _, c := range l.state.Containers {
		_, joined := c.Networks[name]
		reached := slices.ContainsFunc(l.Routes, func(r previews.Route) bool { name, _, _ := strings.Cut(r.Upstream, ":"); return name == c.Name })
		switch {
		case reached && !joined && c.Status == compose.Running:
			errs = append(errs, e.Do(ctx, compose.Step{Op: compose.Connect, Name: c.Name, Target: c.ID, Network: network}, nil))
		case joined && !reached:
			errs = append(errs, e.Do(ctx, compose.Step{Op: compose.Disconnect, Name: c.Name, Target: c.ID, Network: network}, nil))
		}
	}
	return errors.Join(errs...)
}

// addTo adds what the proxy must know to its table. Of a stack of which nothing runs it has no routes: there is nothing at its addresses.
func (l local) addTo(t *gateway.Table) {
	stack := gateway.Stack{Name: localStack(l.Project), State: gateway.Ready, Title: l.Project, Networks: slices.Clone(l.network.Subnets)}
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

// withLocals adds the local stacks to a table, and has them and the proxy meet. What is wrong with one, by its name in the table, is nobody
// else's loss.
func withLocals(ctx context.Context, e *engine.Engine, table gateway.Table, state compose.State) (gateway.Table, map[string]error) {
	stacks, err := locals(ctx, e)
	met := map[string]error{"local stacks": err}
	for _, l := range stacks {
		err := l.join(ctx, e)
		if l.runs() {
			err = errors.Join(err, joinNetworks(ctx, e, l.Routes, compose.State{Containers: state.Containers, Networks: []compose.Network{l.network}}))
		}
		met[localStack(l.Project)] = err
		l.addTo(&table)
	}
	table, wrong := gateway.Valid(table)
	for stack, err := range met {
		wrong[stack] = errors.Join(wrong[stack], err)
	}
	return table, wrong
}

// localStack is the name of a project's local stack in the proxy's table.
func localStack(project string) string { return "local " + project }
