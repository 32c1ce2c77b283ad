package cli

import (
	"bytes"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/release"
	"github.com/strake-dev/strake/previews"
)

// checkout is a repository of git in a folder of its own, on a branch main.
type checkout struct {
	t   *testing.T
	dir string
	s   Streams
	err *bytes.Buffer // what is said
}

// newCheckout is one without a commit.
func newCheckout(t *testing.T) checkout {
	t.Helper()
	c := checkout{t: t, dir: t.TempDir(), err: &bytes.Buffer{}}
	c.s = Streams{Err: c.err, Out: c.err, In: strings.NewReader(""), Dir: c.dir, Now: time.Now, Environ: append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null",
		"STRAKE_CACHE_DIR="+t.TempDir(), "GIT_AUTHOR_NAME=ada", "GIT_COMMITTER_NAME=ada", "GIT_AUTHOR_EMAIL=ada@example.org", "GIT_COMMITTER_EMAIL=ada@example.org")}
	c.git("init", "-q", "-b", "main")
	return c
}

// cloned is a clone of one, whose origin it is.
func (c checkout) cloned() checkout {
	c.t.Helper()
	other := c
	other.dir = filepath.Join(c.t.TempDir(), "clone")
	other.s.Dir = other.dir
	c.git("clone", "-q", c.dir, other.dir)
	return other
}

func (c checkout) git(args ...string) string {
	c.t.Helper()
	out, err := gitSaid(c.t.Context(), c.s, c.dir, args...)
	if err != nil {
		c.t.Fatal(err)
	}
	return out
}

// commit writes a file and commits it, and returns the commit.
func (c checkout) commit(file, text string) string {
	c.t.Helper()
	if err := os.MkdirAll(filepath.Dir(filepath.Join(c.dir, file)), 0o755); err != nil {
		c.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(c.dir, file), []byte(text), 0o644); err != nil {
		c.t.Fatal(err)
	}
	c.git("add", "-A")
	c.git("commit", "-q", "-m", "write "+file)
	return c.git("rev-parse", "HEAD")
}

// releasing is what commands know of it, whose policy is the end of main.
func (c checkout) releasing(environments map[string]compose.EnvironmentSettings) *releasing {
	c.t.Helper()
	return &releasing{environments: environments, source: &previews.Source{Dir: c.dir, Environ: c.s.Environ}, sources: &previewSources{dir: c.dir}, dir: c.dir, policy: c.git("rev-parse", "main")}
}

// runs is the history of an environment that runs a commit.
func runs(environment, commit string) release.History {
	return release.History{{Number: 1, Environment: environment, Done: true, Action: release.Promoted, Commit: commit}}
}

func TestHotfix_HasWhatTheEnvironmentRuns(t *testing.T) {
	c := newCheckout(t)
	base := c.commit("a", "1")
	c.git("checkout", "-q", "-b", "hotfix/1")
	first := c.commit("b", "fixed")
	c.git("checkout", "-q", "-b", "hotfix/2", base)
	second := c.commit("c", "fixed too")
	c.git("checkout", "-q", "main")
	c.commit("a", "2")
	r := c.releasing(map[string]compose.EnvironmentSettings{"prod": {Hotfix: "hotfix/*"}})
	if _, id, err := r.hotfix(t.Context(), c.s, "prod", first, runs("prod", base)); err != nil || id != first {
		t.Errorf("the first hotfix = %s, %v, want %s", id, err, first)
	}
	_, _, err := r.hotfix(t.Context(), c.s, "prod", second, runs("prod", first))
	var refused *release.PolicyError
	if !errors.As(err, &refused) || !strings.Contains(refused.Next, "git rebase --onto "+first[:7]+" "+base[:7]+" hotfix/2") {
		t.Fatalf("a hotfix without the one before = %v, want a refusal with the rebase", err)
	}
	c.git("rebase", "-q", "--onto", first, base, "hotfix/2")
	again := c.git("rev-parse", "hotfix/2")
	c.git("checkout", "-q", "main")
	if x, id, err := r.hotfix(t.Context(), c.s, "prod", again, runs("prod", first)); err != nil || id != again || len(x.Fixes) != 2 {
		t.Errorf("after the rebase the hotfix is %s, %+v, %v, want %s with both fixes", id, x, err, again)
	}
	if _, _, err := r.hotfix(t.Context(), c.s, "prod", again, runs("prod", strings.Repeat("ab", 20))); err == nil || errors.As(err, &refused) && refused.Why == "" {
		t.Errorf("of an environment that runs what nobody knows = %v, want an error", err)
	}
}

func TestBeginReleasing_TakesThePolicyThatTheOriginHasByNow(t *testing.T) {
	policy := func(prod string) string {
		return "name: shop\nx-strake:\n  registry: registry.example.com/shop\n  environments:\n    dev: {tag: latest}\n    prod: {tag: release, from: dev" + prod + "}\nservices:\n  web: {image: nginx}\n"
	}
	origin := newCheckout(t)
	origin.commit("compose.yaml", policy(""))
	stale := origin.cloned()
	now := origin.commit("compose.yaml", policy(", soak: 24h"))
	r, err := beginReleasing(t.Context(), stale.s, projectOptions{}, true)
	if err != nil || r.policy != now || r.environments["prod"].Soak != 24*time.Hour {
		t.Fatalf("the policy of a stale clone = %+v, %v, want that of %s", r, err, now)
	}
	origin.git("branch", "-m", "main", "trunk")
	if _, err := beginReleasing(t.Context(), stale.s, projectOptions{}, true); err == nil || !strings.Contains(err.Error(), "origin has no branch main") {
		t.Errorf("of a branch that is gone = %v, want an error", err)
	}
	stale.git("remote", "set-url", "origin", filepath.Join(t.TempDir(), "nowhere"))
	if _, err := beginReleasing(t.Context(), stale.s, projectOptions{}, true); err == nil {
		t.Error("an origin that does not answer was not told")
	}
	if _, err := beginReleasing(t.Context(), stale.s, projectOptions{}, false); err != nil {
		t.Errorf("what only tells = %v, want what the repository knows", err)
	}
	stale.git("remote", "remove", "origin")
	if _, err := beginReleasing(t.Context(), stale.s, projectOptions{}, true); err != nil {
		t.Errorf("without an origin = %v", err)
	}
}

func TestIsTip_OfABranchWhoseNameEndsAlike(t *testing.T) {
	origin := newCheckout(t)
	one := origin.commit("a", "1")
	here := origin.cloned()
	two := origin.commit("a", "2")
	origin.git("branch", "refs/heads/main", one) // in full refs/heads/refs/heads/main
	origin.git("update-ref", "refs/a/refs/heads/main", one)
	r := here.releasing(nil)
	for commit, want := range map[string]bool{one: false, two: true} {
		if is, err := r.isTip(t.Context(), here.s, "main", commit, "dev"); err != nil || is != want {
			t.Errorf("isTip(%s) = %v, %v, want %v", commit, is, err, want)
		}
	}
}

func TestGit_OfARemoteThatDoesNotAnswer(t *testing.T) {
	c := newCheckout(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c.git("remote", "add", "origin", "git://"+l.Addr().String()+"/x")
	_, err = gitCall{dir: c.dir, limit: 100 * time.Millisecond}.said(t.Context(), c.s, "ls-remote", "--quiet", "--", "origin", "HEAD")
	if err == nil || !strings.Contains(err.Error(), "origin did not answer git ls-remote") {
		t.Errorf("ls-remote of one that does not answer = %v, want an error that names it", err)
	}
}
