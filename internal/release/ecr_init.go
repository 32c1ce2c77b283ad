package release

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
)

// Repositories are those that a project wants of a registry.
type Repositories struct {
	Project  string
	Services []string // that are built
	Ledger   bool     // whether the ledger is there too
	// Moving are the tags that environments have, and those that follow branches: all others of images are written once.
	Moving []string
	Shares []Share
}

// Share lets another account use the images.
type Share struct {
	Account string // 12 digits, which may pull
	Role    string // an ARN, "" for none, which may move tags too
}

// RepositoryStep is one of a plan for repositories.
type RepositoryStep struct {
	Repository string `json:"repository"` // in full, without the host
	Does       string `json:"does"`       // create, tags, policy, lifecycle, or leave for what is somebody else's and stays as it is
	What       string `json:"what"`       // for people

	create    *ecr.CreateRepositoryInput
	tags      *ecr.PutImageTagMutabilityInput
	policy    *ecr.SetRepositoryPolicyInput
	lifecycle *ecr.PutLifecyclePolicyInput
}

// String is the step as a plan shows it.
func (s RepositoryStep) String() string {
	sign := map[string]string{"create": "+", "leave": "="}[s.Does]
	if sign == "" {
		sign = "~"
	}
	return fmt.Sprintf("%s %-9s %s: %s", sign, s.Does, s.Repository, s.What)
}

// IsToDo is whether it changes anything.
func (s RepositoryStep) IsToDo() bool { return s.Does != "leave" }

// IsECR is whether a registry has to be given its repositories before anything is sent there.
func (r *Registry) IsECR() bool { return r.amazon != nil }

// projectTag is the tag of AWS on what was made for a project.
const projectTag = "dev.strake.project"

// repositoryState is a repository as it is; the zero value is none.
type repositoryState struct {
	isThere, isOurs bool
	arn             string
	mutability      types.ImageTagMutability
	filters         []string // sorted
	policy          string   // JSON; "" is none
	lifecycle       string
}

// PlanRepositories is what has to be done for a project to have its repositories in an ECR. Nothing is changed. Each repository's steps are in the order in
// which they are done.
func (r *Registry) PlanRepositories(ctx context.Context, want Repositories) ([]RepositoryStep, error) {
	filters, err := movingFilters(want.Moving)
	if err != nil {
		return nil, err
	}
	names := slices.Sorted(slices.Values(want.Services))
	if want.Ledger {
		names = append(names, LedgerRepository)
	}
	var all []RepositoryStep
	for _, below := range names {
		have, err := r.amazon.stateOf(ctx, below)
		if err != nil {
			return nil, err
		}
		w := repositoryWant{name: r.amazon.repository(below), registry: r.amazon.registryID(), project: want.Project, filters: filters, shares: want.Shares, rules: lifecycleOf(want.Moving)}
		if below == LedgerRepository { // of which nothing is ever cleaned up, and which who promotes reads as who they are
			w.filters, w.rules, w.shares = []string{"head-*", "tree-*"}, "", nil
		}
		steps, err := planRepository(have, w)
		if err != nil {
			return nil, err
		}
		all = append(all, steps...)
	}
	return all, nil
}

// stateOf looks at a repository.
// Source: Amazon ECR API, ListTagsForResource, GetRepositoryPolicy, GetLifecyclePolicy.
func (a *amazon) stateOf(ctx context.Context, below string) (s repositoryState, err error) {
	name := aws.String(a.repository(below))
	doing := "look at the repository " + *name
	is := func(err error, code string) bool { return codeOf(err) == code }
	if s, err = a.describe(ctx, below); err != nil || !s.isThere {
		return s, err
	}
	tags, err := ask[ecr.ListTagsForResourceOutput](ctx, a, doing, &ecr.ListTagsForResourceInput{ResourceArn: &s.arn})
	if err != nil {
		return s, err
	}
	s.isOurs = slices.ContainsFunc(tags.Tags, func(t types.Tag) bool { return aws.ToString(t.Key) == projectTag })
	policy, err := ask[ecr.GetRepositoryPolicyOutput](ctx, a, doing, &ecr.GetRepositoryPolicyInput{RepositoryName: name, RegistryId: a.registryID()})
	if err != nil && !is(err, "RepositoryPolicyNotFoundException") {
		return s, err
	}
	if err == nil {
		s.policy = aws.ToString(policy.PolicyText)
	}
	lifecycle, err := ask[ecr.GetLifecyclePolicyOutput](ctx, a, doing, &ecr.GetLifecyclePolicyInput{RepositoryName: name, RegistryId: a.registryID()})
	if err != nil && !is(err, "LifecyclePolicyNotFoundException") {
		return s, err
	}
	if err == nil {
		s.lifecycle = aws.ToString(lifecycle.LifecyclePolicyText)
	}
	return s, nil
}

