package compose

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Host is somewhere a stack can run. Its contract is the test in compose/hosttest.
//
// All methods may be called at once from several goroutines. A context that is cancelled before a
// call changes nothing and its cause is returned.
type Host interface {
	// Observe reads what the host holds of a project. An engine that does not answer is an error,
	// never an empty State.
	Observe(ctx context.Context, s Scope) (State, error)
	// Watch subscribes to what happens to the project's containers and returns once it is
	// subscribed: every later change is sent. The channel is closed when ctx ends or the
	// subscription is lost; whoever reads it must read until then.
	Watch(ctx context.Context, project string) (<-chan Change, error)
	// Do carries out one step. Doing a step twice leaves what doing it once does. note, which may be
	// nil, is told of progress while Do runs and not after it returned.
	Do(ctx context.Context, s Step, note func(Event)) error
}

// Change is one thing that happened to a container.
type Change struct {
	ID, Name string
	Kind     ChangeKind
	ExitCode int // of Died
}

// ChangeKind is what happened.
type ChangeKind string

// What can happen to a container.
const (
	Started         ChangeKind = "started"
	Died            ChangeKind = "died"
	BecameHealthy   ChangeKind = "healthy"
	BecameUnhealthy ChangeKind = "unhealthy"
	Destroyed       ChangeKind = "destroyed"
	Renamed         ChangeKind = "renamed"
)

// Event is something that a person who watches a Run may want to see.
type Event struct {
	// Step is the index into the Plan, -1 for what concerns none. A Host leaves it 0: Run sets it.
	Step int
	Kind EventKind
	// Text is a phrase: what a wait waits for, a line of build output, a warning.
	Text string
	// Current and Total are bytes, where the work can be measured; Total 0 is unknown.
	Current, Total int64
	// Unchanged, on the last event of a BuildImage or PullImage and on its StepDone, says that the image is the one it was.
	Unchanged bool
	// Exited, on the StepDone of a Wait, says that its container ran to its end, with code 0.
	Exited bool
	Err    error // of StepFailed
	At     time.Time
}

// EventKind is what an Event tells of its step.
type EventKind string

// Kinds of events. A Host sends StepProgress, StepOutput and StepWarning; Run sends the others.
const (
	StepStarted  EventKind = "started"
	StepProgress EventKind = "progress"
	StepOutput   EventKind = "output" // a line that the step's program printed
	StepWarning  EventKind = "warning"
	StepDone     EventKind = "done"
	StepSkipped  EventKind = "skipped" // its image did not change
	StepFailed   EventKind = "failed"
)

// What a Host's Do returns where a caller branches on it.
var (
	// ErrHeld is returned by TakeClaim inside a *HeldError.
	ErrHeld = errors.New("held by another")
	// ErrClaimLost is returned by HoldClaim when the claim is gone.
	ErrClaimLost = errors.New("claim was lost")
	// ErrInUse is returned by a removal of what something else still uses.
	ErrInUse = errors.New("is still in use")
	// ErrOverlap is returned by CreateNetwork where another network has addresses of its subnet.
	ErrOverlap = errors.New("its subnet overlaps with that of another network")
	// ErrNoHealthcheck is returned by Probe of a container without a healthcheck.
	ErrNoHealthcheck = errors.New("has no healthcheck")
	// ErrNotRunning is returned by Probe and ExecHook of a container that does not run.
	ErrNotRunning = errors.New("is not running")
)

// ProbeError is the answer of a healthcheck command that did not pass.
type ProbeError struct {
	ExitCode int
	Output   string // up to 4 KiB, the last of it
	TimedOut bool   // it ran longer than the healthcheck's timeout
}

// Error says how the probe ended, with the last line that it printed.
func (e *ProbeError) Error() string {
	if e.TimedOut {
		return "healthcheck timed out"
	}
	if l := lastLine(e.Output); l != "" {
		return fmt.Sprintf("healthcheck exited with code %d: %s", e.ExitCode, l)
	}
	return fmt.Sprintf("healthcheck exited with code %d", e.ExitCode)
}

// Hinted is implemented by errors that a person can fix: Hint is what to run or change next.
type Hinted interface {
	error
	Hint() string
}

// HintedError is an error with a hint. Err is what went wrong and why; Next is what to do, a sentence or command.
type HintedError struct {
	Err  error
	Next string
}

// Error is the text of Err.
func (e *HintedError) Error() string { return e.Err.Error() }

// Unwrap is Err.
func (e *HintedError) Unwrap() error { return e.Err }

// Hint is what to do next.
func (e *HintedError) Hint() string { return e.Next }

// lastLine is the last line of s that is not blank.
func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return strings.TrimSpace(s[strings.LastIndexByte(s, '\n')+1:])
}
