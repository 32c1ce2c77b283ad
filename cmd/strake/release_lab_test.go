//go:build lab

package main_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/strake-dev/strake/fixtures/lab"
)

// released is a project of two services that are built, and its way to production.
const released = `
x-strake:
  registry: %s/shop
  environments:
    dev: {tag: latest, branch: main}
    prod: {tag: release, from: dev, checks: ["test -e web/page", "test ! -e web/bad", "test ${SMOKE-none} != nothing"]}
services:
  api: {build: ./api}
  web: {build: ./web}
`

// releaseRepository is a repository with an origin whose commits are released to a registry.
func releaseRepository(t *testing.T, e lab.Engine) repository {
	t.Helper()
	return releaseRepositoryOf(t, e, fmt.Sprintf(released, lab.Registry(t)))
}

// releaseRepositoryOf is one with a compose file of its own.
func releaseRepositoryOf(t *testing.T, e lab.Engine, file string) repository {
	t.Helper()
	r := repository{stack: newStack(t, e, file)}
	r.environ = lab.Environ(t, e)
	r.env = []string{"STRAKE_CACHE_DIR=" + t.TempDir(), "GIT_CONFIG_GLOBAL=" + filepath.Join(t.TempDir(), "gitconfig")}
	if err := os.WriteFile(strings.TrimPrefix(r.env[1], "GIT_CONFIG_GLOBAL="), []byte("[user]\n\temail = ada@example.org\n\tname = Ada\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, service := range []string{"api", "web"} {
		if err := os.Mkdir(filepath.Join(r.dir, service), 0o755); err != nil {
			t.Fatal(err)
		}
		r.write(t, service+"/Dockerfile", "FROM scratch\nCOPY . /\n")
		r.write(t, service+"/page", service+" v1")
	}
	origin := t.TempDir()
	r.git(t, "init", "-q", "-b", "main")
	r.git(t, "-C", origin, "init", "-q", "--bare", "-b", "main")
	r.git(t, "remote", "add", "origin", origin)
	r.commit(t, "v1")
	return r
}

// write writes a file of the project.
func (r repository) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// commit commits everything to main, pushes it, and returns its name.
func (r repository) commit(t *testing.T, subject string) string {
	t.Helper()
	r.git(t, "add", "-A")
	r.git(t, "commit", "-q", "-m", subject)
	r.git(t, "push", "-q", "origin", "HEAD:main")
	r.git(t, "fetch", "-q", "origin")
	return r.git(t, "rev-parse", "HEAD")
}

// environmentStatus is what status --json says of one.
type environmentStatus struct {
	Environment string
	Release     *struct {
		Commit string
		Images map[string]string
	}
	Next []struct{ Commit, Subject, Author string }
	Back int
}

func (r repository) status(t *testing.T) map[string]environmentStatus {
	t.Helper()
	var all []environmentStatus
	if err := json.Unmarshal([]byte(r.run(t, 0, "status", "--json")), &all); err != nil {
		t.Fatal(err)
	}
	by := map[string]environmentStatus{}
	for _, e := range all {
		by[e.Environment] = e
	}
	return by
}

func TestRelease_TheSameDigestsGoFromDevToProdAndBack(t *testing.T) {
	lab.Each(t, func(t *testing.T, e lab.Engine) {
		r := releaseRepository(t, e)
		one := r.git(t, "rev-parse", "HEAD")
		if out := r.run(t, 0, "registry", "init"); !strings.Contains(out, "there is nothing to make") {
			t.Errorf("registry init = %s, want that there is nothing to make", out)
		}
		if out := r.run(t, 0, "build", "--push"); !strings.Contains(out, "2 images built, 0 as before") {
			t.Errorf("build --push = %s", out)
		}
		if out := r.run(t, 0, "build", "--push"); !strings.Contains(out, "all images are there already") {
			t.Errorf("the second build --push = %s", out)
		}
		if out := r.run(t, 0, "build", "--push", "--dry-run"); !strings.Contains(out, "all images are there already") {
			t.Errorf("build --push --dry-run = %s", out)
		}
		r.env = append(r.env, "SMOKE=s3cret-of-a-check")
		r.run(t, 10, "promote", "prod", "--dry-run")
		t.Log(r.run(t, 0, "promote", "prod", "--yes"))
		if out := r.run(t, 0, "releases", "prod", "--json"); !strings.Contains(out, "test ${SMOKE-none} !=") || strings.Contains(out, "s3cret") {
			t.Errorf("the ledger tells of the checks as %s, want them as they are written", out)
		}
		st := r.status(t)
		dev, prod := st["dev"], st["prod"]
		if dev.Release == nil || prod.Release == nil || prod.Release.Commit != one || dev.Release.Images["web"] != prod.Release.Images["web"] || len(prod.Release.Images) != 2 {
			t.Fatalf("status = %+v, want %s and the same images in both", st, one)
		}
		r.write(t, "web/page", "web v2")
		two := r.commit(t, "v2")
		if out := r.run(t, 0, "build", "--push"); !strings.Contains(out, "1 image built, 1 as before") {
			t.Errorf("build --push of a change of web = %s", out)
		}
		st = r.status(t)
		if st["dev"].Release.Commit != two || st["prod"].Release.Commit != one || len(st["prod"].Next) != 1 || st["dev"].Release.Images["api"] != st["prod"].Release.Images["api"] {
			t.Errorf("after the build status = %+v, want dev at v2 with the api of v1, and one commit next for prod", st)
		}
		if out := r.run(t, 10, "promote", "prod", "--dry-run", "--json"); !strings.Contains(out, `"subject": "v2"`) || !strings.Contains(out, `"takesBack": []`) {
			t.Errorf("promote --dry-run --json = %s", out)
		}
		r.run(t, 0, "promote", "prod", "--yes")
		t.Log(r.run(t, 0, "rollback", "prod", "--yes"))
		if st = r.status(t); st["prod"].Release.Commit != one || st["prod"].Back != 0 {
			t.Errorf("after the rollback status = %+v, want prod at v1", st)
		}
		t.Log(r.run(t, 0, "status"))
		t.Log(r.run(t, 0, "releases", "prod"))
		r.run(t, 5, "rollback", "prod", "--yes")
		r.write(t, "web/bad", "")
		r.run(t, 5, "build", "--push")
		r.commit(t, "bad")
		if out := r.run(t, 10, "build", "--push", "--dry-run"); !strings.Contains(out, "would be built: ") || !strings.Contains(out, "dev would take it") {
			t.Errorf("build --push --dry-run of a change = %s", out)
		}
		r.run(t, 0, "build", "--push")
		if out, code := r.strake(t, r.env, "promote", "prod", "--yes"); code != 5 || strings.Contains(out, "s3cret") {
			t.Errorf("promote where a check says no: exit %d\n%s", code, out)
		}
		r.run(t, 5, "promote", "prod", one, "--yes")
		r.run(t, 2, "promote", "production")
	})
}

func TestRelease_OfEightAtOnceOneWins(t *testing.T) {
	lab.EachInSoak(t, func(t *testing.T, e lab.Engine) {
		r := releaseRepository(t, e)
		r.run(t, 0, "build", "--push")
		codes := make([]int, 8)
		var all sync.WaitGroup
		for i := range codes {
			all.Go(func() {
				cmd := r.command(t, r.env, "promote", "prod", "--yes")
				out, _ := cmd.CombinedOutput()
				codes[i] = cmd.ProcessState.ExitCode()
				if codes[i] == 4 && !strings.Contains(string(out), "is being moved by") || codes[i] != 4 && codes[i] != 0 {
					t.Errorf("promote = exit %d\n%s", codes[i], out)
				}
			})
		}
		all.Wait()
		var h []struct{ Done bool }
		if err := json.Unmarshal([]byte(r.run(t, 0, "releases", "prod", "--json")), &h); err != nil {
			t.Fatal(err)
		}
		if len(h) != 2 || !h[0].Done {
			t.Errorf("the ledger has %+v after exits %v, want one promotion", h, codes)
		}
	})
}
