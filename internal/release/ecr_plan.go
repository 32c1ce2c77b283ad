package release

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"

	"github.com/strake-dev/strake/compose"
)

// mostFilters is how many filters a repository has for tags that are not written once.
// Source: Amazon ECR User Guide, "Preventing image tags from being overwritten".
const mostFilters = 5

// movingFilters are filters for tags that move: pr-* and prev-* beside those that are named, which share filters where they have a prefix in common and are
// more than there may be. It is pure.
func movingFilters(tags []string) ([]string, error) {
	tags = slices.Compact(slices.Sorted(slices.Values(tags)))
	filters := append([]string{"pr-*", "prev-*"}, tags...)
	if len(filters) > mostFilters { // what begins with pr moves, prod too: of what is written once nothing does
		filters = slices.DeleteFunc(filters, func(f string) bool { return strings.HasPrefix(f, "pr") })
		filters = append([]string{"pr*"}, filters...)
	}
	shared := map[string][]string{}
	for _, t := range tags {
		if i := strings.IndexAny(t, "-._"); i > 0 {
			shared[t[:i+1]] = append(shared[t[:i+1]], t)
		}
	}
	isTried := false // whether beginnings that are no words were
	for len(filters) > mostFilters {
		best := ""
		for prefix, of := range shared {
			if len(of) > len(shared[best]) || len(of) == len(shared[best]) && prefix < best {
				best = prefix
			}
		}
		if len(shared[best]) < 2 && !isTried {
			shared, isTried = beginnings(filters), true
			continue
		}
		if len(shared[best]) < 2 {
			return nil, &compose.HintedError{Err: fmt.Errorf("the tags %s of environments move, and ECR knows only %d filters for tags that may be moved, two of which pr-* and prev-* take", strings.Join(tags, ", "), mostFilters),
				Next: "give environments tags with a common beginning, such as tag: env-dev and tag: env-stg"}
		}
		of := shared[best]
		delete(shared, best)
		for prefix, others := range shared { // of which none is a filter any more
			shared[prefix] = slices.DeleteFunc(slices.Clone(others), func(t string) bool { return slices.Contains(of, t) })
		}
		filters = slices.DeleteFunc(filters, func(f string) bool { return slices.Contains(of, f) })
		if best != "pr-" {
			filters = append(filters, best+"*")
		}
	}
	slices.Sort(filters)
	return filters, nil
}

// beginnings are what several tags begin with, and the tags, where nothing that is written once begins so: no commit, no tag of strake's and no version.
func beginnings(tags []string) map[string][]string {
	isFree := func(prefix string) bool {
		return len(prefix) > 1 && strings.Trim(prefix, "0123456789abcdef") != "" && !slices.ContainsFunc([]string{"keep-", "foreign-", "v"}, func(once string) bool {
			return strings.HasPrefix(once, prefix) || strings.HasPrefix(prefix, once)
		})
	}
	all := map[string][]string{}
	for i, a := range tags {
		for _, b := range tags[i+1:] {
			n := 0
			for n < min(len(a), len(b)) && a[n] == b[n] {
				n++
			}
			if prefix := a[:n]; isFree(prefix) && !strings.HasSuffix(a, "*") && !strings.HasSuffix(b, "*") {
				all[prefix] = slices.DeleteFunc(slices.Clone(tags), func(t string) bool { return !strings.HasPrefix(t, prefix) || strings.HasSuffix(t, "*") })
			}
		}
	}
	return all
}

// repositoryWant is what a repository is to be.
type repositoryWant struct {
	name     string // in full
	registry *string
	project  string
	filters  []string // of tags that may be moved
	shares   []Share
	rules    string // of its lifecycle; "" is none
}

