//go:build lab

package release_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	ecrtypes "github.com/aws/aws-sdk-go-v2/service/ecr/types"

	"github.com/strake-dev/strake/fixtures/lab"
	"github.com/strake-dev/strake/fixtures/lab/awslab"
	"github.com/strake-dev/strake/internal/release"
)

func TestContract_DockerRegistry(t *testing.T) {
	path := lab.Registry(t) + "/shop"
	contract(t, func(t *testing.T) *release.Registry {
		t.Helper()
		r, err := release.NewRegistry(path, nil)
		if err != nil {
			t.Fatal(err)
		}
		return r
	})
}

// asUser has this process speak to an API with the keys of its user, and without a login of Docker.
func asUser(t *testing.T, environ []string) {
	t.Helper()
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		t.Setenv(name, value)
	}
	t.Setenv("DOCKER_CONFIG", t.TempDir())
}

// amazon opens the registry of an account.
func amazon(t *testing.T, endpoint, account, role string) *release.Registry {
	t.Helper()
	r, err := release.OpenRegistry(awslab.Host(account)+"/shop", release.RegistryOptions{Endpoint: endpoint, Role: role, Person: "Ada L. <ada@example.org>"})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// create makes the repositories of the tests' services, with tags that are written once but for those that are moved.
func create(t *testing.T, e *awslab.ECR) {
	t.Helper()
	api := ecr.NewFromConfig(e.Config())
	for _, name := range append(services, release.LedgerRepository) {
		filters := []string{"latest", "release", "two", "pr-*", "prev-*"}
		if name == release.LedgerRepository {
			filters = []string{"head-*", "tree-*"}
		}
		in := &ecr.CreateRepositoryInput{RepositoryName: aws.String("shop/" + name), ImageTagMutability: ecrtypes.ImageTagMutabilityImmutableWithExclusion}
		for _, f := range filters {
			in.ImageTagMutabilityExclusionFilters = append(in.ImageTagMutabilityExclusionFilters, ecrtypes.ImageTagMutabilityExclusionFilter{Filter: &f, FilterType: ecrtypes.ImageTagMutabilityExclusionFilterTypeWildcard})
		}
		if _, err := api.CreateRepository(t.Context(), in); err != nil {
			t.Fatal(err)
		}
	}
}

func TestContract_ECR(t *testing.T) {
	e := awslab.Start(t).ECR(t)
	asUser(t, e.Environ())
	create(t, e)
	contract(t, func(t *testing.T) *release.Registry { return amazon(t, e.URL, awslab.Account, "") })
}

func TestECR_TagsAreWrittenOnce(t *testing.T) {
	e := awslab.Start(t).ECR(t)
	asUser(t, e.Environ())
	create(t, e)
	r := amazon(t, e.URL, awslab.Account, "")
	one, two := published(t, r, 1), published(t, r, 2)
	if err := r.Tag(t.Context(), "web", one.Images["web"], one.Commit); err != nil {
		t.Fatal(err)
	}
	if err := r.Tag(t.Context(), "web", one.Images["web"], one.Commit); err != nil {
		t.Errorf("Tag with what it is on already = %v", err)
	}
	err := r.Tag(t.Context(), "web", two.Images["web"], one.Commit)
	if got, _ := r.Resolve(t.Context(), "web", one.Commit); !errors.Is(err, release.ErrWritten) || got != one.Images["web"] {
		t.Errorf("Tag of another image = %v, and the tag is on %s; want ErrWritten, and %s", err, got, one.Images["web"])
	}
	image, _ := some(t)
	if err := r.Push(t.Context(), "web", one.Commit, image); err == nil || !strings.Contains(err.Error(), "immutable") {
		t.Errorf("push over it = %v, want that it is immutable", err)
	}
}

func TestECR_NamesInitWhereARepositoryIsMissing(t *testing.T) {
	e := awslab.Start(t).ECR(t)
	asUser(t, e.Environ())
	r := amazon(t, e.URL, awslab.Account, "")
	_, err := r.Build(t.Context(), commitNumber(1))
	image, _ := some(t)
	for doing, err := range map[string]error{"Build": err, "Tag": r.Tag(t.Context(), "web", "latest", "release")} {
		var told interface{ Hint() string }
		if !errors.As(err, &told) || !strings.Contains(told.Hint(), "strake registry init") {
			t.Errorf("%s without a repository = %v, want a hint that names strake registry init", doing, err)
		}
	}
	if err := r.Push(t.Context(), "web", "latest", image); err == nil {
		t.Error("push without a repository succeeds")
	}
}
