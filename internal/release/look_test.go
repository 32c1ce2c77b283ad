package release_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/strake-dev/strake/internal/release"
)

func TestLook_RefusesWhatRunWould(t *testing.T) {
	r, c, _ := released(t, 2)
	next, hand := built(t, c, 6), built(t, c, 5)
	have, m, err := promotion(t.Context(), r, "dev", next)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Look(t.Context(), r, have, m, false); err != nil {
		t.Errorf("Look = %v", err)
	}
	if moved, gone, err := r.Moved(t.Context(), "latest", m.Before); err != nil || len(moved)+len(gone) != 0 {
		t.Errorf("Moved = %q, %v, want none", moved, err)
	}
	far, err := release.NewRegistry("localhost:5000/far", c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Look(t.Context(), far, have, m, false); err != nil {
		t.Errorf("Look for a registry that has nothing yet = %v", err)
	}
	if err := r.Tag(t.Context(), "web", hand.Images["web"], "latest"); err != nil {
		t.Fatal(err)
	}
	var drift *release.DriftError
	if _, err := r.Look(t.Context(), r, have, m, false); !errors.As(err, &drift) || drift.Service != "web" {
		t.Errorf("Look where web was moved by hand = %v, want a DriftError", err)
	}
	if _, err := r.Look(t.Context(), r, have, m, true); err != nil {
		t.Errorf("Look with force = %v", err)
	}
	if moved, gone, err := r.Moved(t.Context(), "latest", m.Before); err != nil || !slices.Equal(moved, []string{"web"}) || len(gone) != 0 {
		t.Errorf("Moved = %q, %v, want web", moved, err)
	}
	c.removeFrom(t, "web", next.Images["web"])
	for _, at := range []*release.Registry{r, far} {
		if _, err := r.Look(t.Context(), at, have, m, true); !errors.Is(err, release.ErrAbsent) {
			t.Errorf("Look of an image that is gone, for %s = %v, want ErrAbsent", at.Path, err)
		}
	}
}

func TestRun_LooksAtWhatIsKeptBeforeItBegins(t *testing.T) {
	r, c, _ := released(t, 1)
	next := built(t, c, 6)
	if err := r.Tag(t.Context(), "web", built(t, c, 5).Images["web"], "keep-dev-"+next.Commit); err != nil {
		t.Fatal(err)
	}
	var drift *release.DriftError
	if err := promote(t.Context(), r, "dev", next); !errors.As(err, &drift) {
		t.Errorf("promote = %v, want a DriftError", err)
	}
	if begun, is := history(t, r, "dev").Begun(); is {
		t.Errorf("%+v was begun, want that nothing was", begun)
	}
}
