package cli

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/release"
	"github.com/strake-dev/strake/previews"
)

// releasing is what commands on releases need: the policy of the default branch, and the registry that it names.
type releasing struct {
	project      string
	environments map[string]compose.EnvironmentSettings
	registry     *release.Registry            // of builds and the ledger
	images       map[string]*release.Registry // of environments, for imagesOf
	built        []string                     // services, as the default branch has them
	source       *previews.Source
	policy       string          // the commit of the default branch that they are read from
	main         previews.Commit // of the default branch, as this repository knew it
	dir          string
	cache        string // where what checks print is kept; "" for nowhere
	sources      *previewSources
}

// beginReleasing reads the policy of the project's default branch. Nothing is asked of the registry yet. acts is for commands that the policy may refuse: it is
// the policy that the origin has by now, and where that cannot be asked it is an error. Without an origin it is that of this repository.
func beginReleasing(ctx context.Context, s Streams, o projectOptions, acts bool) (*releasing, error) {
	if o.Offline {
		return nil, usagef("unset STRAKE_OFFLINE for it", "releases are in a registry, and offline forbids it")
	}
	sources, err := newPreviewSources(s, o, func(string) {})
	if err != nil {
		return nil, err
	}
	at, err := sources.source.DefaultBranch(ctx)
	if err != nil {
		return nil, err
	}
	main := at
	if acts { // which environments ask for what is decided there too, and this repository need not know it yet
		if at, err = latest(ctx, s, sources, at); err != nil {
			err = fmt.Errorf("read the policy of releases as it is by now: %w", err)
			if hintOf(err) != "" {
				return nil, err
			}
			return nil, &compose.HintedError{Err: err, Next: "run it again where git fetch origin works; git remote set-head origin --auto finds a default branch that has another name by now"}
		}
	}
	p, err := sources.source.Project(ctx, at.ID, o.loadOptions(s))
	if err == nil && !acts && wantsLatest(p) { // what is told of approvals and files is of the newest, if that can be had
		now, lateErr := latest(ctx, s, sources, at)
		if lateErr != nil {
			fmt.Fprintf(s.Err, "warning: the policy of releases is read as it was fetched last: %v\n", lateErr)
		} else if now.ID != at.ID {
			at = now
			p, err = sources.source.Project(ctx, at.ID, o.loadOptions(s))
		}
	}
	if errors.Is(err, compose.ErrNoFile) {
		err = &compose.HintedError{Err: err, Next: "run it in the project's folder, or say --project-directory"}
	}
	if err != nil {
		return nil, fmt.Errorf("read the policy of releases from %s: %w", at.From, err)
	}
	if p.Settings.Registry == "" {
		return nil, &compose.HintedError{Err: fmt.Errorf("x-strake.registry of %s names no registry for the images of releases", at.From), Next: "write one such as registry: ghcr.io/acme/shop into the compose file of the default branch"}
	}
	r := &releasing{project: p.Name, environments: p.Settings.Environments, source: sources.source, policy: at.ID, dir: sources.dir, cache: cacheDir(s), sources: sources, main: main}
	if r.built, err = withBuild(p, nil, true); err != nil {
		return nil, err
	}
	r.registry, err = release.OpenRegistry(p.Settings.Registry, release.RegistryOptions{Endpoint: awsEndpoint(s)})
	return r, err
}

// wantsLatest is whether an environment of a project asks for approvals, or has its commit on the default branch or at the end of one.
func wantsLatest(p *compose.Project) bool {
	for _, e := range p.Settings.Environments {
		if len(e.Approvals) > 0 || e.File != "" || e.Branch != "" {
			return true
		}
	}
	return false
}

// latest is the default branch as the origin has it by now; without an origin as this repository has it.
func latest(ctx context.Context, s Streams, sources *previewSources, known previews.Commit) (previews.Commit, error) {
	if is, err := sources.hasOrigin(ctx, s); err != nil || !is {
		return known, err
	}
	name, err := branchOf(ctx, s, sources.dir, known.From)
	if err != nil {
		return known, err
	}
	now, err := sources.branchEnd(ctx, s, name)
	if err != nil {
		return known, err
	}
	return now, nil
}

