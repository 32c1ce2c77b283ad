package cli

import (
	"fmt"
	"strings"

	"github.com/strake-dev/strake/compose"
)

// underWay names the steps that have begun and not ended, in order of the plan: those that are finished after an interrupt,
// those that are cancelled, and what is not waited for any more.
func (p *progress) underWay() (finished, cancelled, left []string) {
	for i, st := range p.steps {
		op := p.plan[i].Op
		text := fmt.Sprintf("%s %s", op, label(p.plan, i))
		switch {
		case st.kind != compose.StepStarted:
		case op == compose.Wait:
			left = append(left, label(p.plan, i))
		case op == compose.BuildImage || op == compose.PullImage:
			cancelled = append(cancelled, text)
		case op.Changes():
			finished = append(finished, text)
		}
	}
	return finished, cancelled, left
}

// interrupted says what is still being finished after the first signal.
func (p *progress) interrupted() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ending = true
	finished, cancelled, left := p.underWay()
	text := ""
	for _, part := range []struct {
		what  string
		steps []string
	}{{"cancelling", cancelled}, {"not waiting any more for", left}, {"finishing", finished}} {
		if len(part.steps) > 0 {
			text += part.what + ": " + strings.Join(part.steps, ", ") + "; "
		}
	}
	if text == "" {
		text = "beginning nothing more; "
	}
	p.line("%spress Ctrl-C again to stop now", text)
}

// whatStays says after an interrupt how far the plan came, and how to go on.
func (p *progress) whatStays(command string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	done, all := 0, 0
	for i, st := range p.steps {
		if p.plan[i].Op.Changes() {
			all++
			if st.kind == compose.StepDone || st.kind == compose.StepSkipped {
				done++
			}
		}
	}
	switch done {
	case 0:
		return "nothing was changed; strake " + command + " begins again"
	case all:
		return "everything was done but the waiting; strake " + command + " waits again"
	}
	return fmt.Sprintf("%d of %d steps were done and stay; strake %s goes on from there", done, all, command)
}
