package compose

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// ConvergeOptions say how Converge claims and runs.
type ConvergeOptions struct {
	Owner Owner
	Alive func(Owner) bool // whether an owner may still be at work; nil: always
	// NoWait returns a *HeldError at once where another holds the claim; else Held is called, once, and it waits.
	NoWait bool
	Held   func(*HeldError)
	Run    RunOptions // its Project is set to the scope's
	// Planned, when not nil, is told of the plan that is going to be run, before its first event.
	Planned func(Plan, State)
}

// Converge observes the scope, has plan made of it, and carries it out under the project's claim. The claim is taken
// only when the plan changes something; then the state is observed again, because it may have changed meanwhile.
//
// It returns the state after the run and the plan that was run. After a failure what was done stays, and calling it
// again goes on from there; the claim is given back in any case.
func Converge(ctx context.Context, h Host, s Scope, plan func(State) (Plan, error), o ConvergeOptions) (State, Plan, error) {
	o.Run.Project = s.Project
	state, p, held, err := Look(ctx, h, s, plan)
	if err != nil {
		return state, p, err
	}
	if !p.Changes() && held != nil && o.isDead(held) {
		if err := dropDead(ctx, h, held); err != nil {
			return state, p, err
		}
		held = nil
	}
	if !p.Changes() && held == nil { // where somebody is changing the project, what is wanted may not be there for long
		return finish(ctx, h, s, state, p, o)
	}
	err = Hold(ctx, h, s.Project, o, func(held Host) (err error) {
		state, p, err = ConvergeHeld(ctx, held, s, plan, o)
		return err
	})
	return state, p, err
}

// ConvergeHeld is Converge for who holds a claim already, on a Host of Hold.
func ConvergeHeld(ctx context.Context, held Host, s Scope, plan func(State) (Plan, error), o ConvergeOptions) (State, Plan, error) {
	o.Run.Project = s.Project
	state, p, err := look(ctx, held, s, plan)
	if err != nil {
		return state, p, err
	}
	return finish(ctx, held, s, state, p, o)
}

// Hold claims the project, calls do with a Host whose every change is made only while the claim is held, and gives the claim
// back, also when ctx has ended. Of o it heeds what is about the claim.
func Hold(ctx context.Context, h Host, project string, o ConvergeOptions, do func(held Host) error) error {
	id, err := takeClaim(ctx, h, project, o)
	if err != nil {
		return err
	}
	err = do(heldHost{h, ClaimName(project), id})
	return errors.Join(err, dropClaim(ctx, h, project, id))
}

// Look observes the scope and has plan made of it, and changes nothing. held is the claim of who changes the project
// meanwhile or died in doing so, nil if there is none.
func Look(ctx context.Context, h Host, s Scope, plan func(State) (Plan, error)) (_ State, _ Plan, held *HeldError, _ error) {
	claim := ClaimName(s.Project)
	s.Containers = append(slices.Clone(s.Containers), claim)
	state, p, err := look(ctx, h, s, func(state State) (Plan, error) {
		if i := slices.IndexFunc(state.Containers, func(c Container) bool { return c.Name == claim }); i >= 0 {
			c := state.Containers[i]
			held = &HeldError{Project: s.Project, ID: c.ID}
			if json.Unmarshal([]byte(c.Labels[LabelOwner]), &held.Owner) != nil {
				held.Owner = Owner{}
			}
		}
		return plan(state)
	})
	state.Containers = slices.DeleteFunc(state.Containers, func(c Container) bool { return c.Name == claim })
	return state, p, held, err
}

// look observes and plans.
func look(ctx context.Context, h Host, s Scope, plan func(State) (Plan, error)) (State, Plan, error) {
	var warm sync.WaitGroup
	warm.Go(func() { _, _ = ConfigHash(Service{}) }) // the first one takes a millisecond: while the host answers
	state, err := h.Observe(ctx, s)
	warm.Wait()
	if err != nil {
		return State{}, nil, err
	}
	state.Project = s.Project
	p, err := plan(state)
	return state, p, err
}

