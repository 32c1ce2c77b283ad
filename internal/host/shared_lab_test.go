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

// launchShared has a preview be on a machine that it shares with at most one more.
func launchShared(t *testing.T, c *host.Cloud, preview string, pid int) host.Machine {
	t.Helper()
	m, err := c.LaunchShared(t.Context(), leaseOf(preview, pid), 2)
	if err != nil {
		t.Errorf("LaunchShared of %s = %v", preview, err)
	}
	return m
}

func TestLaunchShared_FillsMachines(t *testing.T) {
	a := awslab.Start(t)
	c := cloudOf(t, a.Environ(), nil)
	var all sync.WaitGroup
	names := []string{"pr-1", "pr-2", "pr-3"}
	for i, name := range names { // they all see that there is no machine
		all.Go(func() { launchShared(t, c, name, i+1) })
	}
	all.Wait()
	there, err := c.Machines(t.Context())
	if err != nil || len(there) != 2 {
		t.Fatalf("Machines = %+v, %v, want two for three previews", there, err)
	}
	on := map[string]string{}
	for _, m := range there {
		if len(m.Shares) > 2 || !m.Shared() || m.Phase != "ready" {
			t.Errorf("machine %s is %s and has %+v, want two previews at most", m.ID, m.Phase, m.Shares)
		}
		for _, s := range m.Shares {
			on[s.Preview] += m.ID
		}
	}
	for i, name := range names {
		if again := launchShared(t, c, name, i+10); on[name] != again.ID {
			t.Errorf("LaunchShared of %s again is %s, want %s, where it is", name, again.ID, on[name])
		}
	}
	if m := launchShared(t, c, "pr-4", 4); m.ID != there[0].ID && m.ID != there[1].ID {
		t.Errorf("a fourth is on %s, want the room on the second machine", m.ID)
	}
}

func TestLaunchShared_KeepsBudgetOfPreviews(t *testing.T) {
	a := awslab.Start(t)
	f := a.Faults(t)
	c := cloudOf(t, f.Environ(), func(o *host.Options) { o.Budget = compose.PreviewBudget{Previews: 2} })
	launchShared(t, c, "pr-1", 1)
	var taking, all sync.WaitGroup
	taking.Add(2)
	f.Add(awslab.Fault{Action: "CreateTags", Times: 2, Before: func() { taking.Done(); taking.Wait() }})
	got := make([]error, 2)
	for i, name := range []string{"pr-2", "pr-3"} {
		all.Go(func() { _, got[i] = c.LaunchShared(t.Context(), leaseOf(name, i+2), 8) })
	}
	all.Wait()
	var full *host.BudgetError
	if (got[0] == nil) == (got[1] == nil) || !errors.As(errors.Join(got...), &full) {
		t.Errorf("two who take the last place at once have %v, want one with a BudgetError", got)
	}
	if there, err := c.Machines(t.Context()); err != nil || len(there) != 1 || len(there[0].Shares) != 2 {
		t.Errorf("Machines = %+v, %v, want one with two previews", there, err)
	}
}

// TestSweep_EndsEmptyMachines: but not the one to which somebody comes at that moment, who goes elsewhere if it is too late.
func TestSweep_EndsEmptyMachines(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault func(come func()) awslab.Fault
		ends  bool
	}{
		{"nobody comes", nil, true},
		{"somebody comes before it is said", func(come func()) awslab.Fault { return awslab.Fault{Action: "CreateTags", Before: come} }, false},
		{"somebody comes after", func(come func()) awslab.Fault { return awslab.Fault{Action: "CreateTags", After: come} }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := awslab.Start(t)
			f := a.Faults(t)
			now := time.Now()
			change := func(o *host.Options) { o.Idle, o.Now = 30*time.Minute, func() time.Time { return now } }
			visitor := cloudOf(t, a.Environ(), change)
			sweeper := cloudOf(t, f.Environ(), change)
			long := leaseOf("pr-1", 1)
			long.Expires = now.Add(24 * time.Hour)
			m, err := visitor.LaunchShared(t.Context(), long, 2)
			if err != nil {
				t.Fatal(err)
			}
			sweep := func(removed int) {
				t.Helper()
				if r, err := sweeper.Sweep(t.Context(), nil); err != nil || len(r.Removed) != removed {
					t.Errorf("Sweep = %+v, %v, want %d things removed", r, err, removed)
				}
			}
			now = now.Add(time.Hour)
			sweep(0) // pr-1 is on it
			if err := visitor.Leave(t.Context(), m, "pr-1"); err != nil {
				t.Fatal(err)
			}
			now = now.Add(29 * time.Minute)
			sweep(0)
			now = now.Add(2 * time.Minute)
			other := host.Machine{}
			if c.fault != nil {
				f.Add(c.fault(func() { other = launchShared(t, visitor, "pr-2", 2) }))
			}
			if c.ends {
				sweep(3)
			} else {
				sweep(0)
			}
			if all, err := visitor.Machines(t.Context()); err != nil || c.ends == strings.Contains(idsOf(all), m.ID) || c.fault != nil && !strings.Contains(idsOf(all), other.ID) {
				t.Errorf("there are %s, %v; want %s gone: %v, and that of who came, %s", idsOf(all), err, m.ID, c.ends, other.ID)
			}
		})
	}
}

