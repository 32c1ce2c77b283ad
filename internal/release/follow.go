package release

import (
	"fmt"

	"github.com/strake-dev/strake/compose"
)

// Followers says what takes a build by itself: a tag of all its images, which is latest or pr-42, "" for none; and environments, in the order in which
// releases go through them. main is the default branch; pullRequest is 0 where the build is of none. It is pure.
//
// A build of a pull request and one of files in no commit move no environment, whichever branch it is of.
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
		if e.Branch == b.Branch && e.From == "" {
			names = append(names, name)
		}
	}
	if b.Branch == main && !isTaken {
		tag = "latest"
	}
	return tag, names
}
