package seed

import (
	"reflect"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/strake-dev/strake/compose"
)

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
