package previews_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/strake-dev/strake/previews"
)

var label = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`)

func TestSlug_OfPlainNamesIsTheName(t *testing.T) {
	for name, want := range map[string]string{"main": "main", "fix-42": "fix-42", "a": "a", strings.Repeat("a", 39) + "z": strings.Repeat("a", 39) + "z"} {
		if got := previews.Slug(name); got != want {
			t.Errorf("Slug(%q) = %q, want %q", name, got, want)
		}
	}
}

// hostile are names that must not lead anywhere, nor be taken for each other.
func hostile() []string {
	return []string{"", "../", "..", "a/../b", "a;b", "a b", "A", "a", "a-", "-a", "a--b", "a-b", "a_b", "a.b", "feature/x", "feature-x", "--upload-pack=touch x", "-c core.x=y",
		"$(id)", "`id`", "\x00", "a\nb", "ä", "a\u0308", "а", "ａ", "I", "ı", "İ", "K", strings.Repeat("x", 300), strings.Repeat("x", 301), strings.Repeat("-", 300), "pr-42", "PR-42", "pr-042",
		"x-g2", "g2", "x-0123456789", "x-0123456789abcdef", "refs/heads/a", "HEAD", "a@{1}", "💥", "\xff\xfe"}
}

func TestSlug_OfHostileNames(t *testing.T) {
	of := map[string]string{}
	for n := 1; n < 200; n++ {
		slug, err := previews.PullRequestSlug(n)
		if err != nil {
			t.Fatal(err)
		}
		of[slug] = "a pull request"
	}
	for _, name := range hostile() {
		got := previews.Slug(name)
		if !label.MatchString(got) || len(got) > 40 {
			t.Errorf("Slug(%q) = %q, want a label of at most 40 letters", name, got)
		}
		if other, ok := of[got]; ok {
			t.Errorf("Slug(%q) = %q, which is the slug of %q too", name, got, other)
		}
		of[got] = name
	}
	for _, n := range []int{0, -1} {
		if got, err := previews.PullRequestSlug(n); err == nil {
			t.Errorf("PullRequestSlug(%d) = %q, want an error", n, got)
		}
	}
}

// FuzzSlug: a slug is a label of a hostname, two names never share one, nor does a branch with a pull request or with a generation.
func FuzzSlug(f *testing.F) {
	for i, name := range hostile() {
		f.Add(name, hostile()[(i+1)%len(hostile())])
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		x, y := previews.Slug(a), previews.Slug(b)
		if !label.MatchString(x) || len(x) > 40 {
			t.Errorf("Slug(%q) = %q, want a label of at most 40 letters", a, x)
		}
		if x == y && a != b {
			t.Errorf("Slug(%q) = Slug(%q) = %q", a, b, x)
		}
		if regexp.MustCompile(`^pr-[0-9]+$|-g[0-9]+$`).MatchString(x) {
			t.Errorf("Slug(%q) = %q, which is that of a pull request or a generation", a, x)
		}
	})
}

// FuzzEdgeAlias: an alias is a label, no two services, stacks or generations share one, and no container is called so.
func FuzzEdgeAlias(f *testing.F) {
	f.Add("web", "shop-pr-42", 1, "web", "shop-pr-42", 2)
	f.Add("web--shop", "pr-42", 1, "web", "shop--pr-42", 1)
	f.Add("a", "b--g1", 1, "a--b", "g1", 1)
	f.Add("web", "shop-pr-42-g2", 1, "web", "shop-pr-42", 2)
	f.Add("my_API", "x", 1, "my-api", "x", 1)
	f.Add(strings.Repeat("x", 63), "shop", 1, strings.Repeat("x", 64), "shop", 1)
	f.Add("a-", "b", 1, "a", "-b", 1)
	f.Fuzz(func(t *testing.T, service1, stack1 string, n1 int, service2, stack2 string, n2 int) {
		n1, n2 = max(n1, 1), max(n2, 1)
		x, y := previews.EdgeAlias(service1, stack1, n1), previews.EdgeAlias(service2, stack2, n2)
		if !label.MatchString(x) || len(x) > 63 {
			t.Errorf("EdgeAlias(%q, %q, %d) = %q, want a label of at most 63 letters", service1, stack1, n1, x)
		}
		if x == y && (service1 != service2 || stack1 != stack2 || n1 != n2) {
			t.Errorf("EdgeAlias(%q, %q, %d) = EdgeAlias(%q, %q, %d) = %q", service1, stack1, n1, service2, stack2, n2, x)
		}
		if regexp.MustCompile(`-[0-9]+$`).MatchString(x) {
			t.Errorf("EdgeAlias(%q, %q, %d) = %q, which ends as a container's name", service1, stack1, n1, x)
		}
	})
}

func TestEdgeAlias(t *testing.T) {
	if got, want := previews.EdgeAlias("web", "saas-pr-42", 2), "web--saas-pr-42--g2"; got != want {
		t.Errorf("EdgeAlias = %q, want %q", got, want)
	}
}
