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
	if commits = ancestorsOf(ctx, s, dir, "HEAD"); len(commits) == 0 {
		return nil, false
	}
	changes, err := git(ctx, s, dir, "status", "--porcelain", "--untracked-files=normal", "--", ".")
	return commits, err == nil && changes == ""
}

// ancestorsOf are a commit and those before it, the nearest first; nil where git cannot tell.
func ancestorsOf(ctx context.Context, s Streams, dir, commit string) []string {
	list, _ := git(ctx, s, dir, "rev-list", "--max-count="+knownCommits, "--end-of-options", commit, "--")
	return strings.Fields(list)
}

// git is what git prints of a folder. A checkout brings no configuration; what this one's own would have run at each command is left out all
// the same.
func git(ctx context.Context, s Streams, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", append([]string{"-C", dir, "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null"}, args...)...)
	cmd.Env = append(append([]string{}, s.Environ...), "GIT_OPTIONAL_LOCKS=0", "LC_ALL=C")
	out, err := cmd.Output()
	return strings.TrimSpace(string(out)), err
}
