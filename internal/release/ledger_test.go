package release_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/release"
)

// forge writes something into the ledger's repository as strake does not.
func (c *counted) forge(t *testing.T, tag string, value any) {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	image := mutate.Annotations(mutate.MediaType(empty.Image, types.OCIManifestSchema1), map[string]string{"dev.strake.ledger": string(text)}).(v1.Image)
	ref, err := name.NewTag("localhost:5000/shop/" + release.LedgerRepository + ":" + tag)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, image, remote.WithTransport(c)); err != nil {
		t.Fatal(err)
	}
}

// released is a registry in which dev has run some builds, one after the other.
func released(t *testing.T, n int) (*release.Registry, *counted, []release.Build) {
	t.Helper()
	r, c := newRegistry(t)
	var builds []release.Build
	for i := range n {
		builds = append(builds, built(t, c, i))
		if err := promote(t.Context(), r, "dev", builds[i]); err != nil {
			t.Fatal(err)
		}
	}
	return r, c, builds
}

func TestHistory_SaysWhereItIsBrokenAndStillGoesBack(t *testing.T) {
	r, c, builds := released(t, 4)
	h := history(t, r, "dev")
	c.remove(t, h[4].Previous)
	var broken *release.BrokenError
	if got, err := r.History(t.Context(), "dev", nil); !errors.As(err, &broken) || broken.Number != h[4].Number-1 || len(got) != 5 {
		t.Errorf("History = %d entries, %v, want those after the one that is gone, and its number %d", len(got), err, h[4].Number-1)
	}
	if err := rollback(t.Context(), r, "dev", 1); err != nil {
		t.Errorf("one back in a ledger whose old entries were cleaned up = %v", err)
	}
	if got := tags(t, r, "latest"); !maps.Equal(got, builds[2].Images) {
		t.Errorf("after it latest is on %v, want %v", got, builds[2].Images)
	}
}

func TestHistory_IsReadAsFarAsItIsNeeded(t *testing.T) {
	r, c, _ := released(t, 6)
	c.limit(0)
	if _, m, err := returning(t.Context(), r, "dev", 1, ""); err != nil || m.Subject != "change 4" {
		t.Errorf("one back = %s, %v", m.Subject, err)
	}
	if len(c.asked) > 6 {
		t.Errorf("one back asked %v", c.asked)
	}
}

func TestHistory_OfAnEntryThatDoesNotFollow(t *testing.T) {
	r, c, _ := released(t, 2)
	c.forge(t, "ledger-dev.5", release.Entry{Number: 5, Environment: "dev", Action: release.Promoted, Commit: commitNumber(9), Previous: "sha256:" + strings.Repeat("0", 64)})
	var broken *release.BrokenError
	if h, err := r.History(t.Context(), "dev", nil); !errors.As(err, &broken) || broken.Number != 5 || len(h) != 4 {
		t.Errorf("History = %d entries, %v, want the four that hang together and the number of the one that does not", len(h), err)
	}
}

func TestHistory_GoesByTheNumbersWhereTheHeadIsBad(t *testing.T) {
	r, c, _ := released(t, 3)
	want := history(t, r, "dev")
	c.forge(t, "head-dev", release.Entry{Number: 9, Environment: "prod", Action: release.Promoted, Commit: commitNumber(9)})
	if h, err := r.History(t.Context(), "dev", nil); err != nil || len(h) != len(want) || h[0].Commit != want[0].Commit {
		t.Errorf("History past a head that is none = %d entries, %v, want all %d", len(h), err, len(want))
	}
	other := want[0]
	other.Commit, other.Subject = commitNumber(9), "evil"
	c.forge(t, "head-dev", other) // under the same number, and following the same entry
	if h, err := r.History(t.Context(), "dev", nil); err != nil || len(h) != len(want) || h[0].Commit != want[0].Commit {
		t.Errorf("History past a head that is another entry = %+v, %v, want what has the number", h[0], err)
	}
	if err := promote(t.Context(), r, "dev", built(t, c, 4)); err != nil {
		t.Errorf("promote then = %v", err)
	}
}

