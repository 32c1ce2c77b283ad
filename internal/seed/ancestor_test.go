package seed

import (
	"context"
	"fmt"
	"testing"

	"github.com/strake-dev/strake/compose"
)

// shelf is an engine that has seed images.
type shelf struct {
	Engine
	images []Image
}

func (s shelf) Images(context.Context, string) ([]Image, error) { return s.images, nil }

func (s shelf) Observe(_ context.Context, scope compose.Scope) (compose.State, error) {
	state := compose.State{Images: map[string]compose.Image{}}
	for _, i := range s.images {
		state.Images[i.Tags[0]] = compose.Image{Labels: i.Labels}
	}
	return state, nil
}

func TestNearest_IsTheNearestThatIsNotTooDeepNorTooLarge(t *testing.T) {
	p, err := compose.Load(t.Context(), compose.LoadOptions{Dir: "testdata/one", Name: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	seed := func(key, commit, migrations string, depth, size, flat int64) Image {
		return Image{Tags: []string{Ref("shop", "db", key)}, Size: size, Labels: map[string]string{LabelProject: "shop", LabelService: "db", LabelKey: key, LabelSet: key, LabelData: "d",
			LabelMigrations: migrations, LabelCommit: commit, LabelDepth: fmt.Sprint(depth), LabelFlat: fmt.Sprint(flat)}}
	}
	foreign := seed("foreign", "c1", "m1", 1, 100, 100)
	foreign.Labels[LabelFor] = "shop-pr-7"
	near, far := seed("near", "c1", "m1", 1, 100, 100), seed("far", "c2", "m1", 1, 100, 100)
	for _, c := range []struct {
		name   string
		images []Image
		want   string
	}{
		{"none", nil, ""},
		{"the nearest", []Image{far, near}, "near"},
		{"eight layers", []Image{far, seed("deep", "c1", "m1", 8, 100, 100)}, "far"},
		{"seven layers", []Image{far, seed("deep", "c1", "m1", 7, 100, 100)}, "deep"},
		{"31 % more", []Image{far, seed("large", "c1", "m1", 2, 131, 100)}, "far"},
		{"30 % more", []Image{far, seed("large", "c1", "m1", 2, 130, 100)}, "large"},
		{"a commit that is no ancestor", []Image{seed("other", "c9", "m1", 1, 100, 100)}, ""},
		{"one that a pull request made for itself", []Image{far, foreign}, "far"},
		{"a migration that was edited since", []Image{far, seed("edited", "c1", "m1,m0", 1, 100, 100)}, "far"},
	} {
		o := BuildOptions{Base: Base{Data: "d", Migrations: []string{"m1", "m2"}}, Commits: []string{"c0", "c1", "c2"},
			State: compose.State{Images: map[string]compose.Image{"postgres": {Volumes: []string{"/data"}}}}}
		if got, err := Nearest(t.Context(), shelf{images: c.images}, p, o); err != nil || got != c.want {
			t.Errorf("%s: Nearest = %q, %v, want %q", c.name, got, err, c.want)
		}
	}
}
