package release_test

import (
	"strings"
	"testing"

	"github.com/strake-dev/strake/internal/release"
)

func TestWithWish_ChangesNothingElse(t *testing.T) {
	to := strings.Repeat("ab", 20)
	number := strings.Repeat("12", 20)
	for name, c := range map[string]struct{ text, commit, want string }{
		"new":     {"", to, "# What prod runs: strake promote prod --propose writes it, and its merge promotes it.\ncommit: " + to + "\n"},
		"plain":   {"# who: ops\nreplicas: 3 # as in stg\ncommit: " + commitNumber(1) + "   # the release\nlast: true\n", to, "# who: ops\nreplicas: 3 # as in stg\ncommit: " + to + "   # the release\nlast: true\n"},
		"quoted":  {"commit: '" + commitNumber(1) + "' #x\n", to, "commit: '" + to + "' #x\n"},
		"missing": {"# ours\nreplicas: 3", to, "# ours\nreplicas: 3\ncommit: " + to + "\n"},
		"empty":   {"a: 1\ncommit: # soon\nb: 2\n", to, "a: 1\ncommit: " + to + " # soon\nb: 2\n"},
		"number":  {"commit: " + commitNumber(1) + "\n", number, "commit: \"" + number + "\"\n"},
		"comment": {"# commit: " + commitNumber(9) + "\ncommit: " + commitNumber(1) + "\n", to, "# commit: " + commitNumber(9) + "\ncommit: " + to + "\n"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := release.WithWish("deploy/prod.yaml", "prod", []byte(c.text), c.commit)
			if err != nil || string(got) != c.want {
				t.Fatalf("WithWish = %q, %v, want %q", got, err, c.want)
			}
			if commit, err := release.Wish("deploy/prod.yaml", got); err != nil || commit != c.commit {
				t.Errorf("Wish = %s, %v, want %s", commit, err, c.commit)
			}
		})
	}
	for name, text := range map[string]string{"flow": "{commit: x}\n", "a list": "[]\n", "no commit": "a: 1\n", "short": "commit: 3f2c1ab\n", "no YAML": "a: [\n", "no text": "commit: [1]\n"} {
		if commit, err := release.Wish("deploy/prod.yaml", []byte(text)); err == nil {
			t.Errorf("Wish of %s = %s, want an error", name, commit)
		}
	}
}
