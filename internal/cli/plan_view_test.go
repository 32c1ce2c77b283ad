package cli

import (
	"strings"
	"testing"

	"github.com/strake-dev/strake/compose"
)

func TestPrintPlanView_OneLineForWhatChanges(t *testing.T) {
	step := func(op compose.Op, service, name, why string) compose.Step {
		return compose.Step{Op: op, Service: service, Name: name, Why: why}
	}
	perhaps := func(s compose.Step) compose.Step { s.IfChanged = 1; return s }
	container := func(name string) compose.Container {
		return compose.Container{Name: name, Labels: map[string]string{compose.LabelProject: "shop"}}
	}
	for _, test := range []struct {
		name string
		plan compose.Plan
		want string
	}{
		{"nothing", nil, "plan: nothing to do\n"},
		{"only waits", compose.Plan{step(compose.Wait, "web", "shop-web-1", "")}, "plan: nothing to do\n"},
		{"new", compose.Plan{
			step(compose.BuildImage, "web", "shop-web", "there is none"), step(compose.CreateNetwork, "", "shop_default", "there is none"),
			step(compose.CreateContainer, "web", "shop-web-1", "there is none"), step(compose.StartContainer, "web", "shop-web-1", "it is new"),
		}, "web: build, then create and start\nnetwork shop_default: create\nplan: 2 to create, 2 unchanged; strake up does it\n"},
		{"changed", compose.Plan{
			step(compose.CreateContainer, "db", "0123456789ab_shop-db-1", "its configuration changed"), step(compose.StopContainer, "db", "shop-db-1", "it is replaced"),
			step(compose.RemoveContainer, "db", "shop-db-1", "it is replaced"), step(compose.RenameContainer, "db", "shop-db-1", "its predecessor is gone"),
			step(compose.StartContainer, "db", "shop-db-1", "it is new"), step(compose.Wait, "db", "shop-db-1", ""),
		}, "db: recreate (its configuration changed)\nplan: 1 to recreate, 1 unchanged; strake up does it\n"},
		{"built anew", compose.Plan{
			step(compose.BuildImage, "db", "shop-db", "what it is built from changed"), perhaps(step(compose.CreateContainer, "db", "0123456789ab_shop-db-1", "its image may change")),
			perhaps(step(compose.RemoveContainer, "db", "shop-db-1", "it is replaced")), perhaps(step(compose.StartContainer, "db", "shop-db-1", "it is new")),
		}, "db: build (what it is built from changed), then recreate if its image changes\nplan: 1 perhaps to recreate, 1 unchanged; strake up does it\n"},
		{"replicas", compose.Plan{
			step(compose.RemoveContainer, "db", "shop-db-1", "db is scaled to 2"), step(compose.CreateContainer, "db", "shop-db-2", "there is none"),
			step(compose.StartContainer, "db", "shop-db-2", "it is new"), step(compose.CreateContainer, "db", "shop-db-3", "there is none"), step(compose.StartContainer, "db", "shop-db-3", "it is new"),
		}, "db: remove 1 container (db is scaled to 2), create and start 2 containers\nplan: 2 to create, 1 to remove, 1 unchanged; strake up does it\n"},
		{"rest", compose.Plan{
			step(compose.StopContainer, "db", "shop-db-1", "it depends on x"), step(compose.StartContainer, "db", "shop-db-1", "it was stopped for a change"),
			step(compose.StartContainer, "api", "shop-api-1", "it exited with code 1"), step(compose.RemoveVolume, "api", "1234", "new ones are asked for"),
		}, "db: restart (it depends on x)\napi: start (it exited with code 1)\nvolume 1234: remove (new ones are asked for)\nplan: 1 to start, 1 to restart, 1 to remove; strake up does it\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var out strings.Builder
			have := compose.State{Project: "shop", Containers: []compose.Container{container("shop-api-1"), container("shop-db-1"), {Name: "foreign"}}}
			if err := printPlanView(Streams{Out: &out}, outcome{plan: test.plan, state: have}, "up"); err != nil {
				t.Fatal(err)
			}
			if out.String() != test.want {
				t.Errorf("got\n%s\nwant\n%s", out.String(), test.want)
			}
		})
	}
}
