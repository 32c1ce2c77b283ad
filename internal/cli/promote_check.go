package cli

import (
	"context"
	"encoding/json"
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

// check runs the checks of an environment in a clean work tree of a commit, and returns them. One that fails is a *release.PolicyError with its last lines. What
// they print is kept in the cache folder.
func (r *releasing) check(ctx context.Context, s Streams, o promoteOptions, commit string) (passed []release.Check, err error) {
	e, err := r.environment(o.Environment)
	if err != nil || len(e.Checks) == 0 || o.Back { // what ran there has passed them
		return nil, err
	}
	root, err := previews.Scratch("strake-check-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, previews.Remove(root)) }()
	prefix, err := r.source.Prefix(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := r.source.Extract(ctx, commit, filepath.Join(root, "tree"), nil); err != nil {
		return nil, err
	}
	home := filepath.Join(root, "home") // the real one has keys and passwords
	if err := os.Mkdir(home, 0o700); err != nil {
		return nil, err
	}
	names := r.checkNames(ctx, s, o)
	for i, check := range e.Checks {
		name := names[i]
		fmt.Fprintf(s.Err, "checking: %s\n", harmless(name))
		began := s.Now()
		out, err := runCheck(ctx, s, filepath.Join(root, "tree", filepath.FromSlash(prefix)), home, check)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		kept := r.keepOutput(fmt.Sprintf("%s-%s-%d.log", o.Environment, commit, i+1), name, out)
		if err != nil {
			refused := &release.PolicyError{Why: fmt.Sprintf("the check %q of %s fails at %s after %s: %v", name, o.Environment, release.Short(commit), span(s.Now().Sub(began)), err),
				Next: "git checkout " + release.Short(commit) + " and run it there"}
			if kept != "" {
				refused.Next = "what it printed is in " + kept + "\n" + refused.Next
			}
			lines := strings.Split(strings.TrimRight(out, "\n"), "\n")
			return nil, &reportedError{refused, []section{{"its last lines", strings.Join(lines[max(0, len(lines)-keptLines):], "\n")}}}
		}
		passed = append(passed, release.Check{Command: name, Seconds: s.Now().Sub(began).Seconds()})
	}
	return passed, nil
}

// checkNames are the checks of an environment as the default branch writes them, to be shown and kept: a variable in one may have a secret's value when it runs.
func (r *releasing) checkNames(ctx context.Context, s Streams, o promoteOptions) []string {
	names := make([]string, len(r.environments[o.Environment].Checks))
	var written struct {
		Strake struct {
			Environments map[string]struct{ Checks []string }
		} `json:"x-strake"`
	}
	text, err := r.source.Written(ctx, r.policy, o.Project.loadOptions(s))
	if err == nil {
		err = json.Unmarshal(text, &written)
	}
	all := written.Strake.Environments[o.Environment].Checks
	for i := range names {
		names[i] = fmt.Sprintf("check %d of %d", i+1, len(names))
		if err == nil && len(all) == len(names) {
			names[i] = all[i]
		}
	}
	return names
}

// oldOutput is how old what a check printed is when it is removed.
const oldOutput = 30 * 24 * time.Hour

// keepOutput writes what a check printed into the cache folder, and returns the file; "" where that cannot be.
func (r *releasing) keepOutput(name, check, out string) string {
	dir := filepath.Join(r.cache, "checks", r.project)
	old, _ := os.ReadDir(dir) // there may be none
	for _, f := range old {
		if info, err := f.Info(); err == nil && time.Since(info.ModTime()) > oldOutput {
			_ = os.Remove(filepath.Join(dir, f.Name())) // another may have
		}
	}
	if r.cache == "" || os.MkdirAll(dir, 0o700) != nil || os.WriteFile(filepath.Join(dir, name), []byte("$ "+check+"\n"+out), 0o600) != nil {
		return ""
	}
	return filepath.Join(dir, name)
}

// runCheck runs a command in a folder, with a home of its own, and returns the end of what it prints. What it started ends with it.
func runCheck(ctx context.Context, s Streams, dir, home, check string) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, checkPatience, fmt.Errorf("it took more than %s", checkPatience))
	defer cancel()
	script := filepath.Join(home, ".check") // whoever lists processes sees their arguments
	if err := os.WriteFile(script, []byte(check+"\n"), 0o600); err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, "sh", script)
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
	return string(out), err
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
