package engine

import (
	"cmp"
	"context"
	"fmt"

	"github.com/docker/docker/api/types/image"

	"github.com/strake-dev/strake/compose"
)

// Push sends an image that is here to the registry that its reference names, with the credentials of Docker's configuration, and returns the digest of what
// was sent; "" where the engine does not say it, as those that keep images in containerd. What the registry has already is not sent again. What can be put right is a *compose.HintedError.
// Source: Docker Engine API 1.41, POST /images/{name}/push; its last message but one has the digest, as docker push prints it.
func (e *Engine) Push(ctx context.Context, ref string, note func(compose.Event)) (digest string, err error) {
	err = e.withRegistry(ctx, "push image "+ref, ref, func(header string) error {
		body, err := e.api.ImagePush(ctx, ref, image.PushOptions{RegistryAuth: cmp.Or(header, noCredentials)})
		if err != nil {
			return err
		}
		digest, err = readTransfer(body, note)
		return err
	})
	return digest, err
}

// noCredentials is the header for none: a push without one is refused. It is {} in base64.
const noCredentials = "e30="

// Published is the digest of what a registry has under a reference, without fetching it; "" for nothing.
// Source: Docker Engine API 1.41, GET /distribution/{name}/json.
func (e *Engine) Published(ctx context.Context, ref string) (digest string, err error) {
	err = e.withRegistry(ctx, "look for image "+ref, ref, func(header string) error {
		found, err := e.api.DistributionInspect(ctx, ref, header)
		if failureOf(err) == absent {
			return nil
		}
		digest = found.Descriptor.Digest.String()
		return err
	})
	return digest, err
}

// withRegistry asks the registry of ref with its credentials, and says what was being done when that fails.
func (e *Engine) withRegistry(ctx context.Context, doing, ref string, ask func(header string) error) error {
	// Without its helper a public image is still to be had: the helper's error matters only when the registry refuses.
	header, helperErr := e.registryAuth(ctx, ref)
	var err error
	if ctx.Err() == nil {
		err = ask(header)
	}
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err == nil:
		return nil
	case helperErr != nil && failureOf(err) != unreachableRegistry:
		return fmt.Errorf("%s: %w", doing, helperErr)
	}
	text, next := explainPull(ref, "", err)
	switch failureOf(err) {
	case absentOrPrivate, refused:
		text, next = hostOf(ref)+" refuses it ("+lastCause(err)+")", "run docker login "+hostOf(ref)+" as somebody who may, or correct the registry's name"
	case unreachableRegistry:
		next = "connect to a network, or correct the registry's name"
	}
	if next == "" {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return &compose.HintedError{Err: &toldError{doing + ": " + text, err}, Next: next}
}

// Fetch pulls an image, which a registry has to have.
func (e *Engine) Fetch(ctx context.Context, ref string, note func(compose.Event)) error {
	defer e.images.drop(ref + "@")
	return e.withRegistry(ctx, "pull image "+ref, ref, func(header string) error {
		return e.fetch(ctx, compose.ImageRef{Ref: ref}, header, note)
	})
}

// Tag gives an image that is here one more name; an image that had it loses it.
// Source: Docker Engine API 1.41, POST /images/{name}/tag.
func (e *Engine) Tag(ctx context.Context, ref, name string) error {
	defer e.images.drop(name + "@")
	return e.explainCall(ctx, e.api.ImageTag(ctx, ref, name))
}
