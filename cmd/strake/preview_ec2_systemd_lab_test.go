//go:build lab

package main_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/strake-dev/strake/fixtures/lab"
	"github.com/strake-dev/strake/fixtures/lab/awslab"
)

// TestPreview_OnAMachineWithSystemd: the life of a preview on a machine with systemd and cloud-init as they are, whose timer goes off when the lease
// ends, with nobody about.
func TestPreview_OnAMachineWithSystemd(t *testing.T) {
	e := lab.Engines(t)[0]
	a := awslab.Start(t)
	a.Boot(t, awslab.Debian)
	r := newRepository(t, e)
	r.onEC2Beside(t, a.Environ(), "ami: "+string(awslab.Debian))
	r.push(t, "v1", "8000")
	t.Log(r.strake(t, r.env, "preview", "open", "42", "--ttl", "1h"))
	p := r.onlyMachine(t)
	on := func(script string) string {
		t.Helper()
		return strings.TrimSpace(lab.Docker(t, lab.System(t), "exec", p.Machine.ID, "sh", "-c", script))
	}
	goesOff := func() time.Time {
		t.Helper()
		text := on("date -u -d \"$(systemctl show -P NextElapseUSecRealtime strake-lease.timer)\" +%FT%TZ")
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	if at := goesOff(); !at.Equal(p.Expires.Truncate(time.Second)) {
		t.Errorf("the timer goes off at %s, and the lease ends at %s", at, p.Expires)
	}
	t.Log(on("systemctl list-timers --no-pager strake-lease.timer; systemctl is-system-running; cloud-init status"))
	if page := pageAt(t, p.URL, p.Machine.Address); page != "200 v1" {
		t.Errorf("its page is %q, want v1", page)
	}
	out, code := r.strake(t, r.env, "preview", "doctor", "42")
	if code != 0 || !strings.Contains(out, "runs, and ends the machine at") {
		t.Errorf("preview doctor: exit %d, want the timer to run\n%s", code, out)
	}
	t.Log(out)
	r.push(t, "v2", "8000")
	r.run(t, 0, "preview", "open", "42", "--ttl", "1h")
	if page := pageAt(t, p.URL, p.Machine.Address); page != "200 v2" {
		t.Errorf("after the update its page is %q, want v2", page)
	}
	r.run(t, 0, "preview", "extend", "42", "30h")
	if moved := r.onlyMachine(t); !goesOff().Equal(moved.Expires.Truncate(time.Second)) || !moved.Expires.After(p.Expires.Add(20*time.Hour)) {
		t.Errorf("after extend the timer goes off at %s, and the lease ends at %s", goesOff(), moved.Expires)
	}
	on("systemctl stop strake-lease.timer")
	if out, code := r.strake(t, r.env, "preview", "doctor", "42"); code != 1 || !strings.Contains(out, "does not run") {
		t.Errorf("preview doctor without the timer: exit %d, want 1 and that it does not run\n%s", code, out)
	}
	soon := time.Now().Add(5 * time.Second).UTC()
	on(fmt.Sprintf("sed -i 's/^OnCalendar=.*/OnCalendar=%s/' /etc/systemd/system/strake-lease.timer; systemctl daemon-reload; systemctl restart strake-lease.timer", soon.Format("2006-01-02 15:04:05 UTC")))
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); ; <-tick.C {
		all := r.machines(t)
		if len(all) == 0 {
			t.Logf("the machine is gone %s after its timer was due", time.Since(soon).Round(time.Second))
			break
		}
		if time.Now().After(end) {
			t.Fatalf("a minute after its timer was due there is %+v", all)
		}
	}
	r.run(t, 0, "preview", "sync")
}