// planRepository is what has to be done for a repository to be what is wanted. What somebody else made stays, and is said where it does not do. It is pure.
func planRepository(have repositoryState, want repositoryWant) (steps []RepositoryStep, err error) {
	add := func(s RepositoryStep) {
		s.Repository = want.name
		steps = append(steps, s)
	}
	filters := make([]types.ImageTagMutabilityExclusionFilter, len(want.filters))
	for i, f := range want.filters {
		filters[i] = types.ImageTagMutabilityExclusionFilter{Filter: aws.String(f), FilterType: types.ImageTagMutabilityExclusionFilterTypeWildcard}
	}
	tags := "tags are written once but for " + strings.Join(want.filters, ", ")
	isAsWanted := have.mutability == types.ImageTagMutabilityImmutableWithExclusion && slices.Equal(have.filters, want.filters)
	switch {
	case !have.isThere:
		add(RepositoryStep{Does: "create", What: tags, create: &ecr.CreateRepositoryInput{RepositoryName: &want.name, RegistryId: want.registry,
			ImageTagMutability: types.ImageTagMutabilityImmutableWithExclusion, ImageTagMutabilityExclusionFilters: filters,
			Tags: []types.Tag{{Key: aws.String(projectTag), Value: &want.project}}}})
	case isAsWanted:
	case have.isOurs:
		add(RepositoryStep{Does: "tags", What: tags, tags: &ecr.PutImageTagMutabilityInput{RepositoryName: &want.name, RegistryId: want.registry,
			ImageTagMutability: types.ImageTagMutabilityImmutableWithExclusion, ImageTagMutabilityExclusionFilters: filters}})
	default:
		is := string(have.mutability)
		if len(have.filters) > 0 {
			is += " " + strings.Join(have.filters, ", ")
		}
		add(RepositoryStep{Does: "leave", What: "somebody else made it, its tags are " + is + ", and not " + string(types.ImageTagMutabilityImmutableWithExclusion) + " " + strings.Join(want.filters, ", ")})
	}
	policy, err := sharingPolicy(have.policy, want.shares)
	if err != nil {
		return nil, fmt.Errorf("the policy of the repository %s: %w", want.name, err)
	}
	if policy != have.policy {
		step := RepositoryStep{Does: "policy", What: "nobody of another account is let in any more", policy: &ecr.SetRepositoryPolicyInput{RepositoryName: &want.name, RegistryId: want.registry}}
		if policy != "" {
			step.What, step.policy.PolicyText = saysShares(want.shares), &policy
		}
		add(step)
	}
	switch {
	case want.rules == "" && have.lifecycle != "": // of the ledger
		add(RepositoryStep{Does: "leave", What: "somebody gave it lifecycle rules, which may remove what the ledger consists of: take them away"})
	case sameJSON(have.lifecycle, want.rules), want.rules == "":
	case have.lifecycle == "" || isOwnLifecycle(have.lifecycle):
		add(RepositoryStep{Does: "lifecycle", What: fmt.Sprintf("images without a tag go after %d days, those with a tag of a pull request after %d, unless one that is spared is on them", untaggedDays, pullRequestDays),
			lifecycle: &ecr.PutLifecyclePolicyInput{RepositoryName: &want.name, RegistryId: want.registry, LifecyclePolicyText: &want.rules}})
	default:
		add(RepositoryStep{Does: "leave", What: "somebody else wrote its lifecycle rules: see that they spare keep-*, prev-* and the environments' tags"})
	}
	return steps, nil
}

// saysShares says who is let in.
func saysShares(shares []Share) string {
	var says []string
	for _, s := range shares {
		text := s.Account + " may pull"
		if s.Role != "" {
			text = s.Role + " may pull and move tags"
		}
		says = append(says, text)
	}
	if len(says) == 0 {
		return "what lets others in is not strake's, and stays"
	}
	return strings.Join(says, ", ")
}

// ownStatement begins the name of a statement of a policy that is strake's.
const ownStatement = "Strake"

// What who is let in may do.
func pullActions() []string {
	return []string{"ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"}
}

// moveActions are those of who moves tags, and takes those of old releases away.
func moveActions() []string { return append(pullActions(), "ecr:PutImage", "ecr:BatchDeleteImage") }

