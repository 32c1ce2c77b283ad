package previews

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/strake-dev/strake/compose"
)

// SyncOptions say what a Sync knows beside what is on the host.
type SyncOptions struct {
	// Open are the numbers of all pull requests that are open; previews of others are closed. nil: nobody knows, and none is closed for it.
	Open []int
}

// Synced is what a Sync did. Its JSON names are stable.
type Synced struct {
	Closed   []Receipt         `json:"closed"`
	Why      map[string]string `json:"why"`      // why each was closed, by ID
	Finished []string          `json:"finished"` // IDs of those that an interrupted command left half done
}

// Sync closes what has ended and finishes what was interrupted: it leaves what should exist and nothing else. A listing that fails closes nothing. What another command is at work on is left to it.
//
// Errors of several previews are joined; the others are done all the same.
func (m *Manager) Sync(ctx context.Context, project string, o SyncOptions) (Synced, error) {
	done := Synced{Closed: []Receipt{}, Why: map[string]string{}, Finished: []string{}}
	recorded, orphans, err := m.stacks(ctx, project)
	if err != nil {
		return done, err
	}
	one := *m
	one.Claim.NoWait = true
	var errs []error
	for _, stack := range slices.Concat(recorded, orphans) {
		err := one.syncOne(ctx, project, stack, o, &done)
		if errors.Is(err, compose.ErrHeld) {
			continue
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("preview %s: %w", stack, err))
		}
	}
	// Who was killed while it took a place in the budget left its claim.
	if err := one.takeTurn(ctx, project, func() error { return nil }); err != nil && !errors.Is(err, compose.ErrHeld) {
		errs = append(errs, err)
	}
	if err := m.Router.Sync(ctx, ""); err != nil && len(recorded) > 0 {
		errs = append(errs, err)
	}
	return done, errors.Join(errs...)
}

// syncOne puts one preview right.
func (m *Manager) syncOne(ctx context.Context, project, stack string, o SyncOptions, done *Synced) error {
	r, why, err := m.ended(ctx, stack, o)
	if err != nil {
		return err
	}
	if why == "" && r.State == Failed {
		return nil // what it is of shall be looked at
	}
	return compose.Hold(ctx, m.Host, stack, m.Claim, func(h compose.Host) error {
		r, why, err := m.ended(ctx, stack, o) // it may be another by now
		if err != nil {
			return err
		}
		if r == nil {
			id := strings.TrimPrefix(stack, project+"-")
			r = &Record{Preview: Preview{ID: id, Project: project, Stack: stack}}
		}
		if why != "" {
			receipt, err := m.close(ctx, h, r)
			if err == nil {
				done.Closed = append(done.Closed, receipt)
				done.Why[r.ID] = why
			}
			return err
		}
		finished, err := m.finish(ctx, h, r)
		if finished {
			done.Finished = append(done.Finished, r.ID)
		}
		return err
	})
}

// finish does what an interrupted command left to do of a preview, and returns whether there was something.
func (m *Manager) finish(ctx context.Context, h compose.Host, r *Record) (bool, error) {
	cleared, err := m.clearLeftovers(ctx, h, r)
	if err == nil && r.State == Opening { // nobody does, as the claim could be had
		r.State = Failed
		r.Failure = &Failure{Commit: r.Commit, What: "the command that opened it was interrupted", At: m.Now().UTC()}
		return true, m.write(ctx, r)
	}
	if err != nil || r.State != Asleep {
		return cleared, err
	}
	state, err := m.observe(ctx, r.Stack)
	if err != nil || len(runningIn(state)) == 0 {
		return cleared, err
	}
	return true, m.stop(ctx, h, r)
}

// ended is the record of a stack and why it has to be closed, "" if it has not.
func (m *Manager) ended(ctx context.Context, stack string, o SyncOptions) (*Record, string, error) {
	r, err := m.read(ctx, stack)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "an open or a close of it was interrupted", nil
	}
	if err != nil {
		return nil, "", err
	}
	switch {
	case r.State == Closing:
		return r, "its close was interrupted", nil
	case !m.Now().Before(r.Expires):
		return r, "its lease ended at " + r.Expires.Format(time.RFC3339), nil
	case o.Open != nil && r.PR > 0 && !slices.Contains(o.Open, r.PR):
		return r, "its pull request is not open", nil
	}
	return r, "", nil
}

// clearLeftovers removes generations that do not serve: what an open left that was killed.
func (m *Manager) clearLeftovers(ctx context.Context, h compose.Host, r *Record) (cleared bool, err error) {
	state, err := m.observe(ctx, r.Stack)
	if err != nil {
		return false, err
	}
	var stale []string
	for _, g := range generationsIn(state) {
		if g.project != r.Active {
			stale = append(stale, g.project)
		}
	}
	if len(stale) == 0 {
		return false, nil
	}
	return true, m.removeGenerations(ctx, h, r, stale, r.retained())
}
