package compose

import (
	"slices"
	"strings"
	"testing"
)

func TestFetchedByScript(t *testing.T) {
	for _, c := range []struct{ script, want string }{
		{"apt-get update", "apt-get"},
		{"echo apt-get update", ""},
		{"apt-get -qq -o Dpkg::Options::=--force-unsafe-io install -y nginx", "apt-get"},
		{"apt-get clean && rm -rf /var/lib/apt", ""},
		{"apk add --virtual .deps gcc", "apk"},
		{"f() { apk add git; }; f", "apk"},
		{`for p in a b; do pip3 install "$p"; done`, "pip3"},
		{"python3 -m compileall -q .", ""},
		{"python3 -m pip install x", "python3"},
		{"npm run install", ""},
		{"npm --prefix app ci", "npm"},
		{"npx vite build", ""},
		{"npx create-vite@latest", "npx"},
		{"yarn --frozen-lockfile", "yarn"},
		{"yarn --cwd app build", ""},
		{"go build ./...", ""},
		{"go install ./cmd/x", ""},
		{"GOPROXY=off go mod download", ""},
		{"curl -fsS http://localhost:9200/", ""},
		{"curl -fsS $URL", "curl"},
		{`curl -o x "https://$HOST/x"`, "curl"},
		{"wget https://acme.io/x | tar x", "wget"},
		{"git clone git@github.com:a/b.git", "git"},
		{"git clone ../b", ""},
		{"git submodule update --init", "git"},
		{"git submodule status", ""},
		{"sudo -u app env A=b pip install x", "pip"},
		{"timeout -s KILL 60 nice -n 5 gem install x", "gem"},
		{"xargs -a list -n 1 apt-get install", "apt-get"},
		{`sh -ec 'cd /x; composer install'`, "composer"},
		{"if (", ""},
		{"", ""},
	} {
		if got := strings.Join(fetchedByScript(c.script, nil), " "); got != c.want {
			t.Errorf("fetchedByScript(%q) = %q, want %q", c.script, got, c.want)
		}
	}
}

func TestAddressed(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"https://api.acme.io/v1", "api.acme.io"},
		{"see http://A.acme.io:80, and https://b.acme.io.", "a.acme.io b.acme.io"},
		{"postgresql+psycopg2://u:p@db:5432/x", "db"},
		{"mongodb://u:p@a.acme.io:1,b.acme.io:2/x", "a.acme.io b.acme.io"},
		{"kafka://a:9092,EXTERNAL://b:9094", "a"},
		{"redis://:pass/word@cache.acme.io:6379", ""},
		{"redis://pass#word@cache.acme.io", ""},
		{"https://cdn.acme.io/npm/vue@3", "cdn.acme.io"},
		{"u:p@tcp(db.acme.io:3306)/x", "db.acme.io"},
		{"http://[::1]:80/", "[::1]"},
		{"http://%s/ http://{host}/ http://$host/ https://*.acme.io", ""},
		{"s3://bucket/x file:///etc/x unix:///run/x.sock", ""},
	} {
		if got := strings.Join(addressed(c.text), " "); got != c.want {
			t.Errorf("addressed(%q) = %q, want %q", c.text, got, c.want)
		}
	}
}

// What a Dockerfile says never makes the audit panic, and what it finds are lines of the file.
func FuzzCheckDockerfile(f *testing.F) {
	for _, s := range []string{"FROM scratch\nRUN apt-get update", "FROM a AS b\nFROM b\nRUN <<E\ncurl x\nE\n", "# syntax=x\nFROM ${A}", "FROM scratch\nADD https://u:p@x.acme.io/#a /\nRUN [\"sh\",\"-c\",\"npx a@1\"]",
		"FROM scratch\nRUN --mount=from=x,target=/y git clone $A", "#escape=`\nFROM scratch\nRUN a ` \n b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		src := BuildSource{Service: "a", Build: &Build{DockerfileInline: text}, Text: []byte(text)}
		r, err := readDockerfile(src)
		if err != nil {
			return
		}
		c := &checker{p: &Project{}, built: map[string]bool{}}
		last := strings.Count(text, "\n") + 1
		for _, command := range r.commands() {
			c.instruction("a", command, place{"Dockerfile", startLine(command.Location())})
		}
		if i := slices.IndexFunc(c.found, func(f Finding) bool { return f.Line < 1 || f.Line > last }); i >= 0 {
			t.Errorf("a finding is in line %d of %d", c.found[i].Line, last)
		}
	})
}
