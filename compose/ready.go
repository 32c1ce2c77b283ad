package compose

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// The pace of readiness: the first question is asked at once, the second after probeMin, as what has just been started is often
// ready a moment later, and each later one after a pause that grows to probeMax, but never sooner than twice as long as the last
// answer took.
const (
	probeMin = 50 * time.Millisecond
	probeMax = 250 * time.Millisecond
	// eventPatience is how long the event of a start may be on its way before the engine is asked: a container that ran
	// already when it was to be started has none.
	eventPatience = time.Second
	// oldLooks is how often the engine is asked again about a container that ran when the run began: its list lags behind its
	// events, so that one which had just exited then may have been listed as running.
	oldLooks = 2
	// settle is how long something without a healthcheck must have run to count as running: interpreted programs that a wrong
	// setting ends have exited by then, and Docker Compose's --wait looks after half a second. settleAgain holds after it exited once,
	// and crashLoop exits are enough to give up.
	settle      = 600 * time.Millisecond
	settleAgain = time.Second
	crashLoop   = 5
)

// NotReadyError says which container did not reach what was waited for. Callers show its last log lines.
type NotReadyError struct {
	Service, Container string
	Until              Until
	State              string      // what was seen last: "unhealthy", "exited with code 1", "starting after 5m0s"
	Probe              *ProbeError // the last answer of its healthcheck, if one was asked

	exited bool // it was seen to exit, and is not started again
}

// Error says what was seen last, and what the healthcheck answered.
func (e *NotReadyError) Error() string {
	text := e.Container + " is not " + string(e.Until) + ": it " + e.State
	if e.Probe != nil {
		text += " (" + e.Probe.Error() + ")"
	}
	return text
}

// waiter is one wait under way.
type waiter struct {
	*runner
	i        int
	s        Step
	last     *ProbeError
	probes   int
	pause    time.Duration
	started  time.Time // when the container was first seen started, but without an event of it
	looks    int       // how often the engine was asked about that
	since    time.Time // when it was first seen running after so many deaths
	deaths   int
	stood    time.Time // since when it stands still, or when the engine was asked about that
	answered bool      // the healthcheck is known to be absent, or left to the engine
}

