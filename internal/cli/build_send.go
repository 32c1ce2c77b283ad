package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/release"
)

// earlier is how many commits before this one are asked for what was built of them.
const earlier = 20

// formers are what was built before of which images may be taken, the nearest first: of this commit, of one with the same files, of the nearest one before
// this. What was built of another repository's pull request is none of them.
func (w *pushing) formers(ctx context.Context) (all []release.Build, err error) {
	if w.there != nil {
		all = append(all, *w.there)
	}
	isNone := func(err error) bool { // of what somebody else wrote nothing is taken
		if errors.Is(err, release.ErrForged) {
			fmt.Fprintf(w.streams.Err, "warning: %s\n", harmless(err.Error()))
		}
		return errors.Is(err, release.ErrAbsent) || errors.Is(err, release.ErrForged)
	}
	b, err := w.registry.BuildOfTree(ctx, w.build.Tree)
	if err == nil {
		all = append(all, b)
	} else if !isNone(err) {
		return nil, err
	}
	commit, _, _ := strings.Cut(w.build.Commit, "-")
	commits := ancestorsOf(ctx, w.streams, w.dir, commit)
	for _, commit := range commits[:min(len(commits), earlier)] {
		b, err := w.registry.Build(ctx, commit)
		if err == nil && !b.Foreign {
			all = append(all, b)
			break
		}
		if err != nil && !isNone(err) {
			return nil, err
		}
	}
	return slices.DeleteFunc(all, func(b release.Build) bool { return b.Foreign && !w.build.Foreign }), nil
}

// retag gives the image of a former build that is made of the same the tag of this commit. where there is none, why says it.
func (w *pushing) retag(ctx context.Context, service string, formers []release.Build) (digest, why string, err error) {
	for _, b := range formers {
		digest := b.Images[service]
		if digest == "" || b.Inputs[service] != w.inputs[service] {
			continue
		}
		digest, err := w.tagOne(ctx, service, digest)
		if err == nil && b.Tree == w.build.Tree && b.Commit != w.build.Commit {
			fmt.Fprintf(w.streams.Err, "%s is the image of %s, which has the same files\n", service, release.Short(b.Commit))
		}
		if !errors.Is(err, release.ErrAbsent) { // else it was cleaned up
			return digest, "", err
		}
	}
	return "", w.why(service, formers), nil
}

// why says why no former build has the image of a service: the nearest one says it.
func (w *pushing) why(service string, formers []release.Build) string {
	if w.options.NoCache || w.options.Pull {
		return "--no-cache or --pull was said"
	}
	for _, b := range formers {
		switch {
		case b.Images[service] == "":
			continue
		case b.Tree == w.build.Tree && !w.build.Dirty && b.Inputs[service] != w.inputs[service]:
			return fmt.Sprintf("%s has the same files, and other arguments or another platform", release.Short(b.Commit))
		case b.Inputs[service] != w.inputs[service]:
			return fmt.Sprintf("%s has other files, arguments or another platform", release.Short(b.Commit))
		}
		return fmt.Sprintf("the registry does not have the image of %s any more", release.Short(b.Commit))
	}
	return "nothing that was published has it"
}

