package cli

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/compose/regex"
)

// Control sequences. Source: ECMA-48 (CUU, EL, SGR) and xterm's DECTCEM and DECAWM.
const (
	hideCursor = "\x1b[?25l"
	showCursor = "\x1b[?25h"
	upOne      = "\x1b[1A"
	eraseLine  = "\r\x1b[2K"
	eraseRest  = "\x1b[K"
	eraseBelow = "\x1b[J"
	cutLines   = "\x1b[?7l" // what is too long is cut off instead of going on in the next line
	wrapLines  = "\x1b[?7h"
	green      = "\x1b[32m"
	red        = "\x1b[31m"
	dim        = "\x1b[2m"
	plainText  = "\x1b[0m"
)

// redrawEvery is how often the lines are drawn anew.
const redrawEvery = 80 * time.Millisecond

// liveView draws one line per service, in place. Its fields belong to the progress that has it and to that one's lock.
type liveView struct {
	out   io.Writer
	begun bool
	drawn []int // lines on the screen now, each with its width
	frame int
	stop  chan struct{}
	gone  sync.WaitGroup
}

func newLiveView(out io.Writer) *liveView { return &liveView{out: out, stop: make(chan struct{})} }

// begin starts the drawing; the caller holds p's lock.
func (v *liveView) begin(p *progress) {
	if len(p.lines()) == 0 {
		return
	}
	v.begun = true
	fmt.Fprint(v.out, hideCursor)
	v.draw(p)
	v.gone.Go(func() {
		tick := time.NewTicker(redrawEvery)
		defer tick.Stop()
		for {
			select {
			case <-v.stop:
				return
			case <-tick.C:
				p.mu.Lock()
				v.frame++
				if p.view == v {
					v.draw(p)
				}
				p.mu.Unlock()
			}
		}
	})
}

// end draws the last picture and leaves it on the screen; the caller does not hold p's lock.
func (v *liveView) end(p *progress) {
	close(v.stop)
	v.gone.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	if v.begun {
		v.draw(p)
	}
	if !v.begun || !p.plan.Changes() {
		v.clear() // there was nothing to do, and the one line that says so is enough
	}
	if v.begun {
		fmt.Fprint(v.out, showCursor)
	}
}

// announce shows a line that the first picture takes the place of.
func (v *liveView) announce(text string) {
	columns, _ := terminalSize(v.out)
	fmt.Fprint(v.out, v.home(columns)+cutLines+text+eraseRest+wrapLines+"\n")
	v.drawn = []int{utf8.RuneCountInString(text)}
}

// home goes to the first of the lines that are drawn. A terminal that became narrower has broken them meanwhile.
func (v *liveView) home(columns int) string {
	lines := 0
	for _, width := range v.drawn {
		lines += max(1, (width+columns-1)/columns)
	}
	return strings.Repeat(upOne, lines) + "\r"
}

// clear takes the lines off the screen.
func (v *liveView) clear() {
	if len(v.drawn) > 0 {
		columns, _ := terminalSize(v.out)
		fmt.Fprint(v.out, v.home(columns)+eraseBelow)
	}
	v.drawn = nil
}

// draw shows a line per service; where the screen is too small, the ones that are done are left out first.
func (v *liveView) draw(p *progress) {
	columns, rows := terminalSize(v.out)
	lines := p.lines()
	if room := max(3, rows-2); len(lines) > room {
		lines = cut(lines, room)
	}
	width := 0
	for _, l := range lines {
		width = max(width, utf8.RuneCountInString(l.name))
	}
	width = min(width, max(8, columns/3))
	var b strings.Builder
	b.WriteString(v.home(columns) + cutLines)
	v.drawn = v.drawn[:0]
	for _, l := range lines {
		text, colour := l.render(width, columns, v.frame)
		b.WriteString(" " + colour + text[0] + plainText + text[1] + eraseRest + "\n")
		v.drawn = append(v.drawn, utf8.RuneCountInString(text[0]+text[1])+1)
	}
	b.WriteString(eraseBelow + wrapLines)
	fmt.Fprint(v.out, b.String())
}

// liveLine is the state of one service, or of one network, volume or image that belongs to none.
type liveLine struct {
	name, text  string
	state       compose.EventKind // "" waits
	elapsed     time.Duration
	first, last int // steps of the plan
}

// cut leaves room lines: those that are done go first, and the last line says how many are not shown.
func cut(lines []liveLine, room int) []liveLine {
	var kept []liveLine
	drop := len(lines) - room + 1
	for _, l := range lines {
		if drop > 0 && l.state == compose.StepDone {
			drop--
			continue
		}
		kept = append(kept, l)
	}
	kept = kept[:min(len(kept), room-1)]
	return append(kept, liveLine{name: "…", text: fmt.Sprintf("%d more", len(lines)-len(kept))})
}