func TestBuildOfTree_IsWhatWasPublished(t *testing.T) {
	r, c := newRegistry(t)
	b := built(t, c, 1)
	b.Tree = "f11e5"
	if _, err := r.Record(t.Context(), b, true); err != nil {
		t.Fatal(err)
	}
	if got, err := r.BuildOfTree(t.Context(), b.Tree); err != nil || got.Commit != b.Commit {
		t.Errorf("BuildOfTree = %+v, %v, want %s", got, err, b.Commit)
	}
	evil := b
	evil.Images = built(t, c, 2).Images
	c.forge(t, "tree-"+b.Tree, evil)
	if got, err := r.BuildOfTree(t.Context(), b.Tree); !errors.Is(err, release.ErrForged) {
		t.Errorf("BuildOfTree of other images than were published = %+v, %v, want ErrForged", got.Images, err)
	}
}

func TestHistory_OfEnvironmentsWhoseNamesEndInNumbers(t *testing.T) {
	r, c, _ := released(t, 1)
	for range 2 {
		if err := promote(t.Context(), r, "dev-2", built(t, c, 7)); err != nil {
			t.Fatal(err)
		}
	}
	if h := history(t, r, "dev-2"); len(h) < 2 || h[0].Environment != "dev-2" {
		t.Errorf("the ledger of dev-2 has %+v", h)
	}
	if err := promote(t.Context(), r, "dev", built(t, c, 8)); err != nil {
		t.Errorf("promote to dev beside dev-2 = %v", err)
	}
}

func TestLedger_OfWhatStrakeDoesNotWrite(t *testing.T) {
	r, c := newRegistry(t)
	good := release.Entry{Number: 1, Environment: "dev", Action: release.Promoted, Done: true, Commit: commitNumber(1), Images: map[string]string{"web": "sha256:" + strings.Repeat("0", 64)}}
	for name, spoil := range map[string]func(e *release.Entry){
		"commit": func(e *release.Entry) { e.Commit = "--force" }, "action": func(e *release.Entry) { e.Action = "explode" },
		"digest": func(e *release.Entry) { e.Images = map[string]string{"web": "latest"} }, "service": func(e *release.Entry) { e.Images = map[string]string{"../web": good.Images["web"]} },
	} {
		e := good
		spoil(&e)
		c.forge(t, "head-dev", e)
		var broken *release.BrokenError
		if _, err := r.History(t.Context(), "dev", nil); !errors.As(err, &broken) {
			t.Errorf("%s: History = %v, want a BrokenError", name, err)
		}
	}
	good.Subject, good.Actor = "a\nb\x1b[2J", "eve\u202e\r"
	c.forge(t, "ledger-dev.1", good)
	c.forge(t, "head-dev", good)
	if h := history(t, r, "dev"); h[0].Subject != "a b [2J" || h[0].Actor != "eve  " {
		t.Errorf("what is shown of an entry is %q by %q, want one line of text each", h[0].Subject, h[0].Actor)
	}
	c.forge(t, "build-"+commitNumber(2), release.Build{Commit: commitNumber(1), Images: good.Images})
	if b, err := r.Build(t.Context(), commitNumber(2)); err == nil {
		t.Errorf("Build of one commit = %+v of another", b)
	}
}

func TestRecord_OfTheSameCommitTwice(t *testing.T) {
	r, c := newRegistry(t)
	first := built(t, c, 1)
	second := first
	second.Images = built(t, c, 2).Images
	if got, err := r.Record(t.Context(), second, false); err != nil || !maps.Equal(got.Images, first.Images) {
		t.Errorf("Record of what is there already = %v, %v, want what is there", got.Images, err)
	}
	if got, err := r.Record(t.Context(), second, true); err != nil || !maps.Equal(got.Images, second.Images) {
		t.Errorf("Record instead of what is there = %v, %v", got.Images, err)
	}
	if got, err := r.BuildOfTree(t.Context(), first.Tree); err != nil || !maps.Equal(got.Images, second.Images) {
		t.Errorf("BuildOfTree after it = %v, %v", got.Images, err)
	}
}

