package cli

import (
	"context"
	"errors"
	"fmt"
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

// gitSaid is git, whose error says what git said of it.
func gitSaid(ctx context.Context, s Streams, dir string, args ...string) (string, error) {
	out, err := git(ctx, s, dir, args...)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		said := strings.TrimSpace(string(exit.Stderr))
		if i := strings.LastIndexByte(said, '\n'); i >= 0 {
			said = said[i+1:]
		}
		err = fmt.Errorf("git %s: %s", args[0], strings.TrimPrefix(strings.TrimPrefix(said, "fatal: "), "error: "))
	}
	return out, err
}

// commitFacts are what git says of a commit.
type commitFacts struct{ ID, Tree, Author, Subject string }

// factsOf reads what git says of a commit.
func factsOf(ctx context.Context, s Streams, dir, commit string) (commitFacts, error) {
	text, err := gitSaid(ctx, s, dir, "show", "--no-patch", "--format=%H%n%T%n%ae%n%s", "--end-of-options", commit)
	lines := strings.SplitN(text, "\n", 4)
	if err == nil && len(lines) != 4 {
		err = fmt.Errorf("git says of %s %q", commit, text)
	}
	if err != nil {
		return commitFacts{}, err
	}
	return commitFacts{lines[0], lines[1], lines[2], lines[3]}, nil
}

// commitsBetween are the commits that one has and another one has not, the newest first and as people read them.
func commitsBetween(ctx context.Context, s Streams, dir, before, after string) []string {
	list, err := git(ctx, s, dir, "log", "--format=%h %s (%an)", "--end-of-options", before+".."+after)
	if err != nil || list == "" {
		return nil
	}
	return strings.Split(list, "\n")
}
