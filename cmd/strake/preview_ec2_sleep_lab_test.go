//go:build lab

package main_test

import (
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/strake-dev/strake/fixtures/lab"
	"github.com/strake-dev/strake/fixtures/lab/awslab"
)

// away are previews on machines of a cloud.
type away struct {
	*testing.T
	repository
}

// strake is what a command on previews prints, which has to end with a code.
func (r away) strake(code int, args ...string) string {
	r.Helper()
	out, got := r.repository.strake(r.T, r.env, append([]string{"preview"}, args...)...)
	if got != code {
		r.Fatalf("strake preview %s: exit %d, want %d\n%s", strings.Join(args, " "), got, code, out)
	}
	return out
}

// role makes the role with which schedules end machines, as its description says.
func role(t *testing.T, a *awslab.Cloud) {
	t.Helper()
	text, err := os.ReadFile("../../internal/host/README.md")
	if err != nil {
		t.Fatal(err)
	}
	var documents []string
	for _, part := range strings.Split(string(text), "```json\n")[1:] {
		document, _, _ := strings.Cut(part, "```")
		documents = append(documents, document)
	}
	if len(documents) != 2 {
		t.Fatalf("internal/host/README.md has %d documents, want those of the role", len(documents))
	}
	a.Role(t, "strake-scheduler", documents[0], documents[1])
}

// only is the one preview that there is.
func (r away) only() machinePreview {
	r.Helper()
	var all []machinePreview
	if err := json.Unmarshal([]byte(r.strake(0, "list", "--json")), &all); err != nil {
		r.Fatal(err)
	}
	if len(all) != 1 {
		r.Fatalf("list --json = %+v, want one", all)
	}
	return all[0]
}

// awake fails where a preview is not ready at the address that its machine has, with a page.
func (r away) awake(page string) machinePreview {
	r.Helper()
	p := r.only()
	if p.State != "ready" || p.Machine.State != "running" || !strings.Contains(p.URL, strings.ReplaceAll(p.Machine.Address, ".", "-")) {
		r.Fatalf("list --json = %+v, want it ready at the address of its machine", p)
	}
	if got := pageAt(r.T, p.URL, p.Machine.Address); got != "200 "+page {
		r.Errorf("its page is %q, want %s", got, page)
	}
	return p
}

func TestPreview_SleepsOnEC2(t *testing.T) {
	lab.EachInSoak(t, func(t *testing.T, e lab.Engine) {
		a := awslab.Start(t)
		a.Boot(t)
		r := away{t, newRepository(t, e)}
		r.onEC2With(t, a.Environ(), ", scheduler: true")
		r.push(t, "v1", "8000")
		r.strake(0, "open", "42")
		first := r.awake("v1")
		r.strake(0, "exec", "-T", "42", "db", "sh", "-c", "echo kept >/data/row")
		if out := r.strake(1, "sleep", "42"); !strings.Contains(out, "scheduler_role") {
			t.Errorf("sleep without a role = %s, want what to make", out)
		}
		role(t, a)
		began := time.Now()
		t.Log(r.strake(0, "sleep", "42"))
		t.Logf("asleep after %s", time.Since(began).Round(time.Millisecond))
		if p := r.only(); p.State != "asleep" || p.Machine.State != "stopped" || p.URL != "" {
			t.Errorf("after sleep list --json = %+v, want it asleep, and nobody's address", p)
		}
		for _, args := range [][]string{{"extend", "42", "100h"}, {"url", "42"}} {
			if out := r.strake(1, args...); !strings.Contains(out, "preview wake pr-42") {
				t.Errorf("%v of what sleeps = %s, want that it has to be woken", args, out)
			}
		}
		if out := r.strake(0, "show", "42"); !strings.Contains(out, "AWS ends it") {
			t.Errorf("show of what sleeps = %s", out)
		}
		if out := r.strake(0, "sync"); !strings.Contains(out, "as they should be") {
			t.Errorf("sync of what sleeps = %s", out)
		}
		began = time.Now()
		t.Log(r.strake(0, "wake", "42"))
		t.Logf("awake after %s", time.Since(began).Round(time.Millisecond))
		if p := r.awake("v1"); p.Machine.ID != first.Machine.ID || p.Machine.Address == first.Machine.Address || !p.Machine.Scheduled.IsZero() {
			t.Errorf("after wake list --json = %+v, want %s at another address than %s, with no schedule", p, first.Machine.ID, first.Machine.Address)
		}
		if out := r.strake(0, "exec", "-T", "42", "db", "cat", "/data/row"); strings.TrimSpace(out) != "kept" {
			t.Errorf("its data is %q, want what it was", out)
		}
		r.strake(0, "sleep", "42")
		r.strake(0, "open", "42", "--ttl", "100h")
		if p := r.awake("v1"); !p.Expires.After(first.Expires) || !p.Machine.Scheduled.IsZero() {
			t.Errorf("after open list --json = %+v, want its lease extended, and no schedule", p)
		}
		if out := r.strake(0, "exec", "-T", "42", "db", "cat", "/data/row"); strings.TrimSpace(out) != "kept" {
			t.Errorf("after open its data is %q, want what it was", out)
		}
		r.strake(0, "sleep", "42")
		if out := r.strake(0, "close", "42", "--yes"); !strings.Contains(out, "gone  schedule") {
			t.Errorf("close of what sleeps = %s, want its schedule gone too", out)
		}
	})
}

