package compose

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Owner says who holds a claim, precisely enough that a dead holder is recognised.
type Owner struct {
	Host    string    `json:"host"`    // for people
	User    string    `json:"user"`    // for people
	Command string    `json:"command"` // for people: "strake up"
	Machine string    `json:"machine"` // of the operating system; stays over restarts
	Boot    string    `json:"boot"`    // changes with each
	PID     int       `json:"pid"`
	Start   string    `json:"start"` // of the process, in whatever unit the system counts
	Since   time.Time `json:"since"` // UTC
}

// HeldError is returned when another holds the claim. It is ErrHeld.
type HeldError struct {
	Project, ID string // of the claim container
	Owner       Owner  // the zero Owner when its label cannot be read
}

// Error names the holder.
func (e *HeldError) Error() string {
	if e.Owner.Command == "" {
		return fmt.Sprintf("project %s is held by somebody unknown", e.Project)
	}
	return fmt.Sprintf("project %s is held by %q of %s on %s (pid %d) since %s", e.Project, e.Owner.Command, e.Owner.User, e.Owner.Host,
		e.Owner.PID, e.Owner.Since.Local().Format("15:04:05"))
}

// Unwrap is ErrHeld.
func (e *HeldError) Unwrap() error { return ErrHeld }

// Hint is how to wait, and how to take the claim from a holder that is known to be dead.
func (e *HeldError) Hint() string {
	return "wait for it, or, if that machine is gone for good, run docker rm " + ClaimName(e.Project)
}

// claimPoll is how often a waiter tries again to take a claim.
const claimPoll = 200 * time.Millisecond

// takeClaim makes the claim container of the project and returns its id. A holder that is known to be dead is cleared
// away.
func takeClaim(ctx context.Context, h Host, project string, o ConvergeOptions) (string, error) {
	owner, err := json.Marshal(o.Owner)
	if err != nil {
		return "", fmt.Errorf("claim project %s: %w", project, err)
	}
	step := Step{Op: TakeClaim, Name: ClaimName(project), Labels: map[string]string{LabelClaim: project, LabelOwner: string(owner)}}
	told := false
	for {
		var id string
		err := h.Do(ctx, step, func(e Event) { id = e.Text })
		var held *HeldError
		switch {
		case err == nil:
			return id, nil
		case !errors.As(err, &held):
			return "", fmt.Errorf("claim project %s: %w", project, err)
		case o.isDead(held):
			if err := dropDead(ctx, h, held); err != nil {
				return "", err
			}
			continue
		case o.NoWait:
			return "", held
		}
		if !told && o.Held != nil {
			o.Held(held)
			told = true
		}
		select {
		case <-time.After(claimPoll):
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
}

// isDead is whether the holder of a claim is known to be dead.
func (o ConvergeOptions) isDead(held *HeldError) bool {
	return o.Alive != nil && held.Owner.Command != "" && !o.Alive(held.Owner)
}

// dropDead removes the claim that a killed run left; by id, so that of several who see it dead at once each removes only that one.
func dropDead(ctx context.Context, h Host, held *HeldError) error {
	if err := h.Do(ctx, Step{Op: DropClaim, Name: ClaimName(held.Project), Target: held.ID}, nil); err != nil {
		return fmt.Errorf("clear the claim of a dead process: %w", err)
	}
	return nil
}

// dropClaim gives the claim back, also when ctx has ended.
func dropClaim(ctx context.Context, h Host, project, id string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return h.Do(ctx, Step{Op: DropClaim, Name: ClaimName(project), Target: id}, nil)
}

// heldHost is a Host whose every change is made only while the claim is held.
type heldHost struct {
	Host
	name, id string
}

// Do checks the claim, then does the step.
func (h heldHost) Do(ctx context.Context, s Step, note func(Event)) error {
	if s.Op.Changes() {
		err := h.Host.Do(ctx, Step{Op: HoldClaim, Name: h.name, Target: h.id}, nil)
		if errors.Is(err, ErrClaimLost) {
			err = &HintedError{Err: fmt.Errorf("%w: somebody removed container %s", err, h.name), Next: "see that nobody else changes the project, then run the command again"}
		}
		if err != nil {
			return err
		}
	}
	return h.Host.Do(ctx, s, note)
}
