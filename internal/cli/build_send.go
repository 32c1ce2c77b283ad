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

// former is what was built of this commit, of one with the same files, or of the nearest one before this; the zero Build for none.
func (w *pushing) former(ctx context.Context) (release.Build, error) {
	if w.there != nil {
		return *w.there, nil
	}
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
		if digest := former.Images[service]; digest != "" && former.Inputs[service] == w.inputs[service] && !o.NoCache && !o.Pull {
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
	if err := w.unchanged(ctx); err != nil {
		return err
	}
	w.build.Inputs, w.build.Time = w.inputs, w.streams.Now().UTC().Truncate(time.Second)
	w.build, err = w.registry.Record(ctx, w.build, w.there != nil)
	return err
}

// unchanged looks that the files are still those of the commit: what was built while somebody changed them is no image of it.
func (w *pushing) unchanged(ctx context.Context) error {
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
		return &release.PolicyError{Why: "files were changed while the images were built, so that they are of no commit for sure; nothing was recorded", Next: "run strake build --push again, and change nothing meanwhile"}
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
	digests := make([]string, len(services))
	var all errgroup.Group
	all.SetLimit(atOnce)
	for i, service := range services {
		all.Go(func() (err error) {
			remote := w.registry.Path + "/" + service + ":" + w.build.Commit
			show.say("pushing " + remote)
			if err := w.engine.Tag(ctx, ids[service], remote); err != nil {
				return err
			}
			digests[i], err = w.engine.Push(ctx, remote, func(compose.Event) {})
			untagCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
			defer cancel()
			err = errors.Join(err, w.engine.Do(untagCtx, compose.Step{Op: compose.RemoveImage, Name: remote, Target: remote}, nil))
			if err == nil && digests[i] == "" { // an engine that does not say it
				digests[i], err = w.registry.Resolve(ctx, service, w.build.Commit)
			}
			return err
		})
	}
	err = all.Wait()
	for i, service := range services {
		w.build.Images[service] = digests[i]
	}
	return err
}