func TestPreview_SleepsWithoutItsSpareMachine(t *testing.T) {
	lab.EachInSoak(t, func(t *testing.T, e lab.Engine) {
		a := awslab.Start(t)
		a.Boot(t)
		r := away{t, newRepository(t, e)}
		r.onEC2With(t, a.Environ(), ", spot: true")
		r.push(t, "v1", "8000")
		r.strake(0, "open", "42")
		first := r.awake("v1")
		r.push(t, "v2", "8000")
		if out := r.strake(2, "sleep", "42"); !strings.Contains(out, "--yes") {
			t.Errorf("sleep of spare capacity = %s, want to be asked", out)
		}
		t.Log(r.strake(0, "sleep", "42", "--yes"))
		if p := r.only(); p.State != "asleep" || p.Machine.ID != "" || p.Commit != first.Commit {
			t.Errorf("after sleep list --json = %+v, want it asleep without a machine at %s", p, first.Commit)
		}
		if out := r.strake(0, "show", "42"); !strings.Contains(out, "data of the seed") {
			t.Errorf("show of what sleeps = %s", out)
		}
		t.Log(r.strake(0, "wake", "42"))
		p := r.awake("v1")
		if p.Machine.ID == first.Machine.ID || p.Commit != first.Commit {
			t.Errorf("after wake list --json = %+v, want another machine at %s", p, first.Commit)
		}
		if out := r.strake(0, "sync"); !strings.Contains(out, "as they should be") {
			t.Errorf("sync after wake = %s", out)
		}
		r.takenBack(a, p)
		t.Log(r.strake(0, "open", "42"))
		again := r.awake("v2")
		if again.Machine.ID == p.Machine.ID {
			t.Errorf("after AWS took it back open has %s, want another machine", again.Machine.ID)
		}
		if out := r.strake(0, "show", "42"); !strings.Contains(out, "ready") {
			t.Errorf("show of what was made anew = %s", out)
		}
		r.takenBack(a, again)
		t.Log(r.strake(0, "close", "42", "--yes"))
		if out := r.strake(0, "list"); !strings.Contains(out, "there is no preview") {
			t.Errorf("list after its close = %s, want none", out)
		}
		if out := r.strake(1, "close", "42", "--yes"); !strings.Contains(out, "no preview pr-42") {
			t.Errorf("a second close = %s, want that there is none", out)
		}
	})
}

// takenBack has AWS take back the machine of a preview, of which everybody is told.
func (r away) takenBack(a *awslab.Cloud, p machinePreview) {
	r.Helper()
	a.TakeBack(r.T, p.Machine.ID)
	told := func(when string) {
		r.Helper()
		if out := r.strake(0, "list"); !strings.Contains(out, "taken back") || !strings.Contains(out, "strake preview open pr-42") {
			r.Errorf("list %s = %s, want that AWS took it back", when, out)
		}
		if is := r.only(); is.State != "taken back" || is.URL != "" {
			r.Errorf("list --json %s = %+v, want that AWS took it back, and nobody's address", when, is)
		}
		for _, command := range [][]string{{"show", "42"}, {"wake", "42"}, {"sleep", "42", "--yes"}, {"url", "42"}, {"exec", "-T", "42", "web", "true"}, {"extend", "42", "1h"}} {
			if out := r.strake(1, command...); !strings.Contains(out, p.Machine.ID) || !strings.Contains(out, "took it back") || !strings.Contains(out, "strake preview open pr-42") {
				r.Errorf("%v %s = %s, want that AWS took it back, and what makes it anew", command, when, out)
			}
		}
	}
	told("after AWS took it back")
	if out := r.strake(0, "sync"); !strings.Contains(out, "took it back") {
		r.Errorf("sync after AWS took it back = %s", out)
	}
	if out := r.strake(0, "sync"); !strings.Contains(out, "as they should be") {
		r.Errorf("the next sync = %s, want nothing to be done", out)
	}
	told("after sync")
}

func TestPreview_OnEC2SleepsByItselfWithSync(t *testing.T) {
	lab.EachInSoak(t, func(t *testing.T, e lab.Engine) {
		a := awslab.Start(t)
		a.Boot(t)
		role(t, a)
		r := away{t, newRepository(t, e)}
		r.idle = "1s"
		r.onEC2With(t, a.Environ(), ", scheduler: true")
		r.push(t, "v1", "8000")
		r.strake(0, "open", "42")
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		for tick := time.NewTicker(time.Second); ; { // its containers sleep first
			if out := r.strake(0, "sync"); strings.Contains(out, "nobody looked at it") {
				break
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				t.Fatal("its machine was not stopped although nobody looks at it")
			}
		}
		if p := r.only(); p.State != "asleep" || p.Machine.State != "stopped" {
			t.Errorf("list --json = %+v, want it asleep", p)
		}
		r.strake(0, "wake", "42")
		r.awake("v1")
	})
}
