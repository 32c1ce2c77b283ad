//go:build lab

package main_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/strake-dev/strake/fixtures/lab"
)

// previewed is a repository whose commits differ in what web answers.
const previewed = `
services:
  db:
    image: strake-lab/volume:1
    command: [probe, wait]
    volumes: [data:/data]
    init: true
  web:
    build: .
    command: [probe, serve, ":8000", "%s"]
    ports: ["8000:8000"]
    depends_on: [db, migrate]
    healthcheck: {test: [CMD, probe, get, "http://127.0.0.1:%s/healthz"], interval: 5s, retries: 2, timeout: 2s}
  migrate:
    image: strake-lab/volume:1
    command: [sh, -c, "echo ran >> /data/migrations"]
    volumes: [data:/data]
volumes: {data: {}}
`

// repository is a stack whose folder is a git repository, with a gateway of its own ports.
type repository struct {
	stack
	env, environ []string
	idle         string // of previews on machines; "" is the default
}

func newRepository(t *testing.T, e lab.Engine) repository {
	t.Helper()
	r := repository{stack: newStack(t, e, fmt.Sprintf(previewed, "v0", "8000"))}
	r.environ = lab.Environ(t, e)
	r.env = []string{"STRAKE_CACHE_DIR=" + t.TempDir(), "GIT_CONFIG_GLOBAL=/dev/null"}
	if err := os.WriteFile(filepath.Join(r.dir, "Dockerfile"), []byte("FROM strake-lab/web:1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	r.closed(t)
	r.git(t, "init", "-q", "-b", "main")
	r.git(t, "add", "-A")
	r.git(t, "commit", "-q", "-m", "v0")
	return r
}

// closed closes what is open when the test ends, also where it fails.
func (r repository) closed(t *testing.T) {
	t.Cleanup(func() {
		strake := func(args ...string) []byte {
			cmd := exec.Command(r.binary, append([]string{"-p", r.name, "preview"}, args...)...)
			cmd.Dir, cmd.Env = r.dir, append(r.environ, r.env...)
			out, _ := cmd.Output() // nothing is there where the test passed
			return out
		}
		var all []shown
		_ = json.Unmarshal(strake("list", "--json"), &all)
		for _, p := range all {
			strake("close", p.ID, "--yes")
		}
	})
}

func (r repository) git(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", append([]string{"-C", r.dir, "-c", "user.name=t", "-c", "user.email=t@example.org"}, args...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// push makes pull request 42 a commit in which web answers text, and is healthy when port answers.
func (r repository) push(t *testing.T, text, port string) {
	t.Helper()
	r.pushTo(t, "refs/pull/42/head", text, port)
}

// pushTo makes a reference such a commit.
func (r repository) pushTo(t *testing.T, ref, text, port string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, "compose.yaml"), []byte(fmt.Sprintf(previewed, text, port)), 0o644); err != nil {
		t.Fatal(err)
	}
	r.git(t, "add", "-A")
	tree := r.git(t, "write-tree")
	r.git(t, "reset", "-q", "--hard")
	r.git(t, "update-ref", ref, r.git(t, "commit-tree", "-p", "HEAD", "-m", text, tree))
}

// run runs a command that must end with a code, and returns what it printed to standard output.
func (r repository) run(t *testing.T, code int, args ...string) string {
	t.Helper()
	out, err := r.try(t, code, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// try is run for other goroutines than the test's.
func (r repository) try(t *testing.T, code int, args ...string) (string, error) {
	cmd := r.command(t, r.env, args...)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, _ := cmd.Output() // its code says how it ended
	if got := cmd.ProcessState.ExitCode(); got != code {
		return "", fmt.Errorf("strake %s: exit %d, want %d\n%s%s", strings.Join(args, " "), got, code, out, errs.String())
	}
	return string(out), nil
}

// get asks for a page of a preview as curl does, by its address.
func get(t *testing.T, url string) (int, string) {
	t.Helper()
	code, text, err := ask(t, url)
	if err != nil {
		t.Fatal(err)
	}
	return code, text
}

// ask is get for other goroutines than the test's. Each has a connection of its own: one that is kept may be closed while it is taken again.
func ask(t *testing.T, url string) (int, string, error) {
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}
	host, path, _ := strings.Cut(strings.TrimPrefix(url, "http://"), "/")
	name, port, _ := strings.Cut(host, ":")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1:"+port+"/"+path, nil)
	if err != nil {
		return 0, "", err
	}
	req.Host = name + ":" + port
	answer, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return answer.StatusCode, strings.TrimSpace(string(text)), err
}

// underLoad calls do while a page is asked for again and again, and returns what was answered otherwise than with 200.
func underLoad(t *testing.T, url string, do func()) (lost []string) {
	t.Helper()
	done, ended := make(chan struct{}), make(chan []string)
	go func() {
		var lost []string
		for {
			select {
			case <-done:
				ended <- lost
				return
			default:
			}
			if code, text, err := ask(t, url); code != http.StatusOK || err != nil {
				lost = append(lost, fmt.Sprint(code, " ", text, " ", err))
			}
		}
	}()
	defer func() { lost = <-ended }()
	defer close(done)
	do()
	return nil
}

// shown is what `preview open`, `show` and `list` say in JSON.
type shown struct {
	ID, Commit, State, URL, Stack, Active string
	Generation                            int
	Failure                               *struct{ What, Service, Log string }
	Phases                                []struct {
		Name, Note string
		Seconds    float64
	}
}

func (r repository) show(t *testing.T, text string) shown {
	t.Helper()
	var p shown
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return p
}

// things is all that an engine has of a name: containers, networks, volumes, images.
func (r repository) things(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, args := range [][]string{{"ps", "-a", "--format", "container {{.Names}}"}, {"network", "ls", "--format", "network {{.Name}}"},
		{"volume", "ls", "--format", "volume {{.Name}}"}, {"images", "--format", "image {{.Repository}}:{{.Tag}}"}} {
		for line := range strings.Lines(lab.Docker(t, r.Engine, args...)) {
			if strings.Contains(line, r.name) {
				all = append(all, strings.TrimSpace(line))
			}
		}
	}
	slices.Sort(all)
	return all
}

// pruned takes the gateway of an engine away when the test ends.
func pruned(t *testing.T, e lab.Engine) {
	t.Helper()
	binary, environ := lab.Program(t), lab.Environ(t, e)
	t.Cleanup(func() {
		cmd := exec.Command(binary, "prune", "--yes")
		cmd.Env = environ
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("strake prune: %v\n%s", err, out)
		}
	})
}

// TestPreview_OpensUpdatesSleepsAndCloses: the whole life of a preview.
func TestPreview_OpensUpdatesSleepsAndCloses(t *testing.T) {
	lab.EachInSoak(t, func(t *testing.T, e lab.Engine) {
		pruned(t, e)
		r := newRepository(t, e)
		r.push(t, "v1", "8000")
		p := r.show(t, r.run(t, 0, "preview", "open", "42", "--json"))
		if p.State != "ready" || p.Stack != r.name+"-pr-42" || p.Commit != r.git(t, "rev-parse", "refs/pull/42/head") {
			t.Fatalf("preview open = %+v, want it ready at the commit", p)
		}
		if code, text := get(t, p.URL); code != 200 || text != "v1" {
			t.Errorf("%s answers %d %q, want v1", p.URL, code, text)
		}
		r.push(t, "v2", "8000")
		lost := underLoad(t, p.URL, func() { p = r.show(t, r.run(t, 0, "preview", "open", "42", "--json")) })
		if len(lost) > 0 {
			t.Errorf("during an update %d requests were not answered, the first with %s", len(lost), lost[0])
		}
		if code, text := get(t, p.URL); code != 200 || text != "v2" || p.Generation != 2 {
			t.Errorf("after an update %s of generation %d answers %d %q, want v2 of 2", p.URL, p.Generation, code, text)
		}
		lab.Docker(t, e, "exec", p.Active+"-db-1", "sh", "-c", "echo mine > /data/row")
		r.push(t, "v3", "8000")
		p = r.show(t, r.run(t, 0, "preview", "open", "42", "--json", "--keep-data"))
		if code, text := get(t, p.URL); code != 200 || text != "v3" {
			t.Errorf("after an update that keeps data %s answers %d %q, want v3", p.URL, code, text)
		}
		if row := lab.Docker(t, e, "exec", r.name+"-pr-42-g2-db-1", "cat", "/data/row"); row != "mine" {
			t.Errorf("after an update that keeps data its row is %q, want mine", row)
		}
		lab.Docker(t, e, "exec", p.Active+"-web-1", "probe", "resolve", "db")
		r.push(t, "broken", "9") // nothing answers there
		r.run(t, 3, "preview", "open", "42")
		p = r.show(t, r.run(t, 0, "preview", "show", "42", "--json"))
		if code, text := get(t, p.URL); code != 200 || text != "v3" || p.Failure == nil || p.Failure.Service != "web" {
			t.Errorf("after a failed update %s answers %d %q, and show says %+v, want v3 and that web failed", p.URL, code, text, p.Failure)
		}
		r.run(t, 0, "preview", "sleep", "42")
		if n := lab.Docker(t, e, "ps", "-q", "--filter", "label=dev.strake.preview="+p.Stack); n != "" {
			t.Errorf("asleep, these containers run: %q", n)
		}
		code, text := get(t, p.URL)
		if code == http.StatusServiceUnavailable { // a call is held for 20 s
			code, text = get(t, p.URL)
		}
		if code != 200 || text != "v3" {
			t.Errorf("%s wakes to %d %q, want v3", p.URL, code, text)
		}
		if ran := lab.Docker(t, e, "exec", r.name+"-pr-42-g2-db-1", "cat", "/data/migrations"); ran != "ran\nran" {
			t.Errorf("migrations ran %q, want once for each generation: waking runs no one-shot again", ran)
		}
		var receipt struct{ Containers, Left []string }
		if err := json.Unmarshal([]byte(r.run(t, 0, "preview", "close", "42", "--yes", "--json")), &receipt); err != nil || len(receipt.Left) > 0 || len(receipt.Containers) != 4 {
			t.Errorf("preview close = %+v, %v, want 4 containers gone", receipt, err)
		}
		if left := r.things(t); len(left) > 0 {
			t.Errorf("after close there is %q", left)
		}
		r.run(t, 1, "preview", "show", "42")
	})
}
