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

func TestProgress_SaysNothingForNothing(t *testing.T) {
	var b bytes.Buffer
	p := newProgress(Streams{Out: &b, Err: &b, Now: time.Now}, false, "")
	p.first("")
	p.close()
	if b.Len() > 0 {
		t.Errorf("without anything to say it said %q", b.String())
	}
}

func TestProgress_NamesThingsOnceInAWarning(t *testing.T) {
	var b bytes.Buffer
	p := newProgress(Streams{Out: &b, Err: &b, Now: time.Now}, false, "")
	p.planned(compose.Plan{{Op: compose.RemoveVolume, Name: "shop_data"}}, compose.State{})
	p.note(compose.Event{Kind: compose.StepWarning, Text: "volume shop_data is still used by another container"})
	p.note(compose.Event{Kind: compose.StepWarning, Text: "it takes its time"})
	p.close()
	want := "warning: volume shop_data is still used by another container\nwarning: shop_data: it takes its time\n"
	if got := b.String(); got != want {
		t.Errorf("it said %q, want %q", got, want)
	}
}

func TestProgress_SeesWhatExitedLater(t *testing.T) {
	var b bytes.Buffer
	p := newProgress(Streams{Out: &b, Err: &b, Now: time.Now}, false, "")
	p.planned(compose.Plan{{Op: compose.Wait, Service: "job", Name: "shop-job-1", Until: compose.UntilRunning}, {Op: compose.Wait, Service: "web", Name: "shop-web-1", Until: compose.UntilRunning}}, compose.State{})
	for i := range p.plan {
		p.note(compose.Event{Step: i, Kind: compose.StepDone})
	}
	p.exits(compose.State{Containers: []compose.Container{{Name: "shop-job-1", Status: compose.Exited}, {Name: "shop-web-1", Status: compose.Running}}})
	p.close()
	if got := b.String(); !strings.HasPrefix(got, "job: exited (0) (") || strings.Count(got, "\n") != 1 {
		t.Errorf("it said %q, want that job exited", got)
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

func TestPrintError_CutsWordsThatAreTooLong(t *testing.T) {
	var b bytes.Buffer
	printError(&b, errors.New("project shop has no seed "+strings.Repeat("a", 300)+" here"))
	if want := "strake: project shop has no seed " + strings.Repeat("a", longestWord-1) + "… here\n"; b.String() != want {
		t.Errorf("printError wrote %q, want %q", b.String(), want)
	}
}
