package engine

import (
	"errors"
	"testing"

	"github.com/docker/docker/api/types/container"

	"github.com/strake-dev/strake/compose"
)

func TestHeldBy_NamesTheProjectWhateverHoldsItsName(t *testing.T) {
	for _, labels := range []map[string]string{nil, {compose.LabelClaim: "other", compose.LabelOwner: "no JSON"}} {
		err := heldBy("shop", container.InspectResponse{ContainerJSONBase: &container.ContainerJSONBase{ID: "1"}, Config: &container.Config{Labels: labels}})
		var held *compose.HeldError
		if !errors.As(err, &held) || held.Project != "shop" || held.ID != "1" || held.Owner != (compose.Owner{}) {
			t.Errorf("a holder with labels %v: %+v", labels, err)
		}
	}
}
