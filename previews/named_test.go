package previews_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/strake-dev/strake/previews"
)

// TestOpen_TellsItsHostsBeforeItIsMade, and gives up where whoever makes names does.
func TestOpen_TellsItsHostsBeforeItIsMade(t *testing.T) {
	m, h, s := newRig(t)
	var told []string
	var there []string
	taken := errors.New("the name is taken")
	m.Named = func(_ context.Context, hosts []string) error {
		told, there = hosts, things(t, h)
		return taken
	}
	s.heads[42] = commitOf(1)
	p, err := m.Open(t.Context(), previews.OpenOptions{Change: previews.Change{PullRequest: 42}})
	if !errors.Is(err, taken) || p.State != previews.Failed || !slices.Equal(told, []string{"pr-42.shop.localhost"}) {
		t.Errorf("Open whose name is taken = %+v, %v, told %v", p, err, told)
	}
	if !slices.Equal(there, []string{"container strake-preview-shop-pr-42"}) {
		t.Errorf("when its name was told there was %v, want its record alone", there)
	}
	m.Named = func(context.Context, []string) error { return nil }
	if p := open(t, m, s, 1); p.State != previews.Ready {
		t.Errorf("Open once the name is free = %+v, want it ready", p)
	}
}
