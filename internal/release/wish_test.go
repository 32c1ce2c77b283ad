package release_test

import (
	"errors"
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
			if commit, err := release.Wish("deploy/prod.yaml", "prod", got); err != nil || commit != c.commit {
				t.Errorf("Wish = %s, %v, want %s", commit, err, c.commit)
			}
		})
	}
	for name, text := range map[string]string{"flow": "{commit: x}\n", "a list": "[]\n", "no commit": "a: 1\n", "short": "commit: 3f2c1ab\n", "no YAML": "a: [\n", "no text": "commit: [1]\n", "two": "commit: " + to + "\ncommit: " + number + "\n"} {
		if commit, err := release.Wish("deploy/prod.yaml", "prod", []byte(text)); err == nil {
			t.Errorf("Wish of %s = %s, want an error", name, commit)
		}
	}
}

func TestWithWish_SaysNothingElseThanTheCommit(t *testing.T) {
	commit := strings.Repeat("ab", 20)
	for name, text := range map[string]string{"an end": "a: 1\n...\n", "two": "commit: " + commit + "\ncommit: x\n", "in a text": "a: 1\nb: |\n  x\n... # end\n"} {
		if got, err := release.WithWish("deploy/prod.yaml", "prod", []byte(text), commit); err == nil {
			if wish, wishErr := release.Wish("deploy/prod.yaml", "prod", got); wishErr != nil || wish != commit {
				t.Errorf("WithWish of %s = %q, which wants %q, %v", name, got, wish, wishErr)
			}
		} else if got != nil {
			t.Errorf("WithWish of %s = %q, %v, want one of them", name, got, err)
		}
	}
	if _, err := release.WithWish("deploy/prod.yaml", "prod", []byte("a: 1\n...\n"), commit); err == nil {
		t.Error("WithWish of a text with an end wrote after it")
	}
	if _, err := release.Wish("deploy/prod.yaml", "prod", []byte("commit: "+commit+"\nb: 1\ncommit: "+commit+"\n")); err == nil || !strings.Contains(err.Error(), "lines 1 and 3") {
		t.Errorf("Wish of two = %v, want where they are", err)
	}
}

func TestCheckWish_LeavesWhatWasDoneOnPurpose(t *testing.T) {
	a, b, fix := commitNumber(1), commitNumber(2), commitNumber(3)
	for name, c := range map[string]struct {
		last *release.Entry
		wish string
		ok   bool
	}{
		"the first":            {nil, a, true},
		"as it says":           {&release.Entry{Commit: a, Wish: a}, a, true},
		"it says something":    {&release.Entry{Commit: a, Wish: a}, b, true},
		"a hotfix since":       {&release.Entry{Commit: fix, Wish: a}, a, false},
		"and it was changed":   {&release.Entry{Commit: fix, Wish: a}, b, true},
		"before it was a file": {&release.Entry{Commit: fix}, a, true},
	} {
		t.Run(name, func(t *testing.T) {
			var refused *release.PolicyError
			err := release.Move{Environment: "prod", Commit: c.wish, Wish: c.wish, Last: c.last}.CheckWish("deploy/prod.yaml")
			if c.ok != (err == nil) || !c.ok && !errors.As(err, &refused) {
				t.Errorf("CheckWish = %v, want it to go: %v", err, c.ok)
			}
		})
	}
}

func TestArrivals_SayWhenEachImageCame(t *testing.T) {
	var h release.History
	for n, images := range []map[string]string{{"api": "1", "web": "1"}, {"api": "1", "web": "2"}, {"api": "1", "web": "1"}} {
		h = append(release.History{{Number: n + 1, Done: true, Commit: commitNumber(n), Images: images}}, h...)
	}
	got := h.Arrivals()
	if len(got) != 2 || got["api"].Commit != commitNumber(0) || got["web"].Commit != commitNumber(2) {
		t.Errorf("Arrivals = %v, want api of the first and web of the last", got)
	}
	if got := append(release.History{{Number: 4}}, h...).Arrivals(); len(got) != 0 {
		t.Errorf("Arrivals while a move is begun = %v, want none", got)
	}
}
