//go:build lab

package host_test

import (
	"testing"
	"time"

	"github.com/strake-dev/strake/fixtures/lab"
	"github.com/strake-dev/strake/fixtures/lab/awslab"
	"github.com/strake-dev/strake/internal/host"
)

// TestSleep_MachineKeepsItsLeaseItself: one whose lease was extended before it fell asleep runs when it is started after its former end; one whose lease
// ended meanwhile, with no schedule to end it, ends itself as soon as it is started.
func TestSleep_MachineKeepsItsLeaseItself(t *testing.T) {
	images := map[string]awslab.AMI{"systemd and cloud-init": awslab.Debian}
	if lab.Count(0, 1) > 0 { // it takes minutes, as leases do
		images["a small init"] = awslab.AmazonLinux
	}
	for name, image := range images {
		t.Run(name, func(t *testing.T) {
			a := awslab.Start(t)
			a.Boot(t, image)
			a.Role(t, "strake-scheduler", host.SchedulerTrust, host.SchedulerPolicy)
			c := cloudOf(t, a.Environ(), func(o *host.Options) {
				o.Settings.Scheduler, o.Settings.AMI = true, string(image)
				o.Now = func() time.Time { return time.Now().Add(-10 * time.Minute) } // so that a lease may be about to end
			})
			l := leaseOf("pr-1", 1)
			l.Expires = time.Now().Add(90 * time.Second)
			m := launch(t, c, l)
			m = extended(t, c, m, time.Now().Add(30*time.Minute))
			m = sleep(t, c, m)
			passes(t, l.Expires)
			m, err := c.Wake(t.Context(), m, whose())
			if err != nil {
				t.Fatalf("Wake after the former end of its lease = %v", err)
			}
			m = extended(t, c, m, time.Now().Add(45*time.Second))
			m = sleep(t, c, m)
			if err := c.Unschedule(t.Context(), m); err != nil {
				t.Fatal(err)
			}
			passes(t, m.Expires)
			if all, err := c.Machines(t.Context()); err != nil || len(all) != 1 || all[0].State != "stopped" {
				t.Fatalf("without a schedule Machines = %+v, %v, want one that stands still", all, err)
			}
			_, _ = c.Wake(t.Context(), m, whose()) // it may be gone before it has an address
			until(t, "it ends itself", func() bool {
				all, err := c.Machines(t.Context())
				_, there := host.Holding(all, "pr-1")
				return err == nil && !there
			})
		})
	}
}

// extended is a machine whose lease was moved, on it and in its tags.
func extended(t *testing.T, c *host.Cloud, m host.Machine, end time.Time) host.Machine {
	t.Helper()
	w, err := c.Reach(t.Context(), m)
	if err != nil {
		t.Fatalf("Reach = %v", err)
	}
	if m, err = c.Extend(t.Context(), m, w, end); err != nil {
		t.Fatalf("Extend = %v", err)
	}
	if err := w.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	return m
}

// passes waits until a time is over.
func passes(t *testing.T, at time.Time) {
	t.Helper()
	select {
	case <-time.After(time.Until(at.Add(time.Second))):
	case <-t.Context().Done():
	}
}
