//go:build lab

package main_test

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/strake-dev/strake/fixtures/lab"
	"github.com/strake-dev/strake/fixtures/lab/awslab"
)

// moment is when SSH is cut: so many bytes after the open began, or before a call.
type moment struct {
	name  string
	bytes int64
	call  awslab.Fault
}

// openWatched opens pull request 42, calls said with each line of its progress, and returns all of it with the exit code.
func (r repository) openWatched(t *testing.T, said func(line string)) (string, int) {
	t.Helper()
	cmd := r.command(t, r.env, "preview", "open", "42")
	progress, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for lines := bufio.NewScanner(progress); lines.Scan(); {
		fmt.Fprintln(&all, lines.Text())
		said(lines.Text())
	}
	_ = cmd.Wait() // its code says how it ended
	return all.String(), cmd.ProcessState.ExitCode()
}

// momentsOf opens a preview as usual, and returns moments in each part of that.
func (r repository) momentsOf(t *testing.T, a *awslab.Cloud) []moment {
	t.Helper()
	type mark struct {
		name string
		at   int64
	}
	marks := []mark{{name: "reach"}}
	a.CutSSHAt()
	out, code := r.openWatched(t, func(line string) {
		at, _ := a.SSHCarried()
		for _, name := range []string{"source", "gateway", "images", "data", "start", "route"} {
			if strings.HasSuffix(line, name) {
				marks = append(marks, mark{name, at})
			}
		}
	})
	end, _ := a.SSHCarried()
	if code != 0 || len(marks) != 7 {
		t.Fatalf("preview open: exit %d, parts %v\n%s", code, marks, out)
	}
	marks = append(marks, mark{"end", end})
	var all []moment
	for i, m := range marks[:len(marks)-1] {
		size := marks[i+1].at - m.at
		parts := []int64{50}
		if m.name == "reach" {
			parts = []int64{5, 50, 95}
		}
		for _, part := range parts {
			all = append(all, moment{name: fmt.Sprintf("%s at %d %% of %d bytes", m.name, part, size), bytes: max(1, m.at+size*part/100)})
		}
	}
	for n := 1; n <= 2; n++ {
		all = append(all, moment{name: fmt.Sprintf("tags, call %d", n), call: awslab.Fault{Service: "ec2", Action: "CreateTags", Call: n, Before: func() { a.CutSSH() }}})
	}
	return all
}

// TestPreview_GoesOnWhereSSHIsCut: an open whose SSH breaks off in any of its parts ends with a preview that is ready.
func TestPreview_GoesOnWhereSSHIsCut(t *testing.T) {
	e := lab.Engines(t)[0]
	a := awslab.Start(t)
	a.Boot(t)
	f := a.Faults(t)
	r := newRepository(t, e)
	r.onEC2(t, f.Environ())
	r.push(t, "v1", "8000")
	moments := r.momentsOf(t, a)
	r.run(t, 0, "preview", "close", "42", "--yes")
	rand.New(rand.NewPCG(6, 1)).Shuffle(len(moments), func(i, j int) { moments[i], moments[j] = moments[j], moments[i] })
	for _, m := range moments[:lab.Count(3, uint64(len(moments)))] {
		f.Clear()
		a.CutSSHAt()
		if m.bytes > 0 {
			a.CutSSHAt(m.bytes)
		} else {
			f.Add(m.call)
		}
		began := time.Now()
		t.Logf("cut at %s", m.name) // it may wait for what does not come
		out, code := r.openWatched(t, func(string) {})
		if _, left := a.SSHCarried(); left > 0 {
			t.Errorf("%s: it ended before that", m.name)
		}
		all := r.machines(t)
		if code != 0 || len(all) != 1 || all[0].State != "ready" {
			t.Errorf("cut at %s: exit %d, %+v, want one that is ready\n%s", m.name, code, all, out)
		} else if page := pageAt(t, all[0].URL, all[0].Machine.Address); page != "200 v1" {
			t.Errorf("cut at %s: its page is %q, want v1", m.name, page)
		}
		t.Logf("cut at %s: ready after %s; said of it: %v", m.name, time.Since(began).Round(time.Millisecond), strings.Contains(out, "broke off"))
		r.run(t, 0, "preview", "close", "42", "--yes")
	}
}

// TestPreview_SaysThatSSHIsGone: where it is cut for good the open says so, and the next one goes on.
func TestPreview_SaysThatSSHIsGone(t *testing.T) {
	e := lab.Engines(t)[0]
	a := awslab.Start(t)
	a.Boot(t)
	r := newRepository(t, e)
	r.onEC2(t, a.Environ())
	r.push(t, "v1", "8000")
	out, code := r.openWatched(t, func(line string) {
		if strings.HasSuffix(line, "images") {
			a.SSHDown(true)
		}
	})
	if code != 1 || !strings.Contains(out, "broke off") || !strings.Contains(out, "run it again") {
		t.Errorf("cut for good: exit %d, want 1 and what to do\n%s", code, out)
	}
	a.SSHDown(false)
	out, code = r.openWatched(t, func(string) {})
	all := r.machines(t)
	if code != 0 || len(all) != 1 || all[0].State != "ready" {
		t.Fatalf("open again: exit %d, %+v, want it ready\n%s", code, all, out)
	}

	// Whoever answers in its place is told nothing.
	id := all[0].Machine.ID
	lab.Docker(t, lab.System(t), "exec", id, "sh", "-c", "rm /etc/ssh/ssh_host_*; ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key; systemctl restart sshd")
	for _, command := range [][]string{{"open", "42"}, {"extend", "42", "1h"}, {"exec", "-T", "42", "web", "true"}} {
		out, code := r.strake(t, r.env, append([]string{"preview"}, command...)...)
		if code != 1 || !strings.Contains(out, "another host key") || !strings.Contains(out, "do not use it") {
			t.Errorf("strake preview %s with another machine in its place: exit %d, want 1 and why\n%s", command[0], code, out)
		}
	}
	log := lab.Docker(t, lab.System(t), "exec", id, "sh", "-c", "cat /var/log/auth.log 2>/dev/null; true")
	if strings.Contains(log, "Accepted") {
		t.Errorf("somebody logged in to it:\n%s", log)
	}
	r.run(t, 0, "preview", "close", "42", "--yes")
}
