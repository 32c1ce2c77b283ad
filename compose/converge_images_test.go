package compose_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/compose/hosttest"
)

// glancing is a Host that notes of each Observe whether it asked for images.
type glancing struct {
	*hosttest.Memory
	images *[]bool
}

func (g glancing) Observe(ctx context.Context, s compose.Scope) (compose.State, error) {
	*g.images = append(*g.images, len(s.Images) > 0)
	return g.Memory.Observe(ctx, s)
}

// TestConverge_AsksForImagesAfterwardsOnlyWhereTheyChange: an engine takes long to say what an image is. What it came to has them all the same.
func TestConverge_AsksForImagesAfterwardsOnlyWhereTheyChange(t *testing.T) {
	for file, want := range map[string]bool{`services: {db: {image: postgres}}`: false, `services: {db: {image: nginx, pull_policy: always}}`: true} {
		synctest.Test(t, func(t *testing.T) {
			g := glancing{memory(), new([]bool)}
			p := project(t, file)
			st, _, err := converge(t.Context(), g, p, compose.RunOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if last := (*g.images)[len(*g.images)-1]; last != want {
				t.Errorf("%s: the last look asked for images: %v, want %v", file, last, want)
			}
			if ref := p.Services["db"].Image; st.Images[ref].ID == "" {
				t.Errorf("%s: the state after the run has no image %s", file, ref)
			}
		})
	}
}
