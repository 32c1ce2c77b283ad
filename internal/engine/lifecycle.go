package engine

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"

	"github.com/strake-dev/strake/compose"
)

// start does StartContainer.
func (e *Engine) start(ctx context.Context, s compose.Step) error {
	if e.racesOnPorts(ctx) {
		e.starts.Lock()
		defer e.starts.Unlock()
	}
	return e.api.ContainerStart(ctx, s.Target, container.StartOptions{})
}

// racesOnPorts is whether parallel starts may be given one random port twice.
// Source: moby#50054, fixed in 28.3.0; 28.0 to 28.2 have it.
func (e *Engine) racesOnPorts(ctx context.Context) bool {
	known, err := e.facts.of(ctx, e.askFacts)
	if err != nil {
		return false // the start itself will say what is wrong
	}
	for _, v := range []string{" 28.0.", " 28.1.", " 28.2."} {
		if strings.Contains(known.Name, v) {
			return true
		}
	}
	return false
}

// graceSeconds is a grace period in whole seconds, rounded up; nil is the container's own.
func graceSeconds(d *time.Duration) *int {
	if d == nil {
		return nil
	}
	n := int((*d + time.Second - 1) / time.Second)
	return &n
}

// stop does StopContainer. Source: Docker Engine API 1.41, POST /containers/{id}/stop (t is in seconds).
func (e *Engine) stop(ctx context.Context, s compose.Step) error {
	return absentIsFine(e.api.ContainerStop(ctx, s.Target, container.StopOptions{Timeout: graceSeconds(s.Grace)}))
}

func (e *Engine) restart(ctx context.Context, s compose.Step) error {
	return e.api.ContainerRestart(ctx, s.Target, container.StopOptions{Timeout: graceSeconds(s.Grace)})
}

// kill does KillContainer; one that does not run has nothing to be killed.
func (e *Engine) kill(ctx context.Context, s compose.Step) error {
	err := e.api.ContainerKill(ctx, s.Target, s.Signal)
	if err != nil && has(err.Error(), "is not running") {
		return nil
	}
	return absentIsFine(err)
}

func (e *Engine) pause(ctx context.Context, s compose.Step) error {
	err := e.api.ContainerPause(ctx, s.Target)
	if err != nil && has(err.Error(), "already paused") {
		return nil
	}
	return err
}

func (e *Engine) unpause(ctx context.Context, s compose.Step) error {
	err := e.api.ContainerUnpause(ctx, s.Target)
	if err != nil && has(err.Error(), "is not paused") {
		return nil
	}
	return err
}

// remove removes a container by force, with its anonymous volumes where they go too, and returns when it is gone, also
// when somebody else had begun to remove it.
func (e *Engine) remove(ctx context.Context, target string, volumes bool) error {
	e.checks.drop(target)
	err := e.api.ContainerRemove(ctx, target, container.RemoveOptions{Force: true, RemoveVolumes: volumes})
	if err == nil || errdefs.IsNotFound(err) || !has(err.Error(), "already in progress") {
		return absentIsFine(err)
	}
	gone, errs := e.api.ContainerWait(ctx, target, container.WaitConditionRemoved)
	select {
	case <-gone:
		return nil
	case err := <-errs:
		return absentIsFine(err)
	}
}

// rename does RenameContainer. When the container is gone and another has the name, an earlier run did it.
func (e *Engine) rename(ctx context.Context, s compose.Step) error {
	e.checks.drop(s.Name)
	err := e.api.ContainerRename(ctx, s.Target, s.Name)
	if err != nil && has(err.Error(), "same name as its current name") {
		return nil
	}
	if errdefs.IsNotFound(err) {
		if _, inspectErr := e.api.ContainerInspect(ctx, s.Name); inspectErr == nil {
			return nil
		}
	}
	return err
}

// absentIsFine drops the error that says that the thing is not there.
func absentIsFine(err error) error {
	if errdefs.IsNotFound(err) {
		return nil
	}
	return err
}

// Started is when a container was started last; the zero time where it never was, or is gone.
// Source: Docker Engine API 1.41, GET /containers/{id}/json, State.StartedAt.
func (e *Engine) Started(ctx context.Context, id string) (time.Time, error) {
	c, err := e.api.ContainerInspect(ctx, id)
	if errdefs.IsNotFound(err) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("look at container %s: %w", id, e.explainCall(ctx, err))
	}
	if c.State == nil || c.State.StartedAt == "" {
		return time.Time{}, nil
	}
	return time.Parse(time.RFC3339Nano, c.State.StartedAt)
}
