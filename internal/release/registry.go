package release

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/strake-dev/strake/compose"
)

// Registry is a place in an OCI registry below which the repositories of a project are. Credentials are those of Docker's configuration and its helpers.
type Registry struct {
	Path   string // a host and a path, such as registry.example.com/saas
	puller *remote.Puller
	pusher *remote.Pusher
}

// ErrAbsent is in the error where a registry does not have what was asked for.
var ErrAbsent = errors.New("the registry does not have it")

// NewRegistry is the registry at a path. Nothing is asked of it yet. It goes through client where that is not nil.
func NewRegistry(path string, client http.RoundTripper) (*Registry, error) {
	options := []remote.Option{remote.WithAuthFromKeychain(authn.DefaultKeychain), remote.WithUserAgent("strake")}
	if client != nil {
		options = append(options, remote.WithTransport(client))
	}
	puller, err := remote.NewPuller(options...)
	if err != nil {
		return nil, fmt.Errorf("registry %s: %w", path, err)
	}
	pusher, err := remote.NewPusher(options...)
	if err != nil {
		return nil, fmt.Errorf("registry %s: %w", path, err)
	}
	return &Registry{Path: path, puller: puller, pusher: pusher}, nil
}

// manifest is one as the registry has it, byte for byte. It is a remote.Taggable.
type manifest struct {
	digest string
	media  types.MediaType
	raw    []byte
}

// RawManifest implements remote.Taggable.
func (m manifest) RawManifest() ([]byte, error) { return m.raw, nil }

// MediaType says of what kind it is to whoever pushes it.
func (m manifest) MediaType() (types.MediaType, error) { return m.media, nil }

// tagged and digested are references to a manifest of a repository.
func (r *Registry) tagged(repository, tag string) (name.Reference, error) {
	return name.NewTag(r.Path + "/" + repository + ":" + tag)
}

func (r *Registry) digested(repository, digest string) (name.Reference, error) {
	return name.NewDigest(r.Path + "/" + repository + "@" + digest)
}

// reference is what a tag or a digest names.
func (r *Registry) reference(repository, which string) (name.Reference, error) {
	if strings.HasPrefix(which, "sha256:") {
		return r.digested(repository, which)
	}
	return r.tagged(repository, which)
}

// read is the manifest at a tag or digest of a repository: one request. None there is ErrAbsent.
// Source: OCI Distribution Specification 1.1, GET /v2/<name>/manifests/<reference>.
func (r *Registry) read(ctx context.Context, repository, which string) (manifest, error) {
	ref, err := r.reference(repository, which)
	if err != nil {
		return manifest{}, err
	}
	got, err := r.puller.Get(ctx, ref)
	if err != nil {
		return manifest{}, r.explain(ctx, "read "+ref.String(), err)
	}
	return manifest{got.Digest.String(), got.MediaType, got.Manifest}, nil
}

// write puts a tag on a manifest whose blobs the repository has: one request.
// Source: OCI Distribution Specification 1.1, PUT /v2/<name>/manifests/<reference>.
func (r *Registry) write(ctx context.Context, repository, tag string, m manifest) error {
	ref, err := r.tagged(repository, tag)
	if err != nil {
		return err
	}
	return r.explain(ctx, "tag "+ref.String(), r.pusher.Put(ctx, ref, m))
}

// put writes an artifact with its blobs, and gives it its tags; the digest is its manifest's.
func (r *Registry) put(ctx context.Context, repository string, image v1.Image, tags ...string) (digest string, err error) {
	for _, tag := range tags {
		ref, err := r.tagged(repository, tag)
		if err != nil {
			return "", err
		}
		if err := r.pusher.Push(ctx, ref, image); err != nil {
			return "", r.explain(ctx, "write "+ref.String(), err)
		}
	}
	hash, err := image.Digest()
	return hash.String(), err
}

// Resolve is the digest of an image of a service at a tag or digest. None there is ErrAbsent.
// Source: OCI Distribution Specification 1.1, HEAD /v2/<name>/manifests/<reference>.
func (r *Registry) Resolve(ctx context.Context, service, which string) (string, error) {
	ref, err := r.reference(service, which)
	if err != nil {
		return "", err
	}
	got, err := r.puller.Head(ctx, ref)
	if err != nil {
		return "", r.explain(ctx, "look for "+ref.String(), err)
	}
	return got.Digest.String(), nil
}

// Tag gives an image that the registry has further tags. Nothing but its manifest is sent.
func (r *Registry) Tag(ctx context.Context, service, which string, tags ...string) error {
	m, err := r.read(ctx, service, which)
	if err != nil {
		return err
	}
	for _, tag := range tags {
		if err := r.write(ctx, service, tag, m); err != nil {
			return err
		}
	}
	return nil
}

// explain says of an error of the registry what was being done, and where that is known what to do.
func (r *Registry) explain(ctx context.Context, doing string, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return cmp.Or(context.Cause(ctx), ctx.Err())
	}
	host, _, _ := strings.Cut(r.Path, "/")
	var answer *transport.Error
	if !errors.As(err, &answer) {
		return &compose.HintedError{Err: fmt.Errorf("%s: %w", doing, err), Next: "connect to a network, or correct x-strake.registry"}
	}
	switch answer.StatusCode {
	case http.StatusNotFound:
		return fmt.Errorf("%s: %w", doing, ErrAbsent)
	case http.StatusUnauthorized, http.StatusForbidden:
		return &compose.HintedError{Err: fmt.Errorf("%s: %s refuses it: %w", doing, host, err), Next: "run docker login " + host + " as somebody who may"}
	case http.StatusTooManyRequests:
		return &compose.HintedError{Err: fmt.Errorf("%s: %w", doing, err), Next: "the registry takes no more requests for a moment; run it again, it goes on where it was"}
	}
	return fmt.Errorf("%s: %w", doing, err)
}
