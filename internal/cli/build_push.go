package cli

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/engine"
	"github.com/strake-dev/strake/internal/release"
)

// pushing is one build --push.
type pushing struct {
	*releasing
	streams Streams
	options buildOptions
	project *compose.Project
	engine  *engine.Engine
	inputs  map[string]string // of all services that are built
	build   release.Build
	tree    *buildTree     // from which they are built; nil with files that are in no commit, which are where work is done
	branch  string         // that is checked out
	changes string         // files that are in no commit, as git lists them
	there   *release.Build // what was recorded of this commit and is not whole any more

	mu     sync.Mutex      // guards what follows
	others map[string]bool // services whose image is another one than was built, which had the tag already
}

// buildAndPush publishes the images of the commit that is checked out. Those that the registry has, of the commit, of another one with the same files or of an
// earlier one that were built from the same, are not built again.
func buildAndPush(ctx context.Context, s Streams, o buildOptions) (err error) {
	if len(o.Services) > 0 {
		return usagef("say strake build --push alone", "--push publishes all images of a commit, so that one tag has them all")
	}
	r, err := beginReleasing(ctx, s, o.Project, true)
	if err != nil {
		return err
	}
	began := s.Now()
	w := &pushing{releasing: r, streams: s, options: o}
	defer func() {
		closeUnused(w.engine)
		err = errors.Join(err, w.tree.remove())
	}()
	done, err := w.begin(ctx)
	if err != nil {
		return err
	}
	if o.DryRun {
		return w.preview(ctx, done)
	}
	if !done {
		if err := w.publish(ctx); err != nil {
			return err
		}
	}
	if err := w.point(ctx); err != nil {
		return err
	}
	if o.JSON {
		return printJSON(s.Out, w.build)
	}
	for _, service := range slices.Sorted(maps.Keys(w.build.Images)) {
		fmt.Fprintf(s.Out, "%s@%s\n", w.remote(service), w.build.Images[service])
	}
	what := fmt.Sprintf("%s built, %d as before", plural(len(w.build.Images)-len(w.build.Same), "image"), len(w.build.Same))
	if done {
		what = "all images are there already"
	}
	next := "strake status says where they run"
	switch {
	case w.build.Dirty:
		next = "of files that are in no commit, so no environment runs them"
	case w.build.Foreign:
		next = "of no branch of the repository, so no environment runs them"
	}
	_, err = fmt.Fprintf(s.Out, "%s %s: %s, in %s; %s\n", w.project.Name, release.Short(w.build.Commit), what, span(s.Now().Sub(began)), next)
	return err
}

// pushPlan is what build --push --dry-run --json prints. Its names are stable.
type pushPlan struct {
	Commit string            `json:"commit"`
	Build  []string          `json:"build"` // services whose image would be built
	Retag  map[string]string `json:"retag"` // digests of those that were published before, by service
	Tag    string            `json:"tag"`   // that follows the branch or the pull request; "" for none
	Moves  []string          `json:"moves"` // environments that take the build
}