// idsOf are the machines that are there.
func idsOf(all []host.Machine) string {
	var ids []string
	for _, m := range all {
		if m.Live() {
			ids = append(ids, m.ID)
		}
	}
	return strings.Join(ids, " ")
}

// TestLaunchShared_MachinesEndThemselvesWhenEmpty: with nobody about, and not while somebody says that it is used.
func TestLaunchShared_MachinesEndThemselvesWhenEmpty(t *testing.T) {
	a := awslab.Start(t)
	a.Boot(t, awslab.Debian)
	c := cloudOf(t, a.Environ(), func(o *host.Options) { o.Settings.AMI = string(awslab.Debian) })
	l := leaseOf("pr-1", 1)
	l.Idle = 20 * time.Second
	m, err := c.LaunchShared(t.Context(), l, 2)
	if err != nil {
		t.Fatal(err)
	}
	w, err := c.Reach(t.Context(), m)
	if err != nil {
		t.Fatalf("Reach = %v", err)
	}
	later := m.Expires.Add(time.Hour)
	for _, end := range []time.Time{later, m.Expires.Add(time.Minute)} { // the second of two who extend it was the first to ask
		if _, err := c.Extend(t.Context(), m, w, end); err != nil {
			t.Errorf("Extend to %s = %v", end, err)
		}
	}
	if out, err := w.Run(t.Context(), "systemctl list-timers --all; sudo cat /etc/systemd/system/strake-lease.timer", nil); err != nil || !strings.Contains(string(out), later.UTC().Format("OnCalendar=2006-01-02 15:04:05 UTC")) || !strings.Contains(string(out), "strake-empty.timer") {
		t.Errorf("its timers are %s, %v, want the lease to end at %s", out, err, later.UTC())
	}
	used := time.Now()
	if err := w.Close(t.Context()); err != nil {
		t.Errorf("Close = %v", err)
	}
	for tick := time.NewTicker(500 * time.Millisecond); ; <-tick.C {
		all, err := c.Machines(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if idsOf(all) == "" {
			break
		}
		if time.Since(used) > 2*time.Minute {
			t.Fatalf("machine %s is there, want it to end itself", m.ID)
		}
	}
	t.Logf("it ended %s after it was used", time.Since(used).Round(time.Second))
}

// TestLaunch_GoesToNoSharedMachine: who asks for a machine of its own, as for what nobody proved to be harmless, is not brought to others.
func TestLaunch_GoesToNoSharedMachine(t *testing.T) {
	a := awslab.Start(t)
	c := cloudOf(t, a.Environ(), nil)
	shared := launchShared(t, c, "pr-1", 1)
	var hint *compose.HintedError
	if m, err := c.Launch(t.Context(), leaseOf("pr-1", 2)); !errors.As(err, &hint) || !strings.Contains(err.Error(), "others share") || !strings.Contains(hint.Next, "preview close pr-1") {
		t.Errorf("Launch of what shares a machine = %+v, %v, want that it has to be closed first", m, err)
	}
	if again := launchShared(t, c, "pr-1", 3); again.ID != shared.ID {
		t.Errorf("LaunchShared of it again is %s, want %s, where it is", again.ID, shared.ID)
	}
}
