package previews_test

import (
	"fmt"
	"testing"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/previews"
)

// TestSync_PutsRightWhatWasKilled kills open, update and close before each change that they make.
func TestSync_PutsRightWhatWasKilled(t *testing.T) {
	for _, what := range []string{"open", "update", "close"} {
		killed := func(t *testing.T, life int) (m *previews.Manager, h *host, s *sources) {
			m, h, s = newRig(t)
			if what != "open" {
				open(t, m, s, 1)
			}
			s.heads[42] = commitOf(2)
			h.live(life)
			var err error
			if what == "close" {
				_, err = m.Close(t.Context(), project, "pr-42")
			} else {
				_, err = m.Open(t.Context(), previews.OpenOptions{Change: previews.Change{PullRequest: 42}})
			}
			if life == forever && err != nil || life != forever && err == nil {
				t.Fatalf("%s killed after %d changes = %v", what, life, err)
			}
			return m, h, s
		}
		t.Run(what, func(t *testing.T) {
			_, h, _ := killed(t, forever)
			changes := forever - h.life
			for n := range changes {
				t.Run(fmt.Sprint(n), func(t *testing.T) {
					t.Parallel()
					_, h, s := killed(t, n)
					h.live(forever)
					m := managerOn(h, s) // another process
					if _, err := m.Sync(t.Context(), project, previews.SyncOptions{}); err != nil {
						t.Fatalf("Sync = %v, want nil", err)
					}
					check(t, m, h)
					if p := open(t, m, s, 2); p.State != previews.Ready || p.Commit != commitOf(2) {
						t.Fatalf("Open then = %+v, want ready at the commit", p)
					}
					if _, err := m.Close(t.Context(), project, "pr-42"); err != nil {
						t.Fatalf("Close then = %v, want nil", err)
					}
					if got := things(t, h); len(got) > 0 {
						t.Fatalf("after Close there is %q", got)
					}
				})
			}
		})
	}
}

// check looks whether all that is there is of a preview that is recorded, and of the generation that serves.
func check(t *testing.T, m *previews.Manager, h *host) {
	t.Helper()
	all, err := m.List(t.Context(), project)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) > 0 && all[0].State == previews.Opening {
		t.Fatalf("after Sync it is %+v, and nobody opens it", all[0])
	}
	got := things(t, h)
	if len(all) == 0 && len(got) > 0 {
		t.Fatalf("after Sync there is no preview and %q", got)
	}
	state, err := h.Observe(t.Context(), compose.Scope{Label: previews.LabelGeneration})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range state.Containers {
		if of := c.Labels[compose.LabelProject]; all[0].State == previews.Ready && of != all[0].Active {
			t.Fatalf("after Sync container %s of %s is there, and %s serves", c.Name, of, all[0].Active)
		}
	}
	for _, n := range state.Networks {
		if of := n.Labels[compose.LabelProject]; all[0].State == previews.Ready && of != all[0].Active {
			t.Fatalf("after Sync network %s of %s is there, and %s serves", n.Name, of, all[0].Active)
		}
	}
}
