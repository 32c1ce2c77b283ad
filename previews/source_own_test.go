package previews_test

import "testing"

// TestSource_IsOwn: a fork's commit is fetched from the same remote, and may be the end of a branch here.
func TestSource_IsOwn(t *testing.T) {
	origin := newRepository(t)
	own := origin.branched("refs/heads/feature", map[string]string{"a": "1"})
	fork := origin.branched("refs/pull/7/head", map[string]string{"a": "2"})
	here := newRepository(t)
	if is, err := here.source().IsOwn(t.Context(), here.git("rev-parse", "main")); err != nil || !is {
		t.Errorf("without a remote IsOwn of the end of main = %v, %v, want true", is, err)
	}
	here.git("remote", "add", "origin", origin.dir)
	here.git("fetch", "--quiet", "origin", "refs/pull/7/head:refs/heads/pr-7", "refs/pull/7/head:refs/remotes/origin/pr/7", "refs/heads/feature")
	for id, want := range map[string]bool{own: true, fork: false, own[:12]: false} {
		if is, err := here.source().IsOwn(t.Context(), id); err != nil || is != want {
			t.Errorf("IsOwn(%s) = %v, %v, want %v", id, is, err, want)
		}
	}
	here.git("remote", "set-url", "origin", origin.dir+"-gone")
	if is, err := here.source().IsOwn(t.Context(), own); err != nil || is {
		t.Errorf("where the remote does not answer IsOwn = %v, %v, want false", is, err)
	}
}
