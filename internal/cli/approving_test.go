package cli

import (
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/release"
)

// registered is what commands know of a repository whose releases are in a registry, which has a build of a commit.
func (c checkout) registered(environments map[string]compose.EnvironmentSettings, builds ...release.Build) *releasing {
	c.t.Helper()
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	c.t.Cleanup(server.Close)
	r := c.releasing(environments)
	var err error
	if r.registry, err = release.OpenRegistry(strings.TrimPrefix(server.URL, "http://")+"/shop", release.RegistryOptions{}); err != nil {
		c.t.Fatal(err)
	}
	for _, b := range builds {
		if b.Images == nil {
			b.Images = map[string]string{"web": "sha256:" + strings.Repeat("1", 64)}
		}
		if _, err := r.registry.Record(c.t.Context(), b, false); err != nil {
			c.t.Fatal(err)
		}
	}
	return r
}

// signer is a key of SSH in a file, and its line of the file of signers.
func (c checkout) signer(name string) (key signingKey, line string) {
	c.t.Helper()
	file := filepath.Join(c.t.TempDir(), name)
	if _, err := keysOf(c.t.Context(), c.s, "sh", "-c", "ssh-keygen -q -t ed25519 -N '' -f "+file+" && cat "+file+".pub"); err != nil {
		c.t.Fatal(err)
	}
	keys, err := keyOfFile(file)
	if err != nil {
		c.t.Fatal(err)
	}
	return keys[0], name + "," + name + "@example.org " + keys[0].public + "\n"
}

func TestBallot_OfAShallowRepository(t *testing.T) {
	origin := newCheckout(t)
	_, line := origin.signer("ada")
	one := origin.commit(release.SignersFile, line)
	two := origin.commit("a", "2")
	here := origin
	here.dir = filepath.Join(t.TempDir(), "shallow")
	origin.git("clone", "-q", "--depth", "1", "file://"+origin.dir, here.dir)
	environments := map[string]compose.EnvironmentSettings{"prod": {Approvals: map[string]int{"lead": 1}, Approvers: map[string][]string{"lead": {"ada"}}}}
	r := here.registered(environments)
	last := runs("prod", one)[0]
	var hinted *compose.HintedError
	if _, err := r.ballot(t.Context(), here.s, "prod", two, nil, &last); !errors.As(err, &hinted) || hinted.Next != "git fetch --unshallow brings the rest" {
		t.Errorf("ballot in a shallow repository = %v, want the command that fetches the rest", err)
	}
	here.git("fetch", "-q", "--unshallow", "--", "origin")
	if b, err := r.ballot(t.Context(), here.s, "prod", two, nil, &last); err != nil || !slices.Equal(b.Authors, []string{"ada@example.org", "ada@example.org"}) {
		t.Errorf("ballot = %v, %v, want one of ada", b.Authors, err)
	}
}

func TestAuthorsBetween_OfTheCommitsThemselves(t *testing.T) {
	c := newCheckout(t)
	one := c.commit("a", "1")
	c.s.Environ = append(c.s.Environ, "GIT_AUTHOR_EMAIL=eve@example.org")
	two := c.commit("a", "2")
	c.s.Environ = c.s.Environ[:len(c.s.Environ)-1]
	tree := c.git("rev-parse", two+"^{tree}")
	c.git("replace", two, c.git("commit-tree", tree, "-p", one, "-m", "of ada"))
	c.s.Environ = append(c.s.Environ, "GIT_DIR="+t.TempDir())
	if got, err := authorsBetween(t.Context(), c.s, c.dir, one, two); err != nil || !slices.Contains(got, "eve@example.org") || slices.Contains(got, "ada@example.org") {
		t.Errorf("authorsBetween = %v, %v, want eve alone", got, err)
	}
}

