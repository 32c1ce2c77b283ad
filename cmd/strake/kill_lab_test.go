//go:build lab

package main_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/strake-dev/strake/fixtures/lab"
)

// killed is a stack with everything that an up can be interrupted in: networks, a volume, injected files, a chain of
// readiness, a one-shot, and containers that are recreated with every VERSION.
const killed = `
x-server: &server
  image: strake-lab/busybox:1
  command: ["sh", "-c", "trap 'exit 0' TERM; sleep 0.2; touch /tmp/ok; sleep 86400 & wait"]
  healthcheck: {test: [CMD, test, -f, /tmp/ok], interval: 5s}
services:
  db:
    <<: *server
    volumes: [data:/data, /anonymous]
    secrets: [token]
  migrate:
    image: strake-lab/busybox:1
    command: ["sh", "-c", "test -s /run/secrets/token && touch /data/migrated"]
    volumes: [data:/data]
    secrets: [token]
    depends_on: {db: {condition: service_healthy}}
    x-strake: {once: true}
  api:
    <<: *server
    environment: {VERSION: "${VERSION}"}
    networks: [front, back]
    configs: [settings]
    depends_on: {migrate: {condition: service_completed_successfully}, db: {condition: service_healthy, restart: true}}
  web:
    <<: *server
    environment: {VERSION: "${VERSION}"}
    networks: [front]
    depends_on: {api: {condition: service_healthy}}
networks: {front: {}, back: {}}
volumes: {data: {}}
secrets: {token: {environment: TOKEN}}
configs: {settings: {content: "version=${VERSION}"}}
`

// stack is a project in a folder of its own on one engine.
type stack struct {
	lab.Engine
	name, dir, binary string
}

func newStack(t *testing.T, e lab.Engine, file string) stack {
	t.Helper()
	s := stack{Engine: e, name: lab.Name(t), dir: t.TempDir(), binary: lab.Program(t)}
	if err := os.WriteFile(filepath.Join(s.dir, "compose.yaml"), []byte(file), 0o644); err != nil {
		t.Fatal(err)
	}
	return s
}

// command is a strake command line on the stack; env is added to the lab's environment.
func (s stack) command(t *testing.T, env []string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), s.binary, append([]string{"-p", s.name}, args...)...)
	cmd.Dir, cmd.Env = s.dir, append(append(lab.Environ(t, s.Engine), "TOKEN=s3cret"), env...)
	return cmd
}