// describe looks which tags of a repository are written once, and no further: that takes no right but one to read.
// Source: Amazon ECR API, DescribeRepositories.
func (a *amazon) describe(ctx context.Context, below string) (s repositoryState, err error) {
	name := a.repository(below)
	found, err := ask[ecr.DescribeRepositoriesOutput](ctx, a, "look at the repository "+name, &ecr.DescribeRepositoriesInput{RepositoryNames: []string{name}, RegistryId: a.registryID()})
	if codeOf(err) == "RepositoryNotFoundException" || err == nil && len(found.Repositories) == 0 {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	at := found.Repositories[0]
	s.isThere, s.mutability, s.arn = true, at.ImageTagMutability, aws.ToString(at.RepositoryArn)
	for _, f := range at.ImageTagMutabilityExclusionFilters {
		s.filters = append(s.filters, aws.ToString(f.Filter))
	}
	slices.Sort(s.filters)
	return s, nil
}

// MakeRepositories carries out a plan, and says each step before it is done. Run again after an error it goes on: a plan is of what lacks.
func (r *Registry) MakeRepositories(ctx context.Context, steps []RepositoryStep, note func(RepositoryStep)) error {
	for _, s := range steps {
		note(s)
		doing := "set up the repository " + s.Repository
		var err error
		switch {
		case s.create != nil:
			_, err = ask[ecr.CreateRepositoryOutput](ctx, r.amazon, doing, s.create)
			if codeOf(err) == "RepositoryAlreadyExistsException" { // somebody else made it meanwhile
				err = nil
			}
		case s.tags != nil:
			_, err = ask[ecr.PutImageTagMutabilityOutput](ctx, r.amazon, doing, s.tags)
		case s.policy != nil && s.policy.PolicyText == nil:
			_, err = ask[ecr.DeleteRepositoryPolicyOutput](ctx, r.amazon, doing, &ecr.DeleteRepositoryPolicyInput{RepositoryName: s.policy.RepositoryName, RegistryId: s.policy.RegistryId})
		case s.policy != nil:
			_, err = ask[ecr.SetRepositoryPolicyOutput](ctx, r.amazon, doing, s.policy)
		case s.lifecycle != nil:
			_, err = ask[ecr.PutLifecyclePolicyOutput](ctx, r.amazon, doing, s.lifecycle)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// WritesOnce is whether a tag of the ledger's repository stays where it is put, so that of those who write it at once one does. Where the registry does not
// say so it is not. It is asked once.
func (r *Registry) WritesOnce(ctx context.Context, tag string) (bool, error) {
	if r.amazon == nil {
		return false, nil
	}
	r.amazon.mu.Lock()
	known := r.amazon.ledger
	r.amazon.mu.Unlock()
	if known == nil {
		s, err := r.amazon.describe(ctx, LedgerRepository)
		if errors.Is(err, errNoCredentials) {
			return false, nil
		}
		if err != nil || !s.isThere {
			return false, err
		}
		known = &s
		r.amazon.mu.Lock()
		r.amazon.ledger = known
		r.amazon.mu.Unlock()
	}
	s := *known
	switch s.mutability {
	case types.ImageTagMutabilityImmutable:
		return true, nil
	case types.ImageTagMutabilityImmutableWithExclusion:
		return !slices.ContainsFunc(s.filters, func(f string) bool { return matches(f, tag) }), nil
	}
	return false, nil
}

// matches is whether a filter of ECR is about a tag: * is any text.
func matches(filter, tag string) bool {
	parts := strings.Split(filter, "*")
	if len(parts) == 1 {
		return filter == tag
	}
	if !strings.HasPrefix(tag, parts[0]) {
		return false
	}
	tag = tag[len(parts[0]):]
	for _, p := range parts[1 : len(parts)-1] {
		i := strings.Index(tag, p)
		if i < 0 {
			return false
		}
		tag = tag[i+len(p):]
	}
	return strings.HasSuffix(tag, parts[len(parts)-1])
}
