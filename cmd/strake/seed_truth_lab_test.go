//go:build lab

package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strake-dev/strake/fixtures/lab"
)

// checksums is SQL that prints, of every table, its name, how many rows it has and a digest of them all, in whatever order they are.
const checksums = `SELECT format('SELECT %L, count(*), md5(coalesce(string_agg(md5(t::text), '''' ORDER BY md5(t::text)), '''')) FROM %I.%I t', table_name, table_schema, table_name)
FROM information_schema.tables WHERE table_schema = 'public' AND table_type = 'BASE TABLE' ORDER BY table_name \gexec
`

// TestSeed_HasWhatTheSlowWayMakes: in three states of the demo project's migrations, of which the later two are made from the seed of
// the commit before by the migrations alone, the database is the one that all steps make together.
func TestSeed_HasWhatTheSlowWayMakes(t *testing.T) {
	e := lab.Engines(t)[0]
	text, err := os.ReadFile("../../fixtures/saas/compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	s := newStack(t, e, string(text))
	if err := os.Remove(filepath.Join(s.dir, "compose.yaml")); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(s.dir, os.DirFS("../../fixtures/saas")); err != nil {
		t.Fatal(err)
	}
	git(t, s.dir, "init", "--quiet")
	later := map[string][]byte{}
	for _, name := range []string{"0003_search.py", "0004_digests.py"} {
		path := filepath.Join(s.dir, "app/migrations/versions", name)
		if later[path], err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	first := s.sameAsSlow(t, "")
	before := first
	for _, name := range []string{"0003_search.py", "0004_digests.py"} {
		path := filepath.Join(s.dir, "app/migrations/versions", name)
		if err := os.WriteFile(path, later[path], 0o644); err != nil {
			t.Fatal(err)
		}
		before = s.sameAsSlow(t, before)
	}
	// What a migration made that was edited since is nothing to start from: only the first commit was without it.
	path := filepath.Join(s.dir, "app/migrations/versions/0003_search.py")
	if err := os.WriteFile(path, append(later[path], "\n# edited\n"...), 0o644); err != nil {
		t.Fatal(err)
	}
	s.sameAsSlow(t, first)
}

// sameAsSlow commits the files, builds their seed, which starts from that of commit from ("" from nothing), and compares the database that
// starts from it with the one that the steps make. It returns the commit.
func (s stack) sameAsSlow(t *testing.T, from string) string {
	t.Helper()
	git(t, s.dir, "add", "--all")
	git(t, s.dir, "commit", "--quiet", "--allow-empty", "--message", "state")
	out := s.must(t, 0, "seed", "build")
	if starts := strings.Contains(out, "starting from the seed of commit "); starts != (from != "") || starts && !strings.Contains(out, "of commit "+from[:12]) {
		t.Fatalf("seed build says\n%s\nwant that it starts from the seed of commit %q", out, from)
	}
	sums := func(args ...string) string {
		s.must(t, 0, args...)
		defer s.must(t, 0, "down", "-v", "-t", "0")
		cmd := s.command(t, nil, "exec", "-T", "db", "psql", "-X", "-q", "-At", "-U", "notes", "notes")
		cmd.Stdin = strings.NewReader(checksums)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("checksums: %v\n%s", err, out)
		}
		return string(out)
	}
	seeded, slow := sums("up", "--seed", "db"), sums("up", "seed")
	if seeded != slow || !strings.Contains(slow, "notes|2100|") {
		t.Fatalf("from the seed the tables are\n%swant, as made the slow way,\n%s", seeded, slow)
	}
	return git(t, s.dir, "rev-parse", "HEAD")
}

// git runs git as somebody with no settings of their own, and returns what it printed.
func git(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", append([]string{"-C", dir, "-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main"}, args...)...)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}
