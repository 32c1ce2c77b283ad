package cli

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/compose/regex"
	"github.com/strake-dev/strake/internal/release"
)

// hotfix finds the commit of a hotfix and says what it is: that of a branch that the environment takes hotfixes of, on top of what the environment runs. ""
// is the end of the only such branch. What the policy refuses is a *release.PolicyError.
func (r *releasing) hotfix(ctx context.Context, s Streams, name, commit string, have release.History) (x *release.Hotfix, id string, err error) {
	e := r.environments[name]
	if e.Hotfix == "" {
		return nil, "", usagef("write x-strake.environments."+name+".hotfix, such as hotfix/*, in the default branch", "%s takes no hotfixes", name)
	}
	last, ok := have.Last()
	if !ok {
		return nil, "", &release.PolicyError{Why: name + " has had no release that a hotfix could be of", Next: "strake promote " + name + " makes the first"}
	}
	if commit != "" {
		if commit, err = commitNamed(ctx, s, r.dir, commit); err != nil {
			return nil, "", &compose.HintedError{Err: fmt.Errorf("find the commit of the hotfix: %w", err), Next: "git fetch brings commits that the repository does not have yet"}
		}
	}
	branch, id, err := r.hotfixBranch(ctx, s, e, name, commit, last.Commit)
	if err != nil {
		return nil, "", err
	}
	base, err := r.hotfixBase(ctx, s, branch, id, last)
	if err != nil {
		return nil, "", err
	}
	x = &release.Hotfix{Branch: branch, Base: base, Fixes: []release.Fix{}}
	patches, err := r.patches(ctx, s, append(patchLog(), "--no-merges", "--end-of-options", base+".."+id))
	if err != nil {
		return nil, "", err
	}
	list, err := gitSaid(ctx, s, r.dir, "-c", "log.showSignature=false", "log", "--no-merges", "--format=%H %s", "--end-of-options", base+".."+id)
	if err != nil {
		return nil, "", err
	}
	for line := range strings.Lines(list) {
		fix, subject, _ := strings.Cut(strings.TrimSpace(line), " ")
		x.Fixes = append(x.Fixes, release.Fix{Commit: fix, Subject: subject, Patch: patches[fix]})
	}
	whole, err := r.patches(ctx, s, append([]string{"diff"}, append(patchFlags(), "--end-of-options", base, id)...))
	for _, patch := range whole {
		x.Whole = patch
	}
	return x, id, err
}

// hotfixBase is where a hotfix left the default branch. It has to begin in what the environment runs, or it would bring more than fixes, and to have that, or
// it would take fixes away.
func (r *releasing) hotfixBase(ctx context.Context, s Streams, branch, id string, last release.Entry) (base string, err error) {
	if base, err = gitSaid(ctx, s, r.dir, "merge-base", r.policy, id); err != nil {
		return "", fmt.Errorf("find where %s left the default branch: %w", branch, err)
	}
	if _, err := commitNamed(ctx, s, r.dir, last.Commit); err != nil {
		return "", &compose.HintedError{Err: fmt.Errorf("look whether %s has what %s runs: %w", branch, last.Environment, err), Next: "git fetch origin " + last.Commit + " brings it"}
	}
	why := ""
	if _, err := git(ctx, s, r.dir, "merge-base", "--is-ancestor", base, last.Commit); err != nil {
		why = fmt.Sprintf("%s left the default branch at %s, which is not in what %s runs, %s: it would bring more than fixes", branch, release.Short(base), last.Environment, release.Short(last.Commit))
	} else if _, err := git(ctx, s, r.dir, "merge-base", "--is-ancestor", last.Commit, id); err != nil {
		why = fmt.Sprintf("%s does not have what %s runs, %s: it would take that away", branch, last.Environment, release.Short(last.Commit))
	}
	if why != "" {
		return "", &release.PolicyError{Why: why, Next: fmt.Sprintf("git rebase --onto %s %s %s, push it, and run strake build --push", release.Short(last.Commit), release.Short(base), compose.Word(branch))}
	}
	return base, nil
}

