package previews

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/compose/regex"
)

// Source is a git repository of whoever opens previews, from which commits are taken. It changes neither checkout nor index nor references
// of the repository; what it fetches are objects alone, which git collects again. It runs the program git, and nothing that a commit brings: no
// hook, no filter, no submodule.
type Source struct {
	// Dir is a folder of the repository's checkout: the project's.
	Dir string
	// Environ is the environment of who opens the preview, KEY=VALUE: git finds its configuration, keys and proxies in it.
	Environ []string
	// Remote is where pull requests are fetched from; "" is origin where there is one. A repository without any works.
	Remote string

	mu           sync.Mutex // guards what follows: what was asked before, and stays
	prefix, name string
}

// Change says which commit is meant: exactly one of its fields is set.
type Change struct {
	PullRequest int    // its number
	Branch      string // its name, at the remote or in the repository
	Commit      string // an object name, full or short
}

// Commit is a commit in full.
type Commit struct {
	ID string // 40 or 64 hexadecimal digits
	// From is the reference that led to it, for people: refs/pull/42/head of origin.
	From string
}

// ErrNoCommit is in the error of Resolve where there is no such commit.
var ErrNoCommit = errors.New("no such commit")

var (
	fullID  = regex.New(`^([0-9a-f]{40}|[0-9a-f]{64})$`)
	shortID = regex.New(`^[0-9a-f]{4,64}$`)
)

// Slug is the name of the change in names and addresses: pr-42, that of a branch as Slug says, or c- and the first 10 digits of a commit, which
// should be in full for that, so that it has one name. It is an error where not exactly one field is set.
func (c Change) Slug() (string, error) {
	if err := c.check(); err != nil {
		return "", err
	}
	switch {
	case c.Branch != "":
		return Slug(c.Branch), nil
	case c.Commit != "":
		return "c-" + c.Commit[:min(len(c.Commit), 10)], nil // no branch has such a slug
	}
	return PullRequestSlug(c.PullRequest)
}

// check refuses what is no change, and names that git could take for something else.
func (c Change) check() error {
	set := 0
	for _, is := range []bool{c.PullRequest != 0, c.Branch != "", c.Commit != ""} {
		if is {
			set++
		}
	}
	switch {
	case set != 1:
		return &compose.HintedError{Err: errors.New("a preview is of one pull request, one branch or one commit"), Next: "name one of them"}
	case c.PullRequest < 0:
		return &compose.HintedError{Err: fmt.Errorf("%d is no number of a pull request", c.PullRequest), Next: "give its number, such as 42"}
	case c.Commit != "" && !shortID.MatchString(c.Commit):
		return &compose.HintedError{Err: fmt.Errorf("%q is no commit", c.Commit), Next: "give the object name that git log shows: at least 4 hexadecimal digits in lower case"}
	case c.Branch != "" && !isBranchName(c.Branch):
		return &compose.HintedError{Err: fmt.Errorf("%q is no name of a branch", c.Branch), Next: "give the name that git branch shows"}
	}
	return nil
}

// isBranchName is whether git would take a name for a branch's. Source: git check-ref-format(1); beyond it nothing that is more than 250 bytes.
func isBranchName(name string) bool {
	if len(name) > 250 || name == "HEAD" || name == "@" || strings.HasPrefix(name, "-") || strings.HasSuffix(name, "/") || strings.HasSuffix(name, ".") {
		return false
	}
	for _, bad := range []string{"..", "//", "@{", "\\"} {
		if strings.Contains(name, bad) {
			return false
		}
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == "" || strings.HasPrefix(part, ".") || strings.HasSuffix(part, ".lock") {
			return false
		}
	}
	return !strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune("~^:?*[", r) })
}

// refs are the references that may be the change's, in the order in which they are asked for: at the remote and in the repository.
func (c Change) refs(remote string) (there, here []string) {
	if c.Branch != "" {
		there, here = []string{"refs/heads/" + c.Branch}, []string{"refs/heads/" + c.Branch}
		if remote != "" {
			here = append(here, "refs/remotes/"+remote+"/"+c.Branch)
		}
		return there, here
	}
	there = []string{fmt.Sprintf("refs/pull/%d/head", c.PullRequest), fmt.Sprintf("refs/merge-requests/%d/head", c.PullRequest)}
	for _, ref := range append(there[:2:2], fmt.Sprintf("refs/heads/pr-%d", c.PullRequest), fmt.Sprintf("refs/heads/pr/%d", c.PullRequest)) {
		here = append(here, ref)
		if remote != "" {
			here = append(here, "refs/remotes/"+remote+"/"+strings.TrimPrefix(strings.TrimPrefix(ref, "refs/heads/"), "refs/"))
		}
	}
	return there, here
}

