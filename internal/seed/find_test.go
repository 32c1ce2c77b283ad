package seed

import (
	"testing"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/strake-dev/strake/compose"
)

// TestRunning_KnowsAKilledReset: between the old data and the new only the claim of the reset knows what the stack starts from.
func TestRunning_KnowsAKilledReset(t *testing.T) {
	p := &compose.Project{Project: &types.Project{Name: "shop"}}
	claim := func(command string) compose.Container {
		return compose.Container{Name: compose.ClaimName("shop"), Labels: map[string]string{compose.LabelOwner: `{"command":"strake ` + command + `"}`}}
	}
	for _, c := range []struct {
		command, key string
		mode         Mode
	}{
		{ResetCommand("kept", Layer), "kept", Layer},
		{ResetCommand("0123456789abcdef", Volume), "0123456789abcdef", Volume},
		{"up", "old", Volume},
		{"seed reset", "old", Volume},
	} {
		have := compose.State{Containers: []compose.Container{claim(c.command)}, Volumes: []compose.Volume{{Name: "shop_rows",
			Labels: map[string]string{compose.LabelProject: "shop", LabelKey: "old"}}}}
		if key, mode := Running(p, have); key != c.key || mode != c.mode {
			t.Errorf("Running beside the claim of %q = %q, %q, want %q, %q", c.command, key, mode, c.key, c.mode)
		}
	}
}
