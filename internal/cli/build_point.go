package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/strake-dev/strake/internal/release"
)

// point moves the tags that follow branches and pull requests to what was published: latest and pr-42, and those of environments that take the branch's builds.
func (w *pushing) point(ctx context.Context) error {
	b, tag, names, err := w.followers(ctx)
	if err != nil {
		return err
	}
	switch {
	case tag != "" && w.options.PullRequest > 0:
		err = w.tag(ctx, tag)
	case tag != "":
		err = w.whileTip(ctx, b.Branch, tag+".tag", func(ctx context.Context, _ func(context.Context) error) error { return w.tag(ctx, tag) })
	}
	for _, name := range names {
		if err == nil {
			err = w.follow(ctx, name, b.Branch)
		}
	}
	return err
}

// followers are the tag and the environments that follow what is published, and that with the branch that it is of.
func (w *pushing) followers(ctx context.Context) (b release.Build, tag string, names []string, err error) {
	main, tip, err := w.defaultBranch(ctx)
	if err != nil {
		return b, "", nil, err
	}
	b = w.build                                                 // which may have been published of another branch
	if b.Branch = w.branch; b.Branch == "" && tip == b.Commit { // as CI checks it out
		b.Branch = main
	}
	if b.Branch == "" && !b.Dirty && w.options.PullRequest == 0 {
		if b.Branch, err = w.branchAt(ctx, b.Commit); err != nil {
			return b, "", nil, err
		}
	}
	tag, names = release.Followers(w.environments, b, main, w.options.PullRequest)
	return b, tag, names, nil
}

// branchAt is the only branch of the origin that ends in a commit, for a CI that checks out no branch; "" where there is none or are more, which is said.
func (w *pushing) branchAt(ctx context.Context, commit string) (string, error) {
	is, err := w.sources.hasOrigin(ctx, w.streams)
	if err != nil {
		return "", err
	}
	var at []string
	if is {
		refs, err := remoteRefs(ctx, w.streams, w.dir, "origin", "refs/heads/*")
		if err != nil {
			return "", fmt.Errorf("look which branch of origin is at %s: %w", release.Short(commit), err)
		}
		for ref, id := range refs {
			if id == commit {
				at = append(at, strings.TrimPrefix(ref, "refs/heads/"))
			}
		}
	}
	if len(at) == 1 {
		return at[0], nil
	}
	fmt.Fprintf(w.streams.Err, "no branch is checked out, and %d of origin end in %s: no environment follows it\n", len(at), release.Short(commit))
	return "", nil
}

// tag gives all images a tag.
func (w *pushing) tag(ctx context.Context, tag string) error {
	for service, digest := range w.build.Images {
		if err := w.registry.Tag(ctx, service, digest, tag); err != nil {
			return err
		}
	}
	return nil
}

// defaultBranch is the name of the default branch, and its commit as this repository knows it.
func (w *pushing) defaultBranch(ctx context.Context) (name, commit string, err error) {
	at, err := w.source.DefaultBranch(ctx)
	if err != nil {
		return "", "", err
	}
	name, err = branchOf(ctx, w.streams, w.dir, at.From)
	if err != nil { // it is no reference to a branch: which one it is nobody knows
		return "", at.ID, nil
	}
	return name, at.ID, nil
}

// follow promotes what was published to an environment that takes the branch's builds, as strake promote does and with its checks.
func (w *pushing) follow(ctx context.Context, name, branch string) error {
	quiet := w.streams
	quiet.Out = quiet.Err
	o := promoteOptions{Project: w.options.Project, Environment: name, Commit: w.build.Commit, Branch: branch}
	m, _, err := w.move(ctx, quiet, o)
	if err != nil {
		return err
	}
	if m.IsDone() {
		if on, err := w.isOn(ctx, quiet, m); err != nil || on {
			return err
		}
	}
	if err := w.allow(ctx, quiet, o, &m); err != nil {
		return err
	}
	err = w.carryOut(ctx, quiet, o, m, plannedMove(m))
	var changed *release.ChangedError
	for range 3 { // the build before this one came in between, which is as it should be
		if !errors.As(err, &changed) {
			break
		}
		before := m
		if m, _, err = w.move(ctx, quiet, o); err != nil {
			break
		}
		m.Approvals, m.Checks = before.Approvals, before.Checks
		err = w.carryOut(ctx, quiet, o, m, plannedMove(m))
	}
	return err
}

// allow is an error where a move lacks approvals or fails a check.
func (w *pushing) allow(ctx context.Context, s Streams, o promoteOptions, m *release.Move) error {
	_, err := w.approvals(ctx, s, o, m)
	if err == nil {
		m.Checks, err = w.check(ctx, s, o, m.Commit)
	}
	return err
}

// whileTip calls do while a claim is held, for which it waits, if a branch of the origin is at the commit that was published: what is built of an earlier one
// comes too late.
func (w *pushing) whileTip(ctx context.Context, branch, claim string, do func(ctx context.Context, still func(context.Context) error) error) error {
	claims, err := w.claims(ctx, w.streams, "build --push")
	if err != nil {
		return err
	}
	return holdPatiently(ctx, w.streams, claims, claim, func(ctx context.Context, still func(context.Context) error) error {
		if is, err := w.isTip(ctx, w.streams, branch, w.build.Commit, claim); err != nil || !is {
			return err
		}
		return do(ctx, still)
	})
}

// isTip is whether a branch of the origin is at a commit, and says so where it is not. Without an origin it is.
func (r *releasing) isTip(ctx context.Context, s Streams, branch, commit, left string) (bool, error) {
	claims, err := r.claims(ctx, s, "")
	if err != nil || claims.Remote == "" {
		return err == nil, err
	}
	refs, err := remoteRefs(ctx, s, r.dir, claims.Remote, "refs/heads/"+branch)
	if err != nil {
		return false, fmt.Errorf("look where %s of %s is: %w", branch, claims.Remote, err)
	}
	at := refs["refs/heads/"+branch]
	if at == commit {
		return true, nil
	}
	fmt.Fprintf(s.Err, "%s of %s is at %s and not at %s: %s is left as it is\n", branch, claims.Remote, cmp.Or(release.Short(at), "no commit"), release.Short(commit), strings.TrimSuffix(left, ".tag"))
	return false, nil
}

// How long a build waits for a claim that is held, and how often it looks.
const (
	claimPatience = 10 * time.Minute
	claimPause    = 2 * time.Second
)

// holdPatiently is Claims.Hold, which waits for a claim that another has.
func holdPatiently(ctx context.Context, s Streams, c release.Claims, name string, do func(ctx context.Context, still func(context.Context) error) error) error {
	until, told := time.After(claimPatience), false
	for {
		err := c.Hold(ctx, name, do)
		var held *release.HeldError
		if !errors.As(err, &held) {
			return err
		}
		if !told {
			fmt.Fprintf(s.Err, "waiting: %s\n", harmless(err.Error()))
			told = true
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-until:
			return err
		case <-time.After(claimPause):
		}
	}
}
