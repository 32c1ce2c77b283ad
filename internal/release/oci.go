package release

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/strake-dev/strake/compose"
)

// oci has the manifests of a registry through the protocol that all have.
type oci struct{ *Registry }

var _ store = oci{}

// errBlobs is in the error of a write whose blobs are not all in the repository.
var errBlobs = errors.New("the repository does not have its blobs")

// tagged and digested are references to a manifest of a repository.
func (o oci) tagged(repository, tag string) (name.Reference, error) {
	return name.NewTag(o.Path + "/" + repository + ":" + tag)
}

func (o oci) digested(repository, digest string) (name.Reference, error) {
	return name.NewDigest(o.Path + "/" + repository + "@" + digest)
}

// reference is what a tag or a digest names.
func (o oci) reference(repository, which string) (name.Reference, error) {
	if strings.HasPrefix(which, "sha256:") {
		return o.digested(repository, which)
	}
	return o.tagged(repository, which)
}

// read is a store's.
// Source: OCI Distribution Specification 1.1, GET /v2/<name>/manifests/<reference>.
func (o oci) read(ctx context.Context, repository, which string) (manifest, error) {
	ref, err := o.reference(repository, which)
	if err != nil {
		return manifest{}, err
	}
	got, err := o.puller.Get(ctx, ref)
	if err != nil {
		return manifest{}, o.explain(ctx, "read "+ref.String(), err)
	}
	return manifest{got.Digest.String(), got.MediaType, got.Manifest}, nil
}

// head is the digest at a tag or digest.
// Source: OCI Distribution Specification 1.1, HEAD /v2/<name>/manifests/<reference>.
func (o oci) head(ctx context.Context, repository, which string) (string, error) {
	ref, err := o.reference(repository, which)
	if err != nil {
		return "", err
	}
	got, err := o.puller.Head(ctx, ref)
	if err != nil {
		return "", o.explain(ctx, "look for "+ref.String(), err)
	}
	return got.Digest.String(), nil
}

// write is a store's.
// Source: OCI Distribution Specification 1.1, PUT /v2/<name>/manifests/<reference>.
func (o oci) write(ctx context.Context, repository, tag string, m manifest) error {
	ref, err := o.reference(repository, cmp.Or(tag, m.digest))
	if err != nil {
		return err
	}
	return o.explain(ctx, "tag "+ref.String(), o.pusher.Put(ctx, ref, m))
}

// remove is a store's.
// Source: OCI Distribution Specification 1.1, DELETE /v2/<name>/manifests/<tag>; a registry that takes none away says 400 or 405.
func (o oci) remove(ctx context.Context, repository, tag, digest string) error {
	if digest != "" {
		there, err := o.head(ctx, repository, tag)
		if errors.Is(err, ErrAbsent) || err == nil && there != digest {
			return nil
		}
		if err != nil {
			return err
		}
	}
	ref, err := o.tagged(repository, tag)
	if err != nil {
		return err
	}
	err = o.pusher.Delete(ctx, ref)
	var answer *transport.Error
	if errors.As(err, &answer) && slices.Contains([]int{http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusNotImplemented}, answer.StatusCode) {
		return fmt.Errorf("%s: %w", ref, errNoUntag)
	}
	err = o.explain(ctx, "remove "+ref.String(), err)
	switch {
	case errors.Is(err, ErrAbsent):
		return nil
	case answer != nil && slices.Contains([]int{http.StatusUnauthorized, http.StatusForbidden}, answer.StatusCode):
		return fmt.Errorf("%w: %w", errMayNotUntag, err)
	}
	return err
}

// explain says of an error of the registry what was being done, and where that is known what to do.
func (r *Registry) explain(ctx context.Context, doing string, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return cmp.Or(context.Cause(ctx), ctx.Err())
	}
	host := r.host()
	var answer *transport.Error
	if !errors.As(err, &answer) {
		var told *compose.HintedError
		if errors.As(err, &told) { // of AWS, where the token comes from
			return fmt.Errorf("%s: %w", doing, err)
		}
		return &compose.HintedError{Err: fmt.Errorf("%s: %w", doing, err), Next: "connect to a network, or correct x-strake.registry"}
	}
	says := func(code transport.ErrorCode) bool {
		return slices.ContainsFunc(answer.Errors, func(d transport.Diagnostic) bool { return d.Code == code })
	}
	switch {
	case says(transport.NameUnknownErrorCode) && r.amazon != nil:
		return r.amazon.noRepository(doing, err)
	case says(transport.ManifestBlobUnknownErrorCode), says(transport.BlobUnknownErrorCode) && answer.StatusCode == http.StatusBadRequest:
		return fmt.Errorf("%s: %w: %w", doing, errBlobs, err)
	case answer.StatusCode/100 == 4 && strings.Contains(answer.Error(), "immutable"): // TAG_INVALID of ECR, PRECONDITION of Harbor
		return fmt.Errorf("%s: %w", doing, ErrWritten)
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
