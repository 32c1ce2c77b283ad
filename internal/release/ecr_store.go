package release

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	ecrtypes "github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// ecrStore has the manifests of an ECR through its API. Where AWS does not know who asks, and Docker has a login, it is as any other registry.
type ecrStore struct {
	*amazon
	plain oci
}

var _ store = ecrStore{}

// isPlain is whether there is but a login of Docker.
func (s ecrStore) isPlain(ctx context.Context) bool {
	_, _, err := s.client(ctx)
	return errors.Is(err, errNoCredentials) && s.login.fromDocker(ctx) != nil
}

// read is a store's.
// Source: Amazon ECR API, BatchGetImage.
func (s ecrStore) read(ctx context.Context, repository, which string) (manifest, error) {
	if s.isPlain(ctx) {
		return s.plain.read(ctx, repository, which)
	}
	doing := "read " + s.name(repository, which)
	out, err := ask[ecr.BatchGetImageOutput](ctx, s.amazon, doing, &ecr.BatchGetImageInput{
		RepositoryName: aws.String(s.repository(repository)), RegistryId: s.registryID(), ImageIds: []ecrtypes.ImageIdentifier{identifier(which)},
		AcceptedMediaTypes: []string{string(types.OCIManifestSchema1), string(types.OCIImageIndex), string(types.DockerManifestSchema2), string(types.DockerManifestList)},
	})
	if err != nil {
		return manifest{}, err
	}
	if len(out.Images) == 0 {
		for _, f := range out.Failures {
			if f.FailureCode != ecrtypes.ImageFailureCodeImageNotFound {
				return manifest{}, fmt.Errorf("%s: %s: %s", doing, f.FailureCode, aws.ToString(f.FailureReason))
			}
		}
		return manifest{}, fmt.Errorf("%s: %w", doing, ErrAbsent)
	}
	image := out.Images[0]
	m := manifest{media: types.MediaType(aws.ToString(image.ImageManifestMediaType)), raw: []byte(aws.ToString(image.ImageManifest))}
	if image.ImageId != nil {
		m.digest = aws.ToString(image.ImageId.ImageDigest)
	}
	if is := fmt.Sprintf("sha256:%x", sha256.Sum256(m.raw)); is != m.digest {
		return manifest{}, fmt.Errorf("%s: ECR answers a manifest with the digest %s and says that it is %s", doing, is, m.digest)
	}
	return m, nil
}

// name is an image as people read it.
func (s ecrStore) name(repository, which string) string {
	sign := ":"
	if digestName.MatchString(which) {
		sign = "@"
	}
	return s.host + "/" + s.repository(repository) + sign + which
}

// identifier is a tag or digest as ECR has it.
func identifier(which string) ecrtypes.ImageIdentifier {
	if digestName.MatchString(which) {
		return ecrtypes.ImageIdentifier{ImageDigest: &which}
	}
	return ecrtypes.ImageIdentifier{ImageTag: &which}
}

// write is a store's: the manifest goes as it is, with its digest, so that ECR refuses one that came to harm.
// Source: Amazon ECR API, PutImage; ImageAlreadyExistsException is that it is there already, with that tag.
func (s ecrStore) write(ctx context.Context, repository, tag string, m manifest) error {
	if s.isPlain(ctx) {
		return s.plain.write(ctx, repository, tag, m)
	}
	in := &ecr.PutImageInput{RepositoryName: aws.String(s.repository(repository)), RegistryId: s.registryID(), ImageManifest: aws.String(string(m.raw)),
		ImageManifestMediaType: aws.String(string(m.media)), ImageDigest: &m.digest}
	which := m.digest
	if tag != "" {
		in.ImageTag, which = &tag, tag
	}
	_, err := ask[ecr.PutImageOutput](ctx, s.amazon, "tag "+s.name(repository, which), in)
	if codeOf(err) == "ImageAlreadyExistsException" {
		return nil
	}
	return err
}

// remove is a store's: a tag and a digest go in one request, so that nobody else's tag is taken which was put there meanwhile.
// Source: Amazon ECR API, BatchDeleteImage: the last tag takes the image along, and of a tag and a digest both have to be right.
func (s ecrStore) remove(ctx context.Context, repository, tag, digest string) error {
	if s.isPlain(ctx) {
		return s.plain.remove(ctx, repository, tag, digest)
	}
	which := identifier(tag)
	if digest != "" {
		which.ImageDigest = &digest
	}
	doing := "remove " + s.name(repository, tag)
	out, err := ask[ecr.BatchDeleteImageOutput](ctx, s.amazon, doing, &ecr.BatchDeleteImageInput{
		RepositoryName: aws.String(s.repository(repository)), RegistryId: s.registryID(), ImageIds: []ecrtypes.ImageIdentifier{which},
	})
	if code := codeOf(err); code == "AccessDenied" || code == "AccessDeniedException" {
		return fmt.Errorf("%w: %w", errMayNotUntag, err)
	}
	if err != nil {
		return err
	}
	for _, f := range out.Failures {
		if f.FailureCode != ecrtypes.ImageFailureCodeImageNotFound && f.FailureCode != ecrtypes.ImageFailureCodeImageTagDoesNotMatchDigest {
			return fmt.Errorf("%s: %s: %s", doing, f.FailureCode, aws.ToString(f.FailureReason))
		}
	}
	return nil
}
