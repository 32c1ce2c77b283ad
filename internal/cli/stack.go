package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/engine"
	"github.com/strake-dev/strake/internal/seed"
)

// beginStack is begin for commands that act on what exists: with a project's name and no compose file, or one that does not
// load, p is nil and the labels are all that is known. The caller closes the engine.
func beginStack(ctx context.Context, s Streams, o projectOptions) (p *compose.Project, name string, e *engine.Engine, err error) {
	with := o.loadOptions(s)
	with.AllowUnsupported = true // what runs is looked at, or ended, whatever the file asks for by now
	p, e, loadErr, openErr := loadAndOpen(ctx, s, o, with)
	if loadErr == nil {
		return p, p.Name, e, openErr
	}
	var usage *usageError
	if errors.As(loadErr, &usage) { // not of the files
		closeUnused(e)
		return nil, "", nil, loadErr
	}
	if name = cmp.Or(o.Name, s.getenv("COMPOSE_PROJECT_NAME")); name == "" || ctx.Err() != nil {
		closeUnused(e)
		return nil, "", nil, byNameInstead(loadErr)
	}
	if err := compose.CheckProjectName(map[bool]string{true: "-p", false: "COMPOSE_PROJECT_NAME"}[o.Name != ""], name); err != nil {
		closeUnused(e)
		return nil, "", nil, err
	}
	if !errors.Is(loadErr, compose.ErrNoFile) {
		printWarnings(s, []string{fmt.Sprintf("%s is known by its labels alone, as its files do not load: %v", name, loadErr)})
	}
	return nil, name, e, openErr
}

// byNameInstead adds to what is wrong with a project's files that a stack can be named without them.
func byNameInstead(err error) error {
	next := "name what runs with -p, which needs no file"
	switch e := err.(type) {
	case interface{ Unwrap() []error }: // several, with hints of their own
		return errors.Join(err, &compose.HintedError{Err: errors.New("the files do not say which stack is meant"), Next: next})
	case *compose.HintedError:
		return &compose.HintedError{Err: e.Err, Next: e.Next + "; or " + next}
	}
	return &compose.HintedError{Err: err, Next: "put it right, or " + next}
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

// lookAt is beginStack with the containers that the stack has, and those of the services (nil: all) among them. The caller
// closes the engine.
func lookAt(ctx context.Context, s Streams, o projectOptions, services []string) (v stackView, err error) {
	if v.p, v.name, v.engine, err = beginStack(ctx, s, o); err != nil {
		return v, err
	}
	if v.have, err = v.engine.Observe(ctx, seed.MarksOf(v.name)); err == nil {
		v.all = slices.DeleteFunc(slices.Clone(v.have.Containers), func(c compose.Container) bool { return c.Labels[compose.LabelProject] != v.name })
		v.picked, err = pick(v.p, v.name, v.all, services)
	}
	if err != nil {
		closeUnused(v.engine)
	}
	return v, err
}

// stackView is what a command sees of a stack; p may be nil.
type stackView struct {
	p           *compose.Project
	name        string
	engine      *engine.Engine
	all, picked []compose.Container
	have        compose.State // with the marks of what did not come to its end
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

// one is the running container of a service that exec and port mean, among those of the service: of that number, or the
// lowest (index 0).
func one(kept []compose.Container, service string, index int) (compose.Container, error) {
	slices.SortFunc(kept, func(a, b compose.Container) int { return a.Number() - b.Number() })
	for _, c := range kept {
		if c.Status == compose.Running && (index == 0 || c.Number() == index) {
			return c, nil
		}
	}
	if len(kept) == 0 {
		return compose.Container{}, &compose.HintedError{Err: fmt.Errorf("%s has no container", service), Next: "run strake up " + service}
	}
	what, lowest := service, kept[0]
	if index > 0 {
		what += " number " + strconv.Itoa(index)
		i := slices.IndexFunc(kept, func(c compose.Container) bool { return c.Number() == index })
		if i < 0 {
			return compose.Container{}, noNumber(kept, service, index)
		}
		lowest = kept[i]
	}
	return compose.Container{}, &compose.HintedError{Err: fmt.Errorf("%s does not run: its container is %s", what, lowest.Status),
		Next: "run strake up " + service + ", or strake logs " + service + " to see why it ended"}
}

// noNumber is the error for a number that none of the containers of a service, which are some, has.
func noNumber(kept []compose.Container, service string, index int) error {
	numbers := map[int]bool{}
	for _, c := range kept {
		numbers[c.Number()] = true
	}
	var there []string
	for _, n := range slices.Sorted(maps.Keys(numbers)) {
		there = append(there, strconv.Itoa(n))
	}
	are := "there is " + there[0]
	if last := len(there) - 1; last > 0 {
		are = "there are " + strings.Join(there[:last], ", ") + " and " + there[last]
	}
	return fmt.Errorf("%s has no container %d; %s", service, index, are)
}