// strake runs a command and returns what it printed, both streams together, and its exit code.
func (s stack) strake(t *testing.T, env []string, args ...string) (string, int) {
	t.Helper()
	cmd := s.command(t, env, args...)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("strake %s: %v", strings.Join(args, " "), err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// TestUp_KilledAnywhere: an up that is killed at a random moment leaves nothing that the next one does not put right:
// exactly the wanted containers, with their data.
func TestUp_KilledAnywhere(t *testing.T) {
	lab.Each(t, func(t *testing.T, e lab.Engine) {
		s := newStack(t, e, killed)
		begin := time.Now()
		s.mustUp(t, 0)
		whole := time.Since(begin)
		for _, seed := range lab.Draws(t, e, 5, 60) {
			rnd := rand.New(rand.NewPCG(seed, 7))
			version := int(seed) + 1
			for range 1 + rnd.IntN(2) {
				s.kill(t, version, time.Duration(rnd.Int64N(int64(whole))), "up")
			}
			s.mustUp(t, version)
			s.check(t, seed, version)
			if rnd.IntN(3) == 0 { // also from nothing
				if out, code := s.strake(t, nil, "down", "-t", "0"); code != 0 {
					t.Fatalf("seed %d: strake down: exit %d\n%s", seed, code, out)
				}
			}
		}
	})
}

// mustUp runs an up that must succeed.
func (s stack) mustUp(t *testing.T, version int) {
	t.Helper()
	if out, code := s.strake(t, []string{fmt.Sprint("VERSION=", version)}, "up"); code != 0 {
		t.Fatalf("strake up of version %d: exit %d\n%s", version, code, out)
	}
}

// kill begins a command and kills it after so long.
func (s stack) kill(t *testing.T, version int, after time.Duration, args ...string) {
	t.Helper()
	cmd := s.command(t, []string{fmt.Sprint("VERSION=", version)}, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(after, func() { _ = cmd.Process.Kill() }) // it may have ended by itself
	defer timer.Stop()
	if err := cmd.Wait(); err != nil && cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Logf("strake %s that was to be killed after %s: %v\n%s", strings.Join(args, " "), after, err, out.String())
	}
}

// check looks at everything that carries the project's label.
func (s stack) check(t *testing.T, seed uint64, version int) {
	t.Helper()
	var got []string
	for line := range strings.Lines(lab.Docker(t, s.Engine, "ps", "-a", "--no-trunc", "--filter", "label=com.docker.compose.project="+s.name, "--format", "{{.Names}} {{.State}}")) {
		got = append(got, strings.TrimPrefix(strings.TrimSpace(line), s.name+"-"))
	}
	slices.Sort(got)
	want := []string{"api-1 running", "db-1 running", "migrate-1 exited", "web-1 running"}
	if !slices.Equal(got, want) {
		t.Fatalf("seed %d: the stack is %q, want %q", seed, got, want)
	}
	for _, service := range []string{"api", "web"} {
		if env := lab.Docker(t, s.Engine, "exec", s.name+"-"+service+"-1", "sh", "-c", "echo $VERSION"); env != fmt.Sprint(version) {
			t.Errorf("seed %d: %s runs version %s, want %d", seed, service, env, version)
		}
	}
	if text := lab.Docker(t, s.Engine, "exec", s.name+"-api-1", "cat", "/settings"); text != fmt.Sprint("version=", version) {
		t.Errorf("seed %d: api has the config %q, want that of version %d", seed, text, version)
	}
	lab.Docker(t, s.Engine, "exec", s.name+"-db-1", "test", "-f", "/data/migrated", "-a", "-s", "/run/secrets/token")
	if n := lab.Docker(t, s.Engine, "ps", "-aq", "--filter", "label=dev.strake.claim="+s.name); n != "" {
		t.Errorf("seed %d: claim %s is left", seed, n)
	}
	out, code := s.strake(t, []string{fmt.Sprint("VERSION=", version)}, "plan")
	if code != 0 {
		t.Errorf("seed %d: strake plan: exit %d, want 0: there is nothing to do\n%s", seed, code, out)
	}
}

// TestUp_EngineRestarts: an engine that restarts in the middle is a clear error, and the next up converges.
func TestUp_EngineRestarts(t *testing.T) {
	e := lab.Private(t, lab.PrivateOptions{Images: true})
	s := newStack(t, e, strings.ReplaceAll(killed, "sleep 0.2", "sleep 2"))
	cmd := s.command(t, []string{"VERSION=1"}, "up")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.await(t, "db-1 running")
	e.Restart(t)
	if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() != 1 {
		t.Errorf("strake up over a restart of its engine = %v, want exit 1\n%s", err, out.String())
	}
	if text := out.String(); !strings.Contains(text, "engine") || strings.Contains(text, "panic") {
		t.Errorf("strake up over a restart of its engine says %q, want it to name the engine", text)
	}
	s.mustUp(t, 1)
	s.check(t, 0, 1)
}

// await blocks until the engine lists a container of the stack in a state.
func (s stack) await(t *testing.T, want string) {
	t.Helper()
	for {
		list := lab.Docker(t, s.Engine, "ps", "-a", "--filter", "label=com.docker.compose.project="+s.name, "--format", "{{.Names}} {{.State}}")
		if strings.Contains(list, s.name+"-"+want) {
			return
		}
		select {
		case <-t.Context().Done():
			t.Fatalf("the stack is %q, want %s in it", list, want)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// TestUp_TwoAtOnce: of two ups of one project at once one does the work, and both end well.
func TestUp_TwoAtOnce(t *testing.T) {
	lab.Each(t, func(t *testing.T, e lab.Engine) {
		s := newStack(t, e, killed)
		first, second := s.command(t, []string{"VERSION=1"}, "up"), s.command(t, []string{"VERSION=1"}, "up")
		var out [2]bytes.Buffer
		for i, cmd := range []*exec.Cmd{first, second} {
			cmd.Stdout, cmd.Stderr = &out[i], &out[i]
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
		}
		for i, cmd := range []*exec.Cmd{first, second} {
			if err := cmd.Wait(); err != nil {
				t.Errorf("strake up number %d: %v\n%s", i+1, err, out[i].String())
			}
		}
		if !strings.Contains(out[0].String()+out[1].String(), "held by") {
			t.Errorf("neither says that the other holds the project:\n%s\n%s", out[0].String(), out[1].String())
		}
		s.check(t, 0, 1)
		var rows []struct{ Service, State string }
		text, err := s.command(t, []string{"VERSION=1"}, "ps", "--json").Output()
		if err != nil || json.Unmarshal(text, &rows) != nil || len(rows) < 3 {
			t.Errorf("strake ps --json = %s, %v, want a row per container", text, err)
		}
	})
}

// TestUp_ChangedText: a config or secret whose text changed reaches its containers, and one that did not is left alone.
func TestUp_ChangedText(t *testing.T) {
	lab.Each(t, func(t *testing.T, e lab.Engine) {
		s := newStack(t, e, `
services:
  web: {image: "strake-lab/busybox:1", command: [probe, wait], configs: [c], secrets: [{source: s, uid: "7", mode: 0400}]}
configs: {c: {content: "text=${TEXT}"}}
secrets: {s: {environment: SECRET}}
`)
		for _, turn := range []struct {
			env  []string
			code int // of plan
		}{{[]string{"TEXT=one", "SECRET=one"}, 10}, {[]string{"TEXT=one", "SECRET=one"}, 0}, {[]string{"TEXT=two", "SECRET=one"}, 10}, {[]string{"TEXT=two", "SECRET=two"}, 10}, {[]string{"TEXT=two", "SECRET=two"}, 0}} {
			if out, code := s.strake(t, turn.env, "plan"); code != turn.code {
				t.Errorf("strake plan with %v: exit %d, want %d\n%s", turn.env, code, turn.code, out)
			}
			if out, code := s.strake(t, turn.env, "up"); code != 0 {
				t.Fatalf("strake up with %v: exit %d\n%s", turn.env, code, out)
			}
			got := lab.Docker(t, e, "exec", s.name+"-web-1", "cat", "/c", "/run/secrets/s")
			if want := "text=" + turn.env[0][5:] + turn.env[1][7:]; got != want {
				t.Errorf("with %v web reads %q, want %q", turn.env, got, want)
			}
		}
	})
}
