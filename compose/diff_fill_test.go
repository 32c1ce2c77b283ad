package compose_test

import (
	"slices"
	"testing"

	"github.com/strake-dev/strake/compose"
)

// TestDown_LeavesWhatFillsAVolumeToItsRemoval: without it the volume could be one that somebody used since.
func TestDown_LeavesWhatFillsAVolumeToItsRemoval(t *testing.T) {
	filling := map[string]string{compose.LabelProject: "shop", compose.LabelService: "strake-fill", compose.LabelFilling: "shop_data", compose.LabelOneOff: "True"}
	mark := compose.Container{ID: "mark", Name: compose.FillMark("shop_data"), Status: compose.Created, Labels: filling}
	data := compose.Container{ID: "data", Name: compose.FillData("shop_data"), Status: compose.Running, Labels: filling}
	volume := compose.Volume{Name: "shop_data", Labels: map[string]string{compose.LabelProject: "shop", compose.LabelVolume: "data"}}
	for name, c := range map[string]struct {
		there []compose.Container
		want  bool
	}{"while it is half filled": {[]compose.Container{mark, data}, false}, "when it is whole": {[]compose.Container{data}, true}} {
		have := compose.State{Project: "shop", Volumes: []compose.Volume{volume}, Containers: c.there}
		plan, err := compose.Down(nil, have, compose.DownOptions{Volumes: true})
		if err != nil {
			t.Fatal(err)
		}
		removed := slices.ContainsFunc(plan, func(s compose.Step) bool { return s.Op == compose.RemoveContainer && s.Target == "data" })
		cleared := slices.ContainsFunc(plan, func(s compose.Step) bool {
			return s.Op == compose.RemoveVolume && s.Target == "shop_data" && s.Fill != nil
		})
		if removed != c.want || cleared == c.want {
			t.Errorf("%s: down removes its container: %v, and clears the volume: %v\n%v", name, removed, cleared, plan)
		}
	}
}

// TestDiff_RemovesWhatFilledAVolume: of a run that was killed when the volume was whole, the container stays which filled it; one that the
// engine filled never ran, one of strake's own did.
func TestDiff_RemovesWhatFilledAVolume(t *testing.T) {
	p := project(t, "services: {db: {image: postgres, volumes: [data:/data]}}\nvolumes: {data: {}}")
	for status, want := range map[compose.ContainerStatus]bool{compose.Created: true, compose.Exited: true, compose.Running: false} {
		have := compose.State{Project: "shop", Images: map[string]compose.Image{"postgres": {ID: "sha256:1"}}, Containers: []compose.Container{{ID: "left", Name: compose.FillData("shop_data"),
			Status: status, Labels: map[string]string{compose.LabelProject: "shop", compose.LabelFilling: "shop_data", compose.LabelOneOff: "True"}}}}
		plan, err := compose.Diff(p, have, compose.DiffOptions{})
		if err != nil {
			t.Fatal(err)
		}
		removed := slices.ContainsFunc(plan, func(s compose.Step) bool { return s.Op == compose.RemoveContainer && s.Target == "left" })
		if removed != want {
			t.Errorf("what filled the volume and is %s is removed: %v, want %v\n%v", status, removed, want, plan)
		}
	}
}

// TestDiff_LeavesWhatFillsAVolumeToItsRemoval: also where orphans go, or the data does.
func TestDiff_LeavesWhatFillsAVolumeToItsRemoval(t *testing.T) {
	p := project(t, "services: {db: {image: postgres, volumes: [data:/data]}}\nvolumes: {data: {}}")
	filling := map[string]string{compose.LabelProject: "shop", compose.LabelService: "strake-fill", compose.LabelFilling: "shop_data", compose.LabelOneOff: "True"}
	mounts := []compose.Mount{{Type: "volume", Name: "shop_data", Target: "/to"}}
	have := compose.State{Project: "shop", Images: map[string]compose.Image{"postgres": {ID: "sha256:1"}},
		Volumes: []compose.Volume{{Name: "shop_data", Labels: map[string]string{compose.LabelProject: "shop", compose.LabelVolume: "data"}}},
		Containers: []compose.Container{
			{ID: "clear", Name: compose.FillClear("shop_data"), Status: compose.Created, Labels: filling},
			{ID: "data", Name: compose.FillData("shop_data"), Status: compose.Exited, Labels: filling, Mounts: mounts},
			{ID: "mark", Name: compose.FillMark("shop_data"), Status: compose.Created, Labels: filling},
		}}
	for name, plan := range map[string]func() (compose.Plan, error){
		"up": func() (compose.Plan, error) { return compose.Diff(p, have, compose.DiffOptions{RemoveOrphans: true}) },
		"reset": func() (compose.Plan, error) {
			return compose.Renew(p, have, []string{"db"}, nil, compose.DiffOptions{})
		},
		"down": func() (compose.Plan, error) {
			return compose.Down(p, have, compose.DownOptions{Volumes: true, RemoveOrphans: true})
		},
	} {
		steps, err := plan()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		cleared := 0
		for _, s := range steps {
			if s.Op == compose.RemoveVolume && s.Fill != nil {
				cleared++
			} else if s.Op == compose.RemoveContainer || s.Op == compose.RemoveVolume {
				t.Errorf("%s: %s %s beside the removal of the volume and what fills it", name, s.Op, s.Name)
			}
		}
		if cleared != 1 {
			t.Errorf("%s: the volume is removed %d times, want once", name, cleared)
		}
	}
}