// Resolve finds the commit of a change, and fetches its objects where the repository has a remote. A pull request or a branch is what the remote
// says; where the remote cannot be asked, or does not know it, what the repository itself says, and warning then tells why the remote did not.
// There being no such commit is ErrNoCommit, in a *compose.HintedError.
func (s *Source) Resolve(ctx context.Context, c Change) (_ Commit, warning string, err error) {
	if err := c.check(); err != nil {
		return Commit{}, "", err
	}
	if c.Commit != "" {
		id, err := s.commitOf(ctx, c.Commit)
		if err != nil {
			return Commit{}, "", noCommit("commit "+c.Commit, "git fetch brings commits that the repository does not have yet", err)
		}
		if !strings.HasPrefix(id, strings.ToLower(c.Commit)) { // git asks its references first, and whoever pushes names those
			return Commit{}, "", noCommit("commit "+c.Commit, "a tag or a branch is called so: write more digits, or delete it", fmt.Errorf("it is the name of a reference that leads to %s", id))
		}
		return Commit{ID: id, From: c.Commit}, "", nil
	}
	remote, err := s.remote(ctx)
	if err != nil {
		return Commit{}, "", err
	}
	there, here := c.refs(remote)
	if remote != "" {
		found, err := s.fetch(ctx, remote, there)
		if err == nil && found.ID != "" {
			return found, "", nil
		}
		if err != nil {
			warning = fmt.Sprintf("%s could not be asked, so that the repository's own is taken: %v", remote, err)
		}
	}
	for _, ref := range here {
		if id, err := s.at(ctx, ref); err == nil {
			return Commit{ID: id, From: ref}, warning, nil
		} else if ctx.Err() != nil {
			return Commit{}, "", context.Cause(ctx)
		}
	}
	what, next := fmt.Sprintf("pull request %d", c.PullRequest), fmt.Sprintf("make a branch pr-%d of it, or name it with --branch or --commit", c.PullRequest)
	if c.Branch != "" {
		what, next = "branch "+c.Branch, "git branch --all shows those that there are"
	}
	if warning != "" {
		return Commit{}, "", noCommit(what, next, errors.New(warning))
	}
	return Commit{}, "", noCommit(what, next, nil)
}

func noCommit(what, next string, why error) error {
	err := fmt.Errorf("%s: %w", what, ErrNoCommit)
	if why != nil {
		err = fmt.Errorf("%s: %w (%w)", what, ErrNoCommit, why)
	}
	return &compose.HintedError{Err: err, Next: next}
}

// IsOwn is whether a branch of the repository itself ends in a commit, so that whoever made it may write to the repository: what comes from a fork is
// the end of none. Where there is a remote only its own word counts, as branches here may hold anybody's commits: one that cannot be asked is false.
func (s *Source) IsOwn(ctx context.Context, id string) (bool, error) {
	remote, err := s.remote(ctx)
	if err != nil || !fullID.MatchString(id) {
		return false, err
	}
	list := ""
	if remote == "" {
		list, err = s.git(ctx, "for-each-ref", "--format=%(objectname)%09%(refname)", "refs/heads/")
	} else if list, err = s.git(ctx, "ls-remote", "--quiet", "--heads", "--", remote); err != nil && ctx.Err() == nil {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	for line := range strings.Lines(list) {
		if at, ref, ok := strings.Cut(strings.TrimSpace(line), "\t"); ok && at == id && strings.HasPrefix(ref, "refs/heads/") {
			return true, nil
		}
	}
	return false, nil
}

// DefaultBranch is the commit of the branch whose policy counts: what the remote calls its HEAD as far as the repository knows it, else the local
// branch that init.defaultBranch, or else main or master names. None is ErrNoCommit.
func (s *Source) DefaultBranch(ctx context.Context) (Commit, error) {
	remote, err := s.remote(ctx)
	if err != nil {
		return Commit{}, err
	}
	var refs []string
	if remote != "" {
		refs = append(refs, "refs/remotes/"+remote+"/HEAD")
	}
	names := []string{"main", "master"}
	if name, err := s.git(ctx, "config", "--get", "init.defaultBranch"); err == nil && isBranchName(name) {
		names = append([]string{name}, names...)
	}
	for _, name := range names {
		if remote != "" {
			refs = append(refs, "refs/remotes/"+remote+"/"+name)
		}
		refs = append(refs, "refs/heads/"+name)
	}
	for _, ref := range refs {
		if strings.HasSuffix(ref, "/HEAD") { // a branch of that name is none
			if to, err := s.git(ctx, "symbolic-ref", "--quiet", ref); err != nil || !strings.HasPrefix(to, strings.TrimSuffix(ref, "HEAD")) {
				continue
			}
		}
		if id, err := s.at(ctx, ref); err == nil {
			return Commit{ID: id, From: ref}, nil
		} else if ctx.Err() != nil {
			return Commit{}, context.Cause(ctx)
		}
	}
	return Commit{}, noCommit("the default branch", "git commit makes the first one; where origin calls it otherwise, git remote set-head origin --auto finds it; without a remote it is main or master", nil)
}

// Prefix is where the project's folder is in the repository, with / between its parts; "." is its top.
func (s *Source) Prefix(ctx context.Context) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.prefix != "" {
		return s.prefix, nil
	}
	prefix, err := s.git(ctx, "rev-parse", "--show-prefix")
	if err != nil {
		return "", err
	}
	s.prefix = path.Clean("./" + prefix)
	return s.prefix, nil
}

