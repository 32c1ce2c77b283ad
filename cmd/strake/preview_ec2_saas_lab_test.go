//go:build lab

package main_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/strake-dev/strake/fixtures/lab"
	"github.com/strake-dev/strake/fixtures/lab/awslab"
)

// onEC2Beside has the previews of a repository be on machines of a cloud, said in a file beside its own with more settings.
func (r *repository) onEC2Beside(t *testing.T, environ []string, more ...string) {
	t.Helper()
	r.env = append(append(r.env, environ...), "STRAKE_EC2_FROM=127.0.0.1")
	text := fmt.Sprintf("x-strake: {previews: {host: ec2, access: public, ec2: {%s}}}\n", strings.Join(append(more, "wildcard: lab.test"), ", "))
	if err := os.WriteFile(filepath.Join(r.dir, "strake.yaml"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	r.git(t, "add", "strake.yaml")
	r.git(t, "commit", "-q", "-m", "previews on EC2")
}

// TestPreview_TheDemoProjectOnEC2: what happens to a pull request of the demo project from its open to its close, on a machine of its own.
func TestPreview_TheDemoProjectOnEC2(t *testing.T) {
	lab.EachInSoak(t, func(t *testing.T, e lab.Engine) {
		a := awslab.Start(t)
		a.Boot(t)
		r := newSaas(t, e)
		role(t, a)
		r.onEC2Beside(t, a.Environ(), "scheduler: true")
		timed := func(args ...string) string {
			t.Helper()
			began := time.Now()
			out, code := r.strake(t, r.env, append([]string{"preview"}, args...)...)
			if code != 0 {
				t.Fatalf("strake preview %s: exit %d\n%s", strings.Join(args, " "), code, out)
			}
			t.Logf("strake preview %s: %s\n%s", strings.Join(args, " "), time.Since(began).Round(time.Millisecond), out)
			return out
		}
		timed("open", "42")
		p := r.onlyMachine(t)
		var phases []string
		for _, f := range r.show(t, r.run(t, 0, "preview", "show", "42", "--json")).Phases {
			phases = append(phases, f.Name)
		}
		if want := []string{"launch", "reach", "engine", "source", "gateway", "supply", "images", "data", "start", "health", "route"}; !slices.Equal(phases, want) {
			t.Errorf("the phases of the open are %q, want %q", phases, want)
		}
		if page := pageAt(t, p.URL+"/", p.Machine.Address); !strings.HasPrefix(page, "200 ") || !strings.Contains(page, "What the team knows") {
			t.Errorf("its page is %.600q, want the demo project's", page)
		}
		count := func(question string) string {
			t.Helper()
			return strings.TrimSpace(r.run(t, 0, "preview", "exec", "42", "db", "psql", "-U", "notes", "-At", "notes", "-c", question))
		}
		if rows := count("select count(*) filter (where minutes > 0) > 2000 from notes"); rows != "t" {
			t.Errorf("more than 2000 notes have their minutes: %q, want t: the migration is applied to the seed's rows", rows)
		}

		r.commitTo(t, "pr-42", "app/notes/templates/sign_in.html", "What the team knows", "What the whole team knows")
		timed("open", "42")
		after := r.onlyMachine(t)
		if after.Machine.ID != p.Machine.ID || after.Commit == p.Commit {
			t.Errorf("after the update it is commit %.12s on %s, want a newer one than %.12s on %s", after.Commit, after.Machine.ID, p.Commit, p.Machine.ID)
		}
		if page := pageAt(t, p.URL+"/", p.Machine.Address); !strings.Contains(page, "What the whole team knows") {
			t.Errorf("after the update its page is %.600q", page)
		}
		r.sleepsAndWakes(t, after, timed, count)
		timed("extend", "42", "100h")
		if again := r.onlyMachine(t); !again.Expires.After(p.Expires) {
			t.Errorf("after extend the lease ends at %s, before at %s", again.Expires, p.Expires)
		}
		timed("close", "42", "--yes")
		if all := r.machines(t); len(all) != 0 {
			t.Errorf("after close list --json = %+v, want none", all)
		}
	})
}

// sleepsAndWakes has a preview sleep and wake: its machine has another address then, and its page and data are what they were.
func (r repository) sleepsAndWakes(t *testing.T, before machinePreview, strake func(args ...string) string, query func(string) string) {
	t.Helper()
	page := pageAt(t, before.URL+"/", before.Machine.Address)
	query("create table kept_asleep as select 7 as n")
	strake("sleep", "42")
	if asleep := r.machines(t); len(asleep) != 1 || asleep[0].State != "asleep" || asleep[0].Machine.State != "stopped" {
		t.Errorf("after sleep list --json = %+v, want it asleep and its machine stopped", asleep)
	}
	strake("wake", "42")
	woken := r.onlyMachine(t)
	if woken.Machine.ID != before.Machine.ID || woken.Commit != before.Commit || woken.Machine.Address == before.Machine.Address {
		t.Errorf("after wake it is commit %.12s on %s at %s, want %.12s on %s at another address than %s", woken.Commit, woken.Machine.ID, woken.Machine.Address, before.Commit, before.Machine.ID, before.Machine.Address)
	}
	if now := pageAt(t, woken.URL+"/", woken.Machine.Address); !strings.HasPrefix(now, "200 ") || !strings.Contains(now, "What the whole team knows") {
		t.Errorf("after wake its page is %.600q, want that of before: %.600q", now, page)
	}
	if kept := query("select n from kept_asleep"); kept != "7" {
		t.Errorf("after wake what was written before is %q, want 7", kept)
	}
}

// machines are the previews that are on machines.
func (r repository) machines(t *testing.T) (all []machinePreview) {
	t.Helper()
	if err := json.Unmarshal([]byte(r.run(t, 0, "preview", "list", "--json")), &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// onlyMachine is the one preview that is on a machine, which is ready.
func (r repository) onlyMachine(t *testing.T) machinePreview {
	t.Helper()
	all := r.machines(t)
	if len(all) != 1 || all[0].State != "ready" || all[0].Machine.State != "running" {
		t.Fatalf("list --json = %+v, want one that is ready", all)
	}
	return all[0]
}

// commitTo changes a text in a file of a branch that is not checked out.
func (r repository) commitTo(t *testing.T, branch, file, old, changed string) {
	t.Helper()
	r.git(t, "checkout", "-q", branch)
	name := filepath.Join(r.dir, filepath.FromSlash(file))
	text, err := os.ReadFile(name)
	if err != nil || !strings.Contains(string(text), old) {
		t.Fatalf("%s has no %q (%v)", file, old, err)
	}
	if err := os.WriteFile(name, []byte(strings.Replace(string(text), old, changed, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	r.git(t, "commit", "-q", "-a", "-m", "change "+file)
	r.git(t, "checkout", "-q", "main")
}
