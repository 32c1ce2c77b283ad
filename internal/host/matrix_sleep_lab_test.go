//go:build lab

package host_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/fixtures/lab/awslab"
	"github.com/strake-dev/strake/internal/host"
)

// sleepAndWake is all that the sleep and the wake of a preview's machine ask of AWS.
func sleepAndWake(ctx context.Context, c *host.Cloud, preview string) error {
	by := compose.Owner{Machine: "m", Boot: "b", PID: deadPID, Start: "1", Host: "laptop"}
	all, err := c.Machines(ctx)
	if err != nil {
		return err
	}
	m, ok := host.Holding(all, preview)
	if !ok {
		return errors.New("there is no machine of " + preview)
	}
	if m, err = c.Sleep(ctx, m, by, nil); err != nil {
		return err
	}
	if m, err = c.Wake(ctx, m, by); err != nil {
		return err
	}
	if err := c.Mark(ctx, m, map[string]string{host.TagState: "ready"}); err != nil {
		return err
	}
	return c.Unschedule(ctx, m)
}

// TestSleepAndWake_LeaveNothingUncoveredWhateverFails: for each call of a sleep and a wake each harm. After it no machine stands still that AWS does not
// end with its lease; the same again, or a sweep, goes on; and it is still there.
func TestSleepAndWake_LeaveNothingUncoveredWhateverFails(t *testing.T) {
	a := awslab.Start(t)
	f := a.Faults(t)
	calm := sleepy(t, a, a.Environ(), 0)
	launchReady(t, calm, "pr-0")
	c := cloudOf(t, f.Environ(), func(o *host.Options) { o.Settings.Scheduler = true })
	f.Clear()
	if err := sleepAndWake(t.Context(), c, "pr-0"); err != nil {
		t.Fatal(err)
	}
	calls := f.Calls()
	matrix(t, calls, 3, func(call int, h harm, n int) bool { return tryHarmOfSleep(t, f, calm, calls, call, h, n) })
}

// launchReady is the machine of a preview that is ready.
func launchReady(t *testing.T, c *host.Cloud, preview string) host.Machine {
	t.Helper()
	m := launch(t, c, leaseOf(preview, deadPID))
	if err := c.Mark(t.Context(), m, map[string]string{host.TagState: "ready"}); err != nil {
		t.Fatal(err)
	}
	return m
}

// tryHarmOfSleep does a harm to one of the calls of a sleep and a wake, and then goes on with the same again or a sweep.
func tryHarmOfSleep(t *testing.T, f *awslab.Faults, calm *host.Cloud, calls []awslab.Call, call int, h harm, n int) bool {
	t.Helper()
	preview := fmt.Sprintf("pr-%d", n+1)
	launched := launchReady(t, calm, preview)
	fault, out, ok := harmed(t, f, calls, call, h, "STRAKE_TEST_SLEEPER="+preview)
	if !ok {
		return false
	}
	wrong := func(what string, args ...any) bool {
		t.Errorf("call %d %s, %s: %s\nfirst: %s", call+1, fault.Action, h.name, fmt.Sprintf(what, args...), out)
		return false
	}
	now := func() (m host.Machine, scheduled bool) {
		all, machines, err := calm.Things(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, thing := range all {
			scheduled = scheduled || thing.Kind == host.KindSchedule && thing.Preview == preview
		}
		m, _ = host.Holding(machines, preview)
		return m, scheduled
	}
	if m, scheduled := now(); m.ID != launched.ID || m.State != "running" && m.State != "pending" && !scheduled {
		return wrong("its machine is %+v, scheduled %v; want %s, with a schedule if it does not run", m, scheduled, launched.ID)
	}
	if n%2 == 0 {
		if err := sleepAndWake(t.Context(), calm, preview); err != nil {
			return wrong("the same again = %v", err)
		}
		if m, scheduled := now(); m.ID != launched.ID || m.State != "running" || m.Phase != "ready" || scheduled {
			return wrong("after the same again its machine is %+v, scheduled %v; want it ready, without", m, scheduled)
		}
	}
	if _, err := calm.Sweep(t.Context(), nil); err != nil {
		return wrong("the sweep after it = %v", err)
	}
	m, scheduled := now()
	switch {
	case m.ID != launched.ID:
		return wrong("after the sweep its machine is %+v, want %s", m, launched.ID)
	case m.Phase == "asleep" && (m.State != "stopped" || !scheduled), m.Phase == "ready" && m.State != "running":
		return wrong("after the sweep its machine is %+v, scheduled %v; want it asleep and covered, or ready", m, scheduled)
	}
	_, err := calm.End(t.Context(), preview)
	isEmpty(t, calm, "pr-0")
	return err == nil
}