// branchEnd is where a branch ends, at the origin if there is one: what this repository has of it may be of yesterday.
func (v *previewSources) branchEnd(ctx context.Context, s Streams, branch string) (previews.Commit, error) {
	end, warning, err := v.source.Resolve(ctx, previews.Change{Branch: branch})
	is, originErr := v.hasOrigin(ctx, s)
	switch {
	case err != nil, originErr != nil:
		return end, errors.Join(err, originErr)
	case warning != "": // it could not be asked
		return end, errors.New(strings.ReplaceAll(warning, ", so that the repository's own is taken", ""))
	case is && !strings.HasSuffix(end.From, " of origin"):
		return end, &compose.HintedError{Err: fmt.Errorf("origin has no branch %s", branch), Next: "git push origin " + compose.Word(branch)}
	}
	return end, nil
}

// renew reads the policy as the origin has it by now, where it went on while somebody was asked and others were waited for: who may approve what counts as it
// is. That an environment itself has other settings by then is compose.ErrHeld, as those were not what was confirmed.
func (r *releasing) renew(ctx context.Context, s Streams, o promoteOptions) error {
	now, err := latest(ctx, s, r.sources, r.main)
	if err != nil || now.ID == r.policy {
		return err
	}
	again, err := beginReleasing(ctx, s, o.Project, true)
	if err != nil {
		return err
	}
	if again.registry.Path != r.registry.Path || !reflect.DeepEqual(again.environments[o.Environment], r.environments[o.Environment]) {
		return &compose.HintedError{Err: fmt.Errorf("what the default branch says of %s was changed meanwhile: %w", o.Environment, compose.ErrHeld), Next: "nothing was moved; run it again"}
	}
	r.policy = again.policy
	return nil
}

// branchOf is the name of the branch that a reference leads to, which may be the HEAD of a remote.
func branchOf(ctx context.Context, s Streams, dir, ref string) (string, error) {
	if strings.HasSuffix(ref, "/HEAD") {
		to, err := gitSaid(ctx, s, dir, "symbolic-ref", "--quiet", ref)
		if err != nil {
			return "", err
		}
		ref = to
	}
	for _, before := range []string{"refs/heads/", "refs/remotes/origin/"} {
		ref = strings.TrimPrefix(ref, before)
	}
	return ref, nil
}

// environment is one of the policy's environments.
func (r *releasing) environment(name string) (compose.EnvironmentSettings, error) {
	e, ok := r.environments[name]
	if ok {
		return e, nil
	}
	names := compose.EnvironmentNames(r.environments)
	next := "those of the default branch are " + strings.Join(names, ", ")
	if len(names) == 0 {
		next = "write them under x-strake.environments of the default branch, such as dev: {tag: latest}"
	} else if n := compose.Nearest(name, names); n != "" {
		next = "did you mean " + n + "? " + next
	}
	return e, usagef(next, "there is no environment %s", name)
}

// build is what was built of a commit, which need not be in full.
func (r *releasing) build(ctx context.Context, s Streams, commit string) (release.Build, error) {
	if !isHex(commit) {
		if id, err := commitNamed(ctx, s, r.dir, commit); err == nil {
			commit = id
		}
	}
	at, _, err := r.source.Resolve(ctx, previews.Change{Commit: commit})
	if err != nil {
		return release.Build{}, err
	}
	b, err := r.registry.Build(ctx, at.ID)
	if errors.Is(err, release.ErrAbsent) {
		err = &compose.HintedError{Err: fmt.Errorf("there are no images of %s in %s: %w", release.Short(at.ID), r.registry.Path, err), Next: "run strake build --push at that commit"}
	}
	return b, err
}

// isHex is whether a text may be the beginning of a commit's name, and not one that git has for it, such as HEAD.
func isHex(text string) bool { return strings.Trim(text, "0123456789abcdefABCDEF") == "" }

// claims are how a move is had by one at a time.
func (r *releasing) claims(ctx context.Context, s Streams, command string) (release.Claims, error) {
	c := release.Claims{Registry: r.registry, Owner: owner(s, command), Alive: isAlive, Now: s.Now,
		Warn: func(text string) { fmt.Fprintln(s.Err, "warning: "+harmless(text)) }, Git: func(ctx context.Context, args ...string) (string, error) { return gitSaid(ctx, s, r.dir, args...) }}
	is, err := r.sources.hasOrigin(ctx, s)
	if is {
		c.Remote = "origin"
	}
	return c, err
}

// actor is who does something, as git knows them.
func actor(ctx context.Context, s Streams, dir string) string {
	email, err := git(ctx, s, dir, "config", "--get", "user.email")
	if err != nil || email == "" {
		return owner(s, "").User
	}
	return email
}
