package previews_test

import (
	"errors"
	"testing"

	"github.com/strake-dev/strake/previews"
)

// TestSource_NoTagStandsForABranchOrACommit: git asks tags where there is no such reference, and before it asks for a commit.
func TestSource_NoTagStandsForABranchOrACommit(t *testing.T) {
	remote := newRepository(t)
	r := newRepository(t)
	main := r.git("rev-parse", "main")
	evil := r.branched("refs/heads/x", map[string]string{"evil": "x"})
	r.git("remote", "add", "origin", remote.dir)
	r.git("fetch", "--quiet", "origin")
	want := r.git("rev-parse", "refs/remotes/origin/main")
	for _, name := range []string{"refs/remotes/origin/HEAD", "refs/heads/topic", main[:8]} {
		r.git("update-ref", "refs/tags/"+name, evil)
	}
	if got, err := r.source().DefaultBranch(t.Context()); err != nil || got.ID != want {
		t.Errorf("DefaultBranch = %+v, %v, want %s", got, err, want)
	}
	r.git("update-ref", "refs/remotes/origin/HEAD", evil) // of a branch that is called HEAD
	if got, err := r.source().DefaultBranch(t.Context()); err != nil || got.ID != want {
		t.Errorf("DefaultBranch = %+v, %v, want %s", got, err, want)
	}
	for _, c := range []previews.Change{{Branch: "topic"}, {Commit: main[:8]}} {
		if got, _, err := r.source().Resolve(t.Context(), c); !errors.Is(err, previews.ErrNoCommit) {
			t.Errorf("Resolve(%+v) = %+v, %v, want ErrNoCommit", c, got, err)
		}
	}
	if got, _, err := r.source().Resolve(t.Context(), previews.Change{Commit: main[:9]}); err != nil || got.ID != main {
		t.Errorf("Resolve of more digits = %+v, %v, want %s", got, err, main)
	}
}
