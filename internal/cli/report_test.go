package cli

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/strake-dev/strake/compose"
)

func TestPrintError_LeavesTheTerminalAlone(t *testing.T) {
	var b bytes.Buffer
	printError(&b, &reportedError{error: errors.New("it said \x1b[2Jevil"),
		sections: []section{{title: "last log lines of shop-web-1", text: "\x1b]0;name\aone\r\n\x1b[31m\ttwo\x1b[0m"}}})
	want := "last log lines of shop-web-1:\n  one\n      two\nstrake: it said evil\n"
	if got := b.String(); got != want {
		t.Errorf("printError wrote %q, want %q", got, want)
	}
}

func TestProbeText_IsShort(t *testing.T) {
	got := probeText(&compose.ProbeError{ExitCode: 1, Output: strings.Repeat("y\n", 2000) + "last\n"})
	if n := strings.Count(got, "\n"); n != keptLines || !strings.HasSuffix(got, "last\n(exit code 1)") {
		t.Errorf("probeText of 2001 lines has %d lines and ends with %q, want the last %d", n, got[max(0, len(got)-20):], keptLines)
	}
}

func TestProgress_SaysAWarningOnce(t *testing.T) {
	var b bytes.Buffer
	p := newProgress(Streams{Out: &b, Err: &b, Now: time.Now}, false, "")
	plan := compose.Plan{{Op: compose.Warn, Name: "container shop-old-1", Why: "its service old is not in the file"}}
	p.planned(plan, compose.State{})
	if err := compose.Run(t.Context(), nil, plan, compose.RunOptions{Project: "shop", Note: p.note}); err != nil {
		t.Fatal(err)
	}
	p.close()
	if got, want := b.String(), "warning: container shop-old-1: its service old is not in the file\n"; got != want {
		t.Errorf("up said %q, want %q", got, want)
	}
}

func TestScopeOfDown_AsksForImagesThatGo(t *testing.T) {
	p, err := compose.Load(t.Context(), compose.LoadOptions{Files: []string{"-"}, Name: "shop", Dir: t.TempDir(),
		Stdin: strings.NewReader("services: {web: {image: NO IMAGE}}")})
	if err != nil {
		t.Fatal(err)
	}
	if got := scopeOfDown(p, "shop", compose.DownOptions{}).Images; len(got) != 0 {
		t.Errorf("down asks for the images %v, want none", got)
	}
	if got := scopeOfDown(p, "shop", compose.DownOptions{Images: "all"}).Images; len(got) != 1 {
		t.Errorf("down --rmi all asks for the images %v, want one", got)
	}
}
