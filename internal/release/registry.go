package release

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/strake-dev/strake/compose"
)

// Registry is a place in a registry below which the repositories of a project are. Manifests of Amazon ECR go through its API, everything else through the
// protocol that all registries have. Credentials are those of Docker's configuration and its helpers, else, for ECR, what AWS's SDK finds.
type Registry struct {
	Path   string // a host and a path, such as registry.example.com/saas
	store  store
	puller *remote.Puller
	pusher *remote.Pusher
	amazon *amazon // nil: it is not ECR
}

// store is what has the manifests of a registry, byte for byte. Repositories are named below its path.
type store interface {
	// read is the manifest at a tag or digest. None there is ErrAbsent.
	read(ctx context.Context, repository, which string) (manifest, error)
	// write gives a manifest, whose blobs the repository has, a tag; with "" it is there by its digest alone. A tag that is on another one and may not be
	// moved is ErrWritten.
	write(ctx context.Context, repository, tag string, m manifest) error
	// remove takes a tag away, if it is on that digest, or with "" whatever it is on, and leaves its image under all that names it otherwise. One that is
	// not there is none to take away. errNoUntag: the registry cannot; errMayNotUntag: who asks may not.
	remove(ctx context.Context, repository, tag, digest string) error
}

var (
	// ErrAbsent is in the error where a registry does not have what was asked for.
	ErrAbsent = errors.New("the registry does not have it")
	// ErrWritten is in the error where a tag is on another image, and the registry has it written once.
	ErrWritten = errors.New("the tag is on another image, and is written once")
	// errNoUntag is in the error where a registry takes no tag away.
	errNoUntag = errors.New("the registry takes no tags away")
	// errMayNotUntag is in the error where somebody may not take a tag away.
	errMayNotUntag = errors.New("tags may not be taken away")
)

// RegistryOptions are how a registry is reached. The zero value is as Docker reaches it.
type RegistryOptions struct {
	Client http.RoundTripper // which all requests go through; nil is the process's own
	// Endpoint is where ECR's API is, if not at Amazon's own address, which AWS's SDK has from AWS_ENDPOINT_URL_ECR or AWS_ENDPOINT_URL. A registry at its host is
	// taken for ECR, and ECR's registries are reached there.
	Endpoint string
	// Role is that of AWS in which ECR is asked, an ARN; "" is whoever asks. Person is who it is taken for: CloudTrail has them as the source identity.
	Role, Person string
}

// NewRegistry is the registry at a path. Nothing is asked of it yet. It goes through client where that is not nil.
func NewRegistry(path string, client http.RoundTripper) (*Registry, error) {
	return OpenRegistry(path, RegistryOptions{Client: client})
}

// OpenRegistry is the registry at a path. Nothing is asked of it yet.
func OpenRegistry(path string, o RegistryOptions) (*Registry, error) {
	r := &Registry{Path: path}
	options := []remote.Option{remote.WithUserAgent("strake")}
	if r.amazon = newAmazon(path, o); r.amazon != nil {
		host, err := name.NewRegistry(r.host())
		if err != nil {
			return nil, fmt.Errorf("registry %s: %w", path, err)
		}
		r.amazon.login = &login{amazon: r.amazon, registry: host}
		options = append(options, remote.WithAuth(r.amazon.login), remote.WithTransport(renewing{r.amazon.login, r.amazon.transport()}))
	} else if o.Role != "" {
		return nil, &compose.HintedError{Err: fmt.Errorf("%s is no registry of Amazon ECR, so that nobody can be there in the role %s", r.host(), o.Role), Next: "take role out of that environment, or name its registry"}
	} else {
		options = append(options, remote.WithAuthFromKeychain(authn.DefaultKeychain))
		if o.Client != nil {
			options = append(options, remote.WithTransport(o.Client))
		}
	}
	var err error
	if r.puller, err = remote.NewPuller(options...); err == nil {
		r.pusher, err = remote.NewPusher(options...)
	}
	if err != nil {
		return nil, fmt.Errorf("registry %s: %w", path, err)
	}
	r.store = oci{r}
	if r.amazon != nil {
		r.store = ecrStore{r.amazon, oci{r}}
	}
	return r, nil
}

// host is the registry's, with its port.
func (r *Registry) host() string {
	host, _, _ := strings.Cut(r.Path, "/")
	return host
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

// read is the manifest at a tag or digest of a repository: one request. None there is ErrAbsent.
func (r *Registry) read(ctx context.Context, repository, which string) (manifest, error) {
	return r.store.read(ctx, repository, which)
}

// write puts a tag on a manifest whose blobs the repository has: one request.
func (r *Registry) write(ctx context.Context, repository, tag string, m manifest) error {
	return r.store.write(ctx, repository, tag, m)
}

// put writes an artifact with its blobs, and gives it its tags; the digest is its manifest's.
func (r *Registry) put(ctx context.Context, repository string, image v1.Image, tags ...string) (digest string, err error) {
	hash, err := image.Digest()
	if err != nil {
		return "", err
	}
	for _, tag := range tags {
		if err := r.putOne(ctx, repository, image, tag); err != nil {
			return "", err
		}
	}
	return hash.String(), nil
}

// putOne puts a tag on an artifact. ECR is asked for that alone first: the blobs of all artifacts are the same, and there but for the first one.
func (r *Registry) putOne(ctx context.Context, repository string, image v1.Image, tag string) error {
	ref, err := oci{r}.tagged(repository, tag)
	if err != nil {
		return err
	}
	if r.amazon == nil {
		return r.explain(ctx, "write "+ref.String(), r.pusher.Push(ctx, ref, image))
	}
	m, err := manifestOf(image)
	if err != nil {
		return err
	}
	if err = r.write(ctx, repository, tag, m); !errors.Is(err, errBlobs) {
		return err
	}
	config, err := partial.ConfigLayer(image)
	if err != nil {
		return err
	}
	layers, err := image.Layers()
	if err != nil {
		return err
	}
	for _, layer := range append(layers, config) {
		if err := r.pusher.Upload(ctx, ref.Context(), layer); err != nil {
			return r.explain(ctx, "write "+ref.String(), err)
		}
	}
	return r.write(ctx, repository, tag, m)
}

// manifestOf is that of an image that is made here.
func manifestOf(image v1.Image) (m manifest, err error) {
	if m.raw, err = image.RawManifest(); err != nil {
		return m, err
	}
	if m.media, err = image.MediaType(); err != nil {
		return m, err
	}
	hash, err := image.Digest()
	m.digest = hash.String()
	return m, err
}

// Resolve is the digest of an image of a service at a tag or digest. None there is ErrAbsent.
func (r *Registry) Resolve(ctx context.Context, service, which string) (string, error) {
	if r.amazon == nil {
		return oci{r}.head(ctx, service, which)
	}
	m, err := r.read(ctx, service, which)
	return m.digest, err
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
