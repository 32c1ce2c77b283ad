//go:build lab

package host_test

import (
	"errors"
	"sync"
	"testing"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/fixtures/lab/awslab"
	"github.com/strake-dev/strake/internal/host"
)

// TestLaunch_KeepsBudgetOfThoseAtOnce: all of them see room before one has launched.
func TestLaunch_KeepsBudgetOfThoseAtOnce(t *testing.T) {
	a := awslab.Start(t)
	f := a.Faults(t)
	c := cloudOf(t, f.Environ(), func(o *host.Options) { o.Budget = compose.PreviewBudget{Previews: 1} })
	previews := []string{"pr-1", "pr-2", "pr-3"}
	var launching, all sync.WaitGroup
	launching.Add(len(previews))
	f.Add(awslab.Fault{Action: "RunInstances", Times: len(previews), Before: func() { launching.Done(); launching.Wait() }})
	got := make([]error, len(previews))
	for i, preview := range previews {
		all.Go(func() { _, got[i] = c.Launch(t.Context(), leaseOf(preview, i+1)) })
	}
	all.Wait()
	kept := ""
	for i, err := range got {
		var full *host.BudgetError
		switch {
		case err == nil && kept == "":
			kept = previews[i]
		case !errors.As(err, &full) || len(full.There) == 0:
			t.Errorf("Launch of %s = %v, want a BudgetError of all but one", previews[i], err)
		}
	}
	if kept == "" {
		t.Fatal("none has a machine, want who came first to have one")
	}
	isEmpty(t, c, kept)
	if m := launch(t, c, leaseOf(kept, 9)); m.Preview != kept {
		t.Errorf("Launch of %s again = %+v, want its machine, which takes no more room", kept, m)
	}
}
