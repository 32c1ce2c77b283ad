package release_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/strake-dev/strake/internal/release"
)

// planner plans a move.
type planner func(ctx context.Context, r *release.Registry) (release.History, release.Move, error)

func to(b release.Build) planner {
	return func(ctx context.Context, r *release.Registry) (release.History, release.Move, error) {
		return promotion(ctx, r, "dev", b)
	}
}

func back(ctx context.Context, r *release.Registry) (release.History, release.Move, error) {
	return returning(ctx, r, "dev", 1, "")
}

// run plans a move, and carries it out with so many requests; 0 is all that it takes. It returns how many manifests were written.
func (c *counted) run(t *testing.T, plan planner, most int) (wrote int, m release.Move, err error) {
	t.Helper()
	r := c.open(t)
	have, m, err := plan(t.Context(), r)
	if err != nil {
		t.Fatalf("plan: %v", err)
	}
	if m.IsDone() { // all was written that counts before it was cut
		return 0, m, nil
	}
	c.limit(most)
	_, err = r.Run(t.Context(), have, m, options())
	c.Lock()
	defer c.Unlock()
	c.most = 0
	return c.wrote, m, err
}

// checkDev looks that what the ledger says is so.
func checkDev(t *testing.T, c *counted, after string, err error) {
	t.Helper()
	r := c.open(t)
	h, histErr := r.History(t.Context(), "dev", func(h release.History) bool { return len(h) > 1 && h.Tells(services) })
	if histErr != nil {
		t.Fatalf("%s: %v", after, histErr)
	}
	now := tags(t, r, "latest")
	last, _ := h.Last()
	if current, ok := h.Current(); ok && !maps.Equal(current.Images, now) {
		t.Fatalf("%s (%v): the ledger says %s, and the tags are on %v", after, err, current.Subject, now)
	}
	var unfinished *release.UnfinishedError
	if errors.As(err, &unfinished) && unfinished.None && len(h) > 1 && h[1].Done && !maps.Equal(last.Images, now) {
		t.Fatalf("%s (%v): tags were moved", after, err)
	}
}

// checkIsOn looks that dev runs a build, and that what it ran before is kept.
func checkIsOn(t *testing.T, c *counted, after string, want, before map[string]string) {
	t.Helper()
	r := c.open(t)
	h, err := r.History(t.Context(), "dev", func(h release.History) bool { return h.Tells(services) })
	current, ok := h.Current()
	if now := tags(t, r, "latest"); err != nil || !ok || !maps.Equal(current.Images, want) || !maps.Equal(now, want) {
		t.Fatalf("%s: %v, %+v, tags on %v, want %v", after, err, current, now, want)
	}
	if kept := tags(t, r, "prev-latest"); !maps.Equal(kept, before) {
		t.Fatalf("%s: prev-latest is on %v, want %v", after, kept, before)
	}
}

// TestRun_CutAtEveryRequest: whatever request is the last of a move, nobody takes what it leaves for a release that is whole, and the same again
// completes it.
func TestRun_CutAtEveryRequest(t *testing.T) {
	for name, isBack := range map[string]bool{"promote": false, "rollback": true} {
		t.Run(name, func(t *testing.T) {
			_, c := newRegistry(t)
			one, two := built(t, c, 1), built(t, c, 2)
			for _, b := range []release.Build{one, two, one} {
				if _, _, err := c.run(t, to(b), 0); err != nil {
					t.Fatal(err)
				}
			}
			all, wrote := len(c.asked)-1, map[int]bool{} // whether the last one comes through, which moves the ledger's head, does not count
			last, next := one, two
			for i := 1; i < all; i++ {
				after := fmt.Sprintf("cut after %d of %d requests", i, all)
				plan := to(next)
				if isBack {
					plan = back
				}
				n, m, err := c.run(t, plan, i)
				wrote[n] = true
				if err == nil || !maps.Equal(m.Images, next.Images) {
					t.Fatalf("%s: %v, to %s", after, err, m.Subject)
				}
				checkDev(t, c, after, err)
				if _, is := history(t, c.open(t), "dev").Begun(); isBack && !is { // all that was lost is the answer: as the hint says
					plan = func(ctx context.Context, r *release.Registry) (release.History, release.Move, error) {
						return returning(ctx, r, "dev", 1, m.Commit)
					}
				}
				if _, m, err := c.run(t, plan, 0); err != nil || m.Commit != next.Commit {
					t.Fatalf("%s the same again = %v, to %s", after, err, m.Subject)
				}
				checkIsOn(t, c, after+" and then again", next.Images, last.Images)
				if isBack { // forwards, so that one back is the same again
					if _, _, err := c.run(t, to(last), 0); err != nil {
						t.Fatal(err)
					}
				} else {
					last, next = next, last
				}
			}
			if most := slices.Max(slices.Collect(maps.Keys(wrote))); most < 2*len(services)+2 {
				t.Errorf("the moves that were cut wrote at most %d manifests: none was cut after its tags", most)
			}
		})
	}
}

// TestRun_CutTwiceByDifferentMoves: what two moves left that were cut off is nobody's doing by hand to a third.
func TestRun_CutTwiceByDifferentMoves(t *testing.T) {
	_, c := newRegistry(t)
	builds := []release.Build{built(t, c, 0), built(t, c, 1), built(t, c, 2), built(t, c, 3)}
	for _, b := range builds[:2] {
		if _, _, err := c.run(t, to(b), 0); err != nil {
			t.Fatal(err)
		}
	}
	all := len(c.asked)
	for i := 2; i < all; i += 6 {
		for j := 3; j < all; j += 7 {
			after := fmt.Sprintf("cut after %d and %d of %d requests", i, j, all)
			_, _, err := c.run(t, to(builds[2]), i)
			checkDev(t, c, after, err)
			second := to(builds[3])
			if j%2 == 0 {
				second = func(ctx context.Context, r *release.Registry) (release.History, release.Move, error) {
					return returning(ctx, r, "dev", 1, builds[0].Commit)
				}
			}
			_, _, err = c.run(t, second, j)
			checkDev(t, c, after, err)
			third := builds[(i+j)%2]
			_, m, err := c.run(t, to(third), 0)
			if err != nil {
				t.Fatalf("%s the third = %v", after, err)
			}
			if !m.IsDone() {
				checkIsOn(t, c, after+" and then a third", third.Images, m.Before)
			}
			if _, _, err := c.run(t, to(builds[1]), 0); err != nil {
				t.Fatal(err)
			}
		}
	}
}
