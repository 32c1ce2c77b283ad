package compose_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strake-dev/strake/compose"
)

// TestLoad_ReadsNothingOutsideOfRoot: each project wants to read a file beside its folder, which says SECRET.
func TestLoad_ReadsNothingOutsideOfRoot(t *testing.T) {
	secretFile := "services:\n  secret: {image: SECRET, environment: {SECRET: SECRET}}\n"
	for name, files := range map[string]map[string]string{
		"include":           {"compose.yaml": "include: [../secret.yaml]\nservices: {}\n"},
		"include absolute":  {"compose.yaml": "include: [$OUT/secret.yaml]\nservices: {}\n"},
		"include variable":  {"compose.yaml": "include: ['${WHERE}']\nservices: {}\n", ".env": "WHERE=../secret.yaml\n"},
		"include by link":   {"compose.yaml": "include: [link.yaml]\nservices: {}\n", "link.yaml": "-> ../secret.yaml"},
		"include in folder": {"compose.yaml": "include: [linked/secret.yaml]\nservices: {}\n", "linked": "-> .."},
		"include nested":    {"compose.yaml": "include: [a/b/c.yaml]\nservices: {}\n", "a/b/c.yaml": "include: [../../../secret.yaml]\nservices: {}\n"},
		"include nested by folder": {"compose.yaml": "include: [{path: a/c.yaml, project_directory: a/b/d}]\nservices: {}\n", "a/b/d/x": "",
			"a/c.yaml": "include: [../../../../secret.yaml]\nservices: {}\n"},
		"include second":  {"compose.yaml": "include: [{path: [a.yaml, ../secret.yaml]}]\nservices: {}\n", "a.yaml": "services: {}\n"},
		"include project": {"compose.yaml": "include: [{path: a.yaml, project_directory: ..}]\nservices: {}\n", "a.yaml": "services: {x: {image: 'x${SECRET}'}}\n"},
		"include project merged": {"compose.yaml": "x-a: &a {project_directory: ..}\ninclude:\n  - <<: *a\n    path: a.yaml\nservices: {}\n",
			"a.yaml": "services: {x: {image: 'x${SECRET}'}}\n"},
		"include project variable": {"compose.yaml": "include: [{path: a.yaml, project_directory: '${WHERE}'}]\nservices: {}\n", ".env": "WHERE=..\n",
			"a.yaml": "services: {x: {image: 'x${SECRET}'}}\n"},
		"include env_file":    {"compose.yaml": "include: [{path: a.yaml, env_file: ../secret.env}]\nservices: {}\n", "a.yaml": "services: {x: {image: 'x${SECRET}'}}\n"},
		"include .env link":   {"compose.yaml": "include: [a/a.yaml]\nservices: {}\n", "a/a.yaml": "services: {x: {image: 'x${SECRET}'}}\n", "a/.env": "-> ../../secret.env"},
		"extends":             {"compose.yaml": "services: {x: {extends: {file: ../secret.yaml, service: secret}}}\n"},
		"extends nested":      {"compose.yaml": "services: {x: {extends: {file: a/b.yaml, service: x}}}\n", "a/b.yaml": "services: {x: {extends: {file: ../../secret.yaml, service: secret}}}\n"},
		"extends in include":  {"compose.yaml": "include: [a/b.yaml]\n", "a/b.yaml": "services: {x: {extends: {file: ../../secret.yaml, service: secret}}}\n"},
		"env_file":            {"compose.yaml": "services: {x: {image: x, env_file: ../secret.env}}\n"},
		"env_file of profile": {"compose.yaml": "services: {x: {image: x, profiles: [p], env_file: [{path: ../secret.env, required: false}]}}\n"},
		"env_file by link":    {"compose.yaml": "services: {x: {image: x, env_file: x.env}}\n", "x.env": "-> ../secret.env"},
		"env_file included":   {"compose.yaml": "include: [a/b.yaml]\n", "a/b.yaml": "services: {x: {image: x, env_file: ../../secret.env}}\n"},
		"env_file extended":   {"compose.yaml": "services: {x: {extends: {file: a/b.yaml, service: x}}}\n", "a/b.yaml": "services: {x: {image: x, env_file: ../../secret.env}}\n"},
		"env_file of a hook":  {"compose.yaml": "services: {x: {image: x, pre_start: [{command: a, env_file: [../secret.env]}]}}\n"},
		"label_file":          {"compose.yaml": "services: {x: {image: x, label_file: ../secret.env}}\n"},
		".env link":           {"compose.yaml": "services: {x: {image: 'x${SECRET}'}}\n", ".env": "-> ../secret.env"},
		"COMPOSE_FILE":        {"compose.yaml": "services: {}\n", ".env": "COMPOSE_FILE=../secret.yaml\n"},
		"compose file link":   {"compose.yaml": "-> ../secret.yaml"},
		"settings file link":  {"compose.yaml": "services: {x: {image: x}}\n", "strake.yaml": "-> ../secret.yaml"},
		"override link":       {"compose.yaml": "services: {x: {image: x}}\n", "compose.override.yaml": "-> ../secret.yaml"},
		"no file of its own":  {"x": ""},
	} {
		t.Run(name, func(t *testing.T) {
			out := t.TempDir()
			root := filepath.Join(out, "tree")
			writeFile(t, filepath.Join(out, "secret.yaml"), []byte(secretFile))
			writeFile(t, filepath.Join(out, "compose.yaml"), []byte(secretFile))
			writeFile(t, filepath.Join(out, "secret.env"), []byte("SECRET=SECRET\n"))
			writeFile(t, filepath.Join(out, ".env"), []byte("SECRET=SECRET\n"))
			for file, text := range files {
				at := filepath.Join(root, file)
				if target, ok := strings.CutPrefix(text, "-> "); ok {
					if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
						t.Fatal(err)
					}
					if err := os.Symlink(target, at); err != nil {
						t.Fatal(err)
					}
					continue
				}
				writeFile(t, at, []byte(strings.ReplaceAll(text, "$OUT", out)))
			}
			o := compose.LoadOptions{Dir: root}
			if _, err := compose.Load(t.Context(), o); err != nil && !strings.Contains(name, "hook") {
				t.Fatalf("Load without Root = %v, want it to load: the case shows nothing", err)
			}
			o.Root = root
			_, err := compose.Load(t.Context(), o)
			if err == nil {
				t.Fatal("Load = nil, want it refused")
			}
			if strings.Contains(err.Error(), "SECRET") || !strings.Contains(err.Error(), "outside of") && !strings.Contains(err.Error(), "no plain path") && !errors.Is(err, compose.ErrNoFile) {
				t.Errorf("Load = %v, want an error that says what is outside", err)
			}
			hints(t, err)
		})
	}
}

