package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/release"
	"github.com/strake-dev/strake/previews"
)

// proposal is what promote --propose --json prints. Its names are stable.
type proposal struct {
	Environment string `json:"environment"`
	Commit      string `json:"commit"`
	File        string `json:"file"`
	Branch      string `json:"branch"` // "" where the file says so already
}

// propose writes the commit that an environment is to run into its file, on a branch of the origin of its own. The checkout stays as it is.
func propose(ctx context.Context, s Streams, o promoteOptions) error {
	r, err := beginReleasing(ctx, s, o.Project, true)
	if err != nil {
		return err
	}
	e, err := r.environment(o.Environment)
	if err != nil {
		return err
	}
	if e.File == "" {
		return usagef("write x-strake.environments."+o.Environment+".file, such as deploy/"+o.Environment+".yaml, in the default branch", "no file says what %s runs, so there is nothing to propose", o.Environment)
	}
	m, have, err := r.proposed(ctx, s, o, e)
	if err != nil {
		return err
	}
	file, before, err := r.wishFile(ctx, o.Environment, r.policy)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	after, err := release.WithWish(file, o.Environment, before, m.Commit)
	if err != nil {
		return err
	}
	p := proposal{Environment: o.Environment, Commit: m.Commit, File: file}
	if string(before) == string(after) {
		return p.print(s, o, fmt.Sprintf("%s says already that %s runs %s; strake promote %s takes it", file, o.Environment, release.Short(m.Commit), o.Environment))
	}
	p.Branch = "strake/" + o.Environment + "-" + release.Short(m.Commit)
	r.printPlan(ctx, s, promoteOptions{Project: o.Project, JSON: true}, m, have, nil)
	if o.DryRun {
		if err := p.print(s, o, fmt.Sprintf("would write %s into %s on a branch %s", release.Short(m.Commit), file, p.Branch)); err != nil {
			return err
		}
		return &exitError{code: exitChanges}
	}
	where, err := r.pushProposal(ctx, s, p, m, after)
	if err != nil {
		return err
	}
	return p.print(s, o, fmt.Sprintf("%s%s proposes %s for %s: once it is merged, strake promote %s takes it", p.Branch, where, release.Short(m.Commit), o.Environment, o.Environment))
}

// proposed is the move that a proposal is of: what promote would do but for the file, how long it has run, and approvals, which come after it.
func (r *releasing) proposed(ctx context.Context, s Streams, o promoteOptions, e compose.EnvironmentSettings) (release.Move, release.History, error) {
	e.Soak, e.Approvals = 0, nil
	policy := *r
	policy.environments = map[string]compose.EnvironmentSettings{}
	for name, other := range r.environments {
		policy.environments[name] = other
	}
	policy.environments[o.Environment] = e
	if o.Commit != "" {
		h, err := r.registry.History(ctx, o.Environment, nil)
		if err != nil {
			return release.Move{}, nil, err
		}
		full, err := commitNamed(ctx, s, r.dir, o.Commit)
		last, has := h.Last()
		switch {
		case err != nil: // the registry may know it
		case has && last.Commit == full: // what it was put on by a hotfix or a rollback
			return release.Move{Environment: o.Environment, Tag: e.Tag, Action: last.Action, Commit: full, Subject: last.Subject, Images: last.Images, Before: last.Images, Last: &last}, h, nil
		case h.IsFormer(full):
			o.Commit, o.Back = full, true // a proposal to go back
		}
	}
	return policy.move(ctx, s, o)
}

func (p proposal) print(s Streams, o promoteOptions, text string) error {
	if o.JSON {
		return printJSON(s.Out, p)
	}
	_, err := fmt.Fprintln(s.Out, text)
	return err
}

