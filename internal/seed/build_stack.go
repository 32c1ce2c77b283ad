package seed

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/strake-dev/strake/compose"
)

// startServers starts the seeded services that run while the seed is built, those that are sealed whole on their images without VOLUME.
func (b *build) startServers(ctx context.Context) ([]*server, error) {
	names := running(b.p, b.o.State)
	if len(names) == 0 {
		return nil, nil
	}
	b.note("starting %s", strings.Join(names, ", "))
	for _, name := range b.whole {
		if err := b.bare(ctx, name); err != nil {
			return nil, err
		}
	}
	if err := b.up(ctx, compose.DiffOptions{Services: names}, "start"); err != nil {
		return nil, err
	}
	var servers []*server
	for _, name := range names {
		c, err := b.container(ctx, name)
		if err != nil {
			return nil, err
		}
		s := &server{service: name, id: c.ID, name: c.Name}
		if err := b.meet(ctx, s); err != nil {
			return nil, err
		}
		servers = append(servers, s)
	}
	return servers, nil
}

// bare makes the image on which a service that is sealed whole runs here: its own without VOLUME, or that of the seed which it is
// built on.
func (b *build) bare(ctx context.Context, name string) error {
	like := compose.ImageName(b.p, b.p.Services[name])
	base := like
	if b.from != nil {
		base = b.from.Sealed[name].Ref
	}
	return b.Rewrap(ctx, base, like, bareRef(b.p.Name, name), func(c map[string]any) { delete(c, "Volumes") })
}

// up makes services of the scratch stack run, or complete. Their containers have their data's folders before they start (folderHost).
func (b *build) up(ctx context.Context, d compose.DiffOptions, doing string) error {
	d.Now, d.Version, d.Build = time.Now(), b.o.Version, compose.BuildNever
	state, err := b.observe(ctx)
	if err != nil {
		return err
	}
	plan, err := compose.Diff(b.scratch, state, d)
	if err != nil {
		return err
	}
	err = compose.Run(ctx, folderHost{b.h, b}, plan, compose.RunOptions{Project: b.scratch.Name})
	var unready *compose.NotReadyError
	if errors.As(err, &unready) {
		return &StepError{Service: unready.Service, Doing: doing, Err: err, Log: b.Log(context.WithoutCancel(ctx), unready.Container)}
	}
	return err
}

// observe looks at the scratch stack.
func (b *build) observe(ctx context.Context) (compose.State, error) {
	state, err := b.Observe(ctx, compose.ScopeOf(b.scratch, nil))
	state.Project = b.scratch.Name
	return state, err
}

// container is the one container of a service of the scratch stack.
func (b *build) container(ctx context.Context, service string) (compose.Container, error) {
	state, err := b.observe(ctx)
	if err != nil {
		return compose.Container{}, err
	}
	for _, c := range state.Containers {
		if c.Service() == service {
			return c, nil
		}
	}
	return compose.Container{}, fmt.Errorf("the container of service %s is gone: somebody else removed it", service)
}

// stopPatience is how long a server may take to write what it holds in memory.
const stopPatience = 10 * time.Minute

// stop ends a server cleanly.
func (b *build) stop(ctx context.Context, s *server) error {
	b.note("stopping %s", s.service)
	fail := func(doing string, err error) error {
		if err == nil {
			return nil
		}
		return &StepError{Service: s.service, Doing: doing, Err: err, Log: b.Log(context.WithoutCancel(ctx), s.id)}
	}
	if err := b.finish(ctx, s); err != nil {
		return fail("finish", err)
	}
	step := compose.Step{Op: compose.StopContainer, Name: s.name, Target: s.id}
	if s.kind != (folders{}) { // what is no server may not care for the signal: its own time is enough
		grace := stopPatience
		step.Grace = &grace
	}
	if err := b.h.Do(ctx, step, nil); err != nil {
		return fail("stop", err)
	}
	c, err := b.container(ctx, s.service)
	if err == nil && (c.Status != compose.Exited || !s.isClean(c.ExitCode)) {
		err = fmt.Errorf("it did not stop cleanly: its container %s with code %d", c.Status, c.ExitCode)
	}
	if err == nil {
		err = b.checkStopped(ctx, s)
	}
	return fail("stop", err)
}

// isClean is whether a server that was asked to stop ended as one that does so cleanly: with 0, or, where it is no database, of the
// signal itself.
func (s *server) isClean(code int) bool {
	const sigint, sigquit, sigterm = 130, 131, 143
	return code == 0 || s.kind == (folders{}) && (code == sigint || code == sigquit || code == sigterm)
}
