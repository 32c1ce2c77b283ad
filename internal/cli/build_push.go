package cli

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

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
	inputs  map[string]string
	build   release.Build
}

// buildAndPush publishes the images of the commit that is checked out. Those that the registry has, of the commit, of another one with the same files or of an
// earlier one that were built from the same, are not built again.
func buildAndPush(ctx context.Context, s Streams, o buildOptions) error {
	if len(o.Services) > 0 || o.DryRun {
		return usagef("say strake build --push alone", "--push publishes all images of a commit, so that one tag has them all")
	}
	r, err := beginReleasing(ctx, s, o.Project)
	if err != nil {
		return err
	}
	began := s.Now()
	w := &pushing{releasing: r, streams: s, options: o}
	done, err := w.begin(ctx)
	if err != nil {
		return err
	}
	defer closeUnused(w.engine)
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
		fmt.Fprintf(s.Out, "%s/%s:%s@%s\n", r.registry.Path, service, w.build.Commit, w.build.Images[service])
	}
	what := fmt.Sprintf("%s built, %d as before", plural(len(w.build.Images)-len(w.build.Same), "image"), len(w.build.Same))
	if done {
		what = "all images are there already"
	}
	_, err = fmt.Fprintf(s.Out, "%s %s: %s, in %s; strake promote runs them\n", w.project.Name, release.Short(w.build.Commit), what, span(s.Now().Sub(began)))
	return err
}

// begin finds out what is to be published; done is that all of it is there.
func (w *pushing) begin(ctx context.Context) (done bool, err error) {
	s := w.streams
	facts, err := factsOf(ctx, s, w.dir, "HEAD")
	if err != nil {
		return false, err
	}
	changes, err := gitSaid(ctx, s, w.dir, "status", "--porcelain")
	if err != nil {
		return false, err
	}
	w.build = release.Build{Commit: facts.ID, Tree: facts.Tree, Subject: facts.Subject, Author: facts.Author, Images: map[string]string{}, Actor: actor(ctx, s, w.dir)}
	w.build.Branch, _ = git(ctx, s, w.dir, "symbolic-ref", "--quiet", "--short", "HEAD") // none is checked out by CI
	if w.build.Dirty = changes != ""; w.build.Dirty && !w.options.Dirty {
		first, _, _ := strings.Cut(strings.TrimSpace(changes), "\n")
		return false, &release.PolicyError{Why: fmt.Sprintf("files are changed that are in no commit, such as %s", first), Next: "commit or stash them, or say --dirty for images that are never promoted"}
	}
	if w.project, w.engine, err = begin(ctx, s, w.options.Project); err != nil {
		return false, err
	}
	services, err := withBuild(w.project, nil, true)
	if err != nil {
		return false, err
	}
	if len(services) == 0 {
		return false, &compose.HintedError{Err: fmt.Errorf("%s: no service has a build section, so there is nothing to publish", w.project.Name), Next: "images that are not built here are promoted by their own makers"}
	}
	if w.inputs, _, err = buildState(ctx, s, w.project, services); err != nil {
		return false, err
	}
	if w.build.Dirty {
		w.build.Commit += "-dirty-" + hashOf(w.inputs)
	}
	there, err := w.registry.Build(ctx, w.build.Commit)
	if errors.Is(err, release.ErrAbsent) {
		return false, nil
	}
	if err == nil && slices.Equal(slices.Sorted(maps.Keys(there.Images)), services) {
		w.build, done = there, true
	}
	return done, err
}

// hashOf is a short name of what images are built from.
func hashOf(inputs map[string]string) string {
	sum := sha256.New()
	for _, service := range slices.Sorted(maps.Keys(inputs)) {
		fmt.Fprintf(sum, "%s %s\n", service, inputs[service])
	}
	return fmt.Sprintf("%x", sum.Sum(nil)[:6])
}

// earlier is how many commits before this one are asked for what was built of them.
const earlier = 20

// former is what was built of a commit with the same files, or of the nearest one before this; the zero Build for none.
func (w *pushing) former(ctx context.Context) (release.Build, error) {
	b, err := w.registry.BuildOfTree(ctx, w.build.Tree)
	commits := ancestorsOf(ctx, w.streams, w.dir, "HEAD")
	for _, commit := range commits[:min(len(commits), earlier)] {
		if !errors.Is(err, release.ErrAbsent) {
			break
		}
		b, err = w.registry.Build(ctx, commit)
	}
	if errors.Is(err, release.ErrAbsent) {
		err = nil
	}
	return b, err
}

