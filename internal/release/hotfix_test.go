package release_test

import (
	"errors"
	"testing"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/release"
)

func TestIsHotfix_Patterns(t *testing.T) {
	for _, c := range []struct {
		pattern, branch string
		want            bool
	}{{"hotfix*", "hotfix/1", true}, {"hotfix*", "hotfix-a/b", true}, {"hotfix/*", "hotfix", false}, {"", "", false}, {"", "hotfix", false}, {"hotfix*", "my-hotfix", false}} {
		if got := release.IsHotfix(compose.EnvironmentSettings{Hotfix: c.pattern}, c.branch); got != c.want {
			t.Errorf("IsHotfix(%q, %q) = %v, want %v", c.pattern, c.branch, got, c.want)
		}
	}
}

func TestDebts_StayUntilTheyArePaid(t *testing.T) {
	fix := &release.Hotfix{Branch: "hotfix/1", Base: commitNumber(1), Whole: "w", Fixes: []release.Fix{{Commit: commitNumber(5), Patch: "a"}, {Commit: commitNumber(6), Patch: "b"}, {Commit: commitNumber(7)}}}
	did := func(h release.History, action release.Action, n int, x *release.Hotfix) release.History {
		return append(release.History{{Number: len(h) + 1, Environment: "prod", Done: true, Action: action, Commit: commitNumber(n), Hotfix: x}}, h...)
	}
	h := did(did(nil, release.Promoted, 1, nil), release.Promoted, 7, fix)
	later := did(h, release.Promoted, 9, nil)
	back := did(h, release.RolledBack, 1, nil)
	for name, c := range map[string]struct {
		history release.History
		has     release.Patches
		err     error
		want    int
	}{
		"nothing":          {h, release.Patches{}, nil, 2},
		"after a release":  {later, release.Patches{}, nil, 2},
		"taken back":       {back, release.Patches{}, nil, 0},
		"one":              {h, release.Patches{IDs: map[string]bool{"a": true}}, nil, 1},
		"both":             {h, release.Patches{IDs: map[string]bool{"a": true, "b": true}}, nil, 0},
		"one picked":       {h, release.Patches{IDs: map[string]bool{"a": true}, Picked: map[string]bool{commitNumber(6): true}}, nil, 0},
		"squashed":         {h, release.Patches{IDs: map[string]bool{"w": true}}, nil, 0},
		"that is not told": {h, release.Patches{}, errors.New("git does not know it"), 2},
	} {
		t.Run(name, func(t *testing.T) {
			got := c.history.Debts(func(x release.Hotfix) (release.Patches, error) {
				if x.Base != fix.Base {
					t.Errorf("asked for what changed since %s, want %s", x.Base, fix.Base)
				}
				return c.has, c.err
			})
			if len(got) != c.want {
				t.Errorf("Debts = %+v, want %d", got, c.want)
			}
			for _, d := range got {
				if (d.Unknown != "") != (c.err != nil) {
					t.Errorf("debt %+v, want it unknown: %v", d, c.err)
				}
			}
		})
	}
}
