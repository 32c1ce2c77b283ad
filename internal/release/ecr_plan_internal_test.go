package release

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares a text with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is\n%s\nwant\n%s", name, got, want)
	}
}

func TestPlanRepository_Golden(t *testing.T) {
	moving := []string{"latest", "release", "staging"}
	filters, err := movingFilters(moving)
	if err != nil {
		t.Fatal(err)
	}
	shares := []Share{{Account: "222222222222"}, {Account: "222222222222", Role: "arn:aws:iam::222222222222:role/promote"}}
	want := repositoryWant{name: "shop/web", project: "shop", filters: filters, shares: shares, rules: lifecycleOf(moving)}
	policy, err := sharingPolicy("", shares)
	if err != nil {
		t.Fatal(err)
	}
	const others = `{"Version":"2008-10-17","Statement":[{"Sid":"Scanner","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::333333333333:root"},"Action":"ecr:BatchGetImage"},{"Sid":"StrakePull444444444444","Effect":"Allow","Principal":"*","Action":"ecr:*"}]}`
	made := repositoryState{isThere: true, isOurs: true, mutability: types.ImageTagMutabilityImmutableWithExclusion, filters: filters, policy: policy, lifecycle: lifecycleOf(moving)}
	before, hand, alone := made, made, want
	before.filters, before.lifecycle = []string{"latest"}, lifecycleOf([]string{"latest"})
	hand.isOurs, hand.mutability, hand.filters, hand.policy = false, types.ImageTagMutabilityMutable, nil, others
	hand.lifecycle = `{"rules":[{"rulePriority":1,"description":"all","selection":{"tagStatus":"any","countType":"imageCountMoreThan","countNumber":3},"action":{"type":"expire"}}]}`
	alone.shares = nil
	var text strings.Builder
	for _, c := range []struct {
		says string
		have repositoryState
		want repositoryWant
	}{
		{"none there", repositoryState{}, want}, {"made before", made, want}, {"made for fewer environments", before, want},
		{"somebody else's", hand, want}, {"shared before, and not any more", made, alone},
	} {
		fmt.Fprintf(&text, "-- %s --\n", c.says)
		steps, err := planRepository(c.have, c.want)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range steps {
			fmt.Fprintln(&text, s)
			switch {
			case s.policy != nil:
				fmt.Fprintln(&text, "   ", aws.ToString(s.policy.PolicyText))
			case s.lifecycle != nil:
				fmt.Fprintln(&text, "   ", strings.ReplaceAll(*s.lifecycle.LifecyclePolicyText, "},{\"rulePriority", "},\n     {\"rulePriority"))
			}
		}
	}
	golden(t, "repositories.txt", text.String())
}

func TestMovingFilters_AreFewAndOfNothingThatIsWrittenOnce(t *testing.T) {
	for _, c := range []struct {
		tags []string
		want string
	}{
		{[]string{"latest"}, "latest pr-* prev-*"},
		{[]string{"latest", "release", "staging", "latest"}, "latest pr-* prev-* release staging"},
		{[]string{"latest", "release", "staging", "prod"}, "latest pr* release staging"},
		{[]string{"latest", "env-a", "env-b", "env-c", "two", "three"}, "env-* latest pr* three two"},
		{[]string{"latest", "env-a", "env-b", "on.a", "on.b", "two"}, "env-* latest on.* pr* two"},
		{[]string{"latest", "stg", "staging", "prod", "preprod", "demo", "uat"}, "demo latest pr* st* uat"},
		{[]string{"latest", "uat1", "uat2", "uat3", "test", "tests", "demo"}, "demo latest pr* test* uat*"},
		{[]string{"latest", "stg", "staging", "stable", "uat1", "uat2", "demo"}, "demo latest pr* st* uat*"},
		{[]string{"latest", "v-a", "v-b", "a1", "a2", "keeper", "keep"}, ""},
		{[]string{"a", "b", "c", "d", "e", "f"}, ""},
	} {
		got, err := movingFilters(c.tags)
		if err != nil && c.want != "" || strings.Join(got, " ") != c.want {
			t.Errorf("movingFilters(%v) = %v, %v; want %q", c.tags, got, err, c.want)
		}
		if len(got) > mostFilters {
			t.Errorf("movingFilters(%v) are %d, want %d at most", c.tags, len(got), mostFilters)
		}
		isMoved := func(tag string) bool {
			return slices.ContainsFunc(got, func(f string) bool { return matches(f, tag) })
		}
		for _, tag := range append([]string{"pr-7", "prev-release"}, c.tags...) {
			if c.want != "" && !isMoved(tag) {
				t.Errorf("movingFilters(%v) = %v, in which %s does not move", c.tags, got, tag)
			}
		}
		for _, tag := range []string{tagKept("prod", strings.Repeat("a", 40)), strings.Repeat("a", 40), tagOfBuild("x"), tagOfClaim("dev"), Build{Commit: "x", Foreign: true}.Tag(), "v1.2.0"} {
			if isMoved(tag) {
				t.Errorf("movingFilters(%v) = %v, in which %s moves", c.tags, got, tag)
			}
		}
	}
}

func TestSourceIdentity_HasWhatAWSAllows(t *testing.T) {
	for in, want := range map[string]string{
		"ada@example.org": "ada@example.org", "Ada L. <a+b@x>": "Ada-L.--a+b@x-", "": "--", "aws:root": "aws-root", "é": "--",
		strings.Repeat("x", 99): strings.Repeat("x", 64),
	} {
		if got := sourceIdentity(in); got != want {
			t.Errorf("sourceIdentity(%q) = %q, want %q", in, got, want)
		}
	}
}
