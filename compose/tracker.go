package compose

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// phase is how far a container has come, as a run knows it.
type phase int

const (
	phaseUnknown  phase = iota // nothing is known of it
	phaseStarting              // it is being started; what is heard of it is of its former life
	phaseStarted               // the engine said that it started; its event may be on its way
	phaseRunning
	phaseExited
)

// tracked is what a run knows of one container.
type tracked struct {
	phase  phase
	code   int
	health Health
	deaths int
	old    bool // the health was so before the run began
}

// isOldNews is whether it was running before the run began, and nothing was heard of it since.
func (t tracked) isOldNews() bool { return t.phase == phaseRunning && t.old }

// String is a phrase for people.
func (t tracked) String() string {
	again := ""
	if t.deaths > 0 {
		again = fmt.Sprintf(", exited %d times, last with code %d", t.deaths, t.code)
	}
	switch {
	case t.phase == phaseExited:
		return fmt.Sprintf("exited with code %d", t.code)
	case t.phase != phaseRunning:
		return "starting" + again
	case t.health != NoHealth:
		return string(t.health) + again
	}
	return "running" + again
}

// errEventsLost is what a wait returns when the engine's events end before it.
var errEventsLost error = &HintedError{Err: errors.New("the engine's events ended: it was restarted or the connection was lost"),
	Next: "run the command again: it goes on from here"}

// tracker follows what happens to the containers of a project, by name.
type tracker struct {
	mu      sync.Mutex
	seen    map[string]tracked
	changed chan struct{} // closed at the next change
	lost    bool
}

// track subscribes to the project's changes, then observes, so that nothing is missed in between. stop ends it.
func (r *runner) track(ctx context.Context) (stop func(), err error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	changes, err := r.host.Watch(ctx, r.o.Project)
	if err != nil {
		cancel()
		return nil, err
	}
	t := &tracker{seen: map[string]tracked{}, changed: make(chan struct{})}
	var wg sync.WaitGroup
	stop = func() {
		cancel()
		wg.Wait()
	}
	state, err := r.host.Observe(ctx, Scope{Project: r.o.Project})
	for _, c := range state.Containers {
		t.seen[c.Name] = trackedFrom(c)
	}
	wg.Go(func() { t.follow(ctx, changes) })
	if err != nil {
		stop()
		return nil, err
	}
	r.tracker = t
	return stop, nil
}

// trackedFrom is what an observed container says.
func trackedFrom(c Container) tracked {
	switch c.Status {
	case Running:
		return tracked{phase: phaseRunning, health: c.Health, old: true}
	case Exited, Dead:
		return tracked{phase: phaseExited, code: c.ExitCode, old: true}
	case Restarting:
		return tracked{phase: phaseExited, code: c.ExitCode, deaths: 1}
	}
	return tracked{}
}

// follow applies changes until the channel is closed.
func (t *tracker) follow(ctx context.Context, changes <-chan Change) {
	for c := range changes {
		t.update(c.Name, func(was tracked) tracked { return was.after(c) })
	}
	if ctx.Err() == nil {
		t.mu.Lock()
		t.lost = true
		close(t.changed)
		t.changed = make(chan struct{})
		t.mu.Unlock()
	}
}

// after is the container after a change.
func (t tracked) after(c Change) tracked {
	switch {
	case c.Kind == Started:
		return tracked{phase: phaseRunning, deaths: t.deaths, code: t.code}
	case t.phase == phaseStarting || t.phase == phaseStarted: // of its former life: events come in their order
		return t
	case c.Kind == Died:
		return tracked{phase: phaseExited, code: c.ExitCode, deaths: t.deaths + 1}
	case c.Kind == BecameHealthy:
		t.health, t.old = Healthy, false
	case c.Kind == BecameUnhealthy:
		t.health, t.old = Unhealthy, false
	}
	return t
}

// update replaces what is known of a container and wakes the waits.
func (t *tracker) update(name string, f func(tracked) tracked) {
	t.mu.Lock()
	defer t.mu.Unlock()
	was := t.seen[name]
	now := f(was)
	if now == was {
		return
	}
	t.seen[name] = now
	close(t.changed)
	t.changed = make(chan struct{})
}

// starting says that the container is about to be started: what is heard until its start is of its former life.
func (t *tracker) starting(name string) {
	t.update(name, func(tracked) tracked { return tracked{phase: phaseStarting} })
}

// started says that the engine was told to start it and did, or found it running.
func (t *tracker) started(name string) {
	t.update(name, func(was tracked) tracked {
		if was.phase == phaseStarting {
			was.phase = phaseStarted
		}
		return was
	})
}

// look is what is known of a container, and a channel that is closed at the next change of any.
func (t *tracker) look(name string) (tracked, <-chan struct{}, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.lost {
		return tracked{}, nil, errEventsLost
	}
	return t.seen[name], t.changed, nil
}
