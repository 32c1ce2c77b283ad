package cli

import (
	"context"
	"os/exec"
	"strings"
)

// knownCommits is how far back seeds of earlier commits are looked for.
const knownCommits = "500"

// commitsOf are the commit that is checked out in a folder and those before it, the nearest first, and whether the folder's files are as in
// the first one. Outside of a git repository, or without git, there are none.
func commitsOf(ctx context.Context, s Streams, dir string) (commits []string, clean bool) {
	git := func(args ...string) (string, error) {
		// A checkout brings no configuration; what this one's own would have run at each command is left out all the same.
		cmd := exec.CommandContext(ctx, "git", append([]string{"-C", dir, "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null"}, args...)...)
		cmd.Env = append(append([]string{}, s.Environ...), "GIT_OPTIONAL_LOCKS=0", "LC_ALL=C")
		out, err := cmd.Output()
		return strings.TrimSpace(string(out)), err
	}
	list, err := git("rev-list", "--max-count="+knownCommits, "HEAD", "--")
	if err != nil || list == "" {
		return nil, false
	}
	changes, err := git("status", "--porcelain", "--untracked-files=normal", "--", ".")
	return strings.Fields(list), err == nil && changes == ""
}
