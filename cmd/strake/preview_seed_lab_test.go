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

	"github.com/strake-dev/strake/fixtures/lab"
)

// withSeed is a stack whose data two steps write; what they run from is not in the seed's key, but for the files that inputs name.
const withSeed = `
x-strake: {migrate: {service: migrate}}
services:
  web:
    image: strake-lab/web:1
    ports: ["8000:8000"]
    depends_on: {migrate: {condition: service_completed_successfully}, rows: {condition: service_completed_successfully}}
  db:
    image: strake-lab/volume:1
    command: [probe, wait]
    volumes: [data:/data]
    init: true
    x-strake: {seed: {with: [rows]}}
  migrate:
    build: .
    command: [sh, -c, "cat /migrations/* > /data/migrated"]
    volumes: [data:/data]
    x-strake: {inputs: ["migrations/**"]}
  rows:
    build: .
    command: [cp, /made, /data/rows]
    volumes: [data:/data]
    x-strake: {inputs: [rows.txt]}
volumes: {data: {}}
`

// TestPreview_SeedsOfPullRequestsAreTheirOwn: what a pull request makes of data, no other stack starts from, whatever its key; all start from
// that of the default branch, and run their own migrations on it.
func TestPreview_SeedsOfPullRequestsAreTheirOwn(t *testing.T) {
	lab.EachInSoak(t, func(t *testing.T, e lab.Engine) {
		pruned(t, e)
		r := newRepository(t, e)
		commit := func(ref string, files map[string]string) {
			for name, text := range files {
				path := filepath.Join(r.dir, name)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			r.git(t, "add", "-A")
			if ref == "" {
				r.git(t, "commit", "-q", "-m", "seeded")
				return
			}
			tree := r.git(t, "write-tree")
			r.git(t, "reset", "-q", "--hard")
			r.git(t, "update-ref", ref, r.git(t, "commit-tree", "-p", "HEAD", "-m", ref, tree))
		}
		commit("", map[string]string{"compose.yaml": withSeed, "Dockerfile": "FROM strake-lab/volume:1\nCOPY made /made\nCOPY migrations /migrations\n",
			"made": "clean\n", "rows.txt": "1\n", "migrations/1": "first\n"})
		commit("refs/pull/41/head", map[string]string{"made": "poisoned\n"})
		commit("refs/pull/42/head", map[string]string{"README": "nothing of the data\n"})
		commit("refs/pull/43/head", map[string]string{"migrations/2": "second\n"})
		data := func(pull, file string) string {
			return strings.TrimSpace(r.run(t, 0, "preview", "exec", pull, "db", "cat", "/data/"+file))
		}
		open := func(pull string) (seed string) {
			var p struct{ Seed string }
			if err := json.Unmarshal([]byte(r.run(t, 0, "preview", "open", pull, "--json")), &p); err != nil {
				t.Fatal(err)
			}
			return p.Seed
		}
		key := strings.TrimSpace(r.run(t, 0, "seed", "key"))

		own := open("41")
		if rows := data("41", "rows"); rows != "poisoned" || own == key {
			t.Errorf("a pull request starts from seed %s with %q, want what it wrote under another key than %s", own, rows, key)
		}
		r.run(t, 0, "seed", "build")
		if rows := open("42"); rows != key || data("42", "rows") != "clean" {
			t.Errorf("after another pull request made data this one starts from seed %s with %q, want %s of the default branch", rows, data("42", "rows"), key)
		}
		if got := open("43"); got != key || data("43", "rows") != "clean" || data("43", "migrated") != "first\nsecond" {
			t.Errorf("with a migration of its own it starts from seed %s and has %q, want %s and both migrations", got, data("43", "migrated"), key)
		}
		var all []struct{ Key, For string }
		if err := json.Unmarshal([]byte(r.run(t, 0, "seed", "ls", "--json")), &all); err != nil || len(all) != 2 || all[1].Key != own || all[1].For != r.name+"-pr-41" || all[0].For != "" {
			t.Errorf("seed ls = %+v, %v, want that of the default branch and that of 41's own", all, err)
		}
		r.run(t, 0, "seed", "prune", "--keep", "0")
		var receipt struct{ Images, Left []string }
		if err := json.Unmarshal([]byte(r.run(t, 0, "preview", "close", "41", "--yes", "--json")), &receipt); err != nil || len(receipt.Left) > 0 ||
			!slices.Contains(receipt.Images, fmt.Sprintf("%s-seed-db:%s", r.name, own)) {
			t.Errorf("preview close = %+v, %v, want its seed %s among what is gone", receipt, err, own)
		}
		r.run(t, 0, "preview", "close", "42", "--yes")
		r.run(t, 0, "preview", "close", "43", "--yes")
		left := slices.DeleteFunc(r.things(t), func(thing string) bool { return !strings.Contains(thing, "-pr-") && !strings.Contains(thing, own) })
		if len(left) > 0 {
			t.Errorf("after close there is %q", left)
		}
	})
}