// TestRun_OfTwoWithoutAClaim: of two that write to a ledger at once the one whose entry does not count moves nothing.
func TestRun_OfTwoWithoutAClaim(t *testing.T) {
	r, c, builds := released(t, 1)
	mine, other := built(t, c, 2), built(t, c, 3)
	before := history(t, r, "dev")
	have, m, err := promotion(t.Context(), r, "dev", mine)
	if err != nil {
		t.Fatal(err)
	}
	o := options()
	o.Still = func(ctx context.Context) error { // the other one did not see what this one wrote
		o := history(t, r, "dev")
		c.remove(t, "ledger-dev.3")
		c.forge(t, "ledger-dev.3", release.Entry{Number: 3, Environment: "dev", Action: release.Promoted, Commit: other.Commit, Images: other.Images, Previous: o[0].Previous, Actor: "eve"})
		return nil
	}
	var conflict *release.ConflictError
	if _, err := r.Run(t.Context(), have, m, o); !errors.As(err, &conflict) || !errors.Is(err, compose.ErrHeld) || conflict.By.Actor != "eve" {
		t.Errorf("Run whose entry another one replaced = %v, want a ConflictError", err)
	}
	if got := tags(t, r, "latest"); !maps.Equal(got, builds[0].Images) {
		t.Errorf("after it latest is on %v, want it where it was, after %d entries", got, len(before))
	}
}

func TestRun_OfTheSameImagesOfAnotherCommit(t *testing.T) {
	r, c, builds := released(t, 1)
	docs := built(t, c, 5)
	docs.Images = builds[0].Images
	if err := promote(t.Context(), r, "dev", docs); err != nil {
		t.Fatal(err)
	}
	if _, m, err := promotion(t.Context(), r, "dev", builds[0]); err != nil || m.IsDone() {
		t.Errorf("promotion to another commit with the same images is done: %v, %v", m.IsDone(), err)
	}
	_, m, err := promotion(t.Context(), r, "dev", docs)
	if on, onErr := r.IsOn(t.Context(), m); err != nil || !m.IsDone() || !on || onErr != nil {
		t.Errorf("promotion to the same commit is done: %v, %v, its tags there: %v, %v", m.IsDone(), err, on, onErr)
	}
	if err := r.Tag(t.Context(), "web", built(t, c, 6).Images["web"], "latest"); err != nil {
		t.Fatal(err)
	}
	if on, err := r.IsOn(t.Context(), m); on || err != nil {
		t.Errorf("after a tag was moved by hand IsOn = %v, %v", on, err)
	}
}

func TestRun_KeepsWhatWasMovedByHand(t *testing.T) {
	r, c, _ := released(t, 2)
	hand, next := built(t, c, 5), built(t, c, 6)
	if err := r.Tag(t.Context(), "web", hand.Images["web"], "latest"); err != nil {
		t.Fatal(err)
	}
	have, m, err := promotion(t.Context(), r, "dev", next)
	if err != nil {
		t.Fatal(err)
	}
	o := options()
	o.Force = true
	if _, err := r.Run(t.Context(), have, m, o); err != nil {
		t.Fatal(err)
	}
	if got := tags(t, r, "prev-latest"); got["web"] != hand.Images["web"] || got["api"] != m.Before["api"] {
		t.Errorf("prev-latest is on %v, want what web was on by hand, and else what was released before", got)
	}
}

