package seed

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/compose/regex"
)

// savedName is what Save takes for a name: a tag, and nothing that a key could be.
var (
	savedName = regex.New(`^[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127}$`)
	keyForm   = regex.New(`^[0-9a-f]{16}$`)
)

// CheckName refuses a name that Save cannot give; the error is a *compose.HintedError.
// Source: OCI distribution specification, tags.
func CheckName(name string) error {
	if savedName.MatchString(name) && !keyForm.MatchString(name) && name != "building" && name != "sealing" && name != "latest" && name != "true" && name != "false" {
		return nil
	}
	return &compose.HintedError{Err: fmt.Errorf("%q is no name for a seed", name),
		Next: "use letters, digits, ., _ and -, not only 16 hexadecimal digits, and not building, sealing, latest, true or false"}
}

// CheckKey refuses what neither a key nor a name that Save gives can be; the error is a *compose.HintedError.
func CheckKey(key string) error {
	if keyForm.MatchString(key) || CheckName(key) == nil {
		return nil
	}
	return &compose.HintedError{Err: fmt.Errorf("%q is no key or name of a seed", key), Next: "strake seed ls lists those that are here"}
}

// Save seals the data that a stack has now under a name. The seeded services stop for it, cleanly, and run again afterwards,
// also when it fails; what a save that was killed had stopped the next one starts, and Stopped tells; until the last image is made a seed that had the name before is none any more.
//
// What runs beside and can write to the data, and is no service's of the stack, or does not stand still, is refused by its name: before the copy
// and after it. A reset that did not come to its end is an *UnfinishedError. A name that a seed has, unless o.Replace, a service without a container, and one whose image is not here, is a *compose.HintedError; what failed is in a *StepError.
func Save(ctx context.Context, e Engine, p *compose.Project, name string, o BuildOptions) error {
	if err := CheckName(name); err != nil {
		return err
	}
	if err := errors.Join(checkApart(p, o.State), checkTags(ctx, e, p, name)); err != nil {
		return err
	}
	if err := checkFree(ctx, e, p, name, o); err != nil {
		return err
	}
	return compose.Hold(ctx, e, p.Name, o.Claim, func(stack compose.Host) error {
		return compose.Hold(ctx, e, ScratchName(p.Name), o.Claim, func(h compose.Host) error {
			if err := checkFree(ctx, e, p, name, o); err != nil {
				return err // another gave the name meanwhile
			}
			b := newBuild(e, h, p, o, name)
			return b.alone(ctx, func(ctx context.Context) error { return b.save(ctx, stack) })
		})
	})
}

// checkFree refuses a name that a seed has, unless that may be replaced.
func checkFree(ctx context.Context, e Engine, p *compose.Project, name string, o BuildOptions) error {
	if o.Replace {
		return nil
	}
	there, err := Find(ctx, e, p, name)
	if err == nil && there != nil {
		err = &compose.HintedError{Err: fmt.Errorf("project %s has a seed %s", p.Name, name), Next: "give another name, or --force to replace it"}
	}
	return err
}

// save seals what the stack's containers hold.
func (b *build) save(ctx context.Context, stack compose.Host) (err error) {
	state, err := b.live(ctx)
	if err != nil {
		return err
	}
	if goal := Unfinished(b.p.Name, state); goal != nil {
		return goal.Refused(b.p.Name) // half of its data is of another time
	}
	stopped, err := b.pausing(ctx, stack, state)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stopped.end(ctx)) }()
	if err := stopped.revive(ctx); err != nil {
		return err
	}
	servers, from, err := stopped.halt(ctx)
	if err != nil {
		return err
	}
	for _, s := range servers {
		if err := b.checkStill(ctx, s); err != nil {
			return err
		}
		if !slices.Contains(b.whole, s.service) {
			b.note("sealing the volumes of %s", s.service)
			err = b.importVolumes(ctx, s.service, s.id)
		} else {
			err = b.transplant(ctx, s.service, from[s.service])
		}
		if err != nil {
			return err
		}
		if err := b.checkStill(ctx, s); err != nil {
			return err // somebody started it over the copy
		}
		if err := b.checkUnwritten(ctx, stopped.state); err != nil {
			return err
		}
	}
	return b.publishAll(ctx)
}

// live is the state of the stack, with its marks.
func (b *build) live(ctx context.Context) (compose.State, error) {
	scope := compose.ScopeOf(b.p, nil)
	scope.Containers = append(scope.Containers, Marks(b.p.Name)...)
	state, err := b.Observe(ctx, scope)
	state.Project = b.p.Name
	return state, err
}

// checkStill refuses what a server left that did not end cleanly, or runs again.
func (b *build) checkStill(ctx context.Context, s *server) error {
	if err := b.checkEnded(ctx, s); err != nil {
		return &StepError{Service: s.service, Doing: "stop", Err: err, Log: b.Log(context.WithoutCancel(ctx), s.id)}
	}
	return nil
}

