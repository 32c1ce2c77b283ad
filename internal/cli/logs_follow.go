package cli

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/engine"
)

// restartLook is how often it is looked whether a container that exited runs again.
const restartLook = 250 * time.Millisecond

// copy copies a container's log to its writers. The engine's log ends with each exit: with Follow it goes on where the engine
// starts the container again.
func (src logSource) copy(ctx context.Context, c compose.Container, o engine.LogOptions, out, errs *lineWriter) error {
	for {
		err := src.engine.Logs(ctx, c.ID, o, out, errs)
		if err != nil || !o.Follow || ctx.Err() != nil {
			return err
		}
		if next := src.afterLast(ctx, c.ID); next != "" {
			o.Since, o.Tail = next, ""
		}
		if !src.comesBack(ctx, c.ID) {
			return nil
		}
	}
}

// afterLast is the moment after a container's last log line, by the engine's clock; "" if there is none.
func (src logSource) afterLast(ctx context.Context, id string) string {
	var last time.Time
	line := lineWriter{take: func(line []byte) error {
		stamp, _, _ := bytes.Cut(line, []byte(" "))
		if at, err := time.Parse(time.RFC3339Nano, string(stamp)); err == nil { // else it is no line of the engine's
			last = at
		}
		return nil
	}}
	if err := src.engine.Logs(ctx, id, engine.LogOptions{Tail: "1", Timestamps: true}, &line, &line); err != nil || last.IsZero() {
		return "" // it is gone, which comesBack sees too
	}
	return last.Add(time.Nanosecond).Format(time.RFC3339Nano)
}

// comesBack waits while the engine is about to start a container again, and is whether there may be more in its log.
func (src logSource) comesBack(ctx context.Context, id string) bool {
	tick := time.NewTicker(restartLook)
	defer tick.Stop()
	for waited := false; ; waited = true {
		all, err := observeStack(ctx, src.engine, src.project)
		i := slices.IndexFunc(all, func(c compose.Container) bool { return c.ID == id })
		switch {
		case err != nil || i < 0:
			return false
		case all[i].Status == compose.Restarting:
		case waited: // also where it has exited again: it wrote something
			return true
		case all[i].Status != compose.Running: // of one that exited just now the list may say so, for it lags behind
			return false
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false
		}
	}
}
