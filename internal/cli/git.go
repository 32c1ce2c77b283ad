package cli

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/release"
	"github.com/strake-dev/strake/previews"
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

// remoteLimit is how long git may take with a remote: a fetch of a large repository does, one that does not answer must not.
const remoteLimit = 10 * time.Minute

// gitCall is a git command in a folder.
type gitCall struct {
	dir   string
	limit time.Duration // of one that asks a remote
	index string        // the file that stands for the index; "" is the checkout's own
}

// git is what git prints of a folder. A checkout brings no configuration; what this one's own would have run at each command is left out all
// the same, and so are variables that point git at another repository, and objects that stand for others.
func git(ctx context.Context, s Streams, dir string, args ...string) (string, error) {
	return gitCall{dir: dir, limit: remoteLimit}.run(ctx, s, args...)
}

func (g gitCall) run(ctx context.Context, s Streams, args ...string) (string, error) {
	if remote, is := asksRemote(args); is {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, g.limit, fmt.Errorf("%s did not answer git %s within %s", remote, args[0], g.limit))
		defer cancel()
	}
	cmd := exec.CommandContext(ctx, "git", append([]string{"-C", g.dir, "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null"}, args...)...)
	cmd.Env = previews.GitEnviron(s.Environ)
	if g.index != "" {
		cmd.Env = append(cmd.Env, "GIT_INDEX_FILE="+g.index)
	}
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.Output()
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return strings.TrimSpace(string(out)), err
}

// asksRemote is whether a git command speaks to a remote, which stands after --.
func asksRemote(args []string) (remote string, is bool) {
	at := slices.Index(args, "--")
	if at < 0 || at+1 == len(args) || !slices.Contains([]string{"ls-remote", "fetch", "push"}, args[0]) {
		return "", false
	}
	return args[at+1], true
}

// commitNamed is the commit, in full, that a name leads to.
func commitNamed(ctx context.Context, s Streams, dir, name string) (string, error) {
	id, err := git(ctx, s, dir, "rev-parse", "--verify", "--quiet", "--end-of-options", name+"^{commit}")
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = fmt.Errorf("the repository has no commit %s", name)
	}
	if err == nil && len(name) >= shortestCommit && isHex(name) && !strings.HasPrefix(id, strings.ToLower(name)) { // git asks its references first, and whoever pushes names those
		err = &compose.HintedError{Err: fmt.Errorf("%s is the name of a tag or a branch, which leads to %s", name, release.Short(id)), Next: "write more digits of the commit, or delete that"}
	}
	return id, err
}

// shortestCommit is how many digits of a commit name it at least.
const shortestCommit = 4

// remoteRefs are the commits of those references that a remote has, by their names in full.
func remoteRefs(ctx context.Context, s Streams, dir, remote string, refs ...string) (map[string]string, error) {
	list, err := gitSaid(ctx, s, dir, append([]string{"ls-remote", "--quiet", "--", remote}, refs...)...)
	return release.Refs(list), err
}

// gitSaid is git, whose error says what git said of it.
func gitSaid(ctx context.Context, s Streams, dir string, args ...string) (string, error) {
	return gitCall{dir: dir, limit: remoteLimit}.said(ctx, s, args...)
}

func (g gitCall) said(ctx context.Context, s Streams, args ...string) (string, error) {
	out, err := g.run(ctx, s, args...)
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

// listedCommit is a commit in a list. Its JSON names are stable.
type listedCommit struct {
	Commit  string `json:"commit"`
	Subject string `json:"subject"`
	Author  string `json:"author"` // by name
}

// String is the commit as people read it, in one line.
func (c listedCommit) String() string {
	return harmless(fmt.Sprintf("%s %s (%s)", release.Short(c.Commit), c.Subject, c.Author))
}

// commitsApart are the commits that the second of two has alone and those that the first has alone, the newest first. What the second has by another commit, which
// changes the same or says that it was picked from it, is taken back by none. A commit that the repository has not, and two that have none in common, are an error.
func commitsApart(ctx context.Context, s Streams, dir, before, after string) (brings, takesBack []listedCommit, err error) {
	log := func(args ...string) ([]listedCommit, error) {
		list, err := gitSaid(ctx, s, dir, append([]string{"-c", "log.showSignature=false", "log", "--format=%m%H%x00%an%x00%s"}, args...)...)
		all := []listedCommit{}
		for line := range strings.Lines(list) {
			facts := strings.SplitN(strings.TrimRight(line, "\n"), "\x00", 3)
			if len(facts) < 3 {
				return nil, fmt.Errorf("git says of a commit %q", line)
			}
			all = append(all, listedCommit{facts[0], facts[2], facts[1]})
		}
		return all, err
	}
	all, err := log("--left-right", "--end-of-options", before+"..."+after)
	if err != nil {
		for _, commit := range []string{before, after} {
			if _, err := commitNamed(ctx, s, dir, commit); err != nil {
				next := "git fetch origin " + commit + " brings it"
				if shallow, shallowErr := git(ctx, s, dir, "rev-parse", "--is-shallow-repository"); shallowErr == nil && shallow == "true" {
					next = "git fetch --unshallow origin brings it"
				}
				return nil, nil, &compose.HintedError{Err: err, Next: next}
			}
		}
		return nil, nil, err
	}
	brings, takesBack = []listedCommit{}, []listedCommit{}
	for _, c := range all {
		side := c.Commit[0]
		if c.Commit = c.Commit[1:]; side == '<' {
			takesBack = append(takesBack, c)
		} else {
			brings = append(brings, c)
		}
	}
	if len(takesBack) == 0 {
		return brings, takesBack, nil
	}
	if _, err := git(ctx, s, dir, "merge-base", before, after); err != nil {
		return nil, nil, &compose.HintedError{Err: fmt.Errorf("%s and %s have no commit in common that the repository knows", release.Short(before), release.Short(after)), Next: "git fetch --unshallow brings what is older"}
	}
	only, err := log("--left-only", "--cherry-pick", "--no-merges", "--end-of-options", before+"..."+after)
	if err != nil {
		return nil, nil, err
	}
	said, err := gitSaid(ctx, s, dir, "-c", "log.showSignature=false", "log", "--format=%B", "--end-of-options", before+".."+after)
	if err != nil {
		return nil, nil, err
	}
	return brings, slices.DeleteFunc(takesBack, func(c listedCommit) bool {
		isThere := !slices.ContainsFunc(only, func(o listedCommit) bool { return o.Commit[1:] == c.Commit })
		return isThere || strings.Contains(said, "cherry picked from commit "+c.Commit)
	}), nil
}
