package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/release"
)

// wish is the commit that git says an environment is to run, and where it says so: the end of its branch or of its remote, or its file in the commit at, "" for
// the default branch. "" is that git says nothing.
func (r *releasing) wish(ctx context.Context, s Streams, name, at string) (commit, where string, err error) {
	switch e := r.environments[name]; {
	case e.File != "":
		if at == "" {
			at = r.policy
		}
		file, text, err := r.wishFile(ctx, name, at)
		if errors.Is(err, fs.ErrNotExist) {
			return "", file, &release.PolicyError{Why: fmt.Sprintf("%s says which commit %s is to run, and %s has no such file", file, name, release.Short(at)), Next: "strake promote " + name + " --propose writes it on a branch for review"}
		}
		if err != nil {
			return "", file, err
		}
		commit, err = release.Wish(file, name, text)
		return commit, file, err
	case e.Remote != "":
		commit, err = r.endOf(ctx, s, e.Remote)
		return commit, e.Remote, err
	case e.Branch != "":
		end, err := r.sources.branchEnd(ctx, s, e.Branch)
		return end.ID, "the branch " + e.Branch, err
	}
	return "", "", nil
}

// wishFile is the file of an environment in a commit, by its path from the top of the repository.
func (r *releasing) wishFile(ctx context.Context, name, at string) (file string, text []byte, err error) {
	prefix, err := r.source.Prefix(ctx)
	if err != nil {
		return "", nil, err
	}
	file = path.Join(prefix, r.environments[name].File)
	text, err = r.source.ReadFile(ctx, at, file)
	return file, text, err
}

// endOf is the commit of a remote's HEAD, whose objects the repository has then.
func (r *releasing) endOf(ctx context.Context, s Streams, remote string) (string, error) {
	remotes, err := gitSaid(ctx, s, r.dir, "remote")
	if err != nil {
		return "", err
	}
	if !isLine(remotes, remote) {
		return "", &compose.HintedError{Err: fmt.Errorf("the repository has no remote %s", remote), Next: "git remote add " + remote + " URL"}
	}
	refs, err := remoteRefs(ctx, s, r.dir, remote, "HEAD")
	if err != nil {
		return "", fmt.Errorf("look where %s is: %w", remote, err)
	}
	id := refs["HEAD"]
	if id == "" {
		return "", &compose.HintedError{Err: fmt.Errorf("%s has no commit yet", remote), Next: "git push " + remote + " HEAD:main"}
	}
	if _, err := git(ctx, s, r.dir, "cat-file", "-e", id+"^{commit}"); err != nil {
		if _, err := gitSaid(ctx, s, r.dir, "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--refmap=", "--", remote, "HEAD"); err != nil {
			return "", fmt.Errorf("fetch %s: %w", remote, err)
		}
	}
	return id, nil
}

// isLine is whether one of the lines of a text is another text.
func isLine(text, line string) bool {
	for l := range strings.Lines(text) {
		if strings.TrimSpace(l) == line {
			return true
		}
	}
	return false
}

// wants is the commit that a promotion takes; follows is that git says it, so that one that the environment had is gone back to.
func (r *releasing) wants(ctx context.Context, s Streams, o promoteOptions) (commit string, follows bool, err error) {
	e := r.environments[o.Environment]
	if o.Branch != "" || o.Hotfix || o.Propose || o.Commit != "" && e.File == "" {
		return o.Commit, o.Branch != "", nil
	}
	wish, where, err := r.wish(ctx, s, o.Environment, o.WishAt)
	if err != nil || wish == "" || o.Commit == "" {
		return wish, wish != "", err
	}
	full, err := commitNamed(ctx, s, r.dir, o.Commit)
	if err != nil {
		full = o.Commit
	}
	if full != wish {
		return "", false, &release.PolicyError{Why: fmt.Sprintf("%s says that %s is to run %s, and not %s", where, o.Environment, release.Short(wish), release.Short(full)),
			Next: fmt.Sprintf("strake promote %s --propose %s writes that on a branch for review", o.Environment, release.Short(full))}
	}
	return full, true, nil
}
