//go:build lab

package main_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strake-dev/strake/fixtures/lab"
)

// lanes replaces the environments of a project of released, and publishes that; it returns the commit.
func (r repository) lanes(t *testing.T, environments string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(r.dir, "compose.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	before, after, _ := strings.Cut(string(text), "  environments:\n")
	_, after, _ = strings.Cut(after, "services:")
	r.write(t, "compose.yaml", before+"  environments:\n"+environments+"services:"+after)
	commit := r.commit(t, "lanes")
	r.run(t, 0, "build", "--push")
	return commit
}

// runs is the commit that an environment runs.
func (r repository) runs(t *testing.T, environment string) string {
	t.Helper()
	st := r.status(t)[environment]
	if st.Release == nil {
		return ""
	}
	return st.Release.Commit
}

// owes are the subjects of the fixes that the default branch owes to an environment.
func (r repository) owes(t *testing.T, environment string) string {
	t.Helper()
	var all []struct {
		Environment string
		Debts       []struct{ Subject, Unknown string }
	}
	if err := json.Unmarshal([]byte(r.run(t, 0, "status", "--json")), &all); err != nil {
		t.Fatal(err)
	}
	var subjects []string
	for _, e := range all {
		for _, d := range e.Debts {
			if e.Environment == environment {
				subjects = append(subjects, d.Subject+d.Unknown)
			}
		}
	}
	return strings.Join(subjects, ", ")
}

// fix makes a branch of the origin with one commit on top of another one, which changes a file, publishes its images, and returns the commit. main is
// checked out then.
func (r repository) fix(t *testing.T, branch, on, file, text string) string {
	t.Helper()
	r.git(t, "checkout", "-q", "-B", branch, on)
	r.write(t, file, text)
	r.git(t, "commit", "-q", "-a", "-m", branch+" of "+file)
	r.git(t, "push", "-q", "origin", branch)
	r.run(t, 0, "build", "--push")
	commit := r.git(t, "rev-parse", "HEAD")
	r.git(t, "checkout", "-q", "main")
	return commit
}

func TestHotfix_GoesPastDevAndIsOwedToMain(t *testing.T) {
	lab.EachInSoak(t, func(t *testing.T, e lab.Engine) {
		r := releaseRepository(t, e)
		one := r.lanes(t, "    dev: {tag: latest, branch: main}\n    prod: {tag: release, from: dev, hotfix: \"hotfix*\"}\n")
		r.refused(t, "has had no release", "promote", "prod", "--hotfix", "--yes")
		r.run(t, 2, "promote", "dev", "--hotfix", "--yes")
		r.run(t, 0, "promote", "prod", "--yes")
		r.write(t, "web/page", "web v2")
		two := r.commit(t, "v2")
		r.run(t, 0, "build", "--push")
		r.refused(t, "no branch that is like hotfix*", "promote", "prod", "--hotfix", "--yes")

		fix := r.fix(t, "hotfix/1", one, "api/page", "api fixed")
		if dev, prod := r.runs(t, "dev"), r.runs(t, "prod"); dev != two || prod != one {
			t.Errorf("after the build of a hotfix dev runs %s and prod %s, want %s and %s", dev, prod, two, one)
		}
		r.refused(t, "which is "+two[:7], "promote", "prod", fix, "--yes")
		r.refused(t, "no branch that is like hotfix*", "promote", "prod", "--hotfix", two, "--yes")
		r.run(t, 10, "promote", "prod", "--hotfix", "--dry-run")
		t.Log(r.run(t, 0, "promote", "prod", "--hotfix", "--yes"))
		if got := r.runs(t, "prod"); got != fix {
			t.Errorf("prod runs %s, want the hotfix %s", got, fix)
		}
		if got, want := r.owes(t, "prod"), "hotfix/1 of api/page"; got != want {
			t.Errorf("main owes %q, want %q", got, want)
		}
		r.fix(t, "hotfix/2", two, "web/page", "web fixed") // which would bring what only dev has
		r.refused(t, "would bring more than fixes", "promote", "prod", "--hotfix", "hotfix/2", "--yes")

		if out := r.run(t, 10, "promote", "prod", "--dry-run"); !strings.Contains(out, "takes back 1 commit:\n") || !strings.Contains(out, "hotfix/1 of api/page") {
			t.Errorf("the plan of main, which has not the fix, says\n%s", out)
		}
		r.run(t, 0, "promote", "prod", "--yes")
		if got, want := r.owes(t, "prod"), "hotfix/1 of api/page"; got != want {
			t.Errorf("after the next release main owes %q, want %q", got, want)
		}
		t.Log(r.run(t, 0, "status"))
		r.git(t, "push", "-q", "origin", "--delete", "hotfix/1")
		r.write(t, "other", "")
		r.git(t, "add", "-A")
		r.git(t, "commit", "-q", "-m", "another")
		r.write(t, "api/page", "api fixed")
		r.commit(t, "the same change, of main")
		if got := r.owes(t, "prod"); got != "" {
			t.Errorf("main has the fix and owes %q", got)
		}
	})
}

func TestBranch_APushIsThePromotionAndOneOfAFormerCommitTheRollback(t *testing.T) {
	lab.EachInSoak(t, func(t *testing.T, e lab.Engine) {
		r := releaseRepository(t, e)
		one := r.lanes(t, "    dev: {tag: latest, branch: main}\n    stg: {tag: staging, from: dev, branch: stg}\n    far: {tag: far, from: dev, remote: far}\n")
		push := func(commit string) {
			r.git(t, "push", "-q", "-f", "origin", commit+":refs/heads/stg")
			r.git(t, "checkout", "-q", "-B", "stg", commit)
			r.run(t, 0, "build", "--push")
			r.git(t, "checkout", "-q", "main")
		}
		push(one)
		r.write(t, "web/page", "web v2")
		two := r.commit(t, "v2")
		r.run(t, 0, "build", "--push")
		if got := r.runs(t, "stg"); got != one {
			t.Errorf("after a push to main stg runs %s, want %s", got, one)
		}
		push(two)
		if got := r.runs(t, "stg"); got != two {
			t.Errorf("after a push to stg it runs %s, want %s", got, two)
		}
		push(one)
		if out := r.run(t, 0, "releases", "stg"); r.runs(t, "stg") != one || !strings.Contains(out, "rollback") {
			t.Errorf("after a push of a former commit stg has\n%s, want a rollback to %s", out, one)
		}
		r.git(t, "push", "-q", "-f", "origin", two+":refs/heads/stg")
		r.run(t, 0, "promote", "stg", "--yes") // as good as a build
		if got := r.runs(t, "stg"); got != two {
			t.Errorf("after strake promote stg it runs %s, want %s", got, two)
		}

		r.run(t, 1, "promote", "far", "--yes") // there is no such remote yet
		far := t.TempDir()
		r.git(t, "-C", far, "init", "-q", "--bare", "-b", "main")
		r.git(t, "remote", "add", "far", far)
		for _, want := range []string{one, two, one} {
			r.git(t, "push", "-q", "-f", "far", want+":refs/heads/main")
			r.run(t, 0, "promote", "far", "--yes")
			if got := r.runs(t, "far"); got != want {
				t.Errorf("after a push to the remote far runs %s, want %s", got, want)
			}
		}
	})
}

func TestPropose_TheMergeIsThePromotion(t *testing.T) {
	lab.EachInSoak(t, func(t *testing.T, e lab.Engine) {
		r := releaseRepository(t, e)
		if err := os.Mkdir(filepath.Join(r.dir, "deploy"), 0o755); err != nil {
			t.Fatal(err)
		}
		r.write(t, "deploy/prod.yaml", "# of the shop\nreplicas: 3 # as ever\n")
		one := r.lanes(t, "    dev: {tag: latest, branch: main}\n    prod: {tag: release, from: dev, file: deploy/prod.yaml}\n")
		r.run(t, 1, "promote", "prod", "--yes")
		r.run(t, 2, "promote", "dev", "--propose")
		merge := func(commit string) {
			branch := "strake/prod-" + commit[:7]
			r.git(t, "fetch", "-q", "origin", branch)
			r.git(t, "checkout", "-q", "--detach", "FETCH_HEAD")
			r.run(t, 10, "plan", "--env", "prod")
			r.git(t, "checkout", "-q", "main")
			r.git(t, "merge", "-q", "--no-edit", "FETCH_HEAD")
			r.git(t, "push", "-q", "origin", "main")
			r.run(t, 0, "build", "--push") // which moves dev on
		}
		r.run(t, 10, "promote", "prod", "--propose", "--dry-run")
		t.Log(r.run(t, 0, "promote", "prod", "--propose"))
		before := r.git(t, "ls-remote", "origin", "refs/heads/strake/prod-"+one[:7])
		r.run(t, 0, "promote", "prod", "--propose")
		if after := r.git(t, "ls-remote", "origin", "refs/heads/strake/prod-"+one[:7]); after != before || before == "" {
			t.Errorf("a second proposal made %q of %q", after, before)
		}
		merge(one)
		if got, want := r.git(t, "show", "HEAD:deploy/prod.yaml"), fmt.Sprintf("# of the shop\nreplicas: 3 # as ever\ncommit: %s", one); got != want {
			t.Errorf("the file is\n%s, want\n%s", got, want)
		}
		r.run(t, 0, "promote", "prod", "--yes")
		if got := r.runs(t, "prod"); got != one {
			t.Errorf("prod runs %s, want what was merged, %s", got, one)
		}
		r.run(t, 0, "plan", "--env", "prod")
		r.write(t, "web/page", "web v2")
		two := r.commit(t, "v2")
		r.run(t, 0, "build", "--push")
		r.refused(t, "deploy/prod.yaml says that prod is to run "+one[:7], "promote", "prod", two, "--yes")
		r.run(t, 0, "promote", "prod", "--propose", two)
		merge(two)
		r.run(t, 0, "promote", "prod", "--yes")
		r.run(t, 0, "promote", "prod", "--propose", one) // the way back is one too
		merge(one)
		r.run(t, 0, "promote", "prod", "--yes")
		if out := r.run(t, 0, "releases", "prod"); r.runs(t, "prod") != one || !strings.Contains(out, "rollback") {
			t.Errorf("prod has\n%s, want it back at %s", out, one)
		}
		r.run(t, 0, "rollback", "prod", two, "--yes")
		r.refused(t, "was taken from "+one[:7], "promote", "prod", "--yes") // as CI does at each merge
		if got := r.runs(t, "prod"); got != two {
			t.Errorf("prod runs %s, want what it was rolled back to, %s", got, two)
		}
		if got := r.git(t, "status", "--porcelain"); got != "" {
			t.Errorf("the checkout has changes:\n%s", got)
		}
	})
}

func TestTag_NamesAReleaseOnce(t *testing.T) {
	lab.EachInSoak(t, func(t *testing.T, e lab.Engine) {
		r := releaseRepository(t, e)
		r.refused(t, "no release yet", "tag", "v1.0.0")
		r.run(t, 0, "build", "--push")
		r.run(t, 0, "promote", "prod", "--yes")
		one := r.git(t, "rev-parse", "HEAD")
		r.run(t, 10, "tag", "v1.0.0", "--dry-run")
		t.Log(r.run(t, 0, "tag", "v1.0.0"))
		if out := r.run(t, 0, "tag", "v1.0.0"); !strings.Contains(out, "already") {
			t.Errorf("tag again = %s", out)
		}
		if at, kind := r.git(t, "rev-parse", "v1.0.0^{commit}"), r.git(t, "cat-file", "-t", "v1.0.0"); at != one || kind != "tag" {
			t.Errorf("v1.0.0 is a %s at %s, want a tag at %s", kind, at, one)
		}
		if there := r.git(t, "ls-remote", "origin", "refs/tags/v1.0.0^{}"); !strings.HasPrefix(there, one) {
			t.Errorf("origin has %q, want %s", there, one)
		}
		r.git(t, "tag", "-d", "v1.0.0")
		r.run(t, 0, "tag", "v1.0.0") // of the origin, which has it
		r.run(t, 2, "tag", "release")
		r.run(t, 2, "tag", "keep-prod")
		r.run(t, 2, "tag", "v1..0")
		r.write(t, "web/page", "web v2")
		r.commit(t, "v2")
		r.run(t, 0, "build", "--push")
		r.run(t, 0, "promote", "prod", "--yes")
		r.refused(t, "the tag v1.0.0 is of "+one[:7], "tag", "v1.0.0")
		r.git(t, "tag", "-d", "v1.0.0")
		r.refused(t, "the tag v1.0.0 of origin is of "+one[:7], "tag", "v1.0.0")
		r.git(t, "push", "-q", "origin", "--delete", "v1.0.0")
		r.refused(t, "is on another image", "tag", "v1.0.0")
		r.run(t, 0, "tag", "v1.1.0", "--env", "dev")
	})
}
