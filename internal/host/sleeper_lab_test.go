//go:build lab

package host_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/fixtures/lab/awslab"
	"github.com/strake-dev/strake/internal/host"
)

// parked has a preview sleep without a machine, whose lease may last for so long.
func parked(t *testing.T, c *host.Cloud, preview string, longest time.Duration) {
	t.Helper()
	l := leaseOf(preview, 1)
	l.Expires, l.Ends = time.Now().Add(longest), time.Now().Add(longest)
	m := launch(t, c, l)
	if _, err := c.Park(t.Context(), m, host.Sleeper{Commit: m.Commit}); err != nil {
		t.Fatalf("Park of %s = %v", preview, err)
	}
}

// TestLaunch_LeavesWhatSleepsWhereThereIsNoRoom: who loses the last room sleeps on.
func TestLaunch_LeavesWhatSleepsWhereThereIsNoRoom(t *testing.T) {
	a := awslab.Start(t)
	f := a.Faults(t)
	c := cloudOf(t, f.Environ(), func(o *host.Options) { o.Settings.Spot, o.Budget = true, compose.PreviewBudget{Previews: 1} })
	previews := []string{"pr-1", "pr-2"}
	for _, preview := range previews {
		parked(t, c, preview, time.Hour)
	}
	var launching, all sync.WaitGroup
	launching.Add(2)
	f.Add(awslab.Fault{Action: "RunInstances", Times: 2, Before: func() { launching.Done(); launching.Wait() }})
	got := make([]error, 2)
	for i, preview := range previews {
		all.Go(func() { _, got[i] = c.Launch(t.Context(), leaseOf(preview, i+1)) })
	}
	all.Wait()
	loser := previews[0]
	if got[0] == nil {
		loser = previews[1]
	}
	var full *host.BudgetError
	if !errors.As(errors.Join(got...), &full) || (got[0] == nil) == (got[1] == nil) {
		t.Fatalf("two launches for the last room = %v, want one BudgetError", got)
	}
	asleep, err := c.Sleepers(t.Context(), machinesOf(t, c))
	if err != nil || len(asleep) != 1 || asleep[0].Preview != loser {
		t.Errorf("Sleepers = %+v, %v, want %s, which has no machine", asleep, err, loser)
	}
}

// TestLaunch_RefusesASleeperWithoutTime: its machine would end itself while it boots.
func TestLaunch_RefusesASleeperWithoutTime(t *testing.T) {
	a := awslab.Start(t)
	c := cloudOf(t, a.Environ(), func(o *host.Options) { o.Settings.Spot = true })
	parked(t, c, "pr-1", time.Hour)
	late := cloudOf(t, a.Environ(), func(o *host.Options) {
		o.Settings.Spot, o.Now = true, func() time.Time { return time.Now().Add(57 * time.Minute) }
	})
	var hint compose.Hinted
	if m, err := late.Launch(t.Context(), leaseOf("pr-1", 1)); err == nil || !errors.As(err, &hint) || !strings.Contains(hint.Hint(), "strake preview close pr-1") {
		t.Errorf("Launch three minutes before its lease ends = %+v, %v, want a hint to close it", m, err)
	}
	if _, err := late.End(t.Context(), "pr-1"); err != nil {
		t.Fatal(err)
	}
	launch(t, late, leaseOf("pr-1", 1))
}
