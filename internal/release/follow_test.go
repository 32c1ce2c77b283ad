package release_test

import (
	"slices"
	"testing"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/release"
)

func TestFollowers_BranchesAndPullRequests(t *testing.T) {
	all := map[string]compose.EnvironmentSettings{"dev": {Tag: "dev", Branch: "main"}, "stg": {Tag: "stg", From: "dev", Branch: "stg"}, "prod": {Tag: "release", From: "stg", Hotfix: "hotfix/*"}}
	taken := map[string]compose.EnvironmentSettings{"dev": {Tag: "latest", Branch: "main"}}
	for name, c := range map[string]struct {
		environments map[string]compose.EnvironmentSettings
		build        release.Build
		pullRequest  int
		tag          string
		names        []string
	}{
		"main":             {all, release.Build{Branch: "main"}, 0, "latest", []string{"dev"}},
		"latest is dev":    {taken, release.Build{Branch: "main"}, 0, "", []string{"dev"}},
		"stg":              {all, release.Build{Branch: "stg"}, 0, "", []string{"stg"}},
		"another branch":   {all, release.Build{Branch: "x"}, 0, "", nil},
		"none":             {all, release.Build{}, 0, "", nil},
		"a pull request":   {all, release.Build{Branch: "main"}, 42, "pr-42", nil},
		"dirty":            {all, release.Build{Branch: "main", Dirty: true}, 42, "", nil},
		"a hotfix":         {all, release.Build{Branch: "hotfix/1"}, 0, "", nil},
		"a hotfix of main": {map[string]compose.EnvironmentSettings{"prod": {Tag: "release", Hotfix: "ma*"}}, release.Build{Branch: "main"}, 0, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			tag, names := release.Followers(c.environments, c.build, "main", c.pullRequest)
			if tag != c.tag || !slices.Equal(names, c.names) {
				t.Errorf("Followers = %q, %v, want %q, %v", tag, names, c.tag, c.names)
			}
		})
	}
}

func TestHistory_IsFormer(t *testing.T) {
	var h release.History
	did := func(action release.Action, n int) {
		h = append(release.History{{Number: len(h) + 1, Environment: "stg", Done: true, Action: action, Commit: commitNumber(n)}}, h...)
	}
	for n := range 3 {
		did(release.Promoted, n)
	}
	did(release.RolledBack, 1)
	var former []int
	for n := range 4 {
		if h.IsFormer(commitNumber(n)) {
			former = append(former, n)
		}
	}
	if !slices.Equal(former, []int{0}) {
		t.Errorf("after 0, 1, 2 and a rollback to 1, the former ones are %v, want 0: 1 is there and 2 was taken back", former)
	}
}
