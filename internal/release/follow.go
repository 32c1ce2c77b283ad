package release

import (
	"fmt"

	"github.com/strake-dev/strake/compose"
)

// Followers says what takes a build by itself: a tag of all its images, which is latest or pr-42, "" for none; and environments, in the order in which
// releases go through them. main is the default branch; pullRequest is 0 where the build is of none. It is pure.
//
// A build of a pull request, of files in no commit and of a hotfix moves no environment, whichever branch it is of.
func Followers(environments map[string]compose.EnvironmentSettings, b Build, main string, pullRequest int) (tag string, names []string) {
	switch {
	case b.Dirty:
		return "", nil
	case pullRequest > 0:
		return fmt.Sprintf("pr-%d", pullRequest), nil
	case b.Branch == "":
		return "", nil
	}
	isTaken := false
	for _, name := range compose.EnvironmentNames(environments) {
		e := environments[name]
		isTaken = isTaken || e.Tag == "latest"
		if IsHotfix(e, b.Branch) {
			return "", nil
		}
		if e.Branch == b.Branch {
			names = append(names, name)
		}
	}
	if b.Branch == main && !isTaken {
		tag = "latest"
	}
	return tag, names
}

// IsFormer is whether an environment had a commit and can go back to it: to take it again is a rollback. What was taken back is none.
func (h History) IsFormer(commit string) bool {
	line := h.Line()
	for _, e := range line[min(len(line), 1):] {
		if e.Commit == commit {
			return line[0].Commit != commit
		}
	}
	return false
}
