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
	return []string{"PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "USER", "TERM"}
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
	for _, check := range e.Checks {
		fmt.Fprintf(s.Err, "checking: %s\n", check)
		began := s.Now()
		out, err := runCheck(ctx, s, filepath.Join(root, "tree", filepath.FromSlash(prefix)), check)
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

// runCheck runs a command in a folder, and returns its last lines.
func runCheck(ctx context.Context, s Streams, dir, check string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, checkPatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", check)
	cmd.Dir = dir
	cmd.Env = slices.DeleteFunc(slices.Clone(s.Environ), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return !slices.Contains(seenByChecks(), name)
	})
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.CombinedOutput()
	lines := strings.Split(strings.TrimRight(string(out), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-keptLines):], "\n"), err
}
