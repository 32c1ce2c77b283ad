package compose_test

import (
	"testing"

	"github.com/strake-dev/strake/compose"
)

// TestStart_WaitsAsLabelsSay: without a file, what a container depends on is ready as its label wants it before it starts.
func TestStart_WaitsAsLabelsSay(t *testing.T) {
	container := func(service, needs string) compose.Container {
		return compose.Container{ID: service, Name: "shop-" + service + "-1", Status: compose.Exited, Labels: map[string]string{
			compose.LabelProject: "shop", compose.LabelService: service, compose.LabelOneOff: "False", compose.LabelDependsOn: needs}}
	}
	have := compose.State{Project: "shop", Containers: []compose.Container{container("db", ""), container("cache", ""), container("web", "db:service_healthy:false,cache:service_started:false")}}
	plan, err := compose.Start(nil, have, nil)
	if err != nil {
		t.Fatal(err)
	}
	const want = `0 start shop-db-1: asked for
1 start shop-cache-1: asked for
2 wait until healthy shop-db-1 [after 0]
3 start shop-web-1: asked for [after 1 2]
`
	if got := plan.String(); got != want {
		t.Errorf("Start = \n%s, want\n%s", got, want)
	}
}
