//go:build lab

package main_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"github.com/strake-dev/strake/compose"
)

// TestParityCases_HaveEveryAttribute wants each attribute that strake supports in at least one case or scenario.
func TestParityCases_HaveEveryAttribute(t *testing.T) {
	used := map[string]bool{}
	for _, c := range readCases(t) {
		for _, f := range c.archive.Files {
			if ext := filepath.Ext(f.Name); ext != ".yaml" {
				continue
			}
			var file any
			if err := yaml.Unmarshal(f.Data, &file); err != nil {
				t.Fatalf("%s: %s: %v", c.name, f.Name, err)
			}
			pathsOf(nil, file, used)
		}
	}
	known := map[string]string{}
	for _, e := range untested() {
		for path := range strings.FieldsSeq(e.paths) {
			known[path] = e.why
		}
	}
	for _, a := range compose.Attributes() {
		if a.Support != compose.Supported || strings.Contains(a.Path, ": ") {
			continue
		}
		path := a.Path
		if strings.HasPrefix(path, "services.*.pre_start.") {
			path = "services.*.pre_start"
		}
		if why, ok := known[path]; ok == hasPath(used, a.Path) {
			t.Errorf("%s: in a case is %t, and untested says %q", a.Path, !ok, why)
		}
	}
}

// pathsOf notes the paths of everything in a tree.
func pathsOf(path []string, v any, used map[string]bool) {
	used[strings.Join(path, "\x00")] = true
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			pathsOf(append(slices.Clip(path), k), e, used)
		}
	case []any:
		for _, e := range v {
			pathsOf(append(slices.Clip(path), "[]"), e, used)
		}
	}
}

// hasPath is whether an attribute's path, in which * is any key, is among the used ones.
func hasPath(used map[string]bool, attribute string) bool {
	want := strings.Split(attribute, ".")
	for path := range used {
		if slices.EqualFunc(want, strings.Split(path, "\x00"), func(w, have string) bool { return w == have || w == "*" && have != "[]" }) {
			return true
		}
	}
	return false
}

// untested are the attributes that no case has.
func untested() []struct{ paths, why string } {
	return []struct{ paths, why string }{
		{"services.*.pre_start services.*.networks.*.use_service_name_alias services.*.build.no_cache_filter", "Docker Compose 2.40.3 does not know it"},
	}
}
