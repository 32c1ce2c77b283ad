package cli

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/strake-dev/strake/compose"
)

// keptLines is how many of the last output lines of a step are kept to be shown when it fails.
const keptLines = 20

// progress follows one run of a plan and shows it on a stream: redrawn lines on a terminal, plain lines elsewhere.
// Its methods may be called from several goroutines.
type progress struct {
	mu     sync.Mutex
	s      Streams
	quiet  bool // shows nothing but warnings
	closed bool
	ending bool // a signal came: what has not begun will not
	build  bool // plain: print what builds print
	began  time.Time
	plan   compose.Plan
	steps  []stepState
	view   *liveView // nil where lines are plain
	said   map[string]bool
	warned []string
	timer  *time.Timer
}

// stepState is what is known of one step of the plan while it runs.
type stepState struct {
	kind           compose.EventKind // "" before it began
	began, ended   time.Time
	text           string
	current, total int64
	output         []string // the last keptLines
	printed        bool     // its output
	unchanged      bool
	exited         bool
	err            error
}

// firstWord is when something is said even if there is no plan yet.
const firstWord = 80 * time.Millisecond

// laterWord is how long something may take until it is named.
const laterWord = time.Second

func newProgress(s Streams, quiet bool, reading string) *progress {
	p := &progress{s: s, quiet: quiet, began: s.Now(), said: map[string]bool{}}
	if s.isColoured(s.Err) && !quiet {
		p.view = newLiveView(s.Err)
	}
	p.mu.Lock()
	defer p.mu.Unlock() // for first
	if !quiet {
		p.timer = time.AfterFunc(firstWord, func() { p.first(reading) })
	}
	return p
}

// first says what is being done if that takes its time: the files are read, there is only something to wait for, or
// containers stop.
func (p *progress) first(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	if p.view != nil {
		if !p.view.begun && len(p.said) == 0 {
			p.view.announce(text)
		}
		return
	}
	if p.plan == nil {
		if len(p.said) == 0 && text != "" {
			p.line("%s", text)
		}
		p.timer.Reset(firstWord)
		return
	}
	again := firstWord
	for i, st := range p.steps {
		if st.kind != "" {
			again = max(again, laterWord)
		}
		op := p.plan[i].Op
		slow := op == compose.StopContainer || op == compose.Wait || !p.plan.Changes()
		if text := label(p.plan, i) + ": " + doing(p.plan[i]); st.kind == compose.StepStarted && slow && !p.said[text] && (op == compose.StopContainer || !p.plan.Changes() || p.s.Now().Sub(st.began) > laterWord) {
			p.line("%s", text)
		}
	}
	p.timer.Reset(again)
}

// line prints a plain line, above what is drawn live.
func (p *progress) line(format string, args ...any) {
	if p.view != nil {
		p.view.clear()
	}
	text := fmt.Sprintf(format, args...)
	p.said[text] = true
	fmt.Fprintln(p.s.Err, text)
	if p.view != nil && p.plan != nil {
		p.view.draw(p)
	}
}

// say prints a line, unless nothing is to be shown.
func (p *progress) say(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.quiet {
		p.line("%s", text)
	}
}

// warn prints a warning, each one once.
func (p *progress) warn(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.warning(text)
}

// warning prints a warning, each one once, and keeps it for the document of --json.
func (p *progress) warning(text string) {
	if p.said["warning: "+text] {
		return
	}
	p.warned = append(p.warned, text)
	p.line("warning: %s", text)
}

// planned is told of the plan before its first event.
func (p *progress) planned(plan compose.Plan, _ compose.State) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.plan, p.steps = plan, make([]stepState, len(plan))
	for _, step := range plan {
		if step.Op == compose.Warn {
			p.warning(warning(step))
		}
	}
	if p.view != nil {
		p.view.begin(p)
	}
}

// warning is what a Warn step says.
func warning(s compose.Step) string {
	if s.Name == "" {
		return s.Why
	}
	return s.Name + ": " + s.Why
}

// note is told of one event.
func (p *progress) note(e compose.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e.Step < 0 || e.Step >= len(p.steps) {
		if e.Kind == compose.StepWarning && e.Text != "" {
			p.warning(e.Text)
		}
		return
	}
	st := &p.steps[e.Step]
	switch e.Kind {
	case compose.StepOutput:
		st.output = append(st.output, e.Text)
		st.output = st.output[max(0, len(st.output)-keptLines):]
	case compose.StepProgress:
		if e.Text != "" {
			st.text = e.Text
		}
		st.current, st.total = e.Current, e.Total
	case compose.StepWarning:
		if p.plan[e.Step].Op == compose.Warn {
			break // planned has said it
		}
		if text := e.Text; strings.Contains(text, p.plan[e.Step].Name) {
			p.warning(text)
		} else {
			p.warning(label(p.plan, e.Step) + ": " + text)
		}
	case compose.StepStarted:
		st.kind, st.began = e.Kind, p.s.Now()
	default:
		st.kind, st.ended, st.err, st.unchanged, st.exited = e.Kind, p.s.Now(), e.Err, e.Unchanged, e.Exited
	}
	if p.view == nil && !p.quiet {
		p.plainEvent(e)
	}
}