// preview prints what would be published; done is that all of it is there.
func (w *pushing) preview(ctx context.Context, done bool) error {
	s, p := w.streams, pushPlan{Commit: w.build.Commit, Build: []string{}, Retag: map[string]string{}, Moves: []string{}}
	var lines []string
	if !done {
		formers, err := w.formers(ctx)
		if err != nil {
			return err
		}
		for _, service := range slices.Sorted(maps.Keys(w.inputs)) {
			b, err := w.former(ctx, service, formers)
			if err != nil {
				return err
			}
			if b == nil {
				p.Build, lines = append(p.Build, service), append(lines, fmt.Sprintf("  %-12s would be built: %s", service, w.why(service, formers)))
				continue
			}
			p.Retag[service], lines = b.Images[service], append(lines, fmt.Sprintf("  %-12s would be that of %s", service, release.Short(b.Commit)))
		}
	}
	of, tag, names, err := w.followers(ctx)
	if err != nil {
		return err
	}
	p.Tag = tag
	for _, name := range names {
		if is, err := w.isTip(ctx, s, of.Branch, w.build.Commit, name); err != nil {
			return err
		} else if !is {
			continue
		}
		if done {
			o := promoteOptions{Project: w.options.Project, Environment: name, Commit: w.build.Commit, Branch: of.Branch, DryRun: true}
			m, have, err := w.move(ctx, s, o)
			if err != nil {
				return err
			}
			if m.IsDone() {
				continue
			}
			if _, err := w.releasing.look(ctx, s, o, have, m); err != nil {
				return err
			}
		}
		p.Moves, lines = append(p.Moves, name), append(lines, "  "+name+" would take it, if its policy lets it in")
	}
	if w.options.JSON {
		if err := printJSON(s.Out, p); err != nil {
			return err
		}
	} else {
		what := "would be published"
		if done {
			what = "all images are there already"
		}
		fmt.Fprintln(s.Out, strings.Join(append([]string{fmt.Sprintf("%s %s: %s", w.project.Name, release.Short(w.build.Commit), what)}, lines...), "\n"))
	}
	if done && len(p.Moves) == 0 {
		return nil
	}
	return &exitError{code: exitChanges}
}

// former is the build whose image of a service this one would have; nil for none.
func (w *pushing) former(ctx context.Context, service string, formers []release.Build) (*release.Build, error) {
	for _, b := range formers {
		if b.Images[service] == "" || b.Inputs[service] != w.inputs[service] || w.options.NoCache || w.options.Pull {
			continue
		}
		if _, err := w.registry.Resolve(ctx, service, b.Images[service]); !errors.Is(err, release.ErrAbsent) {
			return &b, err
		}
	}
	return nil, nil
}

// begin finds out what is to be published; done is that all of it is there.
func (w *pushing) begin(ctx context.Context) (done bool, err error) {
	s := w.streams
	facts, err := factsOf(ctx, s, w.dir, "HEAD")
	if err != nil {
		return false, err
	}
	if w.changes, err = w.changed(ctx); err != nil {
		return false, err
	}
	ref, _ := git(ctx, s, w.dir, "symbolic-ref", "--quiet", "HEAD") // none is checked out by CI
	w.branch = strings.TrimPrefix(ref, "refs/heads/")
	w.build = release.Build{Commit: facts.ID, Tree: facts.Tree, Subject: facts.Subject, Author: facts.Author, Branch: w.branch, Images: map[string]string{}, Actor: actor(ctx, s, w.dir)}
	if w.build.Dirty = w.changes != ""; w.build.Dirty && !w.options.Dirty {
		first, _, _ := strings.Cut(strings.TrimSpace(w.changes), "\n")
		return false, &release.PolicyError{Why: fmt.Sprintf("files are changed that are in no commit, such as %s", first), Next: "commit or stash them, or say --dirty for images that are never promoted"}
	}
	if w.build.PullRequest = w.options.PullRequest; w.build.PullRequest > 0 {
		own, err := w.source.IsOwn(ctx, facts.ID)
		if err != nil {
			return false, err
		}
		if w.build.Foreign = !own; !own {
			fmt.Fprintf(s.Err, "no branch of the repository ends in %s: its images are kept apart, as those of another repository, and no environment runs them; if it is yours, git push first\n", release.Short(facts.ID))
		}
	}
	if w.project, w.engine, err = begin(ctx, s, w.options.Project); err != nil {
		return false, err
	}
	if err := w.clean(ctx); err != nil {
		return false, err
	}
	if w.project, err = w.options.changed(s, w.project); err != nil {
		return false, err
	}
	services, err := withBuild(w.project, nil, true)
	if err != nil {
		return false, err
	}
	if w.tree != nil {
		if err := w.tree.check(w.project, services); err != nil {
			return false, err
		}
	}
	if len(services) == 0 {
		return false, &compose.HintedError{Err: fmt.Errorf("%s: no service has a build section, so there is nothing to publish", w.project.Name), Next: "images that are not built here are promoted by their own makers"}
	}
	if w.inputs, err = w.inputsOf(ctx, services); err != nil {
		return false, err
	}
	if w.build.Dirty {
		w.build.Commit += "-dirty-" + hashOf(w.inputs)
	}
	return w.look(ctx, services)
}

