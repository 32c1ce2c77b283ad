package previews

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/strake-dev/strake/compose"
)

// fetchLimit is how long a git command may take: a fetch of a large repository does, a remote that does not answer must not.
const fetchLimit = 10 * time.Minute

// git is what a git command prints, without white space around it. Arguments that come from outside stand after -- or --end-of-options.
func (s *Source) git(ctx context.Context, args ...string) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, fetchLimit, fmt.Errorf("git %s took more than %s", args[0], fetchLimit))
	defer cancel()
	cmd := s.command(ctx, args...)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	switch {
	case err == nil:
		return strings.TrimSpace(string(out)), nil
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	case errors.Is(err, exec.ErrNotFound):
		return "", &compose.HintedError{Err: errors.New("previews need the program git"), Next: "install git"}
	}
	line, _, _ := strings.Cut(strings.TrimSpace(said.String()), "\n")
	if strings.Contains(line, "not a git repository") {
		return "", &compose.HintedError{Err: fmt.Errorf("%s is in no git repository", s.Dir), Next: "previews and releases are of commits: git init makes a repository"}
	}
	if line == "" {
		line = err.Error()
	}
	return "", fmt.Errorf("git %s: %s", args[0], strings.TrimPrefix(strings.TrimPrefix(line, "fatal: "), "error: "))
}

// command is a git command in the repository of Dir. What would run programs beside git or write into the repository is off: hooks, the file
// system monitor, the prompt for passwords, lazy repacking; a remote of ext:: is not spoken to. The configuration that is left is the
// developer's own, which fetching needs: keys, proxies, addresses. Variables that point git at another repository, as a hook of git sets them,
// do not count.
func (s *Source) command(ctx context.Context, args ...string) *exec.Cmd {
	off := []string{"-C", s.Dir, "--no-pager", "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "protocol.ext.allow=never",
		"-c", "gc.auto=0", "-c", "maintenance.auto=false", "-c", "submodule.recurse=false", "-c", "fetch.recurseSubmodules=false", "-c", "fetch.prune=false",
		"-c", "fetch.writeCommitGraph=false", "-c", "core.untrackedCache=false"}
	cmd := exec.CommandContext(ctx, "git", append(off, args...)...)
	cmd.Env = GitEnviron(s.Environ)
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// GitEnviron is an environment for git commands on the repository of a folder as it is: without variables that point git at another one, as a hook of git
// sets them, and with objects that refs/replace puts in the place of others left out. Nobody is asked for a password.
func GitEnviron(environ []string) []string {
	return append(slices.DeleteFunc(slices.Clone(environ), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return slices.Contains(repositoryVariables(), name) || strings.HasPrefix(name, "GIT_TRACE")
	}), "GIT_TERMINAL_PROMPT=0", "GIT_OPTIONAL_LOCKS=0", "GIT_NO_REPLACE_OBJECTS=1", "GIT_LITERAL_PATHSPECS=1", "LC_ALL=C")
}

// repositoryVariables are the variables of git that say which repository is meant, and how it is read.
// Source: git rev-parse --local-env-vars.
func repositoryVariables() []string {
	return []string{"GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_CONFIG", "GIT_CONFIG_PARAMETERS", "GIT_CONFIG_COUNT", "GIT_OBJECT_DIRECTORY", "GIT_DIR", "GIT_WORK_TREE",
		"GIT_IMPLICIT_WORK_TREE", "GIT_GRAFT_FILE", "GIT_INDEX_FILE", "GIT_NO_REPLACE_OBJECTS", "GIT_REPLACE_REF_BASE", "GIT_PREFIX", "GIT_SHALLOW_FILE", "GIT_COMMON_DIR",
		"GIT_NAMESPACE", "GIT_EXTERNAL_DIFF", "GIT_EXEC_PATH", "GIT_ATTR_SOURCE"}
}
