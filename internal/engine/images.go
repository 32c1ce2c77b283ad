package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strake-dev/strake/compose"
)

// lookUpImage asks the engine for an image. What is no name of an image is absent: Diff says so. Where a platform is wanted, an image of another one counts as absent; engines
// with an image store of several platforms (API 1.49) are asked for that platform.
func (e *Engine) lookUpImage(ctx context.Context, ref compose.ImageRef) (imageFacts, error) {
	if _, err := reference.ParseAnyReference(ref.Ref); err != nil {
		return imageFacts{}, nil
	}
	var wanted *ocispec.Platform
	var opts []client.ImageInspectOption
	if ref.Platform != "" {
		p, err := platforms.Parse(ref.Platform)
		if err != nil {
			return imageFacts{}, fmt.Errorf("platform %s of image %s: %w", ref.Platform, ref.Ref, err)
		}
		wanted = &p
		if e.apiAtLeast("1.49") {
			opts = append(opts, client.ImageInspectWithPlatform(wanted))
		}
	}
	img, err := e.api.ImageInspect(ctx, ref.Ref, opts...)
	if errdefs.IsNotFound(err) {
		held := compose.CarriedAs(ref.Ref)
		if held == "" {
			return imageFacts{}, nil
		}
		facts, err := e.lookUpImage(ctx, compose.ImageRef{Ref: held, Platform: ref.Platform})
		facts.held = held
		return facts, err
	}
	if err != nil {
		return imageFacts{}, fmt.Errorf("look up image %s: %w", ref.Ref, err)
	}
	has := platforms.Normalize(ocispec.Platform{OS: img.Os, Architecture: img.Architecture, Variant: img.Variant})
	if wanted != nil && !platforms.Only(*wanted).Match(has) {
		return imageFacts{}, nil
	}
	facts := factsOfImage(img, has)
	if len(opts) > 0 { // the id is that of the image, not of its part for one platform: the one that Docker Compose labels containers with
		whole, err := e.api.ImageInspect(ctx, ref.Ref)
		if err != nil {
			return imageFacts{}, absentIsFine(err)
		}
		facts.ID = whole.ID
	}
	return facts, nil
}

func factsOfImage(img image.InspectResponse, p ocispec.Platform) imageFacts {
	out := imageFacts{present: true, Image: compose.Image{ID: img.ID, Platform: platforms.Format(p), Tagged: img.Metadata.LastTagTime.UTC()}}
	if img.Metadata.LastTagTime.IsZero() {
		out.Tagged = time.Time{}
	}
	out.Digests = slices.Sorted(slices.Values(img.RepoDigests))
	if img.Descriptor == nil { // an engine that keeps images in containerd knows them by their manifests
		out.Config = img.ID
	}
	if at, err := time.Parse(time.RFC3339Nano, img.Created); err == nil { // images may lack a date
		out.Created = at.UTC()
	}
	if c := img.Config; c != nil {
		out.Labels = c.Labels
		out.Volumes = slices.Sorted(maps.Keys(c.Volumes))
		out.HasHealthcheck = c.Healthcheck != nil && len(c.Healthcheck.Test) > 0 && c.Healthcheck.Test[0] != "NONE"
		out.shell = c.Shell
		out.Content = contentOf(img)
	}
	return out
}

// contentOf is compose.Image.Content.
func contentOf(img image.InspectResponse) string {
	c := img.Config
	text, err := json.Marshal([]any{img.RootFS.Layers, c.Env, c.Cmd, c.Entrypoint, c.User, c.WorkingDir, slices.Sorted(maps.Keys(c.Volumes)), c.StopSignal})
	if err != nil {
		return "" // lists of texts can always be encoded
	}
	return digest.FromBytes(text).String()
}

// removeImage does RemoveImage: it takes the tag off, and the image with it when that was the last one.
func (e *Engine) removeImage(ctx context.Context, s compose.Step) error {
	defer e.images.drop(s.Target + "@")
	err := e.again(ctx, func() error {
		_, err := e.api.ImageRemove(ctx, s.Target, image.RemoveOptions{})
		return err
	})
	return inUse(absentIsFine(err))
}

// again calls do once more, a few times, while the engine stumbles over images that go at the same time: it looks at all layers for each
// of its answers. What do does is done once however often it is called.
func (e *Engine) again(ctx context.Context, do func() error) error {
	for n := range 5 {
		err := do()
		if err == nil || n == 4 || !has(err.Error(), "unrecognized image id", "content digest") {
			return err
		}
		select {
		case <-time.After(time.Duration(n+1) * 100 * time.Millisecond):
		case <-ctx.Done():
			return err
		}
	}
	return nil
}