func TestLoad_WithinRootAllIsAsWithout(t *testing.T) {
	root := t.TempDir()
	for file, text := range map[string]string{
		"compose.yaml": "include: [a/b.yaml, {path: c.yaml, project_directory: a, env_file: [a/x.env]}]\nservices: {x: {image: x, env_file: a/x.env, extends: {file: a/../d.yaml, service: d}}}\n",
		"a/b.yaml":     "services: {b: {image: 'b${B}', extends: {file: ../d.yaml, service: d}, env_file: ../a/x.env}}\n",
		"a/.env":       "B=1\n",
		"a/x.env":      "X=1\n",
		"c.yaml":       "services: {c: {image: 'c${X}'}}\n",
		"d.yaml":       "services: {d: {image: d}}\n",
		".env":         "COMPOSE_PROFILES=p\n",
	} {
		writeFile(t, filepath.Join(root, file), []byte(text))
	}
	var texts []string
	for _, in := range []string{"", root} {
		p, err := compose.Load(t.Context(), compose.LoadOptions{Dir: root, Root: in, Name: "shop"})
		if err != nil {
			t.Fatal(err)
		}
		text, err := p.Text(false)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	if texts[0] != texts[1] {
		t.Errorf("Load with Root = %s, want %s", texts[1], texts[0])
	}
}

func TestWithin_FollowsLinks(t *testing.T) {
	out := t.TempDir()
	root := filepath.Join(out, "tree")
	writeFile(t, filepath.Join(root, "a/b"), nil)
	for link, target := range map[string]string{"up": "..", "self": "../tree", "abs": root, "gone": "../new", "loop": "loop", "deep": "a/../../tree/a"} {
		if err := os.Symlink(target, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]bool{
		root: true, "": true, "a/b": true, "new/er": true, "self/a": true, "abs/a": true, "deep/b": true, "a/..": true,
		"..": false, "../tree2": false, "up": false, "up/tree": true, "gone": false, "gone/x": false, "loop": false, "a/../../x": false, "up/../x": false,
	} {
		if path != root {
			path = root + "/" + path
		}
		if got := compose.Within(root, path); got != want {
			t.Errorf("Within(%s, %s) = %t, want %t", root, path, got, want)
		}
	}
}
