package seed

import (
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/compose/hosttest"
)

// markOf is a mark of project shop as an engine has it.
func markOf(name, reset string) compose.Container {
	return compose.Container{Name: name, Status: compose.Created, Labels: map[string]string{LabelReset: reset, LabelProject: "shop"}}
}

// halfShop has two seeded services, one that mounts the data of db, and one that has nothing to do with it.
func halfShop() *compose.Project {
	mount := func(v string) (s compose.Service) {
		s.Volumes = []compose.ServiceVolume{{Type: "volume", Source: v, Target: "/" + v}}
		return s
	}
	return &compose.Project{Project: &types.Project{Name: "shop", Services: types.Services{"db": mount("rows"), "files": mount("uploads"), "backup": mount("rows"), "web": {}}},
		Settings: compose.Settings{Services: map[string]compose.ServiceSettings{"db": {Seed: &compose.SeedSettings{}}, "files": {Seed: &compose.SeedSettings{}}}}}
}

// TestGoal_IsReadAsItIsWritten: claims and marks say it.
func TestGoal_IsReadAsItIsWritten(t *testing.T) {
	for _, c := range []struct {
		text string
		want *Goal
		args string
	}{
		{Goal{Key: "kept", Mode: Layer}.Command(), &Goal{Key: "kept", Mode: Layer}, "--to kept"},
		{"strake " + Goal{Key: "0123456789abcdef", Mode: Volume, Services: []string{"db", "store"}}.Command(), &Goal{Key: "0123456789abcdef", Mode: Volume, Services: []string{"db", "store"}}, "db store --to 0123456789abcdef"},
		{"strake up", nil, ""},
		{"strake seed reset", nil, ""},
	} {
		got := goalOf(c.text)
		if !reflect.DeepEqual(got, c.want) || got != nil && got.args() != c.args {
			t.Errorf("goalOf(%q) = %+v, want %+v", c.text, got, c.want)
		}
	}
}

// TestGoal_ConcernsWhatHasNoWholeData: whatever has nothing to do with the data of an unfinished reset goes on.
func TestGoal_ConcernsWhatHasNoWholeData(t *testing.T) {
	for _, c := range []struct {
		reset, services []string
		unknown         bool
		want            bool
	}{
		{nil, nil, false, true},
		{nil, []string{"web"}, false, false},
		{nil, []string{"web", "files"}, false, true},
		{[]string{"db"}, []string{"files", "web"}, false, false},
		{[]string{"db"}, []string{"backup"}, false, true},
		{[]string{"db"}, []string{"web"}, true, false},
		{nil, []string{"web"}, true, true},
	} {
		p := halfShop()
		if c.unknown {
			p = nil
		}
		if got := (Goal{Key: "kept", Services: c.reset}).Concerns(p, c.services); got != c.want {
			t.Errorf("a reset of %v Concerns(%v, the file known: %t) = %t, want %t", c.reset, c.services, !c.unknown, got, c.want)
		}
	}
}

// TestReset_IsMarkedFromItsFirstStepToItsLast: wherever a reset is killed, a mark is there, unless its data is as it was before or as it shall be.
func TestReset_IsMarkedFromItsFirstStepToItsLast(t *testing.T) {
	old, other := Goal{Key: "old", Mode: Volume, Services: []string{"db"}}, Goal{Key: "other", Mode: Volume}
	for name, there := range map[string][]compose.Container{
		"none": nil, "one": {markOf("strake-reset-shop", old.Command())}, "the second": {markOf("strake-reset-shop.2", old.Command())},
		"two": {markOf("strake-reset-shop", other.Command()), markOf("strake-reset-shop.2", old.Command())},
	} {
		t.Run(name, func(t *testing.T) {
			work := compose.Plan{{Op: compose.RemoveVolume, Name: "shop_rows", Target: "shop_rows"}, {Op: compose.CreateVolume, Name: "shop_rows", After: []int{0}}, {Op: compose.Wait, Name: "shop-db-1", After: []int{1}}}
			goal := Goal{Key: "new", Mode: Volume, Services: []string{"db", "files"}}
			plan, err := goal.marked(halfShop(), compose.State{Containers: there}, work)
			if err != nil {
				t.Fatal(err)
			}
			marks := map[string]string{}
			for _, c := range there {
				marks[c.Name] = c.Labels[LabelReset]
			}
			begun, ended := false, false
			for i, s := range plan {
				for _, a := range s.After {
					if a >= i {
						t.Fatalf("step %d is after %d", i, a)
					}
				}
				switch s.Op {
				case compose.CreateMark:
					if marks[s.Name] != "" {
						t.Errorf("step %d makes %s, which is there", i, s.Name)
					}
					marks[s.Name] = s.Labels[LabelReset]
				case compose.DropMark:
					delete(marks, s.Target)
					ended = len(marks) == 0
				case compose.RemoveVolume:
					begun = true
				}
				if len(s.After) == 0 && i > 0 {
					t.Errorf("step %d (%s) waits for nothing", i, s.Op)
				}
				if (begun || len(there) > 0) && len(marks) == 0 && i < len(plan)-1 {
					t.Errorf("after step %d (%s) no mark is there", i, s.Op)
				}
				if said := slices.Collect(maps.Values(marks)); begun && !ended && !slices.Equal(said, []string{goal.Command()}) {
					t.Errorf("after step %d (%s) the marks say %q, want the goal", i, s.Op, said)
				}
			}
			if !ended {
				t.Errorf("at the end the marks %v are left", marks)
			}
		})
	}
}