// hotfixBranch is the branch that has the commit of a hotfix, and that commit. The origin says which branches there are; without one the repository does.
func (r *releasing) hotfixBranch(ctx context.Context, s Streams, e compose.EnvironmentSettings, name, commit, last string) (branch, id string, err error) {
	isRemote, err := r.sources.hasOrigin(ctx, s)
	if err != nil {
		return "", "", err
	}
	where, list := "origin", ""
	if isRemote {
		list, err = gitSaid(ctx, s, r.dir, "ls-remote", "--quiet", "--heads", "--", where)
	} else {
		where = ""
		list, err = gitSaid(ctx, s, r.dir, "for-each-ref", "--format=%(objectname)%09%(refname)", "refs/heads/")
	}
	if err != nil {
		return "", "", fmt.Errorf("look for hotfixes: %w", err)
	}
	is := func(ancestor, of string) bool {
		_, err := git(ctx, s, r.dir, "merge-base", "--is-ancestor", ancestor, of)
		return err == nil
	}
	var found, ids, ran []string // ran are those of found whose commit the environment has
	for line := range strings.Lines(list) {
		tip, ref, _ := strings.Cut(strings.TrimSpace(line), "\t")
		b := strings.TrimPrefix(ref, "refs/heads/")
		if !release.IsHotfix(e, b) {
			continue
		}
		if where != "" {
			if _, err := gitSaid(ctx, s, r.dir, "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--refmap=", "--", where, ref); err != nil {
				return "", "", fmt.Errorf("fetch %s: %w", b, err)
			}
		}
		at := tip
		if commit != "" {
			at = commit
		}
		if (at == tip || is(at, tip)) && !is(at, r.policy) { // what the default branch has goes the way of all
			found, ids = append(found, b), append(ids, at)
			if is(at, last) {
				ran = append(ran, b)
			}
		}
	}
	if len(ran) < len(found) {
		for i := len(found) - 1; i >= 0; i-- {
			if slices.Contains(ran, found[i]) {
				found, ids = slices.Delete(found, i, i+1), slices.Delete(ids, i, i+1)
			}
		}
	}
	what := "no branch that is like " + e.Hotfix + " and not merged"
	if commit != "" {
		what = "no branch that is like " + e.Hotfix + " has " + release.Short(commit) + " as something that the default branch has not"
	}
	switch {
	case len(found) == 0:
		return "", "", &release.PolicyError{Why: what + ": " + name + " takes no other hotfix", Next: "push the branch, and run strake build --push on it"}
	case commit == "" && len(found) > 1:
		return "", "", &release.PolicyError{Why: "there are several hotfixes: " + branchesAt(found, ids), Next: "name the commit of one: strake promote " + name + " --hotfix " + release.Short(ids[0])}
	}
	return found[0], ids[0], nil
}

// branchesAt are branches with the commit of each.
func branchesAt(branches, ids []string) string {
	var all []string
	for i, b := range branches {
		all = append(all, b+" ("+release.Short(ids[i])+")")
	}
	return strings.Join(all, ", ")
}

// patchFlags has git print changes in the one way of which patches are told, whatever its configuration says.
func patchFlags() []string {
	return []string{"--patch", "--no-color", "--full-index", "--binary", "--no-renames", "--no-ext-diff", "--no-textconv", "--unified=3", "--diff-algorithm=myers", "--src-prefix=a/", "--dst-prefix=b/"}
}

// patchLog is git's log in that way.
func patchLog() []string {
	return append([]string{"-c", "log.showSignature=false", "log", "--format=commit %H"}, patchFlags()...)
}

// patches are those of what a git command prints, by commit. Source: git-patch-id(1).
func (r *releasing) patches(ctx context.Context, s Streams, args []string) (map[string]string, error) {
	text, err := gitSaid(ctx, s, r.dir, args...)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "git", "-C", r.dir, "patch-id", "--stable")
	cmd.Env, cmd.Stdin = append(slices.Clone(s.Environ), "LC_ALL=C"), strings.NewReader(text+"\n")
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("git patch-id: %w", err)
	}
	by := map[string]string{}
	for line := range strings.Lines(string(out)) {
		if patch, commit, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			by[commit] = patch
		}
	}
	return by, nil
}

var pickedFrom = regex.New(`cherry picked from commit ([0-9a-f]{40,64})`)

// atOncePatches is how many commits are looked through before it is asked whether something is owed still.
const atOncePatches = 200

// debts are what the default branch owes to hotfixes of an environment.
func (r *releasing) debts(ctx context.Context, s Streams, h release.History) []release.Debt {
	return h.Debts(func(x release.Hotfix) (release.Patches, error) { return r.since(ctx, s, x) })
}

// since is what the default branch has changed since a hotfix began, the oldest first and no further than to where all of it is paid.
func (r *releasing) since(ctx context.Context, s Streams, x release.Hotfix) (has release.Patches, err error) {
	has = release.Patches{IDs: map[string]bool{}, Picked: map[string]bool{}}
	said, err := gitSaid(ctx, s, r.dir, "-c", "log.showSignature=false", "log", "--format=%B", "--end-of-options", x.Base+".."+r.policy)
	if err != nil {
		return has, errors.New("git does not know " + release.Short(x.Base) + ", at which it began: git fetch may bring it")
	}
	for _, m := range pickedFrom.FindAllStringSubmatch(said, -1) {
		has.Picked[m[1]] = true
	}
	list, err := gitSaid(ctx, s, r.dir, "rev-list", "--reverse", "--no-merges", "--end-of-options", x.Base+".."+r.policy)
	if err != nil {
		return has, err
	}
	for some := range slices.Chunk(strings.Fields(list), atOncePatches) {
		if len(x.Owed(has)) == 0 {
			break
		}
		by, err := r.patches(ctx, s, append(append(patchLog(), "--no-walk=unsorted", "--end-of-options"), some...))
		if err != nil {
			return has, err
		}
		for _, patch := range by {
			has.IDs[patch] = true
		}
	}
	return has, nil
}