func TestNext_GoesOnWithWhatWasBegun(t *testing.T) {
	begun := release.History{{Number: 2, Environment: "prod", Action: release.Promoted, Commit: commitNumber(2)}, {Number: 1, Environment: "prod", Done: true, Commit: commitNumber(1)}}
	if got, err := release.Next(begun, commitNumber(2)); err != nil || got != commitNumber(2) {
		t.Errorf("Next of what is offered still = %s, %v", got, err)
	}
	var refused *release.PolicyError
	_, err := release.Next(begun, commitNumber(3))
	if !errors.As(err, &refused) || !strings.Contains(refused.Next, "strake promote prod "+release.Short(commitNumber(3))) || !strings.Contains(refused.Next, "strake rollback prod "+release.Short(commitNumber(1))) {
		t.Errorf("Next after another commit came = %v, %+v, want both commands", err, refused)
	}
	begun[0].Action = release.RolledBack
	if _, err := release.Next(begun, commitNumber(3)); !errors.As(err, &refused) || !strings.Contains(refused.Next, "strake rollback prod "+release.Short(commitNumber(2))) { // it was taken back on purpose
		t.Errorf("Next while a rollback is begun = %v, %+v, want what completes that", err, refused)
	}
	if got, err := release.Next(begun, commitNumber(2)); err != nil || got != commitNumber(2) {
		t.Errorf("Next of a rollback that git says = %s, %v, want that it goes on", got, err)
	}
	if got, err := release.Next(begun[1:], commitNumber(3)); err != nil || got != commitNumber(3) {
		t.Errorf("Next where nothing was begun = %s, %v", got, err)
	}
}

