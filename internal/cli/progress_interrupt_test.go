package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/strake-dev/strake/compose"
)

// TestProgress_SaysWhatAnInterruptLeaves: in plain lines and on a terminal, what is finished and what is not, and how to go on.
func TestProgress_SaysWhatAnInterruptLeaves(t *testing.T) {
	plan := compose.Plan{
		{Op: compose.CreateNetwork, Name: "shop_default"}, {Op: compose.CreateContainer, Service: "db", Name: "shop-db-1"},
		{Op: compose.BuildImage, Service: "api", Name: "shop-api", Image: &compose.ImageStep{}}, {Op: compose.StartContainer, Service: "db", Name: "shop-db-1"},
		{Op: compose.Wait, Service: "cache", Name: "shop-cache-1", Until: compose.UntilHealthy}, {Op: compose.StartContainer, Service: "web", Name: "shop-web-1", After: []int{4}},
	}
	for _, live := range []bool{false, true} {
		var b bytes.Buffer
		p := newProgress(Streams{Out: &b, Err: &b, Now: time.Now}, false, "")
		if live {
			p.view = newLiveView(&b)
		}
		p.interrupted()
		if got, want := b.String(), "beginning nothing more; press Ctrl-C again to stop now\n"; got != want {
			t.Errorf("before there is a plan: %q, want %q", got, want)
		}
		p.planned(plan, compose.State{})
		for _, e := range []compose.Event{{Step: 0, Kind: compose.StepStarted}, {Step: 0, Kind: compose.StepDone}, {Step: 1, Kind: compose.StepStarted}, {Step: 1, Kind: compose.StepDone},
			{Step: 2, Kind: compose.StepStarted}, {Step: 3, Kind: compose.StepStarted}, {Step: 4, Kind: compose.StepStarted}} {
			p.note(e)
		}
		b.Reset()
		p.interrupted()
		want := "cancelling: build api; not waiting any more for: cache; finishing: start db; press Ctrl-C again to stop now\n"
		if !strings.Contains(b.String(), want) {
			t.Errorf("live %v: an interrupt says %q, want %q in it", live, b.String(), want)
		}
		if got, want := p.whatStays("up"), "2 of 5 steps were done and stay; strake up goes on from there"; got != want {
			t.Errorf("whatStays = %q, want %q", got, want)
		}
		b.Reset()
		p.close()
		if !live {
			continue
		}
		for _, want := range []string{"cache        not waited for", "web          not begun", "api          building"} {
			if !strings.Contains(b.String(), want) {
				t.Errorf("the last picture is %q, want %q in it", b.String(), want)
			}
		}
	}
}