func TestApprovable_IsWhatAPromotionTakes(t *testing.T) {
	c := newCheckout(t)
	wanted := c.commit("a", "1")
	c.commit("deploy/prod.yaml", "commit: "+wanted+"\n")
	last := c.commit("a", "2")
	environments := map[string]compose.EnvironmentSettings{"prod": {File: "deploy/prod.yaml", Approvals: map[string]int{"lead": 1}}}
	r := c.registered(environments, release.Build{Commit: wanted}, release.Build{Commit: last, Foreign: true, PullRequest: 7})
	b, _, err := r.approvable(t.Context(), c.s, approveOptions{Environment: "prod"}, environments["prod"])
	if err != nil || b.Commit != wanted {
		t.Errorf("approvable = %s, %v, want what the file says, %s", b.Commit, err, wanted)
	}
	var refused *release.PolicyError
	if _, _, err := r.approvable(t.Context(), c.s, approveOptions{Environment: "prod", Commit: last}, environments["prod"]); !errors.As(err, &refused) {
		t.Errorf("approvable of a build of a fork = %v, want a refusal", err)
	}
}

func TestSign_TakesBackWithASlowClock(t *testing.T) {
	c := newCheckout(t)
	key, line := c.signer("ada")
	commit := c.commit(release.SignersFile, line)
	c.s.Environ = append(c.s.Environ, "GIT_COMMITTER_EMAIL=bob@example.org", "GIT_AUTHOR_EMAIL=bob@example.org")
	commit = c.commit("a", commit)
	_, other := c.signer("bob")
	c.commit(release.SignersFile, line+other)
	environments := map[string]compose.EnvironmentSettings{"prod": {Approvals: map[string]int{"lead": 1}, Approvers: map[string][]string{"lead": {"ada"}}}}
	r := c.registered(environments)
	now := time.Now()
	says := func(at time.Time, withdrawn bool) (release.Tally, error) {
		c.s.Now = func() time.Time { return at }
		b, err := r.ballot(t.Context(), c.s, "prod", commit, map[string]string{"web": "sha256:1"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		b.Want.Who, b.Want.Role = "ada", "lead"
		st := b.Want
		st.Withdrawn = withdrawn
		return r.sign(t.Context(), c.s, b, st, key)
	}
	if tally, err := says(now, false); err != nil || len(tally.Approvals) != 1 {
		t.Fatalf("sign = %+v, %v, want that it counts", tally, err)
	}
	if tally, err := says(now.Add(-time.Hour), true); err != nil || len(tally.Approvals) != 0 {
		t.Errorf("taken back with a clock that is an hour slow = %+v, %v, want none", tally.Approvals, err)
	}
	if tally, err := says(now, false); err != nil || len(tally.Approvals) != 1 {
		t.Errorf("approved again = %+v, %v, want that it counts", tally, err)
	}
	if _, err := says(now.Add(-time.Hour), false); err == nil || !strings.Contains(err.Error(), "does not count") {
		t.Errorf("approved with a clock that is an hour slow = %v, want that it does not count yet", err)
	}
}

func TestTagCommit_OfOneWhoWasLate(t *testing.T) {
	origin := newCheckout(t)
	one := origin.commit("a", "1")
	two := origin.commit("a", "2")
	here := origin.cloned()
	origin.git("tag", "v1", one)
	r := here.releasing(nil)
	var refused *release.PolicyError
	e := release.Entry{Environment: "prod", Commit: two, Subject: "two", Images: map[string]string{"web": "sha256:1"}}
	if err := r.tagCommit(t.Context(), here.s, gitTag{remote: "origin", images: "other.example.org/shop"}, "v1", e); !errors.As(err, &refused) {
		t.Errorf("tagCommit where another was first = %v, want a refusal", err)
	}
	if tags := here.git("tag"); tags != "" {
		t.Errorf("tags that are left here: %s", tags)
	}
	here.git("remote", "set-url", "origin", filepath.Join(t.TempDir(), "nowhere"))
	if err := r.tagCommit(t.Context(), here.s, gitTag{remote: "origin"}, "v2", e); err == nil || here.git("tag") != "" {
		t.Errorf("tagCommit without the origin = %v, and here are the tags %q", err, here.git("tag"))
	}
	here.git("remote", "set-url", "origin", origin.dir)
	e.Commit = one
	if err := r.tagCommit(t.Context(), here.s, gitTag{remote: "origin"}, "v1", e); err != nil || here.git("rev-parse", "v1") != one {
		t.Errorf("tagCommit where the same was first = %v, and here are the tags %q", err, here.git("tag"))
	}
	if err := r.tagCommit(t.Context(), here.s, gitTag{remote: "origin", images: "other.example.org/shop"}, "v3", e); err != nil || !strings.Contains(origin.git("tag", "-n9", "-l", "v3"), "other.example.org/shop/web@") {
		t.Errorf("tagCommit = %v, and the tag of origin says %q", err, origin.git("tag", "-n9", "-l", "v3"))
	}
}

func TestPropose_LeavesWhatReviewersCommitted(t *testing.T) {
	origin := newCheckout(t)
	commit := origin.commit("a", "1")
	here := origin.cloned()
	p := proposal{Environment: "prod", Commit: commit, File: "deploy/prod.yaml", Branch: "strake/prod-" + commit[:7]}
	m := release.Move{Commit: commit, Subject: "one"}
	for name, c := range map[string]checkout{"with an origin": here, "without": origin} {
		t.Run(name, func(t *testing.T) {
			end := func() string { return origin.git("rev-parse", p.Branch) }
			propose := func(text string) error {
				_, err := c.releasing(nil).pushProposal(t.Context(), c.s, p, m, []byte(text))
				return err
			}
			if err := propose("commit: 1\n"); err != nil {
				t.Fatal(err)
			}
			first := end()
			if err := propose("commit: 1\n"); err != nil || end() != first {
				t.Errorf("proposed again = %v at %s, want %s as it was", err, end(), first)
			}
			if err := propose("commit: 2\n"); err != nil || end() == first {
				t.Errorf("another proposal = %v, want that it takes the place of the first", err)
			}
			origin.git("checkout", "-q", p.Branch)
			reviewed := origin.commit("deploy/notes", "of a reviewer")
			origin.git("checkout", "-q", "main")
			var refused *release.PolicyError
			if err := propose("commit: 3\n"); !errors.As(err, &refused) || end() != reviewed {
				t.Errorf("over a reviewer's commit = %v at %s, want a refusal and %s", err, end(), reviewed)
			}
			origin.git("branch", "-D", p.Branch)
		})
	}
}

func TestDebts_ArePaidByWhatChangesTheSame(t *testing.T) {
	c := newCheckout(t)
	base := c.commit("a", "1")
	c.git("checkout", "-q", "-b", "hotfix/1")
	fix := c.commit("b", "fixed")
	c.git("checkout", "-q", "main")
	c.commit("c", "other")
	r := c.releasing(map[string]compose.EnvironmentSettings{"prod": {Hotfix: "hotfix/*"}})
	x, _, err := r.hotfix(t.Context(), c.s, "prod", fix, runs("prod", base))
	if err != nil {
		t.Fatal(err)
	}
	h := runs("prod", fix)
	h[0].Hotfix = x
	if got := r.debts(t.Context(), c.s, h); len(got) != 1 || got[0].Commit != fix || got[0].Unknown != "" {
		t.Errorf("debts = %+v, want the fix", got)
	}
	c.commit("b", "fixed")
	r.policy = c.commit("d", "later")
	if got := r.debts(t.Context(), c.s, h); len(got) != 0 {
		t.Errorf("debts = %+v, want none", got)
	}
	if has, err := r.since(t.Context(), c.s, release.Hotfix{Base: base}); err != nil || len(has.IDs) != 0 {
		t.Errorf("of a hotfix that owes nothing %d patches were looked at, %v, want none", len(has.IDs), err)
	}
}