// sharingPolicy is a repository's policy with the statements for shares; "" is none. Statements that are not strake's stay as they are, and a policy that has
// what is wanted is the same text. It is pure.
// Source: Amazon ECR User Guide, "Repository policy examples".
func sharingPolicy(have string, shares []Share) (string, error) {
	policy := map[string]json.RawMessage{"Version": json.RawMessage(`"2012-10-17"`)}
	var statements []json.RawMessage
	if have != "" {
		if err := json.Unmarshal([]byte(have), &policy); err != nil {
			return "", err
		}
		if err := json.Unmarshal(policy["Statement"], &statements); err != nil {
			return "", err
		}
	}
	statements = slices.DeleteFunc(statements, func(raw json.RawMessage) bool {
		var s struct{ Sid string }
		return json.Unmarshal(raw, &s) == nil && strings.HasPrefix(s.Sid, ownStatement)
	})
	for i, s := range shares {
		who, name, actions := "arn:aws:iam::"+s.Account+":root", ownStatement+"Pull"+s.Account, pullActions()
		if s.Role != "" {
			who, name, actions = s.Role, fmt.Sprintf("%sMove%s%d", ownStatement, s.Account, i), moveActions()
		}
		raw, err := json.Marshal(map[string]any{"Sid": name, "Effect": "Allow", "Principal": map[string]string{"AWS": who}, "Action": actions})
		if err != nil {
			return "", err
		}
		statements = append(statements, raw)
	}
	if len(statements) == 0 {
		return "", nil
	}
	var err error
	if policy["Statement"], err = json.Marshal(statements); err != nil {
		return "", err
	}
	text, err := json.Marshal(policy)
	if err != nil || sameJSON(have, string(text)) {
		return have, err
	}
	return string(text), nil
}

// How long images stay that nothing can be rolled back to.
const (
	untaggedDays    = 14
	pullRequestDays = 30
)

// ownRule begins the description of a rule of a lifecycle that is strake's; spareCount is more images than a repository holds.
const (
	ownRule    = "strake: "
	spareCount = 1000000
)

// lifecycleOf are the rules of a repository of images. Those that spare come first: an image that one of them is about no later one takes, and none has as
// many as they would. It is pure.
// Source: Amazon ECR User Guide, "Lifecycle policy evaluation rules": of several patterns of one rule an image has to have all; an image that an index names
// is not taken while that is there.
func lifecycleOf(moving []string) string {
	type selection struct {
		TagStatus      string   `json:"tagStatus"`
		TagPatternList []string `json:"tagPatternList,omitempty"`
		CountType      string   `json:"countType"`
		CountUnit      string   `json:"countUnit,omitempty"`
		CountNumber    int      `json:"countNumber"`
	}
	type rule struct {
		Priority    int               `json:"rulePriority"`
		Description string            `json:"description"`
		Selection   selection         `json:"selection"`
		Action      map[string]string `json:"action"`
	}
	var rules []rule
	add := func(says string, s selection) {
		rules = append(rules, rule{len(rules) + 1, ownRule + says, s, map[string]string{"type": "expire"}})
	}
	for _, pattern := range append([]string{"keep-*", "prev-*", "v*"}, slices.Compact(slices.Sorted(slices.Values(moving)))...) {
		add("spare "+pattern, selection{TagStatus: "tagged", TagPatternList: []string{pattern}, CountType: "imageCountMoreThan", CountNumber: spareCount})
	}
	add("pull requests that are over", selection{TagStatus: "tagged", TagPatternList: []string{"pr-*"}, CountType: "sinceImagePushed", CountUnit: "days", CountNumber: pullRequestDays})
	add("images without a tag", selection{TagStatus: "untagged", CountType: "sinceImagePushed", CountUnit: "days", CountNumber: untaggedDays})
	text, _ := json.Marshal(map[string]any{"rules": rules}) // of texts and numbers
	return string(text)
}

// isOwnLifecycle is whether strake wrote all rules.
func isOwnLifecycle(text string) bool {
	var l struct {
		Rules []struct{ Description string }
	}
	return json.Unmarshal([]byte(text), &l) == nil && !slices.ContainsFunc(l.Rules, func(r struct{ Description string }) bool { return !strings.HasPrefix(r.Description, ownRule) })
}

// sameJSON is whether two texts say the same.
func sameJSON(a, b string) bool {
	var x, y any
	if json.Unmarshal([]byte(a), &x) != nil || json.Unmarshal([]byte(b), &y) != nil {
		return a == b
	}
	one, _ := json.Marshal(x) // what was read can be written
	other, _ := json.Marshal(y)
	return string(one) == string(other)
}