// publish builds and sends what the registry does not have, gives all images the tag of the commit, and writes down what they are.
func (w *pushing) publish(ctx context.Context) error {
	formers, err := w.formers(ctx)
	if err != nil {
		return err
	}
	o := w.options
	for _, service := range slices.Sorted(maps.Keys(w.inputs)) {
		why := w.why(service, nil)
		if !o.NoCache && !o.Pull {
			var digest string
			if digest, why, err = w.retag(ctx, service, formers); err != nil {
				return err
			}
			if digest != "" {
				w.build.Images[service], w.build.Same = digest, append(w.build.Same, service)
				continue
			}
		}
		fmt.Fprintf(w.streams.Err, "%s is built: %s\n", service, why)
		o.Services = append(o.Services, service)
	}
	if len(o.Services) > 0 {
		o.JSON = false
		quiet := w.streams
		quiet.Out = quiet.Err
		p, err := w.project.Select(o.Services, true)
		if err == nil && w.tree != nil {
			err = w.tree.lendSecrets(p)
		}
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
	if err := w.unchanged(ctx); err != nil {
		return err
	}
	w.build.Inputs, w.build.Time = w.recorded(), w.streams.Now().UTC().Truncate(time.Second)
	w.build, err = w.registry.Record(ctx, w.build, w.there != nil)
	return err
}

// unchanged looks that files that are in no commit are still the same: of what was built while somebody changed them nobody can say what it is.
func (w *pushing) unchanged(ctx context.Context) error {
	if w.tree != nil { // which is nobody else's
		return nil
	}
	facts, err := factsOf(ctx, w.streams, w.dir, "HEAD")
	if err != nil {
		return err
	}
	changes, err := w.changed(ctx)
	if err != nil {
		return err
	}
	inputs, err := w.inputsOf(ctx, slices.Collect(maps.Keys(w.inputs)))
	if err != nil {
		return err
	}
	if commit, _, _ := strings.Cut(w.build.Commit, "-"); facts.ID != commit || changes != w.changes || !maps.Equal(inputs, w.inputs) {
		return &release.PolicyError{Why: "files were changed while the images were built, so that nobody knows what they are of; nothing was recorded", Next: "run strake build --push again, and change nothing meanwhile"}
	}
	return nil
}

// made are the images that were built here just now, by service: what has their names may be what another build made since.
func (w *pushing) made(ctx context.Context, services []string) (map[string]string, error) {
	inputs, _, err := buildState(ctx, w.streams, w.project, services) // as their labels say it
	if err != nil {
		return nil, err
	}
	var scope compose.Scope
	for _, service := range services {
		svc := w.project.AllServices()[service]
		scope.Images = append(scope.Images, compose.ImageRef{Ref: compose.ImageName(w.project, svc), Platform: svc.Platform})
	}
	state, err := w.engine.Observe(ctx, scope)
	if err != nil {
		return nil, err
	}
	ids := map[string]string{}
	for i, service := range services {
		image, ok := state.Images[scope.Images[i].Ref]
		if label := image.Labels[compose.LabelInputs]; !ok || label != "" && cacheDir(w.streams) != "" && label != inputs[service] && !strings.HasPrefix(w.inputs[service], label) {
			return nil, &compose.HintedError{Err: fmt.Errorf("image %s is not the one that was built just now: %w", scope.Images[i].Ref, compose.ErrHeld), Next: "another build on this engine replaced it; run strake build --push again when that is done"}
		}
		ids[service] = image.ID
	}
	return ids, nil
}

// atOnce is how many images are sent at a time.
const atOnce = 3

// send sends images that were built here.
func (w *pushing) send(ctx context.Context, services []string) error {
	show := newProgress(w.streams, w.options.Quiet, "pushing")
	defer show.close()
	ids, err := w.made(ctx, services)
	if err != nil {
		return err
	}
	logIn(w.engine, w.registry)
	digests := make([]string, len(services))
	var all errgroup.Group
	all.SetLimit(atOnce)
	for i, service := range services {
		all.Go(func() (err error) {
			remote := w.remote(service)
			show.say("pushing " + remote)
			if err := w.engine.Tag(ctx, ids[service], remote); err != nil {
				return err
			}
			digests[i], err = w.pushOne(ctx, service, ids[service])
			untagCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
			defer cancel()
			err = errors.Join(err, w.engine.Do(untagCtx, compose.Step{Op: compose.RemoveImage, Name: remote, Target: remote}, nil))
			return err
		})
	}
	err = all.Wait()
	for i, service := range services {
		w.build.Images[service] = digests[i]
	}
	return err
}
