package previews_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/previews"
)

// leaking has a pull request print what the policy gives it.
const leaking = `services: {web: {image: "web:1", command: "serve ${STRIPE_KEY:-}", scale: 100, devices: ["/dev/${STRIPE_KEY:-}"], runtime: "${STRIPE_KEY:-}"}}`

// TestOpen_HidesTheValuesOfThePolicy in all that is said of why a preview failed, and says the rest.
func TestOpen_HidesTheValuesOfThePolicy(t *testing.T) {
	m, _, s := newRig(t)
	s.commits[commitOf(1)] = strings.ReplaceAll(leaking, "${STRIPE_KEY:-}", "sk_value_of_a_secret")
	s.secrets = map[string]string{"stripe": "sk_value_of_a_secret"}
	s.heads[42] = commitOf(1)
	_, err := m.Open(t.Context(), previews.OpenOptions{Change: previews.Change{PullRequest: 42}})
	var no *previews.RefusedError
	if !errors.As(err, &no) || strings.Contains(err.Error(), "sk_value") || !strings.Contains(err.Error(), "runtime (hidden)") {
		t.Errorf("Open = %v, want a RefusedError without the secret's value", err)
	}
	p, err := m.Show(t.Context(), "shop", "pr-42")
	if err != nil || p.Failure == nil || strings.Contains(p.Failure.What, "sk_value") || !strings.Contains(p.Failure.What, "(hidden)") {
		t.Errorf("Show = %+v, %v, want a failure without the secret's value", p.Failure, err)
	}
}

// TestOpen_RefusesImagesOfOthers: what another project or preview built is not a pull request's to run.
func TestOpen_RefusesImagesOfOthers(t *testing.T) {
	for of, refused := range map[string]bool{"": false, "shop": false, "shop-pr-42": false, "shop-pr-42-g3": false, "bank": true, "shop-pr-7": true} {
		m, h, s := newRig(t)
		h.SetImage("db:1", compose.Image{ID: "sha256:1", Labels: map[string]string{compose.LabelProject: of}})
		s.heads[42] = commitOf(1)
		var no *previews.RefusedError
		_, err := m.Open(t.Context(), previews.OpenOptions{Change: previews.Change{PullRequest: 42}})
		if errors.As(err, &no) != refused || err != nil && !refused {
			t.Errorf("Open of a file that names an image of project %q = %v, want it refused: %t", of, err, refused)
		}
	}
}
