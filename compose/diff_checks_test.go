package compose_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/strake-dev/strake/compose"
)

// TestDiff_SaysWhatCannotWork: with its place in the files and what to do.
func TestDiff_SaysWhatCannotWork(t *testing.T) {
	for _, tt := range []struct{ name, file, want, hint string }{
		{"no secret file", "services:\n  web: {image: nginx, secrets: [s]}\nsecrets:\n  s:\n    file: nope.txt\n",
			"compose.yaml:5:11: secret s of service web: there is no file $DIR/nope.txt", "did you mean hope.txt? if not, create it"},
		{"no config file", "services:\n  web: {image: nginx, configs: [c]}\nconfigs:\n  c: {file: conf/app.ini}\n",
			"compose.yaml:4:13: config c of service web: there is no file $DIR/conf/app.ini", "create it, or correct the path"},
		{"no variable", "services:\n  web: {image: nginx, secrets: [s]}\nsecrets:\n  s: {environment: NOPE}\n",
			"compose.yaml:4:20: secret s of service web is in the environment variable NOPE, which is not set", "set NOPE in the environment or in .env"},
		{"no healthcheck", "services:\n  db: {image: postgres}\n  web: {image: nginx, depends_on: {db: {condition: service_healthy}}}\n",
			"compose.yaml:3:52: service web waits until db is healthy, and db has no healthcheck, nor has its image postgres", "add healthcheck: to db, or write condition: service_started"},
		{"a port twice", "services:\n  a: {image: nginx, ports: ['8080:80']}\n  b:\n    image: nginx\n    ports:\n      - 9000:90\n      - {target: 80, published: 8080}\n",
			"compose.yaml:7:9: services a and b both publish host port 8080", "give one of them another host port or none, or let strake choose them: x-strake: {ports: auto}"},
		{"a port of replicas", "services:\n  a: {image: nginx, scale: 2, ports: ['8080:80']}\n",
			"compose.yaml:2:39: service a: host port 8080 holds one container, and 2 are wanted", "give it 2 ports (8080-8081:80) or none (80), or let strake choose them: x-strake: {ports: auto}"},
		{"an image in capitals", "services:\n  a: {image: Nginx}\n",
			`compose.yaml:2:14: "Nginx", the image of service a, is no name of an image`, "write it in lower case: nginx"},
		{"an image without its tag", "services:\n  a: {image: 'nginx:${NOPE_TAG}'}\n",
			`compose.yaml:2:14: "nginx:", the image of service a, is no name of an image`, "write the tag, or set the variable that it is in"},
		{"an external network", "services:\n  a: {image: nginx, networks: [n]}\nnetworks:\n  n: {name: $$(id), external: true}\n",
			"network $(id) is external and not there", "run docker network create '$(id)'"},
		{"ports are chosen", "x-strake: {ports: auto}\nservices:\n  a: {image: nginx, scale: 2, ports: ['8080:80']}\n  b: {image: nginx, ports: ['8080:80']}\n", "", ""},
		{"the other service is not started", "services:\n  web: {image: nginx, scale: 0, secrets: [s], ports: ['8080:80']}\n  b: {image: nginx, ports: ['8080:80']}\nsecrets:\n  s: {file: nope.txt}\n", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "shop")
			writeFile(t, filepath.Join(dir, "compose.yaml"), []byte(tt.file))
			writeFile(t, filepath.Join(dir, "hope.txt"), nil)
			p, err := compose.Load(t.Context(), compose.LoadOptions{Dir: dir})
			if err != nil {
				t.Fatal(err)
			}
			_, err = compose.Diff(p, compose.State{Images: images("nginx", "postgres")}, compose.DiffOptions{})
			if tt.want == "" {
				if err != nil {
					t.Errorf("Diff = %v, want a plan", err)
				}
				return
			}
			if err == nil {
				t.Fatalf("Diff = nil, want %s", tt.want)
			}
			if got := strings.ReplaceAll(err.Error(), dir, "$DIR"); got != tt.want {
				t.Errorf("Diff = %s, want %s", got, tt.want)
			}
			if got := strings.Join(hints(t, err), "\n"); got != tt.hint {
				t.Errorf("hint = %s, want %s", got, tt.hint)
			}
		})
	}
}

// TestDiff_FilesOfARemoteEngine: what is on another machine cannot be looked at from here.
func TestDiff_FilesOfARemoteEngine(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "compose.yaml"), []byte("services:\n  web: {image: nginx, secrets: [s]}\nsecrets:\n  s: {file: /etc/nope.txt}\n"))
	p, err := compose.Load(t.Context(), compose.LoadOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := compose.Diff(p, compose.State{Engine: compose.Engine{Remote: true}, Images: images("nginx")}, compose.DiffOptions{}); err != nil {
		t.Errorf("Diff = %v, want a plan", err)
	}
}

// TestDiff_ImagesOnly: what containers lack does not keep images from being built.
func TestDiff_ImagesOnly(t *testing.T) {
	p := project(t, "services: {web: {build: ., secrets: [s], networks: [out]}, db: {image: postgres}}\nsecrets: {s: {environment: NOPE}}\nnetworks: {out: {external: true}}")
	plan, err := compose.Diff(p, compose.State{}, compose.DiffOptions{ImagesOnly: true})
	if err != nil || len(plan) != 2 || plan[0].Op != compose.PullImage || plan[1].Op != compose.BuildImage {
		t.Errorf("Diff = %s, %v, want a pull and a build", plan, err)
	}
}
