package compose

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
)

// TestCasts_TakesWhatIsWritten: a text that stands for a number or a switch is one wherever and however its key is written.
func TestCasts_TakesWhatIsWritten(t *testing.T) {
	env := []string{"YES=true", "THREE=3"}
	for _, c := range []struct {
		name, text string
		files      map[string]string
		all        bool // every cast is kept
	}{
		{name: "plain", text: "services: {web: {image: nginx, privileged: '${YES}', deploy: {replicas: '${THREE}'}}}"},
		{name: "anchor", text: "x-of: &of {privileged: '${YES}', deploy: {replicas: \"3\"}}\nservices: {web: {<<: *of, image: nginx}}"},
		{name: "escaped key", text: `services: {web: {image: nginx, "privi\x6ceged": "${YES}", "\u0064eploy": {replicas: "3"}}}`, all: true},
		{name: "broken key", text: "services:\n  web:\n    image: nginx\n    ? \"privi\\\n      leged\"\n    : '${YES}'\n    deploy: {replicas: '3'}", all: true},
		{name: "include", text: "include : [other.yaml]", files: map[string]string{
			"other.yaml": "services: {web: {image: nginx, privileged: '${YES}', deploy: {replicas: '${THREE}'}}}"}, all: true},
		{name: "extends", text: "services: {web: {extends : {file: other.yaml, service: it}}}", files: map[string]string{
			"other.yaml": "services: {it: {image: nginx, privileged: '${YES}', deploy: {replicas: '${THREE}'}}}"}, all: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			write := func(name, text string) {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			write("compose.yaml", c.text)
			for name, text := range c.files {
				write(name, text)
			}
			p, err := Load(t.Context(), LoadOptions{Dir: dir, Name: "shop", Environ: env})
			if err != nil {
				t.Fatal(err)
			}
			if web := p.Services["web"]; !web.Privileged || web.GetScale() != 3 {
				t.Errorf("web is privileged %t and has %d containers, want true and 3", web.Privileged, web.GetScale())
			}
			in := &input{details: types.ConfigDetails{ConfigFiles: []types.ConfigFile{{Content: []byte(c.text)}}}}
			all := loader.ToOptions(&types.ConfigDetails{}, nil).Interpolate.TypeCastMapping
			if kept := in.casts(all); (len(kept) == len(all)) != c.all || len(kept) == 0 {
				t.Errorf("casts kept %d of %d, want all: %t", len(kept), len(all), c.all)
			}
		})
	}
}