// remote is the name of the remote, "" where there is none.
func (s *Source) remote(ctx context.Context) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.name != "" {
		return s.name, nil
	}
	list, err := s.git(ctx, "remote")
	if err != nil {
		return "", err
	}
	name := s.Remote
	if name == "" {
		name = "origin"
	}
	for known := range strings.Lines(list) {
		if strings.TrimSpace(known) == name && !strings.HasPrefix(name, "-") {
			s.name = name
			return name, nil
		}
	}
	if s.Remote != "" {
		return "", &compose.HintedError{Err: fmt.Errorf("the repository has no remote %s", s.Remote), Next: "git remote lists those that it has"}
	}
	return "", nil
}

// at is the commit of a branch, by its name in full: of rev-parse a tag may have that name too.
func (s *Source) at(ctx context.Context, ref string) (string, error) {
	id, err := s.git(ctx, "show-ref", "--verify", "--hash", "--", ref)
	if err != nil {
		return "", err
	}
	return s.commitOf(ctx, id)
}

// commitOf is the full name of the commit that a reference or an object name leads to.
func (s *Source) commitOf(ctx context.Context, ref string) (string, error) {
	id, err := s.git(ctx, "rev-parse", "--verify", "--quiet", "--end-of-options", ref+"^{commit}")
	if err != nil {
		return "", err
	}
	if !fullID.MatchString(id) {
		return "", fmt.Errorf("git says that %s is %q", ref, id)
	}
	return id, nil
}

// fetch has the objects of the first of the references that the remote has; no ID: it has none of them.
func (s *Source) fetch(ctx context.Context, remote string, refs []string) (Commit, error) {
	for range 3 { // it may be pushed to between the question and the fetch
		list, err := s.git(ctx, append([]string{"ls-remote", "--quiet", "--", remote}, refs...)...)
		if err != nil {
			return Commit{}, err
		}
		at := map[string]string{}
		for line := range strings.Lines(list) {
			if id, ref, ok := strings.Cut(strings.TrimSpace(line), "\t"); ok && fullID.MatchString(id) {
				at[ref] = id
			}
		}
		for _, ref := range refs {
			id := at[ref]
			if id == "" {
				continue
			}
			if _, err := s.commitOf(ctx, id); err != nil {
				if _, err := s.git(ctx, "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--refmap=", "--no-recurse-submodules", "--no-auto-gc", "--", remote, ref); err != nil {
					return Commit{}, err
				}
			}
			if full, err := s.commitOf(ctx, id); err == nil {
				return Commit{ID: full, From: ref + " of " + remote}, nil
			}
		}
		if len(at) == 0 {
			return Commit{}, nil
		}
	}
	return Commit{}, fmt.Errorf("%s changes while it is fetched", strings.Join(refs, ", "))
}

// Date is when a commit was committed.
func (s *Source) Date(ctx context.Context, id string) (time.Time, error) {
	text, err := s.git(ctx, "show", "--no-patch", "--format=%ct", "--end-of-options", id)
	if err != nil {
		return time.Time{}, err
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("git says that commit %s is of %q", id, text)
	}
	return time.Unix(seconds, 0).UTC(), nil
}
