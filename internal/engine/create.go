package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"golang.org/x/sync/errgroup"

	"github.com/strake-dev/strake/compose"
)

// createContainer does CreateContainer: one call where the engine allows. A container of this name of ours that was never
// started may be the half of an earlier, killed create: it is made again unless nothing can be missing of it.
func (e *Engine) createContainer(ctx context.Context, s compose.Step, note func(compose.Event)) error {
	spec, c, err := e.prepare(ctx, s)
	if err != nil {
		return err
	}
	e.checks.drop(s.Name)
	for _, w := range c.warnings {
		note(compose.Event{Kind: compose.StepWarning, Text: w})
	}
	_, err = e.make(ctx, s.Name, c, note)
	if !errdefs.IsConflict(err) {
		return err
	}
	done, leftErr := e.leftover(ctx, s.Name, spec, len(c.later)+len(c.files) == 0)
	if leftErr != nil || done {
		return leftErr
	}
	_, err = e.make(ctx, s.Name, c, note)
	return err
}

// prepare resolves what the step's spec leaves open, with all questions asked at once, and translates it.
func (e *Engine) prepare(ctx context.Context, s compose.Step) (compose.ContainerSpec, creation, error) {
	spec := *s.Container
	in := surroundings{name: s.Name, api: e.api.ClientVersion(), readFile: os.ReadFile,
		proxies: e.config.ParseProxyConfig(e.api.DaemonHost(), nil)}
	if !e.where.local {
		in.isFolder = isFolder
	}
	var siblings []compose.Container
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		in.image, err = e.imageOf(gctx, compose.ImageRef{Ref: spec.Image, Platform: spec.Service.Platform}, nil)
		return err
	})
	if refersToContainers(spec.Service) {
		g.Go(func() (err error) {
			siblings, err = e.observeContainers(gctx, compose.Scope{Project: spec.Project.Name}, nil)
			return err
		})
	}
	if spec.Inherit != "" {
		g.Go(func() (err error) {
			in.inherited, err = e.inheritable(gctx, spec.Inherit)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return spec, creation{}, err
	}
	if err := spec.Resolve(firstOf(siblings)); err != nil {
		return spec, creation{}, err
	}
	in.links = linksOf(spec, siblings)
	if spec.AutoPorts {
		if err := e.assignPorts(ctx, &spec, containerName(spec, s.Name)); err != nil {
			return spec, creation{}, err
		}
	}
	c, err := translate(spec, in)
	return spec, c, err
}

// refersToContainers is whether other containers of the project have to be known.
func refersToContainers(s compose.Service) bool {
	for _, mode := range []string{s.NetworkMode, s.Ipc, s.Pid} {
		if strings.HasPrefix(mode, "service:") {
			return true
		}
	}
	return len(s.Links)+len(s.VolumesFrom) > 0
}

// firstOf answers with the id of a service's first container: the lowest number, of those the newest.
func firstOf(siblings []compose.Container) func(string) (string, error) {
	return func(service string) (string, error) {
		var best *compose.Container
		for i, c := range siblings {
			if c.Service() != service || c.IsOneOff() {
				continue
			}
			if best == nil || c.Number() < best.Number() || (c.Number() == best.Number() && c.Created.After(best.Created)) {
				best = &siblings[i]
			}
		}
		if best == nil {
			return "", fmt.Errorf("service %s has no container", service)
		}
		return best.ID, nil
	}
}

// make creates a container, connects it and puts its files in. After a failure the container is gone again. One that the project's files are
// copied into has another name until they are in.
func (e *Engine) make(ctx context.Context, name string, c creation, note func(compose.Event)) (id string, err error) {
	undo := func(id string, volumes bool) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		defer cancel()
		if undoErr := e.remove(ctx, id, volumes); undoErr != nil {
			err = errors.Join(err, undoErr)
		}
	}
	called, create := name, func() (container.CreateResponse, error) {
		return e.api.ContainerCreate(ctx, c.config, c.host, c.network, c.platform, name)
	}
	if c.hasCopies() {
		called = compose.UnfinishedName(name)
		create = func() (container.CreateResponse, error) { return e.createUnfinished(ctx, called, c) }
		var helper string
		helper, err = e.fillHidden(ctx, called, c)
		if helper != "" {
			defer func() { undo(helper, err != nil) }()
		}
		if err != nil {
			return "", err
		}
	}
	answer, err := create()
	if err != nil {
		return "", err
	}
	for _, w := range answer.Warnings {
		note(compose.Event{Kind: compose.StepWarning, Text: w})
	}
	defer func() {
		if err != nil {
			undo(answer.ID, true)
		}
	}()
	for _, a := range c.later {
		if err := e.api.NetworkConnect(ctx, a.network, answer.ID, a.endpoint); err != nil {
			return "", fmt.Errorf("connect to network %s: %w", a.network, err)
		}
	}
	err = e.putCopies(ctx, answer.ID, called, c)
	if err == nil {
		err = e.inject(ctx, answer.ID, c.files)
	}
	if err == nil && called != name {
		err = e.api.ContainerRename(ctx, answer.ID, name)
	}
	return answer.ID, err
}

// leftover decides about a container that has the wanted name already. done means that it is the wanted one; else it was
// removed, and the name is free. A foreign one, or one that ran with another configuration, is an error.
func (e *Engine) leftover(ctx context.Context, name string, spec compose.ContainerSpec, whole bool) (done bool, err error) {
	old, err := e.api.ContainerInspect(ctx, name)
	if errdefs.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	labels := old.Config.Labels
	for _, l := range []string{compose.LabelProject, compose.LabelService, compose.LabelOneOff} {
		if labels[l] != spec.Labels[l] {
			return false, nameTaken(name, labels)
		}
	}
	same := labels[compose.LabelConfigHash] == spec.Labels[compose.LabelConfigHash]
	fresh := neverStarted(old)
	switch {
	case same && (whole || !fresh):
		return true, nil
	case fresh:
		return false, e.remove(ctx, old.ID, true)
	}
	return false, hint("run the command again", "there is a container %s with another configuration", name)
}

// neverStarted is whether a container is as its create left it.
func neverStarted(c container.InspectResponse) bool {
	return c.State != nil && c.State.Status == container.StateCreated && slices.Contains([]string{"", "0001-01-01T00:00:00Z"}, c.State.StartedAt)
}
