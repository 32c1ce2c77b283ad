package engine

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/docker/docker/api/types/events"

	"github.com/strake-dev/strake/compose"
)

// Watch implements compose.Host. Source: Docker Engine API 1.41, GET /events.
func (e *Engine) Watch(ctx context.Context, project string) (<-chan compose.Change, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	f := projectFilter(project)
	f.Add("type", string(events.ContainerEventType))
	for _, action := range []events.Action{events.ActionStart, events.ActionDie, events.ActionHealthStatus, events.ActionDestroy, events.ActionRename} {
		f.Add("event", string(action))
	}
	messages, errs := e.api.Events(ctx, events.ListOptions{Filters: f})
	select {
	case err := <-errs:
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, fmt.Errorf("watch project %s: %w", project, e.explainCall(ctx, err))
	default:
	}
	out := make(chan compose.Change, 64)
	go func() { // ends with ctx or the stream: its reader sees the channel close
		defer close(out)
		for {
			select {
			case <-errs:
				return
			case m := <-messages:
				c, ok := change(m)
				if !ok {
					continue
				}
				select {
				case out <- c:
				case <-ctx.Done():
					return
				}
			}
		}
	}()
	return out, nil
}

// change is an event of the engine as a Change; ok is false for what is of no concern.
func change(m events.Message) (compose.Change, bool) {
	c := compose.Change{ID: m.Actor.ID, Name: strings.TrimPrefix(m.Actor.Attributes["name"], "/")}
	switch action := string(m.Action); {
	case m.Action == events.ActionStart:
		c.Kind = compose.Started
	case m.Action == events.ActionDie:
		c.Kind = compose.Died
		c.ExitCode, _ = strconv.Atoi(m.Actor.Attributes["exitCode"]) // engines always send a number
	case strings.HasPrefix(action, "health_status") && strings.HasSuffix(action, ": unhealthy"):
		c.Kind = compose.BecameUnhealthy
	case strings.HasPrefix(action, "health_status") && strings.HasSuffix(action, ": healthy"):
		c.Kind = compose.BecameHealthy
	case m.Action == events.ActionDestroy:
		c.Kind = compose.Destroyed
	case m.Action == events.ActionRename:
		c.Kind = compose.Renamed
	default:
		return c, false
	}
	return c, true
}
