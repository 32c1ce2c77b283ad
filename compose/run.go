package compose

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// RunOptions say how a Plan is carried out. The zero value is 16 steps at once, readiness asked, no report.
type RunOptions struct {
	// Project is whose containers waits are about; it may be "" for a plan without waits.
	Project  string
	Parallel int         // steps under way at once; 0 is 16. Waits do not count, and a quarter of them, at least one, may create containers
	Note     func(Event) // called one at a time; nil drops events
	// EngineHealth leaves healthchecks to the engine's own schedule instead of asking at once.
	EngineHealth bool
	// WaitTimeout bounds each wait; 0 takes the step's own Limit.
	WaitTimeout time.Duration
	// Now is the clock of events; nil is time.Now.
	Now func() time.Time
}

// errStopped is why the steps of a run are cancelled after another one failed.
var errStopped = errors.New("stopped because another step failed")

// Run carries the plan out. It returns when every step succeeded or, after the first failure, when the steps under way
// have ended; steps that depend on a failed one never begin. When ctx ends, waits, pulls, builds and hooks are
// cancelled, no step begins any more, steps under way are finished, and the cause is returned.
func Run(ctx context.Context, h Host, p Plan, o RunOptions) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	r := newRunner(h, p, o)
	inner, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if r.needsTracker() {
		stop, err := r.track(inner)
		if err != nil {
			return err
		}
		defer stop()
	}
	var all sync.WaitGroup
	for i := range p {
		all.Go(func() { r.run(inner, i, cancel) })
	}
	all.Wait()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return errors.Join(r.errs...)
}

// runner is one Run under way.
type runner struct {
	host    Host
	plan    Plan
	o       RunOptions
	slots   chan struct{}
	creates chan struct{}   // taken before a slot by who creates a container
	done    []chan struct{} // closed when the step has ended or will never begin
	ok      []bool          // read after done is closed
	same    []bool          // the image did not change; read after done is closed
	exited  []bool          // what was waited for ran to its end
	errs    []error         // in the order of the plan; nil for steps that did not fail
	tracker *tracker
	note    sync.Mutex
}

func newRunner(h Host, p Plan, o RunOptions) *runner {
	if o.Parallel <= 0 {
		o.Parallel = 16
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	r := &runner{host: h, plan: p, o: o, slots: make(chan struct{}, o.Parallel), creates: make(chan struct{}, max(1, o.Parallel/4)), done: make([]chan struct{}, len(p)),
		ok: make([]bool, len(p)), same: make([]bool, len(p)), exited: make([]bool, len(p)), errs: make([]error, len(p))}
	for i := range r.done {
		r.done[i] = make(chan struct{})
	}
	return r
}

// needsTracker is whether a step waits for what happens to a container.
func (r *runner) needsTracker() bool {
	for _, s := range r.plan {
		if s.Op == Wait {
			return true
		}
	}
	return false
}

// run waits for what step i depends on and carries it out. Signalling success, not completion, it lets no step begin
// whose dependency failed.
func (r *runner) run(ctx context.Context, i int, cancel context.CancelCauseFunc) {
	defer close(r.done[i])
	s := r.plan[i]
	for _, a := range s.After {
		if <-r.done[a]; !r.ok[a] {
			return
		}
	}
	if n := s.IfChanged - 1; n >= 0 {
		if <-r.done[n]; !r.ok[n] {
			return
		}
		if r.same[n] {
			r.ok[i] = true
			r.event(i, Event{Kind: StepSkipped})
			return
		}
	}
	if ctx.Err() != nil {
		return
	}
	err := r.step(ctx, i, s)
	switch {
	case err == nil:
		r.ok[i] = true
		r.event(i, Event{Kind: StepDone, Unchanged: r.same[i], Exited: r.exited[i]})
	case s.Optional && ctx.Err() == nil && (s.Op == Wait || errors.Is(err, ErrInUse)):
		r.ok[i] = true
		r.event(i, Event{Kind: StepWarning, Text: err.Error(), Err: err})
	default:
		if ctx.Err() == nil || !errors.Is(err, context.Canceled) && !errors.Is(err, context.Cause(ctx)) {
			r.errs[i] = wrapStep(s, err)
			r.event(i, Event{Kind: StepFailed, Err: r.errs[i]})
		}
		cancel(errStopped)
	}
}

// wrapStep says what was being done, unless the error says it itself.
func wrapStep(s Step, err error) error {
	switch s.Op {
	case Wait, BuildImage, PullImage:
		return err
	}
	return fmt.Errorf("%s %s: %w", s.Op.phrase(), s.Name, err)
}

// step does the work of one step.
func (r *runner) step(ctx context.Context, i int, s Step) error {
	if s.Op == Warn {
		r.event(i, Event{Kind: StepWarning, Text: s.Name + " " + s.Why})
		return nil
	}
	if s.Op == Wait {
		r.event(i, Event{Kind: StepStarted})
		return r.wait(ctx, i, s)
	}
	leave, err := r.enter(ctx, s)
	if err != nil {
		return err
	}
	defer leave()
	r.event(i, Event{Kind: StepStarted})
	if !s.Op.interruptible() {
		ctx = context.WithoutCancel(ctx)
	}
	starts := s.Op == StartContainer || s.Op == RestartContainer || s.Op == UnpauseContainer
	if starts && r.tracker != nil {
		r.tracker.starting(s.Name)
	}
	err = r.host.Do(ctx, s, func(e Event) {
		if e.Unchanged {
			r.same[i] = true
		}
		if e.Kind != "" {
			r.event(i, e)
		}
	})
	if starts && err == nil && r.tracker != nil {
		r.tracker.started(s.Name)
	}
	return err
}

// enter waits for a place among the steps under way; leave gives it back. Creates are held to a part of the places, so that containers
// start while others are still created: one waits for the disk, the other for the processor.
func (r *runner) enter(ctx context.Context, s Step) (leave func(), err error) {
	places := []chan struct{}{r.slots}
	if s.Op == CreateContainer {
		places = []chan struct{}{r.creates, r.slots}
	}
	for i, place := range places {
		select {
		case place <- struct{}{}:
		case <-ctx.Done():
			for _, taken := range places[:i] {
				<-taken
			}
			return nil, context.Cause(ctx)
		}
	}
	return func() {
		for _, taken := range places {
			<-taken
		}
	}, nil
}

// interruptible is whether a step is cancelled, rather than finished, when the run is to end.
func (o Op) interruptible() bool {
	switch o {
	case PullImage, BuildImage, RunHook, ExecHook, Probe, Wait:
		return true
	}
	return false
}

// event reports e of step i.
func (r *runner) event(i int, e Event) {
	if r.o.Note == nil {
		return
	}
	e.Step, e.At = i, r.o.Now().UTC()
	r.note.Lock()
	defer r.note.Unlock()
	r.o.Note(e)
}
