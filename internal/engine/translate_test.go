package engine

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/google/go-cmp/cmp"

	"github.com/strake-dev/strake/compose"
)

var update = flag.Bool("update", false, "write the golden files")

// loadTranslated reads the project whose translation is held as golden files.
func loadTranslated(t *testing.T) *compose.Project {
	t.Helper()
	dir, err := filepath.Abs("testdata/translate")
	if err != nil {
		t.Fatal(err)
	}
	p, err := compose.Load(t.Context(), compose.LoadOptions{Dir: dir, Environ: []string{"SENV=hush"}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// specOf is the create of a service's first container.
func specOf(p *compose.Project, service string) compose.ContainerSpec {
	s := p.Services[service]
	return compose.ContainerSpec{Project: p, Service: s, Number: 1, Image: s.Image,
		Labels: map[string]string{compose.LabelProject: p.Name, compose.LabelService: service}}
}

// What the golden files hold was compared with `docker inspect` of what Docker Compose 2.40.3 makes of such a service.
func TestTranslate_SaysAServiceInTheEnginesWords(t *testing.T) {
	p := loadTranslated(t)
	for _, service := range []string{"web", "worker"} {
		for _, api := range []string{"1.41", "1.51"} {
			spec := specOf(p, service)
			in := surroundings{name: "shop-" + service + "-1", api: api, readFile: os.ReadFile,
				image: imageFacts{present: true, Image: compose.Image{ID: "sha256:1", Volumes: []string{"/var/lib/old"}}},
				inherited: []container.MountPoint{
					{Type: "volume", Name: "hex1", Destination: "/anon", RW: true},
					{Type: "volume", Name: "hex2", Destination: "/var/lib/old", RW: true},
					{Type: "volume", Name: "hex3", Destination: "/elsewhere", RW: true}}}
			in.links = linksOf(spec, []compose.Container{{Name: "shop-web-1", Labels: map[string]string{compose.LabelService: "web"}}})
			c, err := translate(spec, in)
			if err != nil {
				t.Fatalf("translate(%s, %s) = %v, want nil", service, api, err)
			}
			golden(t, service+"-"+api+".json", c)
		}
	}
}

// golden compares a translation with its file.
func golden(t *testing.T, name string, c creation) {
	t.Helper()
	var later []any
	for _, a := range c.later {
		later = append(later, map[string]any{a.network: a.endpoint})
	}
	var files []string
	for _, f := range c.files {
		files = append(files, strings.Join([]string{f.target, f.content}, "="))
	}
	got, err := json.MarshalIndent(map[string]any{"config": c.config, "host": c.host, "network": c.network, "later": later, "files": files}, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	path := filepath.Join("testdata", "translate", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("translation of %s differs (-want +got):\n%s", name, d)
	}
}

func TestTranslate_RefusesByNameWhatTheEngineLacks(t *testing.T) {
	duration := compose.Duration(time.Second)
	for _, c := range []struct {
		want   string
		change func(*compose.Service)
	}{
		{"annotations needs Engine API 1.43", func(s *compose.Service) { s.Annotations = map[string]string{"a": "b"} }},
		{"networks.front.gw_priority needs Engine API 1.48", func(s *compose.Service) {
			s.Networks = map[string]*compose.ServiceNetwork{"front": {GatewayPriority: 1}}
		}},
		{"networks.front.interface_name needs Engine API 1.49", func(s *compose.Service) {
			s.Networks = map[string]*compose.ServiceNetwork{"front": {InterfaceName: "eth9"}}
		}},
		{"a volume of type image at /i needs Engine API 1.48", func(s *compose.Service) {
			s.Volumes = []compose.ServiceVolume{{Type: "image", Source: "x", Target: "/i"}}
		}},
		{"bind.recursive at /r needs Engine API 1.44", func(s *compose.Service) {
			s.Volumes = []compose.ServiceVolume{{Type: "bind", Source: "/x", Target: "/r", Bind: &compose.VolumeBind{Recursive: "readonly"}}}
		}},
		{"start_interval needs Engine API 1.44", func(s *compose.Service) { s.HealthCheck = &compose.HealthCheck{StartInterval: &duration} }},
		{"a mac_address on several networks (back, front) needs Engine API 1.44", func(s *compose.Service) {
			s.Networks = map[string]*compose.ServiceNetwork{"front": {MacAddress: "02:00:00:00:00:01"}, "back": {MacAddress: "02:00:00:00:00:02"}}
		}},
	} {
		spec := specOf(loadTranslated(t), "web")
		c.change(&spec.Service)
		_, err := translate(spec, surroundings{name: "x", api: "1.41", readFile: os.ReadFile})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("translate = %v, want an error with %q", err, c.want)
		}
	}
}

func TestEnvironment_ServiceWinsOverProxiesAndIsSorted(t *testing.T) {
	proxy, own := "http://proxy", "mine"
	got := environment(map[string]*string{"HTTP_PROXY": &proxy, "NO_PROXY": &proxy}, map[string]*string{"NO_PROXY": &own, "A": nil})
	want := []string{"A", "HTTP_PROXY=http://proxy", "NO_PROXY=mine"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("environment differs (-want +got):\n%s", d)
	}
}

func TestInjected_NamesTheVariableThatIsNotSet(t *testing.T) {
	spec := specOf(loadTranslated(t), "web")
	p := *spec.Project.Project
	p.Environment = nil
	secrets := p.Secrets
	s := secrets["senv"]
	s.Content = ""
	secrets["senv"] = s
	spec.Project = &compose.Project{Project: &p}
	_, _, err := injected(spec)
	if err == nil || !strings.Contains(err.Error(), "needs the environment variable SENV, which is not set") {
		t.Errorf("injected = %v, want an error that names SENV", err)
	}
}