// pushProposal makes the commit of a proposal on top of the default branch, and its branch at the origin; without an origin it is one of this repository. One
// that is there already and says the same stays.
func (r *releasing) pushProposal(ctx context.Context, s Streams, p proposal, m release.Move, text []byte) (where string, err error) {
	isRemote, err := r.sources.hasOrigin(ctx, s)
	if err != nil {
		return "", err
	}
	ref, there := "refs/heads/"+p.Branch, ""
	if isRemote {
		where = " of origin"
		refs, err := remoteRefs(ctx, s, r.dir, "origin", ref)
		if err != nil {
			return where, fmt.Errorf("look whether it is proposed already: %w", err)
		}
		if there = refs[ref]; there != "" {
			if _, err := gitSaid(ctx, s, r.dir, "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--refmap=", "--", "origin", ref); err != nil {
				return where, fmt.Errorf("fetch %s: %w", p.Branch, err)
			}
		}
	} else if there, err = commitNamed(ctx, s, r.dir, ref); err != nil {
		there = "" // it is new
	}
	if there != "" {
		parent, err := r.proposedOn(ctx, s, p, there)
		if err != nil {
			return where, err
		}
		if has, err := r.source.ReadFile(ctx, there, p.File); err == nil && parent == r.policy && string(has) == string(text) {
			return where, nil
		}
	}
	id, err := r.commitProposal(ctx, s, p, m, text)
	if err != nil {
		return where, err
	}
	if !isRemote {
		_, err = gitSaid(ctx, s, r.dir, "update-ref", ref, id, there)
		return where, err
	}
	if _, err := gitSaid(ctx, s, r.dir, "push", "--quiet", "--no-verify", "--force-with-lease="+ref+":"+there, "--", "origin", id+":"+ref); err != nil {
		return where, &compose.HintedError{Err: fmt.Errorf("push %s: %w", p.Branch, err), Next: "whoever proposes has to be allowed to push branches strake/* to origin"}
	}
	return where, nil
}

// proposedOn is the commit on which the proposal is at which a branch ends. Where the branch is anything else than one commit, on what the default branch has or
// had, that changes the file alone, it has somebody's work, which is not replaced: that is a *release.PolicyError.
func (r *releasing) proposedOn(ctx context.Context, s Streams, p proposal, end string) (parent string, err error) {
	line, err := gitSaid(ctx, s, r.dir, "rev-list", "--parents", "--max-count=1", "--end-of-options", end)
	if err != nil {
		return "", err
	}
	if ids := strings.Fields(line); len(ids) == 2 {
		parent = ids[1]
		_, foreign := git(ctx, s, r.dir, "merge-base", "--is-ancestor", parent, r.policy)
		files, err := gitSaid(ctx, s, r.dir, "diff-tree", "-r", "-z", "--no-commit-id", "--name-only", "--end-of-options", parent, end)
		if err != nil {
			return "", err
		}
		if foreign == nil && strings.TrimRight(files, "\x00") == p.File {
			return parent, nil
		}
	}
	return "", &release.PolicyError{Why: fmt.Sprintf("the branch %s has more than a proposal of %s, which would be lost", p.Branch, p.File), Next: "merge it, or delete it and run it again"}
}

// commitProposal makes the commit. The index of the checkout has no part in it.
func (r *releasing) commitProposal(ctx context.Context, s Streams, p proposal, m release.Move, text []byte) (id string, err error) {
	temp, err := previews.Scratch("strake-propose-")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temp)) }()
	file := filepath.Join(temp, "file")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return "", err
	}
	g := gitCall{dir: r.dir, index: filepath.Join(temp, "index")}
	if _, err := g.said(ctx, s, "read-tree", r.policy); err != nil {
		return "", err
	}
	blob, err := gitSaid(ctx, s, r.dir, "hash-object", "-w", "--no-filters", "--", file)
	if err != nil {
		return "", err
	}
	if _, err := g.said(ctx, s, "update-index", "--add", "--cacheinfo", "100644,"+blob+","+p.File); err != nil {
		return "", err
	}
	tree, err := g.said(ctx, s, "write-tree")
	if err != nil {
		return "", err
	}
	args := []string{"commit-tree", "-p", r.policy, "-m", fmt.Sprintf("Put %s on %s", p.Environment, release.Short(p.Commit)), "-m", harmless(m.Subject)}
	if sign, _ := git(ctx, s, r.dir, "config", "--type=bool", "--get", "commit.gpgSign"); sign == "true" { // unset is an error of git's
		args = append(args, "-S")
	}
	return gitSaid(ctx, s, r.dir, append(args, tree)...)
}
