package previews_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/previews"
)

// TestOpen_FailureLeavesTheFormerOne: what fails before the switch leaves the former generation serving, with a record of why.
func TestOpen_FailureLeavesTheFormerOne(t *testing.T) {
	m, h, s := newRig(t)
	open(t, m, s, 1)
	before := things(t, h)
	s.commits[commitOf(2)] = strings.ReplaceAll(s.commits[commitOf(2)], "web:1", "web:absent")
	s.heads[42] = commitOf(2)
	p, err := m.Open(t.Context(), previews.OpenOptions{Change: previews.Change{PullRequest: 42}})
	if err == nil || p.State != previews.Ready || p.Commit != commitOf(1) || p.Failure == nil || p.Failure.Commit != commitOf(2) {
		t.Errorf("Open of a commit that cannot start = %+v, %v, want the former one ready and the failure", p, err)
	}
	if got := things(t, h); !slices.Equal(got, before) {
		t.Errorf("after a failed update there is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(before, "\n"))
	}
	if p := open(t, m, s, 3); p.Failure != nil || p.Commit != commitOf(3) {
		t.Errorf("Open after a failure = %+v, want it ready at the commit and no failure", p)
	}
}

// TestOpen_FailureLeavesNoImages: what a failed update built is of no use to the former generation.
func TestOpen_FailureLeavesNoImages(t *testing.T) {
	m, h, s := newRig(t)
	open(t, m, s, 1)
	s.commits[commitOf(2)] = strings.Replace(s.commits[commitOf(2)], `image: "web:1"`, `build: {context: ".", dockerfile_inline: "FROM scratch"}, command: [exit, "3"]`, 1)
	s.heads[42] = commitOf(2)
	if _, err := m.Open(t.Context(), previews.OpenOptions{Change: previews.Change{PullRequest: 42}}); err == nil {
		t.Fatal("Open of a commit whose service ends = nil, want an error")
	}
	ref := "shop-pr-42-web:" + commitOf(2)[:12]
	built := slices.ContainsFunc(h.Steps(), func(s compose.Step) bool { return s.Op == compose.BuildImage && s.Name == ref })
	state, err := h.Observe(t.Context(), compose.Scope{Label: previews.LabelPreview, Images: []compose.ImageRef{{Ref: ref}}})
	if _, there := state.Images[ref]; err != nil || !built || there {
		t.Errorf("after a failed update image %s: built %v, there %v (%v), want it built and gone", ref, built, there, err)
	}
}
