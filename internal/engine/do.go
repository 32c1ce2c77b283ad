package engine

import (
	"context"
	"fmt"

	"github.com/strake-dev/strake/compose"
)

// Do implements compose.Host: one step, as compose.Op documents each.
func (e *Engine) Do(ctx context.Context, s compose.Step, note func(compose.Event)) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	_ = e.expected.take() // not true any more
	if note == nil {
		note = func(compose.Event) {}
	}
	err := e.do(ctx, s, note)
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return e.explain(ctx, s, err)
}

// do is the table of the operations.
func (e *Engine) do(ctx context.Context, s compose.Step, note func(compose.Event)) error {
	switch s.Op {
	case compose.PullImage:
		defer e.images.drop(s.Image.Ref + "@")
		return e.pull(ctx, s, note)
	case compose.BuildImage:
		defer e.images.drop(s.Image.Ref + "@")
		return e.build(ctx, s, note)
	case compose.CreateNetwork:
		return e.createNetwork(ctx, s)
	case compose.RemoveNetwork:
		return e.removeNetwork(ctx, s.Target)
	case compose.CreateVolume:
		return e.createVolume(ctx, s)
	case compose.RemoveVolume:
		if s.Fill != nil {
			return e.clearFill(ctx, s.Target, false)
		}
		return e.removeVolume(ctx, s.Target)
	case compose.RemoveImage:
		return e.removeImage(ctx, s)
	case compose.CreateContainer:
		return e.createContainer(ctx, s, note)
	case compose.RunHook:
		return e.runHook(ctx, s, note)
	case compose.ExecHook:
		return e.execHook(ctx, s, note)
	case compose.StartContainer:
		return e.start(ctx, s)
	case compose.StopContainer:
		return e.stop(ctx, s)
	case compose.RestartContainer:
		return e.restart(ctx, s)
	case compose.KillContainer:
		return e.kill(ctx, s)
	case compose.PauseContainer:
		return e.pause(ctx, s)
	case compose.UnpauseContainer:
		return e.unpause(ctx, s)
	case compose.RemoveContainer:
		return e.removeContainer(ctx, s)
	case compose.RenameContainer:
		return e.rename(ctx, s)
	case compose.Connect:
		return e.connect(ctx, s)
	case compose.Disconnect:
		return e.disconnect(ctx, s)
	case compose.TakeClaim:
		return e.takeClaim(ctx, s, note)
	case compose.HoldClaim:
		return e.holdClaim(ctx, s)
	case compose.DropClaim, compose.DropMark:
		return e.remove(ctx, s.Target, false)
	case compose.CreateMark:
		return e.createMark(ctx, s)
	case compose.Probe:
		return e.probe(ctx, s.Target)
	}
	return fmt.Errorf("%s is not an operation of a host", s.Op)
}
