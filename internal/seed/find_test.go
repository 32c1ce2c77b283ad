package seed

import (
	"reflect"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/strake-dev/strake/compose"
)

// TestResetting_IsWhatTheClaimSays: between the old data and the new only the claim of the reset knows what the stack starts from.
func TestResetting_IsWhatTheClaimSays(t *testing.T) {
	for _, c := range []struct {
		command string
		want    *Goal
		args    string
	}{
		{Goal{Key: "kept", Mode: Layer}.Command(), &Goal{Key: "kept", Mode: Layer, Services: []string{}}, "--to kept"},
		{Goal{Key: "0123456789abcdef", Mode: Volume, Services: []string{"db", "store"}}.Command(), &Goal{Key: "0123456789abcdef", Mode: Volume, Services: []string{"db", "store"}}, "db store --to 0123456789abcdef"},
		{"up", nil, ""},
		{"seed reset", nil, ""},
	} {
		have := compose.State{Containers: []compose.Container{{Name: compose.ClaimName("shop"), Labels: map[string]string{compose.LabelOwner: `{"command":"strake ` + c.command + `","pid":7}`}}}}
		got, by := Resetting("shop", have)
		if !reflect.DeepEqual(got, c.want) || got != nil && (got.args() != c.args || by.PID != 7) {
			t.Errorf("Resetting beside the claim of %q = %+v of %+v, want %+v", c.command, got, by, c.want)
		}
	}
}

// TestOthers_AreServicesThatWereResetAlone: their seed is theirs, whatever the rest of the stack runs on.
func TestOthers_AreServicesThatWereResetAlone(t *testing.T) {
	p := &compose.Project{Project: &types.Project{Name: "shop"}}
	on := func(service, key string) compose.Container {
		return compose.Container{Name: "shop-" + service + "-1", ImageRef: Ref("shop", service, key),
			Labels: map[string]string{compose.LabelProject: "shop", compose.LabelService: service, LabelKey: key}}
	}
	got := Others(p, compose.State{Containers: []compose.Container{on("db", "kept"), on("store", "old")}}, "old")
	if want := map[string]string{"db": "kept"}; !reflect.DeepEqual(got, want) {
		t.Errorf("Others = %v, want %v", got, want)
	}
}
