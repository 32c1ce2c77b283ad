package cli

import (
	"bytes"
	"strings"
	"testing"

	"github.com/strake-dev/strake/compose"
)

func TestPrintable_IsTheLastStateOfALine(t *testing.T) {
	for text, want := range map[string]string{
		"plain":                                  "plain",
		"10%\r55%\r":                             "55%",
		"\x1b[31mred\x1b[0m\tand \x1b]0;t\a tab": "red and  tab",
	} {
		if got := printable(text); got != want {
			t.Errorf("printable(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestLiveLine_FitsTheTerminal(t *testing.T) {
	l := liveLine{name: "a-very-long-name-of-a-service", text: "waits for something with a long name to be healthy", state: compose.StepStarted, elapsed: 1e9}
	for _, columns := range []int{20, 40, 80} {
		text, _ := l.render(min(len(l.name), columns/3), columns, 0)
		if n := len([]rune(text[0] + text[1])); n >= columns {
			t.Errorf("in %d columns a line has %d: %q", columns, n, text)
		}
	}
}

// A terminal that became narrower has broken the lines that were drawn: all their parts are drawn over.
func TestLiveView_GoesBackOverBrokenLines(t *testing.T) {
	v := newLiveView(&bytes.Buffer{})
	v.drawn = []int{10, 70, 30}
	if got := strings.Count(v.home(80), upOne); got != 3 {
		t.Errorf("in 80 columns it goes up %d lines, want 3", got)
	}
	if got := strings.Count(v.home(30), upOne); got != 5 {
		t.Errorf("in 30 columns it goes up %d lines, want 5", got)
	}
}
