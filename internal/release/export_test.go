package release

import (
	"context"

	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// Push sends an image with its blobs, as an engine does.
func (r *Registry) Push(ctx context.Context, service, tag string, image remote.Taggable) error {
	ref, err := oci{r}.tagged(service, tag)
	if err != nil {
		return err
	}
	return r.pusher.Push(ctx, ref, image)
}

// Raw is a manifest as it is.
func (r *Registry) Raw(ctx context.Context, service, which string) ([]byte, error) {
	m, err := r.read(ctx, service, which)
	return m.raw, err
}
