package cli

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/engine"
)

// change is one command's way to change a stack: what it looks at, what it plans, and how it shows the run.
type change struct {
	streams  Streams
	engine   *engine.Engine
	scope    compose.Scope
	plan     func(compose.State) (compose.Plan, error)
	command  string // "up"
	claim    string // what the claim says instead, where there is more to say
	reading  string // what is said when nothing else was within 100 ms
	noWait   bool   // for the claim
	quiet    bool
	build    bool // print what builds print
	steps    bool // where the plan is printed: each step
	run      compose.RunOptions
	show     *progress      // nil: a new one
	asks     bool           // before containers go that hold data of their seed themselves
	agreed   []string       // the names of those that may go unasked
	isolated *isolatedStack // what is brought up instead of the project
	// after is what follows where all went well, with the state that it came to; nil: nothing.
	after func(context.Context, compose.State) ([]served, error)
}

// outcome is what a change came to.
type outcome struct {
	state   compose.State
	plan    compose.Plan
	show    *progress
	elapsed time.Duration
	served  []served
}

// served is where the gateway serves a service of a local stack.
type served struct {
	Service string `json:"service"`
	URL     string `json:"url"`
}

// do carries the change out and shows it. The outcome tells what was planned and done even when there is an error.
func (c change) do(ctx context.Context) (outcome, error) {
	show := c.show
	if show == nil {
		show = newProgress(c.streams, c.quiet, c.reading)
	}
	show.build = c.build && !c.quiet
	stop := context.AfterFunc(ctx, show.interrupted)
	c.run.Note = show.note
	state, plan, err := compose.Converge(ctx, c.engine, c.scope, c.sparing, compose.ConvergeOptions{
		Owner: owner(c.streams, cmp.Or(c.claim, c.command)), Alive: isAlive, NoWait: c.noWait, Run: c.run, Planned: show.planned,
		Held: func(e *compose.HeldError) { show.warn("waiting: " + e.Error()) },
	})
	var addresses []served
	if err == nil && c.after != nil {
		addresses, err = c.after(ctx, state)
	}
	stop()
	show.exits(state)
	for i, st := range show.steps {
		if st.unchanged && plan[i].Op == compose.BuildImage {
			_ = compose.RememberSame(plan[i].Image, compose.InputOptions{CacheDir: cacheDir(c.streams)}) // without it the next up builds once more
		}
	}
	show.close()
	out := outcome{state: state, plan: plan, show: show, elapsed: c.streams.Now().Sub(show.began), served: addresses}
	out.believeProbes()
	switch {
	case err == nil:
	case errors.Is(context.Cause(ctx), errInterrupted):
		err = &compose.HintedError{Err: errInterrupted, Next: show.whatStays(c.command)} // which steps it hit does not matter: the person knows
	default:
		err = c.explain(ctx, show, err)
	}
	return out, err
}

// believeProbes takes what was waited for and passed its healthcheck for healthy, as the engine asks it later, and what was seen to run to
// its end for exited.
func (o *outcome) believeProbes() {
	for i, step := range o.plan {
		passed := step.Op == compose.Wait && (step.Until == compose.UntilHealthy || step.Until == compose.UntilReady) &&
			i < len(o.show.steps) && o.show.steps[i].kind == compose.StepDone
		for j := range o.state.Containers {
			c := &o.state.Containers[j]
			if passed && c.Name == step.Name && c.Health == compose.Starting {
				c.Health = compose.Healthy
			}
			ended := step.Op == compose.Wait && i < len(o.show.steps) && o.show.steps[i].exited
			if ended && c.Name == step.Name && c.Status == compose.Running { // the engine's list lags behind its events
				c.Status, c.ExitCode = compose.Exited, 0
			}
		}
	}
}

// told is how a change is told: its plan only, for people or for programs.
type told struct{ dryRun, json bool }

