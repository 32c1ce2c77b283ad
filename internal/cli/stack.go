package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"golang.org/x/sync/errgroup"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/engine"
)

// beginStack is begin for commands that act on what exists: with a project's name and no compose file, p is nil and
// the labels are all that is known. The caller closes the engine.
func beginStack(ctx context.Context, s Streams, o projectOptions) (p *compose.Project, name string, e *engine.Engine, err error) {
	var loadErr, openErr error
	var both errgroup.Group
	both.Go(func() error {
		with := o.loadOptions(s)
		with.AllowUnsupported = true // what runs is looked at, or ended, whatever the file asks for by now
		p, loadErr = loadWith(ctx, s, o, with)
		return nil
	})
	both.Go(func() error { e, openErr = open(ctx, s, o); return nil })
	_ = both.Wait() // the functions put their errors aside
	if loadErr != nil {
		name = o.Name
		if name == "" {
			name = s.getenv("COMPOSE_PROJECT_NAME")
		}
		if name == "" || !errors.Is(loadErr, compose.ErrNoFile) {
			if openErr == nil {
				_ = e.Close() // nothing was done with it
			}
			return nil, "", nil, loadErr
		}
		p = nil
	} else {
		name = p.Name
	}
	return p, name, e, openErr
}

// scopeOfStack is what is looked at of a stack; p may be nil.
func scopeOfStack(p *compose.Project, name string) compose.Scope {
	if p == nil {
		return compose.Scope{Project: name}
	}
	return compose.ScopeOf(p, nil)
}

// observeStack looks at the containers of a project only.
func observeStack(ctx context.Context, e *engine.Engine, name string) ([]compose.Container, error) {
	state, err := e.Observe(ctx, compose.Scope{Project: name})
	return state.Containers, err
}

// pick are the containers of the services (nil: all) that are no one-offs, by service and number.
func pick(p *compose.Project, name string, containers []compose.Container, services []string) ([]compose.Container, error) {
	var kept []compose.Container
	for _, c := range containers {
		if c.Labels[compose.LabelProject] == name && !c.IsOneOff() && (len(services) == 0 || slices.Contains(services, c.Service())) {
			kept = append(kept, c)
		}
	}
	for _, svc := range services {
		known := slices.ContainsFunc(kept, func(c compose.Container) bool { return c.Service() == svc })
		if known {
			continue
		}
		if p == nil {
			return nil, &compose.HintedError{Err: fmt.Errorf("project %s has no container of service %s", name, svc), Next: "strake ps -p " + name}
		}
		if _, ok := p.AllServices()[svc]; !ok {
			return nil, unknownService(p, svc)
		}
	}
	return kept, nil
}

// one is the running container of a service that exec and port mean: of that number, or the lowest (index 0).
func one(p *compose.Project, name string, containers []compose.Container, service string, index int) (compose.Container, error) {
	kept, err := pick(p, name, containers, []string{service})
	if err != nil {
		return compose.Container{}, err
	}
	slices.SortFunc(kept, func(a, b compose.Container) int { return a.Number() - b.Number() })
	for _, c := range kept {
		if c.Status == compose.Running && (index == 0 || c.Number() == index) {
			return c, nil
		}
	}
	what := service
	if index > 0 {
		what += " number " + strconv.Itoa(index)
	}
	if len(kept) == 0 {
		return compose.Container{}, &compose.HintedError{Err: fmt.Errorf("%s has no container", what), Next: "run strake up " + service}
	}
	return compose.Container{}, &compose.HintedError{Err: fmt.Errorf("%s does not run: its container is %s", what, kept[0].Status),
		Next: "run strake up " + service + ", or strake logs " + service + " to see why it ended"}
}
