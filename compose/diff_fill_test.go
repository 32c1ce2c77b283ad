package compose_test

import (
	"slices"
	"testing"

	"github.com/strake-dev/strake/compose"
)

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