// finish runs the plan and looks at what came of it.
func finish(ctx context.Context, h Host, s Scope, state State, p Plan, o ConvergeOptions) (State, Plan, error) {
	if o.Planned != nil {
		o.Planned(p, state)
	}
	if len(p) == 0 {
		return state, p, nil
	}
	if err := Run(ctx, h, p, o.Run); err != nil {
		return lookAfter(ctx, h, s, state, err), p, err
	}
	if !p.Changes() && !p.waits() {
		return state, p, nil
	}
	if !p.changesImages() {
		s.Images = nil // what they are is known, and an engine takes long to say so
	}
	s.Copies = nil // what is here did not change by it
	after, err := h.Observe(ctx, s)
	if err != nil {
		return state, p, fmt.Errorf("look at the result: %w", err)
	}
	after.Project = s.Project
	if s.Images == nil {
		after.Images = state.Images
	}
	return after, p, errors.Join(stillReady(p, after), stillThere(p, state, after))
}

// stillThere names the containers that ran before an up which did not touch them, and are gone or failed after it.
func stillThere(p Plan, before, after State) error {
	if !p.waits() {
		return nil
	}
	var errs []error
	for _, c := range before.Containers {
		touched := slices.ContainsFunc(p, func(s Step) bool { return s.Op.Changes() && (s.Target == c.ID || s.Name == c.Name) })
		there := slices.ContainsFunc(after.Containers, func(a Container) bool {
			return a.ID == c.ID && a.Status != Dead && (a.Status != Exited || a.ExitCode == 0)
		})
		if c.Status == Running && !c.IsOneOff() && c.Labels[LabelProject] == before.Project && !touched && !there {
			errs = append(errs, &NotReadyError{Service: c.Service(), Container: c.Name, Until: UntilRunning, State: "stopped or was removed by something else meanwhile"})
		}
	}
	return errors.Join(errs...)
}

// lookAfter is the state after a run that failed, also when ctx has ended; the one before it where the host does not say. An
// engine tells of an exit before its list of containers does: then it is looked at again.
func lookAfter(ctx context.Context, h Host, s Scope, before State, failed error) State {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	after := before
	for range 5 {
		now, err := h.Observe(ctx, s)
		if err != nil {
			return after // the run's own error is what is told
		}
		after = now
		after.Project = s.Project
		var unready *NotReadyError
		stale := errors.As(failed, &unready) && unready.exited && slices.ContainsFunc(after.Containers, func(c Container) bool { return c.Name == unready.Container && c.Status == Running })
		if !stale {
			break
		}
		select {
		case <-time.After(probeMin):
		case <-ctx.Done():
			return after
		}
	}
	return after
}

// changesImages is whether a reference may name another image after the plan.
func (p Plan) changesImages() bool {
	return slices.ContainsFunc(p, func(s Step) bool { return s.Op == PullImage || s.Op == BuildImage || s.Op == RemoveImage })
}

// waits is whether the plan waits for something.
func (p Plan) waits() bool {
	for _, s := range p {
		if s.Op == Wait {
			return true
		}
	}
	return false
}

// stillReady looks once more at what the plan waited for: something that was running a moment ago may have died since.
func stillReady(p Plan, after State) error {
	var errs []error
	for _, s := range p {
		if s.Op != Wait || s.Optional {
			continue
		}
		i := slices.IndexFunc(after.Containers, func(c Container) bool { return c.Name == s.Name })
		if i < 0 {
			errs = append(errs, &NotReadyError{Service: s.Service, Container: s.Name, Until: s.Until, State: "was removed by something else meanwhile"})
			continue
		}
		e := &NotReadyError{Service: s.Service, Container: s.Name, Until: s.Until}
		switch c := after.Containers[i]; {
		case c.Status == Exited && c.ExitCode != 0:
			e.State = fmt.Sprintf("exited with code %d", c.ExitCode)
		case c.Status == Restarting:
			e.State = fmt.Sprintf("exits with code %d and is restarted again and again", c.ExitCode)
		default:
			continue
		}
		errs = append(errs, e)
	}
	return errors.Join(errs...)
}
