package seed

import (
	"context"
	"testing"

	"github.com/strake-dev/strake/compose"
)

// looked is an engine that counts how often it is looked at; it does nothing.
type looked struct {
	Engine
	state compose.State
	looks int
}

func (l *looked) Observe(context.Context, compose.Scope) (compose.State, error) {
	l.looks++
	return l.state, nil
}

// TestBuild_LooksOnceWhereTheSeedIsThere: each look at an image costs up --seed 10 ms or more on some engines. What a killed build left is
// seen in the same look.
func TestBuild_LooksOnceWhereTheSeedIsThere(t *testing.T) {
	p, err := compose.Load(t.Context(), compose.LoadOptions{Dir: "testdata/one", Name: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	o := BuildOptions{Facts: Facts{Version: 3}}
	key := o.Facts.Key()
	e := &looked{state: compose.State{Images: map[string]compose.Image{Ref("shop", "db", key): {Labels: map[string]string{
		LabelProject: "shop", LabelService: "db", LabelKey: key, LabelSet: "1"}}}}}
	there, built, err := Build(t.Context(), e, p, o)
	if err != nil || built || there == nil || there.Sealed["db"].Ref != Ref("shop", "db", key) {
		t.Errorf("Build = %v, %v, %v, want the seed that is there", there, built, err)
	}
	if e.looks != 1 {
		t.Errorf("Build looked at the engine %d times, want once", e.looks)
	}
	for name, left := range map[string]func(*compose.State){
		"image":   func(s *compose.State) { s.Images[sealedRef("shop", "db")] = compose.Image{} },
		"volume":  func(s *compose.State) { s.Volumes = []compose.Volume{{Name: "shop-seed_data"}} },
		"network": func(s *compose.State) { s.Networks = []compose.Network{{Name: "shop-seed_default"}} },
		"builder": func(s *compose.State) { s.Containers = []compose.Container{{Name: compose.ClaimName("shop-seed")}} },
	} {
		e := &looked{state: compose.State{Images: map[string]compose.Image{}}}
		left(&e.state)
		if _, dead, err := newBuild(e, e, p, o, key).survey(t.Context()); err != nil || !dead {
			t.Errorf("survey with an %s of a build = %v, %v, want that something was left", name, dead, err)
		}
	}
}