// render is the line without its first column: the mark, which has a colour, and the rest.
func (l liveLine) render(width, columns, frame int) (text [2]string, colour string) {
	mark, colour := "·", dim
	switch l.state {
	case compose.StepDone:
		mark, colour = "✔", green
	case compose.StepFailed:
		mark, colour = "✘", red
	case compose.StepStarted:
		mark, colour = string([]rune("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")[frame%10]), ""
	}
	took := ""
	if l.elapsed > 0 {
		took = "  " + span(l.elapsed)
	}
	room := max(1, columns-width-5-utf8.RuneCountInString(took))
	return [2]string{mark, fmt.Sprintf(" %-*s %s%s", width, shortened(l.name, width), shortened(printable(l.text), room), took)}, colour
}

// shortened is the text, or its beginning with a … where it has more than room characters.
func shortened(text string, room int) string {
	if r := []rune(text); len(r) > room {
		return string(r[:max(0, room-1)]) + "…"
	}
	return text
}

// control is what moves the cursor, colours the text or turns its direction, as builds print it. Source: ECMA-48 (CSI, OSC), Unicode Standard Annex 9.
var control = regex.New("\x1b\\[[0-?]*[ -/]*[@-~]|\x1b\\][^\a\x1b]*(?:\a|\x1b\\\\)|[\x00-\x1f\x7f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")

// printable is the last state of a line that a program wrote: what a carriage return overwrote is gone, control
// sequences are too.
func printable(text string) string {
	text = strings.TrimRight(text, " \t\r\n")
	text = text[strings.LastIndexByte(text, '\r')+1:]
	return control.ReplaceAllString(strings.ReplaceAll(text, "\t", " "), "")
}

// lines are the lines to draw, in the order in which the plan first names them.
func (p *progress) lines() []liveLine {
	at := map[string]int{}
	steps := [][]int{}
	names := []string{}
	for i, step := range p.plan {
		if step.Op == compose.Warn || step.Op == compose.CreateMark || step.Op == compose.DropMark {
			continue
		}
		n := label(p.plan, i)
		if _, ok := at[n]; !ok {
			at[n] = len(names)
			names, steps = append(names, n), append(steps, nil)
		}
		steps[at[n]] = append(steps[at[n]], i)
	}
	lines := make([]liveLine, len(names))
	for i, n := range names {
		lines[i] = p.lineOf(n, steps[i])
	}
	return lines
}

// lineOf says the state of one label: what failed, else what is under way, else what its next step waits for.
func (p *progress) lineOf(name string, steps []int) liveLine {
	l := liveLine{name: name, state: compose.StepDone}
	var began, ended time.Time
	next, active, failed := -1, -1, -1
	for _, i := range steps {
		st := p.steps[i]
		if began.IsZero() && !st.began.IsZero() {
			began = st.began
		}
		if st.ended.After(ended) {
			ended = st.ended
		}
		switch st.kind {
		case "":
			if next < 0 {
				next = i
			}
		case compose.StepStarted:
			active = i
		case compose.StepFailed:
			failed = i
		case compose.StepDone:
			if text := done(p.plan[i], st); text != "" {
				l.text = text
			}
		}
	}
	switch {
	case failed >= 0:
		l.state, l.text = compose.StepFailed, failureOf(p.plan[failed])
	case p.ending && active >= 0 && p.plan[active].Op == compose.Wait:
		l.state, l.text = "", "not waited for"
	case active >= 0:
		l.state, l.text, ended = compose.StepStarted, p.activeText(active), p.s.Now()
	case p.ending && next >= 0:
		l.state, l.text = "", "not finished"
		if began.IsZero() {
			l.text = "not begun"
		}
	case next >= 0:
		l.state, l.text = "", p.waitsFor(next)
	}
	if l.state == compose.StepDone && l.text == "" {
		l.text = "runs now" // a one-off: its own output follows
	}
	if l.state != "" && !began.IsZero() && ended.After(began) {
		l.elapsed = ended.Sub(began)
	}
	return l
}

func (p *progress) activeText(i int) string {
	st := p.steps[i]
	text := doing(p.plan[i])
	if st.text != "" && st.text != string(compose.Running) {
		text += ": " + st.text
	} else if n := len(st.output); n > 0 {
		text += ": " + strings.TrimSpace(st.output[n-1])
	}
	if st.total > 0 {
		text += fmt.Sprintf(" %s of %s", mebibytes(st.current), mebibytes(st.total))
	}
	return text
}

// waitsFor says which unfinished step the i-th one waits for, the one that will be last as far as one can see.
func (p *progress) waitsFor(i int) string {
	for _, a := range p.plan[i].After {
		switch p.steps[a].kind {
		case compose.StepDone, compose.StepSkipped:
			continue
		case compose.StepFailed:
			return "not begun"
		}
		if name := label(p.plan, a); name != label(p.plan, i) {
			if p.plan[a].Op == compose.Wait {
				return fmt.Sprintf("waits for %s to be %s", name, p.plan[a].Until)
			}
			return "waits for " + name
		}
		return p.waitsFor(a)
	}
	return "waits for its turn"
}
