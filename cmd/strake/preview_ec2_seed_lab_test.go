//go:build lab

package main_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strake-dev/strake/fixtures/lab"
	"github.com/strake-dev/strake/fixtures/lab/awslab"
)

// TestPreview_BringsItsSeedToItsMachine: a seed that this machine has is not built again on a machine, one that it has not is.
func TestPreview_BringsItsSeedToItsMachine(t *testing.T) {
	lab.EachInSoak(t, func(t *testing.T, e lab.Engine) {
		a := awslab.Start(t)
		a.Boot(t)
		r := newRepository(t, e)
		for name, text := range map[string]string{"compose.yaml": withSeed, "Dockerfile": "FROM strake-lab/volume:1\nCOPY made /made\nCOPY migrations /migrations\n",
			"made": "clean\n", "rows.txt": "1\n", "migrations/1": "first\n"} {
			path := filepath.Join(r.dir, filepath.FromSlash(name))
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		r.git(t, "add", "-A")
		r.git(t, "commit", "-q", "-m", "seeded")
		r.onEC2Beside(t, a.Environ())
		r.git(t, "update-ref", "refs/pull/42/head", "HEAD")
		r.git(t, "update-ref", "refs/pull/43/head", "HEAD")
		open := func(pull string) (data string, seconds float64, scratch bool) {
			t.Helper()
			p := r.show(t, r.run(t, 0, "preview", "open", pull, "--json"))
			if rows := strings.TrimSpace(r.run(t, 0, "preview", "exec", pull, "db", "cat", "/data/rows")); rows != "clean" {
				t.Errorf("preview %s has %q in its data, want what the seed says", pull, rows)
			}
			for _, f := range p.Phases {
				if f.Name == "data" {
					data, seconds = f.Note, f.Seconds
				}
			}
			for _, m := range r.machines(t) {
				if m.ID == p.ID {
					events := lab.Docker(t, lab.System(t), "exec", m.Machine.ID, "docker", "events", "--since", "1h", "--until", "0s", "--filter", "event=create", "--format", "{{.Actor.Attributes.name}}")
					scratch = strings.Contains(events, r.name+"-seed_")
				}
			}
			return data, seconds, scratch
		}
		built, took, scratch := open("42")
		if !strings.HasSuffix(built, " built") || !scratch {
			t.Errorf("without a seed here its data is %q, and the machine began to build one: %v, want it built there", built, scratch)
		}
		r.run(t, 0, "preview", "close", "42", "--yes")
		r.run(t, 0, "seed", "build")
		brought, tookLess, scratch := open("43")
		key := strings.TrimSpace(r.run(t, 0, "seed", "key"))
		if !strings.HasPrefix(brought, "seed "+key+" brought from this machine") || scratch {
			t.Errorf("with a seed here its data is %q, and the machine began to build one: %v, want %s brought and nothing built", brought, scratch, key)
		}
		t.Logf("%s in %.2f s; %s in %.2f s", built, took, brought, tookLess)
		r.run(t, 0, "preview", "close", "43", "--yes")
	})
}
