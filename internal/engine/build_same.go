package engine

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"time"

	"github.com/docker/docker/api/types/image"
	"github.com/opencontainers/go-digest"

	"github.com/strake-dev/strake/compose"
)

// former is the image that a build's name stood for before it. The zero value is none.
type former struct {
	image.InspectResponse
	held string // a tag that keeps it while the build takes its names away; "" where the engine keeps it by itself
}

// hold keeps the image that the build is about to take the name from. The containerd store forgets an image with its last
// name, so there it gets another for as long as the build takes; a name that a killed build left is taken again.
func (e *Engine) hold(ctx context.Context, job *buildJob, id string) (former, error) {
	if id == "" {
		return former{}, nil
	}
	was, err := e.api.ImageInspect(ctx, id)
	if err != nil {
		return former{}, absentIsFine(err) // it was removed meanwhile
	}
	f := former{InspectResponse: was}
	facts, err := e.facts.of(ctx, e.askFacts)
	if err != nil || facts.ImageStore != "containerd" {
		return f, err
	}
	f.held = "strake-former/" + digest.FromString(job.step.Ref).Encoded()[:12]
	return f, e.api.ImageTag(ctx, id, f.held)
}

// release gives up the name of hold. A failure leaves it to the next build, which takes the same one.
func (e *Engine) release(ctx context.Context, f former) {
	if f.held == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	_, _ = e.api.ImageRemove(ctx, f.held, image.RemoveOptions{})
}

// keepSame puts the former image back under the build's names where the new one differs from it in nothing but what strake
// wrote on it about the build: an edit of a file that no instruction reads recreates no container. It returns the id that
// the names have then.
func (e *Engine) keepSame(ctx context.Context, job *buildJob, was former, after string) (string, error) {
	if was.ID == "" || was.ID == after || len(job.src.Platforms) > 1 { // of several it is not seen that all are the same
		return after, nil
	}
	is, err := e.api.ImageInspect(ctx, after)
	if err != nil {
		return "", err
	}
	if !runsAlike(was.InspectResponse, is) {
		return after, nil
	}
	names, err := job.names()
	if err != nil {
		return "", err
	}
	for _, name := range names {
		if err := e.api.ImageTag(ctx, was.ID, name); err != nil {
			return "", fmt.Errorf("keep image %s: %w", name, err)
		}
	}
	_, err = e.api.ImageRemove(ctx, after, image.RemoveOptions{})
	return was.ID, absentIsFine(err)
}

// runsAlike is whether two images run alike: the same layers and the same configuration but for strake's own labels.
func runsAlike(a, b image.InspectResponse) bool {
	if a.Config == nil || b.Config == nil || a.Os != b.Os || a.Architecture != b.Architecture || !reflect.DeepEqual(a.RootFS, b.RootFS) {
		return false
	}
	x, y := *a.Config, *b.Config
	x.Labels, y.Labels = userLabels(x.Labels), userLabels(y.Labels)
	return reflect.DeepEqual(x, y)
}

// userLabels are the labels that do not say how strake made the image.
func userLabels(l map[string]string) map[string]string {
	l = maps.Clone(l)
	delete(l, compose.LabelInputs)
	delete(l, compose.LabelVersion)
	return l
}
