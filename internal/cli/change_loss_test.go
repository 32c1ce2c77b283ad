package cli

import (
	"errors"
	"slices"
	"testing"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/seed"
)

func TestChange_SparesDataThatNobodyAgreedToLose(t *testing.T) {
	container := func(service, ref string, status compose.ContainerStatus) compose.Container {
		return compose.Container{ID: service, Name: "shop-" + service + "-1", ImageRef: ref, Status: status,
			Labels: map[string]string{compose.LabelProject: "shop", compose.LabelService: service, seed.LabelKey: "k"}}
	}
	have := compose.State{Containers: []compose.Container{container("db", "shop-seed-db:k", compose.Exited), container("files", "shop-seed-files:k", compose.Running),
		container("new", "shop-seed-new:k", compose.Created), container("web", "web", compose.Running), container("kept", "shop-seed-kept:k", compose.Running)}}
	var plan compose.Plan
	for _, c := range have.Containers[:4] {
		plan = append(plan, compose.Step{Op: compose.RemoveContainer, Name: c.Name, Target: c.ID})
	}
	ch := change{scope: compose.Scope{Project: "shop"}, plan: func(compose.State) (compose.Plan, error) { return plan, nil }}
	if got, err := ch.sparing(have); err != nil || len(got) != len(plan) {
		t.Errorf("sparing of a change that does not ask = %v, %v, want its plan", got, err)
	}
	ch.asks, ch.agreed = true, []string{"shop-db-1"}
	var loss *lossError
	if got, err := ch.sparing(have); !errors.As(err, &loss) || got != nil || !slices.Equal(loss.containers, []string{"shop-db-1", "shop-files-1"}) {
		t.Errorf("sparing = %v, %v, want no plan, and that db and files go", got, err)
	}
	ch.agreed = append(ch.agreed, "shop-files-1")
	if got, err := ch.sparing(have); err != nil || len(got) != len(plan) {
		t.Errorf("sparing of what was agreed to = %v, %v, want its plan", got, err)
	}
}