// meetLive finds out what server a service of the stack is, if it runs; one that an interrupted run was stopping may end meanwhile.
func (b *build) meetLive(ctx context.Context, state compose.State, service string) (*server, compose.Container, error) {
	c, err := b.holder(state, service)
	if err != nil {
		return nil, c, err
	}
	s := &server{service: service, id: c.ID, name: c.Name, kind: folders{}, live: true}
	if c.Status != compose.Running {
		return s, c, nil
	}
	if err = b.meet(ctx, s); err == nil {
		return s, c, nil
	}
	now, lookErr := b.Observe(ctx, compose.Scope{Project: b.p.Name})
	if lookErr != nil {
		return nil, c, err
	}
	if c, lookErr = b.holder(now, service); lookErr != nil || c.Status == compose.Running {
		return nil, c, errors.Join(lookErr, err)
	}
	s.kind = folders{}
	return s, c, nil
}

// holder is the container of a service whose data is saved: one that runs, or ended cleanly.
func (b *build) holder(state compose.State, service string) (compose.Container, error) {
	i := slices.IndexFunc(state.Containers, func(c compose.Container) bool {
		return c.Service() == service && !c.IsOneOff() && c.Labels[compose.LabelProject] == b.p.Name
	})
	if i < 0 {
		return compose.Container{}, &compose.HintedError{Err: fmt.Errorf("service %s has no container whose data could be saved", service), Next: "run strake up first"}
	}
	c := state.Containers[i]
	if c.Status == compose.Paused || c.Status == compose.Restarting {
		return c, &compose.HintedError{Err: fmt.Errorf("the container of service %s is %s", service, c.Status), Next: "run strake restart " + service + " first"}
	}
	if s := (&server{kind: folders{}}); c.Status != compose.Running && c.Status != compose.Created && !s.isClean(c.ExitCode) {
		return c, &compose.HintedError{Err: fmt.Errorf("the container of service %s was not stopped cleanly: it %s with code %d", service, c.Status, c.ExitCode), Next: "run strake start " + service + " first"}
	}
	return c, nil
}

// checkEnded refuses what a server of the stack left that did not end cleanly.
func (b *build) checkEnded(ctx context.Context, s *server) error {
	state, err := b.Observe(ctx, compose.Scope{Project: b.p.Name})
	if err != nil {
		return err
	}
	i := slices.IndexFunc(state.Containers, func(c compose.Container) bool { return c.ID == s.id })
	if i < 0 {
		return errors.New("its container is gone: somebody else removed it")
	}
	if c := state.Containers[i]; c.Status != compose.Created && (c.Status != compose.Exited || !s.isClean(c.ExitCode)) {
		if c.Status == compose.Running {
			return errors.New("somebody started it meanwhile")
		}
		return fmt.Errorf("it did not stop cleanly: its container %s with code %d", c.Status, c.ExitCode)
	}
	return b.checkStopped(ctx, s)
}

// stopFor stops services of the stack.
func (b *build) stopFor(ctx context.Context, stack compose.Host, state compose.State, names []string) error {
	if len(names) == 0 {
		return nil
	}
	grace := stopPatience
	plan, err := compose.Stop(b.p, state, names, &grace)
	if err != nil {
		return err
	}
	return compose.Run(ctx, stack, plan, compose.RunOptions{Project: b.p.Name})
}

// startAgain starts what was stopped.
func (b *build) startAgain(ctx context.Context, stack compose.Host, names []string) error {
	if len(names) == 0 {
		return nil
	}
	state, err := b.Observe(ctx, compose.ScopeOf(b.p, nil))
	if err != nil {
		return fmt.Errorf("start %s again: %w", strings.Join(names, ", "), err)
	}
	state.Project = b.p.Name
	plan, err := compose.Start(b.p, state, names)
	if err != nil {
		return err
	}
	if !plan.Changes() {
		return nil
	}
	b.note("starting %s again", strings.Join(names, ", "))
	return compose.Run(ctx, stack, plan, compose.RunOptions{Project: b.p.Name})
}

// transplant makes the sealed image of a service of the data that a container which stands still has, in a volume or not.
func (b *build) transplant(ctx context.Context, name string, from compose.Container) error {
	b.note("sealing %s", name)
	paths := b.dataOf(name)
	if len(paths) == 0 {
		return &compose.HintedError{Err: fmt.Errorf("nothing says where service %s keeps its data", name), Next: "mount a named volume there"}
	}
	if err := b.bare(ctx, name); err != nil {
		return err
	}
	if err := b.up(ctx, compose.DiffOptions{Services: []string{name}, NoDeps: true, NoStart: true}, "create"); err != nil {
		return err
	}
	to, err := b.container(ctx, name)
	if err != nil {
		return err
	}
	err = piped(func(out *tar.Writer) error {
		for _, path := range paths {
			if err := packOne(ctx, b.Engine, from.ID, path, strings.TrimPrefix(path, "/"), out); err != nil {
				return err
			}
		}
		return nil
	}, func(archive io.Reader) error { return b.CopyTo(ctx, to.ID, "/", archive) })
	if err != nil {
		return fmt.Errorf("copy the data of service %s: %w", name, err)
	}
	return b.commit(ctx, name, to.ID)
}
