package release_test

import (
	"slices"
	"testing"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/release"
)

func TestFollowers_BranchesAndPullRequests(t *testing.T) {
	all := map[string]compose.EnvironmentSettings{"dev": {Tag: "dev", Branch: "main"}, "stg": {Tag: "stg", From: "dev", Branch: "stg"}, "prod": {Tag: "release", From: "stg"}}
	taken := map[string]compose.EnvironmentSettings{"dev": {Tag: "latest", Branch: "main"}}
	for name, c := range map[string]struct {
		environments map[string]compose.EnvironmentSettings
		build        release.Build
		pullRequest  int
		tag          string
		names        []string
	}{
		"main":           {all, release.Build{Branch: "main"}, 0, "latest", []string{"dev"}},
		"latest is dev":  {taken, release.Build{Branch: "main"}, 0, "", []string{"dev"}},
		"stg":            {all, release.Build{Branch: "stg"}, 0, "", nil},
		"another branch": {all, release.Build{Branch: "x"}, 0, "", nil},
		"none":           {all, release.Build{}, 0, "", nil},
		"a pull request": {all, release.Build{Branch: "main"}, 42, "pr-42", nil},
		"dirty":          {all, release.Build{Branch: "main", Dirty: true}, 42, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			tag, names := release.Followers(c.environments, c.build, "main", c.pullRequest)
			if tag != c.tag || !slices.Equal(names, c.names) {
				t.Errorf("Followers = %q, %v, want %q, %v", tag, names, c.tag, c.names)
			}
		})
	}
}
