//go:build lab

package host_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/fixtures/lab/awslab"
	"github.com/strake-dev/strake/internal/host"
)

// sleepy is a cloud where machines can sleep, whose clock goes wrong by so much.
func sleepy(t *testing.T, a *awslab.Cloud, environ []string, wrong time.Duration) *host.Cloud {
	t.Helper()
	a.Role(t, "strake-scheduler", host.SchedulerTrust, host.SchedulerPolicy)
	return cloudOf(t, environ, func(o *host.Options) {
		o.Settings.Scheduler = true
		o.Now = func() time.Time { return time.Now().Add(wrong) }
	})
}

// whose is an owner who is at work.
func whose() compose.Owner {
	return compose.Owner{Machine: "m", Boot: "b", PID: 1, Start: "1", Host: "laptop"}
}

func sleep(t *testing.T, c *host.Cloud, m host.Machine) host.Machine {
	t.Helper()
	m, err := c.Sleep(t.Context(), m, whose(), nil)
	if err != nil || m.State != "stopped" {
		t.Fatalf("Sleep = %+v, %v", m, err)
	}
	return m
}

// until asks again until ok, and fails where that takes too long.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for tick := time.NewTicker(100 * time.Millisecond); !ok(); {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

func has(t *testing.T, c *host.Cloud, kind, preview string) bool {
	t.Helper()
	all, _, err := c.Things(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, thing := range all {
		if thing.Kind == kind && thing.Preview == preview {
			return true
		}
	}
	return false
}

func TestSleep_IsEndedByItsScheduleAlone(t *testing.T) {
	a := awslab.Start(t)
	c := sleepy(t, a, a.Environ(), -10*time.Minute)
	l := leaseOf("pr-1", 1)
	l.Expires = time.Now().Add(15 * time.Second) // by when it sleeps
	m := sleep(t, c, launch(t, c, l))
	if !has(t, c, host.KindSchedule, "pr-1") {
		t.Error("a machine that sleeps has no schedule")
	}
	until(t, "its schedule ends it", func() bool {
		all, err := c.Machines(t.Context())
		_, there := host.Holding(all, "pr-1")
		return err == nil && !there
	})
	if has(t, c, host.KindSchedule, "pr-1") {
		t.Error("its schedule is there after it ran")
	}
	r, err := c.Sweep(t.Context(), nil)
	if err != nil || len(r.Removed) == 0 {
		t.Errorf("the Sweep after it = %+v, %v, want what %s left", r, err, m.ID)
	}
	isEmpty(t, c)
}

func TestSleep_AndWake(t *testing.T) {
	a := awslab.Start(t)
	c := sleepy(t, a, a.Environ(), 0)
	awake := launch(t, c, leaseOf("pr-1", 1))
	m := sleep(t, c, awake)
	if m.Phase != "asleep" || !m.Scheduled.Equal(m.Expires) {
		t.Errorf("Sleep = %+v, want one that is scheduled to end at its lease's", m)
	}
	if again := sleep(t, c, m); again.ID != m.ID {
		t.Errorf("the second Sleep = %+v", again)
	}
	if r, err := c.Sweep(t.Context(), nil); err != nil || len(r.Removed)+len(r.Noted) != 0 {
		t.Errorf("Sweep of what sleeps = %+v, %v, want nothing", r, err)
	}
	m, err := c.Wake(t.Context(), m, whose())
	if err != nil || m.State != "running" || m.Address == awake.Address {
		t.Errorf("Wake = %+v, %v, want it to run at another address than %s", m, err, awake.Address)
	}
	m = sleep(t, c, m)
	if m, err = c.Wake(t.Context(), m, whose()); err != nil {
		t.Fatal(err)
	}
	sleep(t, c, m)
	r, err := c.End(t.Context(), "pr-1")
	if err != nil || !strings.Contains(kindsOf(r), host.KindSchedule) {
		t.Errorf("End of what sleeps = %s, %v, want its schedule too", kindsOf(r), err)
	}
	isEmpty(t, c)
}

func kindsOf(r host.Receipt) (text string) {
	for _, thing := range r.Removed {
		text += thing.Kind + " "
	}
	return text
}

func TestSleep_IsRefused(t *testing.T) {
	a := awslab.Start(t)
	without := cloudOf(t, a.Environ(), func(o *host.Options) { o.Settings.Scheduler = true })
	m := launch(t, without, leaseOf("pr-1", 1))
	var hint *compose.HintedError
	if _, err := without.Sleep(t.Context(), m, whose(), nil); !errors.As(err, &hint) || !strings.Contains(hint.Next, "scheduler_role") {
		t.Errorf("Sleep without the role = %v, want what to make", err)
	}
	if r, err := without.Sweep(t.Context(), nil); err != nil || len(r.Removed) != 0 {
		t.Errorf("the Sweep after it = %+v, %v", r, err)
	}
	never := cloudOf(t, a.Environ(), nil)
	if _, err := never.Sleep(t.Context(), m, whose(), nil); !errors.As(err, &hint) || !strings.Contains(hint.Next, "scheduler: true") {
		t.Errorf("Sleep without scheduler = %v, want what to set", err)
	}
	c := sleepy(t, a, a.Environ(), 56*time.Minute)
	if _, err := c.Sleep(t.Context(), m, whose(), nil); err == nil || !strings.Contains(err.Error(), "too soon") {
		t.Errorf("Sleep at the end of the lease = %v, want that it is too soon", err)
	}
	c = sleepy(t, a, a.Environ(), 0)
	m = sleep(t, c, m)
	late := sleepy(t, a, a.Environ(), 56*time.Minute)
	if _, err := late.Wake(t.Context(), m, whose()); err == nil || !strings.Contains(err.Error(), "end itself while it starts") {
		t.Errorf("Wake at the end of the lease = %v, want that its timer would end it", err)
	}
}

// TestSweep_CoversWhatSleeps: a stopped machine without a schedule, one whose lease is over, and one whose sleep was interrupted.
func TestSweep_CoversWhatSleeps(t *testing.T) {
	a := awslab.Start(t)
	f := a.Faults(t)
	c := sleepy(t, a, f.Environ(), 0)
	m := sleep(t, c, launch(t, c, leaseOf("pr-1", 1)))
	f.Add(awslab.Fault{Action: "ListSchedules", Code: "InternalServerException", Times: 3})
	if r, err := c.Sweep(t.Context(), nil); err == nil || len(r.Removed)+len(r.Noted) > 0 {
		t.Errorf("Sweep without an answer of ListSchedules = %+v, %v, want nothing done and an error", r, err)
	}
	f.Clear()
	if err := c.Unschedule(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	r, err := c.Sweep(t.Context(), nil)
	if err != nil || len(r.Noted) != 1 || r.Noted[0].ID != m.ID || !has(t, c, host.KindSchedule, "pr-1") {
		t.Errorf("Sweep = %+v, %v, want a schedule for %s", r, err, m.ID)
	}
	cut := launch(t, c, leaseOf("pr-2", 1))
	if err := c.Mark(t.Context(), cut, map[string]string{host.TagState: "asleep", host.TagOwner: host.OwnerText(compose.Owner{Machine: "m", Boot: "b", PID: deadPID, Start: "1", Host: "laptop"})}); err != nil {
		t.Fatal(err)
	}
	if r, err = c.Sweep(t.Context(), nil); err != nil || len(r.Noted) != 1 || r.Noted[0].State != "stopped" || !has(t, c, host.KindSchedule, "pr-2") {
		t.Errorf("Sweep after an interrupted sleep = %+v, %v, want it stopped", r, err)
	}
	over := sleepy(t, a, a.Environ(), 2*time.Hour)
	if r, err = over.Sweep(t.Context(), nil); err != nil || !strings.Contains(kindsOf(r), host.KindSchedule) {
		t.Errorf("Sweep after the leases = %+v, %v, want all gone", r, err)
	}
	isEmpty(t, over)
}

func TestPark_IsRememberedUntilItsLeaseEnds(t *testing.T) {
	a := awslab.Start(t)
	spot := func(o *host.Options) { o.Settings.Spot = true }
	c := cloudOf(t, a.Environ(), spot)
	m := launch(t, c, leaseOf("pr-1", 1))
	if _, err := c.Sleep(t.Context(), m, whose(), nil); !errors.Is(err, host.ErrSpot) {
		t.Errorf("Sleep of %+v = %v, want ErrSpot", m, err)
	}
	park := func(m host.Machine) {
		t.Helper()
		if _, err := c.Park(t.Context(), m, host.Sleeper{Commit: m.Commit, Access: compose.AccessPassword, PasswordHash: "x"}); err != nil {
			t.Fatal(err)
		}
	}
	sleepers := func(c *host.Cloud) []host.Sleeper {
		t.Helper()
		machines, err := c.Machines(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		all, err := c.Sleepers(t.Context(), machines)
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	park(m)
	if r, err := c.Sweep(t.Context(), nil); err != nil || len(r.Removed) != 0 {
		t.Errorf("Sweep of what sleeps = %+v, %v, want nothing", r, err)
	}
	all := sleepers(c)
	if len(all) != 1 || all[0].Commit != m.Commit || !all[0].Expires.Equal(m.Expires) || all[0].PasswordHash != "x" {
		t.Errorf("Sleepers = %+v, want what was asleep of %+v", all, m)
	}
	l := leaseOf("pr-1", 1)
	l.Ends = l.Ends.Add(time.Hour)
	next := launch(t, c, l)
	if next.Lease <= m.Lease || !next.Ends.Equal(m.Ends) || len(sleepers(c)) != 0 {
		t.Errorf("it goes on as %+v, want a later lease that ends at %s, and nobody who sleeps", next, m.Ends)
	}
	if err := c.Mark(t.Context(), next, map[string]string{host.TagState: "ready"}); err != nil {
		t.Fatal(err)
	}
	if r, err := c.Sweep(t.Context(), nil); err != nil || len(r.Removed) != 1 || !strings.Contains(r.Removed[0].Why, "machine again") {
		t.Errorf("Sweep after it goes on = %+v, %v, want what was remembered forgotten", r, err)
	}
	park(next)
	if r, err := c.Sweep(t.Context(), func(host.Machine) string { return "its pull request is not open" }); err != nil || len(r.Removed) != 1 {
		t.Errorf("Sweep of one that nobody wants = %+v, %v", r, err)
	}
	park(launch(t, c, leaseOf("pr-2", 1)))
	over := cloudOf(t, a.Environ(), func(o *host.Options) {
		o.Now = func() time.Time { return time.Now().Add(2 * time.Hour) }
	})
	if n := len(sleepers(over)); n != 0 {
		t.Errorf("%d sleep after their lease, want none", n)
	}
	if r, err := over.Sweep(t.Context(), nil); err != nil || len(r.Removed) != 1 || !strings.Contains(r.Removed[0].Why, "lease ended") {
		t.Errorf("Sweep after the lease = %+v, %v", r, err)
	}
	park(launch(t, c, leaseOf("pr-3", 1)))
	if r, err := c.End(t.Context(), "pr-3"); err != nil || len(r.Removed) != 1 {
		t.Errorf("End of what sleeps = %+v, %v, want what was remembered", r, err)
	}
	isEmpty(t, c)
}

// TestPark_GoesOn where it was interrupted: before its machine was being ended the preview goes on, after it sleeps.
func TestPark_GoesOn(t *testing.T) {
	a := awslab.Start(t)
	f := a.Faults(t)
	c := cloudOf(t, f.Environ(), func(o *host.Options) { o.Settings.Spot = true })
	for action, want := range map[string]int{"CreateTags": 0, "TerminateInstances": 1} {
		m := launchReady(t, c, "pr-1")
		f.Add(awslab.Fault{Action: action, Code: "UnauthorizedOperation", Times: -1})
		if _, err := c.Park(t.Context(), m, host.Sleeper{Commit: m.Commit}); err == nil {
			t.Errorf("Park without %s = nil, want an error", action)
		}
		f.Clear()
		if _, err := c.Sweep(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		machines, err := c.Machines(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		all, err := c.Sleepers(t.Context(), machines)
		if _, there := host.Holding(machines, "pr-1"); err != nil || len(all) != want || there != (want == 0) {
			t.Errorf("without %s there is a machine: %v, and asleep are %+v, %v; want %d", action, there, all, err, want)
		}
		if _, err := c.End(t.Context(), "pr-1"); err != nil {
			t.Fatal(err)
		}
		isEmpty(t, c)
	}
}

func TestSweep_SaysThatAWSTookAMachineBack(t *testing.T) {
	a := awslab.Start(t)
	c := cloudOf(t, a.Environ(), func(o *host.Options) { o.Settings.Spot = true })
	m := launch(t, c, leaseOf("pr-1", 1))
	a.TakeBack(t, m.ID)
	r, err := c.Sweep(t.Context(), nil)
	if err != nil || len(r.Removed) == 0 || !strings.Contains(r.Removed[0].Why, "took it back") {
		t.Errorf("Sweep = %+v, %v, want what it left, and why", r, err)
	}
	isEmpty(t, c)
}