// wait blocks until the container of a Wait step is as it should be. Either side's verdict counts: the engine's, which
// arrives as a Change, and that of the healthcheck command, which is asked at once and again.
func (r *runner) wait(ctx context.Context, i int, s Step) error {
	limit := r.o.WaitTimeout
	if limit == 0 {
		limit = s.Limit
	}
	if limit == 0 {
		limit = 5 * time.Minute
	}
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	asking, stop := context.WithTimeout(ctx, limit) // an answer that takes longer than the wait ends with it
	defer stop()
	w := &waiter{runner: r, i: i, s: s, pause: probeMin}
	due := time.NewTimer(0)
	defer due.Stop()
	isDue := false
	for {
		seen, changed, err := r.tracker.look(s.Name)
		if err != nil {
			return fmt.Errorf("wait for %s: %w", s.Name, err)
		}
		if done, err := w.verdict(seen); done || err != nil {
			return err
		}
		if isDue {
			isDue = false
			done, err := w.ask(asking, seen)
			if done || err != nil && asking.Err() == nil {
				return err
			}
			due.Reset(w.next())
		}
		w.tell(seen)
		select {
		case <-changed:
		case <-due.C:
			isDue = true
		case <-deadline.C:
			return w.notReady(fmt.Sprintf("is still %s after %s", seen, limit.Round(time.Millisecond)))
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// asks is whether the wait asks the healthcheck command.
func (w *waiter) asks() bool {
	return (w.s.Until == UntilHealthy || w.s.Until == UntilReady) && !w.answered
}

// verdict judges what the engine says.
func (w *waiter) verdict(seen tracked) (done bool, err error) {
	healthy := w.s.Until == UntilHealthy || w.s.Until == UntilReady
	switch {
	case seen.phase == phaseExited && seen.code == 0 && w.s.Until != UntilHealthy && (!w.s.Restarts || w.s.Until == UntilCompleted):
		w.exited[w.i] = true
		return true, nil
	case seen.phase == phaseExited && !w.s.Restarts:
		err := w.notReady(fmt.Sprintf("exited with code %d", seen.code))
		err.exited = true
		return false, err
	case healthy && seen.phase != phaseExited && seen.health == Healthy:
		return true, nil
	case healthy && seen.phase != phaseExited && seen.health == Unhealthy && (!seen.old || w.probes > 0 || w.o.EngineHealth):
		return false, w.notReady("is unhealthy")
	case w.s.Until == UntilRunning && seen.deaths >= crashLoop:
		return false, w.notReady(fmt.Sprintf("exited %d times, last with code %d", seen.deaths, seen.code))
	case w.s.Until == UntilRunning && (seen.phase == phaseRunning || seen.phase == phaseStarted):
		return w.settled(seen), nil
	}
	w.since = time.Time{} // it stands still
	return false, nil
}

// settled is whether it has run for long enough.
func (w *waiter) settled(seen tracked) bool {
	if seen.old {
		return true
	}
	if w.since.IsZero() || w.deaths != seen.deaths {
		w.since, w.deaths = time.Now(), seen.deaths
	}
	return w.unsettled() <= 0
}

// unsettled is for how much longer what runs without a healthcheck has to run.
func (w *waiter) unsettled() time.Duration {
	if w.deaths > 0 {
		return time.Until(w.since.Add(settleAgain))
	}
	return time.Until(w.since.Add(settle))
}

// next is when to look again: after the pause, or when what runs has run for long enough.
func (w *waiter) next() time.Duration {
	if w.since.IsZero() {
		return w.pause
	}
	return min(w.pause, max(0, w.unsettled()))
}

// ask runs the healthcheck command once.
func (w *waiter) ask(ctx context.Context, seen tracked) (done bool, err error) {
	unheard := seen.phase == phaseStarted || seen.isOldNews() && w.looks < oldLooks
	if unheard && w.started.IsZero() {
		w.started = time.Now()
	}
	if unheard && time.Since(w.started) > eventPatience {
		w.started = time.Now()
		w.looks++
		if _, err := w.refresh(ctx); err != nil {
			return false, err
		}
	}
	if seen.phase == phaseExited && w.s.Restarts {
		if done, err := w.givenUp(ctx, seen); done || err != nil {
			return done, err
		}
	} else {
		w.stood = time.Time{}
	}
	stands := seen.phase == phaseExited && !w.o.EngineHealth // it is known of such a one, too, whether it has a healthcheck
	if !w.asks() || seen.phase != phaseRunning && seen.phase != phaseStarted && !stands {
		return false, nil
	}
	if w.o.EngineHealth {
		return w.askEngine(ctx)
	}
	begin := time.Now()
	err = w.host.Do(ctx, Step{Op: Probe, Name: w.s.Name, Target: w.s.Name, Service: w.s.Service}, nil)
	took := time.Since(begin)
	w.probes++
	var failed *ProbeError
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, ErrNoHealthcheck):
		return w.noHealthcheck()
	case errors.As(err, &failed):
		w.last = failed
	case errors.Is(err, ErrNotRunning): // it exits: the engine's event is on its way
	default:
		return false, fmt.Errorf("wait for %s: %w", w.s.Name, err)
	}
	if w.probes > 1 {
		w.pause = max(2*took, min(2*w.pause, probeMax))
	}
	return false, nil
}

// givenUp is whether a container that the engine restarts in general ran to its end and is not restarted (on-failure); the error
// is for one that will not be restarted any more: its policy allows so many attempts, or somebody stopped it. It asks the engine
// when the container has stood still for eventPatience, and again.
func (w *waiter) givenUp(ctx context.Context, seen tracked) (done bool, err error) {
	if w.stood.IsZero() {
		w.stood = time.Now()
	}
	if time.Since(w.stood) < eventPatience {
		return false, nil
	}
	w.stood = time.Now()
	status, err := w.refresh(ctx)
	switch {
	case err != nil || status != Exited:
		return false, err
	case seen.code == 0 && w.s.Until != UntilHealthy:
		w.exited[w.i] = true
		return true, nil
	}
	return false, w.notReady(fmt.Sprintf("exited with code %d and is not restarted", seen.code))
}

// refresh asks the engine about the container, whose start may have brought no event, and returns its status; "" if it is gone.
func (w *waiter) refresh(ctx context.Context) (ContainerStatus, error) {
	state, err := w.host.Observe(ctx, Scope{Project: w.o.Project})
	if err != nil {
		return "", fmt.Errorf("wait for %s: %w", w.s.Name, err)
	}
	for _, c := range state.Containers {
		if c.Name == w.s.Name {
			w.tracker.update(c.Name, func(was tracked) tracked {
				if was.phase == phaseStarted || was.isOldNews() && c.Status != Running {
					return trackedFrom(c)
				}
				return was
			})
			return c.Status, nil
		}
	}
	return "", nil
}

// askEngine finds out whether the container has a healthcheck at all, where its command is left to the engine.
func (w *waiter) askEngine(ctx context.Context) (done bool, err error) {
	state, err := w.host.Observe(ctx, Scope{Project: w.o.Project})
	if err != nil {
		return false, fmt.Errorf("wait for %s: %w", w.s.Name, err)
	}
	w.answered = true
	for _, c := range state.Containers {
		if c.Name == w.s.Name && c.Health == NoHealth && c.Status == Running {
			return w.noHealthcheck()
		}
		if c.Name == w.s.Name && c.Health == Healthy {
			return true, nil
		}
	}
	return false, nil
}

// noHealthcheck ends a wait for a container without one.
func (w *waiter) noHealthcheck() (done bool, err error) {
	w.answered = true
	if w.s.Until == UntilReady {
		w.s.Until = UntilRunning
		return false, nil
	}
	return false, &HintedError{Err: fmt.Errorf("%s is waited for until it is healthy, but it has no healthcheck", w.s.Name),
		Next: "give service " + w.s.Service + " a healthcheck, or depend on it with condition: service_started"}
}

func (w *waiter) notReady(state string) *NotReadyError {
	return &NotReadyError{Service: w.s.Service, Container: w.s.Name, Until: w.s.Until, State: state, Probe: w.last}
}

// tell reports what the wait waits for.
func (w *waiter) tell(seen tracked) {
	text := seen.String()
	if w.last != nil {
		text += ": " + w.last.Error()
	}
	w.event(w.i, Event{Kind: StepProgress, Text: text})
}
