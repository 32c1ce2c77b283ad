package cli

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"
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
	cmd.Env = append(append([]string{}, s.Environ...), "GIT_OPTIONAL_LOCKS=0", "GIT_TERMINAL_PROMPT=0", "LC_ALL=C")
	cmd.WaitDelay = 5 * time.Second
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
		for len(args) > 2 && args[0] == "-c" {
			args = args[2:]
		}
		err = fmt.Errorf("git %s: %s", args[0], strings.TrimPrefix(strings.TrimPrefix(said, "fatal: "), "error: "))
	}
	return out, err
}

// commitFacts are what git says of a commit.
type commitFacts struct{ ID, Tree, Author, Subject string }

// factsOf reads what git says of a commit.
func factsOf(ctx context.Context, s Streams, dir, commit string) (commitFacts, error) {
	text, err := gitSaid(ctx, s, dir, "-c", "log.showSignature=false", "show", "--no-patch", "--format=%H%n%T%n%ae%n%s%n.", "--end-of-options", commit)
	lines := strings.Split(text, "\n")
	if err == nil && len(lines) != 5 {
		err = fmt.Errorf("git says of %s %q", commit, text)
	}
	if err != nil {
		return commitFacts{}, err
	}
	return commitFacts{lines[0], lines[1], lines[2], lines[3]}, nil
}

// commitsBetween are the commits that one has and another one has not, the newest first and as people read them. A commit that the repository has not is an
// error.
func commitsBetween(ctx context.Context, s Streams, dir, before, after string) ([]string, error) {
	list, err := gitSaid(ctx, s, dir, "-c", "log.showSignature=false", "log", "--format=%h %s (%an)", "--end-of-options", before+".."+after)
	if err != nil {
		return nil, err
	}
	if list == "" {
		return []string{}, nil
	}
	return strings.Split(list, "\n"), nil
}
