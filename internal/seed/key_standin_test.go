package seed

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/strake-dev/strake/compose"
)

// A stand-in of another strake, on another folder, is none of what the data depends on; that a step uses it is.
func TestKey_LeavesStandInsOut(t *testing.T) {
	dir := t.TempDir()
	key := func(image, source string, uses bool) string {
		text := `{x-strake: {standins: {s3: {}}}, services: {db: {image: postgres, x-strake: {seed: {with: [fill]}}}, fill: {image: app}}}`
		if err := os.WriteFile(filepath.Join(dir, "compose.yaml"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		p, err := compose.Load(t.Context(), compose.LoadOptions{Dir: dir, Name: "shop"})
		if err != nil {
			t.Fatal(err)
		}
		s3 := compose.Service{Name: "s3"}
		s3.Networks = map[string]*compose.ServiceNetwork{"default": nil}
		s3.Image, s3.Volumes = image, []compose.ServiceVolume{{Type: "bind", Source: source, Target: "/data"}}
		p, err = p.With(compose.Additions{Services: []compose.Service{s3}}, func(s compose.Service) compose.Service {
			if s.Name == "fill" && uses {
				url := "http://s3:9000"
				s.Environment = map[string]*string{"AWS_ENDPOINT_URL_S3": &url}
				s.DependsOn = map[string]compose.Dependency{"s3": {Condition: "service_healthy", Required: true}}
			}
			return s
		})
		if err != nil {
			t.Fatal(err)
		}
		f, err := FactsOf(t.Context(), p, FactsOptions{State: compose.State{Images: map[string]compose.Image{"postgres": {Content: "sha256:pg", Volumes: []string{"/data"}}, "app": {Content: "sha256:app"}}}})
		if err != nil {
			t.Fatal(err)
		}
		return f.Key()
	}
	one := key("strake-program:1", filepath.Join(dir, ".s3"), true)
	if other := key("strake-program:2", t.TempDir(), true); other != one {
		t.Errorf("the key is %s with one stand-in and %s with another, want the same", one, other)
	}
	if other := key("strake-program:1", filepath.Join(dir, ".s3"), false); other == one {
		t.Error("the key is the same for a step that does not use the stand-in, want another")
	}
}