func TestMove_CheckRefusesWhatWasNotConfirmed(t *testing.T) {
	b := release.Build{Commit: commitNumber(2), Images: map[string]string{"web": "sha256:2"}}
	plan := func(before string) release.Move {
		h := release.History{{Number: 1, Environment: "dev", Done: true, Action: release.Promoted, Commit: commitNumber(1), Images: map[string]string{"web": before}, Actor: "eve"}}
		m, err := release.Promotion("dev", compose.EnvironmentSettings{Tag: "latest"}, h, nil, b, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	if err := plan("sha256:1").Check(plan("sha256:1")); err != nil {
		t.Errorf("Check of the same = %v", err)
	}
	if err := plan("sha256:3").Check(plan("sha256:1")); !errors.Is(err, compose.ErrHeld) || !strings.Contains(err.Error(), "eve") {
		t.Errorf("Check of one that was moved meanwhile = %v, want who did", err)
	}
}

func TestRollback_OfACommitInShort(t *testing.T) {
	done := func(n int, commit string) release.Entry {
		return release.Entry{Number: n, Environment: "prod", Done: true, Action: release.Promoted, Commit: commit, Images: map[string]string{}}
	}
	h := release.History{done(3, "abcdef0333"), done(2, "abcdef0222"), done(1, "abcdef0111")}
	for text, want := range map[string]string{"abcdef0": "more than one", "abcdef": "at least 7", "abcdef0111": "", "ABCDEF01": "", "fffffff": "no release"} {
		m, err := release.Rollback("prod", environments()["prod"], h, 1, text)
		if want == "" && (err != nil || m.Commit != "abcdef0111") || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("Rollback to %s = %s, %v, want %q", text, m.Commit, err, want)
		}
	}
}

func TestLine_OfACommitThatWasReleasedTwice(t *testing.T) {
	var h release.History
	for i, n := range []int{1, 2, 1, 3, 1} {
		e := release.Entry{Number: i + 1, Environment: "prod", Done: true, Action: release.Promoted, Commit: commitNumber(n)}
		if i == 4 {
			e.Action = release.RolledBack
		}
		h = append(release.History{e}, h...)
	}
	if line := h.Line(); len(line) != 3 || line[1].Commit != commitNumber(2) {
		t.Errorf("the line after 1 2 1 3 and a rollback to 1 is %+v, want 1 2 1", line)
	}
	if line := h[:2].Line(); len(line) != 1 || line[0].Commit != commitNumber(1) {
		t.Errorf("the line of the newest entries, of which one goes back to what was not read, is %+v, want what is sure", line)
	}
}

func TestHistory_OfAHotfixThatIsNone(t *testing.T) {
	id := commitNumber(5)
	for name, x := range map[string]release.Hotfix{
		"a base":   {Base: "--output=x"},
		"a commit": {Base: id, Fixes: []release.Fix{{Commit: "\x1b[2J"}}},
		"a patch":  {Base: id, Fixes: []release.Fix{{Commit: id, Patch: "x"}}},
		"a whole":  {Base: id, Whole: "x"},
	} {
		_, c := newRegistry(t)
		c.forge(t, "ledger-dev.1", release.Entry{Environment: "dev", Number: 1, Done: true, Action: release.Promoted, Commit: id, Hotfix: &x})
		var broken *release.BrokenError
		if h, err := c.open(t).History(t.Context(), "dev", nil); !errors.As(err, &broken) || !strings.Contains(broken.Why, "hotfix") {
			t.Errorf("History with %s that is none = %+v, %v, want that it is broken", name, h, err)
		}
	}
	_, c := newRegistry(t)
	c.forge(t, "ledger-dev.1", release.Entry{Environment: "dev", Number: 1, Done: true, Action: release.Promoted, Commit: id, Hotfix: &release.Hotfix{Base: id, Whole: id, Fixes: []release.Fix{{Commit: id, Patch: id}, {Commit: id}}}})
	if h, err := c.open(t).History(t.Context(), "dev", nil); err != nil || len(h) != 1 {
		t.Errorf("History = %+v, %v, want one entry", h, err)
	}
}

func TestRecord_WhatIsForeignIsReplacedAndNeverReplaces(t *testing.T) {
	r, c := newRegistry(t)
	own := built(t, c, 1)
	foreign := built(t, c, 2)
	foreign.Commit, foreign.Foreign, foreign.PullRequest = own.Commit, true, 42
	if there, err := r.Record(t.Context(), foreign, true); err != nil || there.Foreign || !maps.Equal(there.Images, own.Images) {
		t.Errorf("Record of what is foreign = %+v, %v; want what was there", there, err)
	}
	foreign.Commit = commitNumber(3)
	if _, err := r.Record(t.Context(), foreign, false); err != nil {
		t.Fatal(err)
	}
	own.Commit = foreign.Commit
	if there, err := r.Record(t.Context(), own, false); err != nil || there.Foreign || !maps.Equal(there.Images, own.Images) {
		t.Errorf("Record over what is foreign = %+v, %v; want %v", there, err, own.Images)
	}
}

// refusing is a registry in which tags that begin so are written by nobody any more.
type refusing struct {
	*counted
	begin string
}

// RoundTrip implements http.RoundTripper.
func (f refusing) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodPut || !strings.Contains(r.URL.Path, "/manifests/"+f.begin) {
		return f.counted.RoundTrip(r)
	}
	w := httptest.NewRecorder()
	w.WriteHeader(http.StatusBadRequest)
	_, _ = w.WriteString(`{"errors":[{"code":"TAG_INVALID","message":"the tag is immutable"}]}`)
	answer := w.Result()
	answer.Request = r
	return answer, nil
}

func TestRecord_WhereFilesHaveATagAlreadyThatIsWrittenOnce(t *testing.T) {
	_, c := newRegistry(t)
	b := built(t, c, 1)
	b.Commit = commitNumber(2)
	r, err := release.NewRegistry("localhost:5000/shop", refusing{c, "tree-"})
	if err != nil {
		t.Fatal(err)
	}
	if there, err := r.Record(t.Context(), b, false); err != nil || there.Commit != b.Commit {
		t.Errorf("Record = %+v, %v; want it recorded", there, err)
	}
}