// publish builds and sends what the registry does not have, gives all images the tag of the commit, and writes down what they are.
func (w *pushing) publish(ctx context.Context) error {
	former, err := w.former(ctx)
	if err != nil {
		return err
	}
	o := w.options
	for _, service := range slices.Sorted(maps.Keys(w.inputs)) {
		if digest := former.Images[service]; digest != "" && former.Inputs[service] == w.inputs[service] && !o.NoCache && len(o.Args) == 0 {
			err := w.registry.Tag(ctx, service, digest, w.build.Commit)
			if err == nil {
				w.build.Images[service], w.build.Same = digest, append(w.build.Same, service)
				continue
			}
			if !errors.Is(err, release.ErrAbsent) { // it was cleaned up, and is built again
				return err
			}
		}
		o.Services = append(o.Services, service)
	}
	if len(o.Services) > 0 {
		o.JSON = false
		quiet := w.streams
		quiet.Out = quiet.Err
		p, err := w.project.Select(o.Services, true)
		if err != nil {
			return err
		}
		if _, _, err = o.run(ctx, quiet, p, w.engine); err != nil {
			return err
		}
		if err := w.send(ctx, o.Services); err != nil {
			return err
		}
	}
	w.build.Inputs, w.build.Time = w.inputs, w.streams.Now().UTC().Truncate(time.Second)
	w.build, err = w.registry.Record(ctx, w.build, false)
	return err
}

// atOnce is how many images are sent at a time.
const atOnce = 3

// send sends images that were built here.
func (w *pushing) send(ctx context.Context, services []string) error {
	show := newProgress(w.streams, w.options.Quiet, "pushing")
	defer show.close()
	digests := make([]string, len(services))
	var all errgroup.Group
	all.SetLimit(atOnce)
	for i, service := range services {
		all.Go(func() (err error) {
			remote := w.registry.Path + "/" + service + ":" + w.build.Commit
			show.say("pushing " + remote)
			if err := w.engine.Tag(ctx, compose.ImageName(w.project, w.project.AllServices()[service]), remote); err != nil {
				return err
			}
			err = w.engine.Push(ctx, remote, func(compose.Event) {})
			untagCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
			defer cancel()
			err = errors.Join(err, w.engine.Do(untagCtx, compose.Step{Op: compose.RemoveImage, Name: remote, Target: remote}, nil))
			if err != nil {
				return err
			}
			digests[i], err = w.registry.Resolve(ctx, service, w.build.Commit)
			return err
		})
	}
	err := all.Wait()
	for i, service := range services {
		w.build.Images[service] = digests[i]
	}
	return err
}

// point moves the tags that follow branches and pull requests to what was published: latest and pr-42, and those of environments that take the branch's builds.
func (w *pushing) point(ctx context.Context) error {
	if w.build.Dirty {
		return nil
	}
	var tags []string
	if w.options.PullRequest > 0 {
		tags = append(tags, fmt.Sprintf("pr-%d", w.options.PullRequest))
	}
	at, err := w.source.DefaultBranch(ctx)
	if err != nil {
		return err
	}
	onMain := at.ID == w.build.Commit && w.options.PullRequest == 0
	isTaken := func(e compose.EnvironmentSettings) bool { return e.Tag == "latest" }
	if onMain && !slices.ContainsFunc(slices.Collect(maps.Values(w.environments)), isTaken) {
		tags = append(tags, "latest")
	}
	if len(tags) > 0 {
		for service, digest := range w.build.Images {
			if err := w.registry.Tag(ctx, service, digest, tags...); err != nil {
				return err
			}
		}
	}
	for _, name := range compose.EnvironmentNames(w.environments) {
		e := w.environments[name]
		isOf := e.Branch == w.build.Branch || onMain && strings.HasSuffix(at.From, "/"+e.Branch)
		if e.Branch == "" || e.From != "" || w.options.PullRequest > 0 || !isOf {
			continue
		}
		quiet := w.streams
		quiet.Out = quiet.Err
		o := promoteOptions{Project: w.options.Project, Environment: name, Commit: w.build.Commit}
		m, _, err := w.move(ctx, quiet, o)
		if err == nil && !m.IsDone() {
			err = w.carryOut(ctx, quiet, o, m)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
