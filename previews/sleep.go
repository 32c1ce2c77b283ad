package previews

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/strake-dev/strake/compose"
)

// sleepGrace is how long a service of a preview may take to stop when it falls asleep.
const sleepGrace = 20 * time.Second

// Sleep stops the containers of a preview and keeps them; the next visitor wakes it. One that is asleep stays so.
func (m *Manager) Sleep(ctx context.Context, project, id string) error {
	return m.change(ctx, project, id, m.sleep)
}

// SleepIdle is Sleep where the preview is still the one that was updated at that time: whoever opened it since looks at it.
func (m *Manager) SleepIdle(ctx context.Context, project, id string, updated time.Time) error {
	return m.change(ctx, project, id, func(ctx context.Context, h compose.Host, r *Record) error {
		if !r.Updated.Equal(updated) || r.State != Ready {
			return nil
		}
		return m.sleep(ctx, h, r)
	})
}

// sleep puts a preview whose claim is held to sleep.
func (m *Manager) sleep(ctx context.Context, h compose.Host, r *Record) error {
	if r.State != Ready && r.State != Asleep {
		return &compose.HintedError{Err: fmt.Errorf("preview %s is %s and cannot sleep", r.ID, r.State), Next: "strake preview show " + r.ID}
	}
	// The state comes first: who is killed here leaves one that says asleep, which a visitor wakes.
	r.State = Asleep
	if err := errors.Join(m.write(ctx, r), m.Router.Sync(ctx, r.Stack)); err != nil {
		return err
	}
	m.drain(ctx, r.Routes)
	return m.stop(ctx, h, r)
}

// stop stops what runs of a preview.
func (m *Manager) stop(ctx context.Context, h compose.Host, r *Record) error {
	state, err := m.observe(ctx, r.Stack)
	if err != nil {
		return err
	}
	grace := sleepGrace
	for _, g := range generationsIn(state) {
		plan, err := compose.Stop(nil, ofProject(state, g.project, retained{}), nil, &grace)
		if err == nil {
			err = m.do(ctx, h, g.project, plan)
		}
		if err != nil {
			return fmt.Errorf("stop %s: %w", g.project, err)
		}
	}
	return nil
}

// runningIn are the names of the containers that run.
func runningIn(state compose.State) []string {
	var names []string
	for _, c := range state.Containers {
		if c.Status == compose.Running {
			names = append(names, c.Name)
		}
	}
	return names
}

// Wake starts what ran when a preview fell asleep, in the order of its dependencies, and returns when it is ready. No one-shot is
// run again.
func (m *Manager) Wake(ctx context.Context, project, id string) error {
	return m.change(ctx, project, id, func(ctx context.Context, h compose.Host, r *Record) error {
		if r.State != Ready && r.State != Asleep {
			return &compose.HintedError{Err: fmt.Errorf("preview %s is %s and cannot wake", id, r.State), Next: "strake preview show " + id}
		}
		if err := m.startAll(ctx, h, r); err != nil {
			return fmt.Errorf("wake preview %s: %w", id, err)
		}
		r.State, r.Updated = Ready, m.Now().UTC() // from which on it is idle
		return errors.Join(m.write(ctx, r), m.Router.Sync(ctx, r.Stack))
	})
}

// Revive starts what should run of a preview that is ready and does not, as after a restart of the engine.
func (m *Manager) Revive(ctx context.Context, project, id string) error {
	return m.change(ctx, project, id, func(ctx context.Context, h compose.Host, r *Record) error {
		if r.State != Ready {
			return nil
		}
		return m.startAll(ctx, h, r)
	})
}

// startAll starts what should run of a preview, what holds its data first.
func (m *Manager) startAll(ctx context.Context, h compose.Host, r *Record) error {
	state, err := m.observe(ctx, r.Stack)
	if err != nil {
		return err
	}
	for _, g := range generationsIn(state) { // those that are kept are of earlier generations
		plan, err := waking(ofProject(state, g.project, retained{}), r.Running)
		if err == nil {
			err = m.do(ctx, h, g.project, plan)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// waking is the plan that starts containers by their names and waits until they are ready.
func waking(state compose.State, names []string) (compose.Plan, error) {
	state.Containers = slices.DeleteFunc(slices.Clone(state.Containers), func(c compose.Container) bool { return !slices.Contains(names, c.Name) })
	plan, err := compose.Start(nil, state, nil)
	if err != nil {
		return nil, err
	}
	for i, s := range plan {
		if s.Op == compose.StartContainer {
			plan = append(plan, compose.Step{Op: compose.Wait, Name: s.Name, Service: s.Service, Target: s.Target, Until: compose.UntilReady, After: []int{i}})
		}
	}
	return plan, nil
}

// serving is the part of a preview's state that serves: the active generation, with what it keeps of earlier ones.
func serving(state compose.State, r *Record) compose.State {
	out := ofProject(state, r.Active, retained{})
	for _, c := range state.Containers {
		if c.Labels[compose.LabelProject] != r.Active && r.Kept[c.Service()] == c.Name {
			out.Containers = append(out.Containers, c)
		}
	}
	return out
}

// change calls do with a preview's record while its claim is held.
func (m *Manager) change(ctx context.Context, project, id string, do func(context.Context, compose.Host, *Record) error) error {
	if _, err := m.find(ctx, project, id); err != nil {
		return err
	}
	return compose.Hold(ctx, m.Host, project+"-"+id, m.Claim, func(held compose.Host) error {
		r, err := m.find(ctx, project, id)
		if err != nil {
			return err
		}
		return do(ctx, held, r)
	})
}