// clean takes the project from a clean extract of the commit, unless its files are in none.
func (w *pushing) clean(ctx context.Context) (err error) {
	if w.build.Dirty {
		return nil
	}
	if w.tree, err = w.extract(ctx, w.build.Commit); err != nil {
		return err
	}
	w.project, err = w.tree.load(ctx, w.streams, w.options.Project, w.project)
	w.streams.Environ = append(slices.Clone(w.streams.Environ), "STRAKE_CACHE_DIR="+filepath.Join(w.tree.scratch, "cache")) // nobody asks for these files' hashes again
	return err
}

// changed is what files git says are in no commit, whatever its configuration says about that.
func (w *pushing) changed(ctx context.Context) (string, error) {
	return gitSaid(ctx, w.streams, w.dir, "-c", "core.untrackedCache=false", "-c", "core.ignoreStat=false", "status", "--porcelain", "--untracked-files=all", "--ignore-submodules=none", "--no-renames")
}

// inputsOf is what images are built from, wherever that is: with the platform of the engine where the service names none.
func (w *pushing) inputsOf(ctx context.Context, services []string) (map[string]string, error) {
	inputs, err := compose.Inputs(ctx, w.project, services, compose.InputOptions{}) // without a cache, in which other inputs may stand for them
	if err != nil {
		return nil, err
	}
	facts, err := w.engine.Facts(ctx)
	if err != nil {
		return nil, err
	}
	for name, svc := range w.project.AllServices() {
		if inputs[name] != "" && svc.Platform == "" && len(svc.Build.Platforms) == 0 {
			inputs[name] += " " + facts.OS + "/" + facts.Arch
		}
	}
	return inputs, nil
}

// look is whether the registry has all images of the commit. A commit has the images that were published first: what is asked for beside is said to be left out.
func (w *pushing) look(ctx context.Context, services []string) (done bool, err error) {
	there, err := w.registry.Build(ctx, w.build.Commit)
	if errors.Is(err, release.ErrAbsent) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	w.there = &there
	if there.Foreign && !w.build.Foreign {
		fmt.Fprintf(w.streams.Err, "%s was built for pull request %d of another repository: it is built again\n", release.Short(w.build.Commit), there.PullRequest)
		return false, nil
	}
	if !slices.Equal(slices.Sorted(maps.Keys(there.Images)), services) {
		return false, nil
	}
	for service, digest := range there.Images {
		if _, err := w.registry.Resolve(ctx, service, digest); errors.Is(err, release.ErrAbsent) {
			fmt.Fprintf(w.streams.Err, "the registry does not have the image of %s any more: it is built again\n", service)
			return false, nil
		} else if err != nil {
			return false, err
		}
	}
	if !maps.Equal(there.Inputs, w.inputs) || w.options.NoCache || w.options.Pull {
		fmt.Fprintf(w.streams.Err, "warning: %s was published before from other arguments or files, or on another platform, and keeps those images\n", release.Short(w.build.Commit))
	}
	w.build = there
	return true, nil
}

// hashOf is a short name of what images are built from.
func hashOf(inputs map[string]string) string {
	sum := sha256.New()
	for _, service := range slices.Sorted(maps.Keys(inputs)) {
		fmt.Fprintf(sum, "%s %s\n", service, inputs[service])
	}
	return fmt.Sprintf("%x", sum.Sum(nil)[:6])
}
