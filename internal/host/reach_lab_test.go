//go:build lab

package host_test

import (
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/strake-dev/strake/fixtures/lab/awslab"
	"github.com/strake-dev/strake/internal/engine"
	"github.com/strake-dev/strake/internal/host"
)

// TestReach_AMachineThatEndsByItself: its engine answers, its host key is its own after the first connection, and its lease ends it with nobody about.
func TestReach_AMachineThatEndsByItself(t *testing.T) {
	for name, ami := range map[string]awslab.AMI{"a small init": awslab.AmazonLinux, "systemd and cloud-init": awslab.Debian} {
		t.Run(name, func(t *testing.T) {
			a := awslab.Start(t)
			a.Boot(t, ami)
			c := cloudOf(t, a.Environ(), func(o *host.Options) { o.Settings.AMI = string(ami) })
			l := leaseOf("pr-1", 1)
			m := launch(t, c, l)
			w, err := c.Reach(t.Context(), m)
			if err != nil {
				t.Fatalf("Reach = %v", err)
			}
			e, err := engine.Open(t.Context(), engine.Options{Host: "unix://" + w.Socket(), Remote: m.ID})
			if err != nil {
				t.Fatal(err)
			}
			f, err := e.Facts(t.Context())
			if err != nil || f.Local {
				t.Errorf("Facts = %+v, %v, want those of an engine elsewhere", f, err)
			}
			first := strings.TrimSpace(keyOf(t, m))
			if err := w.Close(t.Context()); err != nil {
				t.Errorf("Close = %v", err)
			}
			if out, err := exec.Command("nc", "-z", "-w", "2", m.Address, "22").CombinedOutput(); err == nil {
				t.Errorf("after Close its port 22 is open: %s", out)
			}
			if w, err = c.Reach(t.Context(), m); err != nil {
				t.Fatalf("the second Reach = %v", err)
			}
			if again := strings.TrimSpace(keyOf(t, m)); again != first {
				t.Errorf("its host key is %s, want %s as before", again, first)
			}
			soon := time.Now().Add(5 * time.Second)
			if _, err := c.Extend(t.Context(), m, w, soon); err != nil {
				t.Fatalf("Extend = %v", err)
			}
			deadline := time.Now().Add(time.Minute)
			for tick := time.NewTicker(time.Second); ; <-tick.C {
				all, err := c.Machines(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if _, ok := host.Holding(all, "pr-1"); !ok {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("a minute after the end of its lease the machine is there: %+v", all)
				}
			}
			_ = w.Connection.Close()
			if _, err := c.Sweep(t.Context(), nil); err != nil {
				t.Errorf("Sweep = %v", err)
			}
			isEmpty(t, c)
		})
	}
}

// keyOf is the host key that a machine shows.
func keyOf(t *testing.T, m host.Machine) string {
	t.Helper()
	out, err := exec.Command("ssh-keyscan", "-t", "ed25519", m.Address).Output()
	if err != nil {
		t.Fatalf("ssh-keyscan: %v", err)
	}
	return string(out)
}

// TestReach_RefusesAnotherMachine: whoever answers in the place of the machine gets nothing.
func TestReach_RefusesAnotherMachine(t *testing.T) {
	a := awslab.Start(t)
	a.Boot(t)
	c := cloudOf(t, a.Environ(), nil)
	m := launch(t, c, leaseOf("pr-1", 1))
	w, err := c.Reach(t.Context(), m)
	if err != nil {
		t.Fatalf("Reach = %v", err)
	}
	if _, err := w.Run(t.Context(), "sudo sh -c 'rm /etc/ssh/ssh_host_*; ssh-keygen -q -t ed25519 -N \"\" -f /etc/ssh/ssh_host_ed25519_key; systemctl restart sshd'", nil); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := c.Reach(t.Context(), m); !errors.Is(err, host.ErrHostKey) {
		t.Errorf("Reach of a machine with another host key = %v, want ErrHostKey", err)
	}
}
