package seed

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/strake-dev/strake/compose"
)

// facts are those of a project of files, with its images here.
func facts(t *testing.T, dir string) Facts {
	t.Helper()
	p, err := compose.Load(t.Context(), compose.LoadOptions{Dir: dir, Name: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	f, err := FactsOf(t.Context(), p, FactsOptions{State: compose.State{Engine: compose.Engine{OS: "linux", Arch: "amd64"},
		Images: map[string]compose.Image{"postgres": {Content: "sha256:pg", Volumes: []string{"/data"}}, "app": {Content: "sha256:app"}}}})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

const shop = `
x-strake: {migrate: {service: migrate}}
services:
  db:
    image: postgres
    environment: {POSTGRES_DB: shop, POSTGRES_PASSWORD: one, URL: "postgres://u:one@db/shop"}
    x-strake: {seed: {from: base.sql, with: [fill]}}
  migrate: {image: app, command: [migrate], x-strake: {inputs: [migrations/**]}}
  fill: {image: app, command: [fill], environment: {N: "10"}}
`

// TestKey_ChangesWithWhatTheDataDependsOn, and with nothing else.
func TestKey_ChangesWithWhatTheDataDependsOn(t *testing.T) {
	replace := func(old, new string) func(string) error {
		return func(dir string) error {
			if !strings.Contains(shop, old) {
				t.Fatalf("%q is not in the file", old)
			}
			return os.WriteFile(filepath.Join(dir, "compose.yaml"), []byte(strings.Replace(shop, old, new, 1)), 0o644)
		}
	}
	write := func(name, text string) func(string) error {
		return func(dir string) error { return os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644) }
	}
	for _, c := range []struct {
		name    string
		change  func(dir string) error
		changes bool
	}{
		{"image", replace("image: postgres", "image: app"), true},
		{"environment", replace("POSTGRES_DB: shop", "POSTGRES_DB: other"), true},
		{"environment of a step", replace(`N: "10"`, `N: "11"`), true},
		{"command of a step", replace("[fill], env", "[fill, more], env"), true},
		{"steps", replace(", with: [fill]", ""), true},
		{"dump", write("base.sql", "select 2"), true},
		{"migration", write("migrations/1.sql", "create table b ()"), true},
		{"new migration", write("migrations/2.sql", ""), true},
		{"secret", replace("POSTGRES_PASSWORD: one", "POSTGRES_PASSWORD: two"), false},
		{"password in a URL", replace("u:one@db", "u:two@db"), false},
		{"comment", replace("services:", "# a comment\nservices:"), false},
		{"order", replace("{POSTGRES_DB: shop, POSTGRES_PASSWORD: one,", "{POSTGRES_PASSWORD: one, POSTGRES_DB: shop,"), false},
		{"other file", write("style.css", "new"), false},
		{"time of a file", func(dir string) error {
			return os.Chtimes(filepath.Join(dir, "migrations/1.sql"), time.Unix(1, 0), time.Unix(1, 0))
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, text := range map[string]string{"compose.yaml": shop, "base.sql": "select 1", "migrations/1.sql": "create table a ()", "style.css": "old"} {
				if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := write(name, text)(dir); err != nil {
					t.Fatal(err)
				}
			}
			before := facts(t, dir).Key()
			if err := c.change(dir); err != nil {
				t.Fatal(err)
			}
			if after := facts(t, dir).Key(); (before != after) != c.changes {
				t.Errorf("key was %s and is %s, want a change: %t", before, after, c.changes)
			}
		})
	}
}