// TestReset_OfLessThanWhatIsUnfinishedIsRefused: the rest would have no mark.
func TestReset_OfLessThanWhatIsUnfinishedIsRefused(t *testing.T) {
	have := compose.State{Containers: []compose.Container{markOf("strake-reset-shop", Goal{Key: "kept", Mode: Volume}.Command())}}
	_, err := Goal{Key: "new", Mode: Volume, Services: []string{"db"}}.marked(halfShop(), have, nil)
	var refused *UnfinishedError
	if !errors.As(err, &refused) || !strings.HasPrefix(refused.Hint(), "strake seed reset --to kept --yes -p shop") {
		t.Errorf("reset of db beside an unfinished one of all = %v, want that it is refused", err)
	}
}

// TestUnfinished_OutlivesClaimsAndStacks: whoever takes the claim of a dead reset, and whatever goes but the data, what it left half is known.
func TestUnfinished_OutlivesClaimsAndStacks(t *testing.T) {
	h := hosttest.NewMemory()
	goal := Goal{Key: "kept", Mode: Layer}
	plan, err := goal.marked(halfShop(), compose.State{}, compose.Plan{{Op: compose.CreateVolume, Name: "shop_rows", Labels: map[string]string{compose.LabelProject: "shop"}, Volume: &compose.VolumeSpec{}}})
	if err != nil {
		t.Fatal(err)
	}
	killed := errors.New("killed")
	dead := compose.ConvergeOptions{Owner: compose.Owner{Command: "strake " + goal.Command(), PID: 1}}
	h.Before = func(_ int, s compose.Step) error {
		if s.Op == compose.CreateVolume || s.Op == compose.DropClaim {
			return killed
		}
		return nil
	}
	err = compose.Hold(t.Context(), h, "shop", dead, func(held compose.Host) error {
		return compose.Run(t.Context(), held, plan, compose.RunOptions{Project: "shop"})
	})
	if !errors.Is(err, killed) {
		t.Fatalf("Hold = %v, want that it was killed", err)
	}
	h.Before = nil
	look := func() compose.State {
		have, err := h.Observe(t.Context(), MarksOf("shop"))
		if err != nil {
			t.Fatal(err)
		}
		return have
	}
	if by := Claimant("shop", look()); by == nil || by.PID != 1 {
		t.Fatalf("Claimant = %+v, want the dead reset", by)
	}
	taker := compose.ConvergeOptions{Owner: compose.Owner{Command: "strake stop", PID: 2}, Alive: func(o compose.Owner) bool { return o.PID != 1 }}
	for _, data := range []bool{false, true} {
		err := compose.Hold(t.Context(), h, "shop", taker, func(held compose.Host) error {
			return compose.Run(t.Context(), held, Forgotten("shop", look(), nil, data), compose.RunOptions{Project: "shop"})
		})
		if err != nil {
			t.Fatal(err)
		}
		got, want := Unfinished("shop", look()), &goal
		if data {
			want = nil
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("Unfinished after a down with its data (%t) = %+v, want %+v", data, got, want)
		}
	}
}

// TestForgotten_KeepsTheMarkOfDataThatStays: a volume that something else uses is half still.
func TestForgotten_KeepsTheMarkOfDataThatStays(t *testing.T) {
	have := compose.State{Containers: []compose.Container{markOf("strake-reset-shop", Goal{Key: "kept", Mode: Volume}.Command())}}
	plan := Forgotten("shop", have, compose.Plan{{Op: compose.RemoveVolume, Name: "shop_rows", Target: "shop_rows", Optional: true}}, true)
	drop := slices.IndexFunc(plan, func(s compose.Step) bool { return s.Op == compose.DropMark })
	if drop < 0 || !slices.Contains(plan[drop].After, 0) || plan[0].Optional {
		t.Errorf("Forgotten = %+v, want the mark to go after the volume, which must go", plan)
	}
}
