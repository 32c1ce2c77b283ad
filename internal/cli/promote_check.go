package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/strake-dev/strake/internal/release"
	"github.com/strake-dev/strake/previews"
)

// checkPatience is how long a check may take.
const checkPatience = 30 * time.Minute

// seenByChecks are those of the environment that checks see: none that may hold a secret.
func seenByChecks() []string {
	return []string{"PATH", "LANG", "LC_ALL", "TMPDIR", "USER", "TERM"}
}

// check runs the checks of an environment in a clean work tree of a commit. One that fails is a *release.PolicyError with its last lines.
func (r *releasing) check(ctx context.Context, s Streams, o promoteOptions, commit string) (err error) {
	e, err := r.environment(o.Environment)
	if err != nil || len(e.Checks) == 0 || o.Back { // what ran there has passed them
		return err
	}
	root, err := os.MkdirTemp("", "strake-check-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, previews.Remove(root)) }()
	prefix, err := r.source.Prefix(ctx)
	if err != nil {
		return err
	}
	if _, err := r.source.Extract(ctx, commit, filepath.Join(root, "tree"), nil); err != nil {
		return err
	}
	home := filepath.Join(root, "home") // the real one has keys and passwords
	if err := os.Mkdir(home, 0o700); err != nil {
		return err
	}
	for _, check := range e.Checks {
		fmt.Fprintf(s.Err, "checking: %s\n", check)
		began := s.Now()
		out, err := runCheck(ctx, s, filepath.Join(root, "tree", filepath.FromSlash(prefix)), home, check)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			refused := &release.PolicyError{Why: fmt.Sprintf("the check %q of %s fails at %s after %s: %v", check, o.Environment, release.Short(commit), span(s.Now().Sub(began)), err),
				Next: "git checkout " + release.Short(commit) + " and run it there"}
			return &reportedError{refused, []section{{"its last lines", out}}}
		}
	}
	return nil
}

// runCheck runs a command in a folder, with a home of its own, and returns its last lines. What it started ends with it.
func runCheck(ctx context.Context, s Streams, dir, home, check string) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, checkPatience, fmt.Errorf("it took more than %s", checkPatience))
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", check)
	cmd.Dir = dir
	cmd.Env = append(slices.DeleteFunc(slices.Clone(s.Environ), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return !slices.Contains(seenByChecks(), name)
	}), "HOME="+home)
	var out tail
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = 5 * time.Second
	inGroup(cmd)
	err := cmd.Run()
	if cmd.Process != nil {
		_ = cmd.Cancel() // what it left in its group; there may be nothing
	}
	if errors.Is(err, exec.ErrWaitDelay) {
		err = errors.New("it ended, and left a process behind that holds its output")
	}
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	lines := strings.Split(strings.TrimRight(string(out), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-keptLines):], "\n"), err
}

// tail is the end of what is written to it.
type tail []byte

// longestTail is how much of it is kept.
const longestTail = 64 << 10

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	*t = append(*t, p...)
	if over := len(*t) - longestTail; over > longestTail {
		*t = slices.Delete(*t, 0, over)
	}
	return len(p), nil
}
