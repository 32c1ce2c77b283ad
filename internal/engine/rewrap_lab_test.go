//go:build lab

package engine_test

import (
	"strings"
	"testing"
	"time"

	"github.com/strake-dev/strake/fixtures/lab"
)

func TestRewrap_KeepsTheLayers(t *testing.T) {
	lab.Each(t, func(t *testing.T, on lab.Engine) {
		b := newBench(t, on)
		to := b.p.Name + "-bare:1"
		begin := time.Now()
		err := b.e.Rewrap(t.Context(), "strake-lab/volume:1", "strake-lab/volume:1", to, func(c map[string]any) { delete(c, "Volumes"); c["Labels"] = map[string]any{"a": "b"} })
		if err != nil {
			t.Fatal(err)
		}
		t.Log(time.Since(begin))
		look := func(ref, what string) string { return lab.Docker(t, on, "image", "inspect", "--format", what, ref) }
		const layers = "{{json .RootFS.Layers}}"
		if got, want := look(to, layers), look("strake-lab/volume:1", layers); got != want {
			t.Errorf("layers are %s, want %s", got, want)
		}
		t.Log(look(to, "{{json .Config}}"), look("strake-lab/volume:1", "{{json .Config}}"))
		if got := b.shows(to, "sh", "-c", "echo works"); strings.TrimSpace(got) != "works" {
			t.Errorf("it says %q", got)
		}
	})
}