// plainEvent prints the line of an event, if it is worth one.
func (p *progress) plainEvent(e compose.Event) {
	step, name := p.plan[e.Step], label(p.plan, e.Step)
	switch e.Kind {
	case compose.StepStarted:
		if step.Op == compose.BuildImage || step.Op == compose.PullImage {
			p.line("%s: %s %s", name, doing(step), step.Image.Ref)
		}
	case compose.StepOutput:
		if p.build && strings.TrimSpace(e.Text) != "" {
			p.line("%s | %s", name, strings.TrimRight(e.Text, "\r\n"))
			p.steps[e.Step].printed = true
		}
	case compose.StepDone:
		if step.Op == compose.Wait && (step.Until == compose.UntilRunning && !e.Exited || len(step.After) == 0) {
			return // that it was started is said; and what is as wanted needs no word
		}
		if text := done(step, p.steps[e.Step]); text != "" {
			p.line("%s: %s (%s)", name, text, span(p.s.Now().Sub(p.began)))
		}
	case compose.StepFailed:
		if e.Err != nil && !isCancelled(e.Err) {
			p.line("%s: %s (%s)", name, failureOf(step), span(p.s.Now().Sub(p.began)))
		}
	}
}

// exits takes what was waited for and has run to its end since for what it is: a program may take longer to its end than to be
// called running.
func (p *progress) exits(after compose.State) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, step := range p.plan {
		ended := slices.ContainsFunc(after.Containers, func(c compose.Container) bool {
			return c.Name == step.Name && c.Status == compose.Exited && c.ExitCode == 0
		})
		if st := &p.steps[i]; step.Op == compose.Wait && ended && st.kind == compose.StepDone && !st.exited {
			st.exited = true
			if p.view == nil && !p.quiet && step.Until != compose.UntilCompleted {
				p.line("%s: %s (%s)", label(p.plan, i), done(step, *st), span(p.s.Now().Sub(p.began)))
			}
		}
	}
}

// close ends the drawing; nothing is shown after it.
func (p *progress) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timer != nil {
		p.timer.Stop()
	}
	p.closed = true
	if p.view != nil {
		view := p.view
		p.view = nil
		p.mu.Unlock()
		view.end(p)
		p.mu.Lock()
	}
}

// label is how a person calls what a step acts on: its service, or the container where a service has several.
func label(plan compose.Plan, i int) string {
	step := plan[i]
	if step.Service == "" {
		return step.Name
	}
	if step.Op == compose.BuildImage || step.Op == compose.PullImage {
		return step.Service
	}
	for _, other := range plan {
		if other.Service == step.Service && isOfContainer(other.Op) && isOfContainer(step.Op) && lasting(other.Name) != lasting(step.Name) {
			return lasting(step.Name)
		}
	}
	return step.Service
}

// lasting is a container's name without what stands before it while it replaces another: 12 digits of that one's id.
func lasting(name string) string {
	before, after, ok := strings.Cut(name, "_")
	if ok && len(before) == 12 && strings.Trim(before, "0123456789abcdef") == "" {
		return after
	}
	return name
}

func isOfContainer(o compose.Op) bool {
	switch o {
	case compose.CreateContainer, compose.StartContainer, compose.StopContainer, compose.RestartContainer,
		compose.RemoveContainer, compose.Wait:
		return true
	}
	return false
}

// doing, failureOf and done are what a step does and did, as progress says it; "" is not worth a line.
func doing(s compose.Step) string {
	switch s.Op {
	case compose.PullImage:
		return "pulling"
	case compose.BuildImage:
		return "building"
	case compose.CreateContainer:
		return "creating"
	case compose.StartContainer:
		return "starting"
	case compose.StopContainer:
		return "stopping"
	case compose.RestartContainer:
		return "restarting"
	case compose.RemoveContainer, compose.RemoveImage, compose.RemoveNetwork, compose.RemoveVolume:
		return "removing"
	case compose.Wait:
		switch s.Until {
		case compose.UntilCompleted:
			return "running to its end"
		case compose.UntilRunning:
			return "starting"
		}
		return "getting " + string(s.Until)
	}
	return string(s.Op)
}

func failureOf(s compose.Step) string {
	switch {
	case s.Op == compose.Wait && s.Until == compose.UntilCompleted:
		return "did not complete"
	case s.Op == compose.Wait:
		return "did not get " + string(s.Until)
	}
	return string(s.Op) + " failed"
}

func done(s compose.Step, st stepState) string {
	switch s.Op {
	case compose.PullImage:
		if st.unchanged {
			return "image is up to date"
		}
		return "pulled"
	case compose.BuildImage:
		if st.unchanged {
			return "built, nothing changed"
		}
		return "built"
	case compose.CreateNetwork:
		return "network created"
	case compose.CreateVolume:
		return "volume created"
	case compose.RemoveNetwork:
		return "network removed"
	case compose.RemoveVolume:
		return "volume removed"
	case compose.RemoveImage:
		return "image removed"
	case compose.CreateContainer:
		if s.Container != nil && s.Container.OneOff {
			return "" // its own output is what is looked for
		}
		return "created"
	case compose.StartContainer:
		return "started"
	case compose.StopContainer:
		return "stopped"
	case compose.RestartContainer:
		return "restarted"
	case compose.RemoveContainer:
		return "removed"
	case compose.Wait:
		switch {
		case st.exited && s.Until != compose.UntilCompleted:
			return "exited (0)"
		case s.Until == compose.UntilRunning || s.Until == compose.UntilReady:
			return "ready"
		}
		return string(s.Until)
	}
	return ""
}
