package seed

import (
	"encoding/json"
	"errors"
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
    user: "70"
    configs: [tuning]
    volumes: ["./init:/docker-entrypoint-initdb.d", "/etc/localtime:/etc/localtime:ro"]
    environment: {POSTGRES_DB: shop, POSTGRES_PASSWORD: one, URL: "postgres://u:one@db/shop", DSN: "host=db password=one"}
    x-strake: {seed: {from: base.sql, with: [fill]}}
  migrate: {image: app, command: [migrate], x-strake: {inputs: [migrations/**]}}
  fill: {image: app, command: [fill], environment: {N: "10"}, depends_on: [cache]}
  cache: {image: app, command: [cache]}
  web: {image: app, command: [web]}
configs: {tuning: {content: "work_mem = 1"}}
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
		{"user", replace(`user: "70"`, `user: "71"`), true},
		{"config", replace("work_mem = 1", "work_mem = 2"), true},
		{"mounted script", write("init/a.sql", "create role b"), true},
		{"entrypoint", replace("{image: app, command: [migrate]", "{image: app, entrypoint: [sh], command: [migrate]"), true},
		{"order of the steps", replace("with: [fill]", "with: [cache, fill]"), true},
		{"where a volume is", replace("\"./init:/docker-entrypoint-initdb.d\"", "\"/more\", \"./init:/docker-entrypoint-initdb.d\""), true},
		{"another service with a seed", replace("{image: app, command: [web]}", "{image: app, command: [web], x-strake: {seed: {}}}"), true},
		{"what a step needs", replace("command: [cache]", "command: [cache, big]"), true},
		{"a hook", replace("[fill], env", "[fill], post_start: [{command: [touch, /x]}], env"), true},
		{"where a step works", replace("[fill], env", "[fill], working_dir: /x, env"), true},
		{"a volume of a step", replace("[fill], env", "[fill], volumes: [\"/x\"], env"), true},
		{"another host's address", replace("[fill], env", "[fill], extra_hosts: [\"db:10.0.0.1\"], env"), true},
		{"a tmpfs", replace("[fill], env", "[fill], tmpfs: [/x], env"), true},
		{"another service", replace("[web]", "[web, new]"), false},
		{"password in a text", replace("password=one", "password=two"), false},
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
			for name, text := range map[string]string{"compose.yaml": shop, "base.sql": "select 1", "init/a.sql": "create role a", "migrations/1.sql": "create table a ()", "style.css": "old"} {
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

// TestKey_ChangesWithThePlatformAndTheImages, and not with how an engine calls them.
func TestKey_ChangesWithThePlatformAndTheImages(t *testing.T) {
	dir := t.TempDir()
	file := "services:\n  db: {image: postgres, x-strake: {seed: {with: [fill]}}}\n  fill: {build: .}\n"
	if err := os.WriteFile(filepath.Join(dir, "compose.yaml"), []byte(file), 0o644); err != nil {
		t.Fatal(err)
	}
	p, err := compose.Load(t.Context(), compose.LoadOptions{Dir: dir, Name: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	key := func(arch, content, id, inputs string) string {
		t.Helper()
		f, err := FactsOf(t.Context(), p, FactsOptions{Inputs: map[string]string{"fill": inputs}, State: compose.State{Engine: compose.Engine{OS: "linux", Arch: arch},
			Images: map[string]compose.Image{"postgres": {ID: id, Content: content}, "shop-fill": {ID: id, Content: id}}}})
		if err != nil {
			t.Fatal(err)
		}
		return f.Key()
	}
	first := key("amd64", "pg", "one", "inputs")
	for name, c := range map[string]struct {
		key     string
		changes bool
	}{
		"platform":         {key("arm64", "pg", "one", "inputs"), true},
		"image":            {key("amd64", "pg2", "one", "inputs"), true},
		"inputs":           {key("amd64", "pg", "one", "others"), true},
		"an engine's name": {key("amd64", "pg", "two", "inputs"), false},
	} {
		if (c.key != first) != c.changes {
			t.Errorf("%s: key was %s and is %s, want a change: %t", name, first, c.key, c.changes)
		}
	}
}

// TestFacts_HoldNoSecret: nothing that says that it is a password is printed.
func TestFacts_HoldNoSecret(t *testing.T) {
	for in, want := range map[string]string{
		"postgres://u:p%ss@db/x":                    "postgres://u@db/x",
		"jdbc:postgresql://db/x?password=hunter2":   "jdbc:postgresql://db/x?password=",
		"host=db password=hunter2 user=u":           "host=db password= user=u",
		"--db-password=hunter2":                     "--db-password=",
		"redis://:hunter2@cache:6379/0":             "redis://@cache:6379/0",
		"http://api:8080/a@b":                       "http://api:8080/a@b",
		`{"password": "hunter2"}`:                   `{"password": ""}`,
		"redis-server --requirepass hunter2":        "redis-server --requirepass ",
		"https://0123456789abcdef0123@sentry.io/1":  "https://@sentry.io/1",
		"sk_live_0123456789":                        "",
		"x -----BEGIN PRIVATE KEY-----\nMII\n-----": "x ",
		"eyJhbGciOiJIUzI1.eyJzdWIiOiIx.c2ln":        "",
		"postgres://u@db/x":                         "postgres://u@db/x",
		"just text":                                 "just text",
	} {
		if got := withoutPassword(in); got != want {
			t.Errorf("withoutPassword(%q) = %q, want %q", in, got, want)
		}
	}
	for script, changes := range map[string]bool{"PGPASSWORD=two true": false, "PGPASSWORD='t;w|o' true": false, "PGPASSWORD=`id` true": true, "PGPASSWORD=x|tee /data true": true, "PGPASSWORD=x>/data true": true,
		"PGPASSWORD=\"$(id)\" true": true, "curl http://u:two@db/ true": false, "curl http://u:`id`@db/ true": true} {
		one := "PGPASSWORD=one true"
		if strings.HasPrefix(script, "curl") {
			one = "curl http://u:one@db/ true"
		}
		if got := masked([]string{"sh", "-c", script}); (got[2] != masked([]string{"sh", "-c", one})[2]) != changes || strings.Contains(got[2], "two") || strings.Contains(got[2], "t;w") {
			t.Errorf("masked(sh -c %q) = %q, want another than of %q: %t, and no password", script, got[2], one, changes)
		}
	}
	if got := masked([]string{"redis-server", "--requirepass", "hunter2", "--port", "1", "--aws-secret-access-key", "hunter2"}); got[2] != "" || got[4] != "1" || got[6] != "" {
		t.Errorf("masked = %q, want it without the password", got)
	}
	for name, want := range map[string]bool{"STRIPE_KEY": true, "SECRET_KEY_BASE": true, "DB_PASSWORD_FILE": false, "MONKEY": false, "PGPASSWORD": true, "REDISCLI_AUTH": true, "DB_PASS1": true, "POSTGRES_PASSWORD2": true, "PGPASS": true, "AUTHOR": false, "COMPASS_URL": false, "KEYBOARD": false, "GITHUB_PAT": true, "PATH": false} {
		if got := isSecret(name); got != want {
			t.Errorf("isSecret(%s) = %t, want %t", name, got, want)
		}
	}
}

// TestFacts_HoldNoSecretOfHooks: a variable that holds one of the project's secrets is one in hooks too.
func TestFacts_HoldNoSecretOfHooks(t *testing.T) {
	dir := t.TempDir()
	file := strings.Replace(shop, "[fill], env", "[fill], post_start: [{command: [sh, -c, \"SECRET=hunter2 true\"], environment: {LICENSE: hunter2, API_TOKEN: hunter2}}], secrets: [licence], env", 1) +
		"\nsecrets: {licence: {environment: LICENSE}}\n"
	for name, text := range map[string]string{"compose.yaml": file, "base.sql": "", "init/a.sql": "", "migrations/1.sql": ""} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755), os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	text, err := json.Marshal(facts(t, dir))
	if err != nil || strings.Contains(string(text), "hunter2") || !strings.Contains(string(text), "API_TOKEN") {
		t.Errorf("facts are %s, %v, want the hook without its secrets", text, err)
	}
}