// tell carries the change out, or only prints its plan, and says as much as programs want. said is whether nothing is left to be
// said to people.
func (c change) tell(ctx context.Context, p *compose.Project, how told) (out outcome, said bool, err error) {
	if how.dryRun {
		return out, true, printPlan(ctx, c.streams, p, c, how.json)
	}
	out, err = c.do(ctx)
	var loss *lossError
	if errors.As(err, &loss) {
		if err = loss.ask(ctx, c.streams, c.command); err == nil {
			c.agreed, c.show, c.reading = loss.containers, nil, "reading the project"
			out, err = c.do(ctx)
		}
	}
	if how.json {
		err = printDocument(c.streams, documentOf(c.scope.Project, p, out, err), err)
	}
	return out, how.json || err != nil, err
}

// look observes and plans, and changes nothing.
func (c change) look(ctx context.Context) (outcome, error) {
	show := c.show
	if show == nil {
		show = newProgress(c.streams, c.quiet, c.reading)
	}
	defer show.close()
	state, plan, held, err := compose.Look(ctx, c.engine, c.scope, c.plan)
	if held != nil && (held.Owner.Command == "" || isAlive(held.Owner)) {
		show.warn("this will be out of date soon: " + held.Error())
	}
	return outcome{state: state, plan: plan, show: show, elapsed: c.streams.Now().Sub(show.began)}, err
}

// explain adds what a person needs to see of a failure: the output of the step that failed, and of each container that
// did not get ready the last answer of its healthcheck and its last log lines.
func (c change) explain(ctx context.Context, show *progress, err error) error {
	var sections []section
	for i, st := range show.steps {
		if st.kind == compose.StepFailed && len(st.output) > 0 && !st.printed && !isCancelled(st.err) {
			sections = append(sections, section{title: "last output of " + string(show.plan[i].Op) + " " + label(show.plan, i),
				text: strings.Join(st.output, "\n")})
		}
	}
	var hints []string
	var seen []string
	for _, one := range flatten(err) {
		var unready *compose.NotReadyError
		if !errors.As(one, &unready) || slices.Contains(seen, unready.Container) {
			continue
		}
		seen = append(seen, unready.Container)
		if text := lastLines(ctx, c.engine, unready.Container); text != "" {
			sections = append(sections, section{title: "last log lines of " + unready.Container, text: text})
		}
		if unready.Probe != nil {
			sections = append(sections, section{title: "last healthcheck of " + unready.Container, text: probeText(unready.Probe)})
		}
		if unready.Service != "" {
			hints = append(hints, "strake "+c.otherProject()+"logs "+unready.Service)
		}
	}
	if len(hints) > 0 && hintOf(err) == "" {
		err = &compose.HintedError{Err: err, Next: "run " + strings.Join(hints, " and ") + " for the whole log; put it right and run strake " + c.command + " again"}
	}
	if len(sections) == 0 {
		return err
	}
	return &reportedError{error: err, sections: sections}
}

// otherProject is what a command line needs to mean the stack, where the files mean another one.
func (c change) otherProject() string {
	if c.isolated == nil {
		return ""
	}
	return "-p " + c.isolated.project.Name + " "
}

func probeText(p *compose.ProbeError) string {
	lines := strings.Split(strings.TrimSpace(p.Output), "\n")
	out := strings.Join(lines[max(0, len(lines)-keptLines):], "\n")
	switch {
	case p.TimedOut && out == "":
		return "it timed out and printed nothing"
	case p.TimedOut:
		return out + "\n(it timed out)"
	case out == "":
		return fmt.Sprintf("it exited with code %d and printed nothing", p.ExitCode)
	}
	return fmt.Sprintf("%s\n(exit code %d)", out, p.ExitCode)
}

// logsDeadline bounds how long the log lines of a failed container are waited for.
const logsDeadline = 3 * time.Second

// lastLines are the last log lines of a container, standard output and error together; "" if there are none to be had.
func lastLines(ctx context.Context, e *engine.Engine, container string) string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), logsDeadline)
	defer cancel()
	var b bytes.Buffer
	w := &lockedWriter{w: &b}
	if err := e.Logs(ctx, container, engine.LogOptions{Tail: fmt.Sprint(keptLines)}, w, w); err != nil {
		return "" // the failure itself is what is told; its log is extra
	}
	return strings.TrimRight(b.String(), "\n")
}

// isCancelled is whether an error only says that something else had ended the work.
func isCancelled(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, errInterrupted)
}
