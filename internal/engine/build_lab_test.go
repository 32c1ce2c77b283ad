//go:build lab

package engine_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"golang.org/x/crypto/ssh/agent"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/fixtures/lab"
	"github.com/strake-dev/strake/internal/engine"
)

// bench is a folder with a project of one service, web, and an engine that builds it.
type bench struct {
	t     *testing.T
	lab   lab.Engine
	e     *engine.Engine
	dir   string
	p     *compose.Project
	notes []compose.Event
	mu    sync.Mutex
}

func newBench(t *testing.T, on lab.Engine) *bench {
	t.Helper()
	b := &bench{t: t, lab: on, dir: t.TempDir()}
	b.e = open(t, on, t.TempDir())
	b.p = &compose.Project{Project: &types.Project{Name: lab.Name(t), WorkingDir: b.dir, Environment: types.Mapping{}, Services: types.Services{}}}
	b.service("web", &types.BuildConfig{Context: b.dir, Dockerfile: "Dockerfile"})
	return b
}

// open connects to a lab engine with the Docker configuration in folder config.
func open(t *testing.T, on lab.Engine, config string) *engine.Engine {
	t.Helper()
	e, err := engine.Open(t.Context(), engine.Options{Host: on.Host, Config: config})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func (b *bench) service(name string, build *types.BuildConfig) {
	b.p.Services[name] = types.ServiceConfig{Name: name, WorkloadSpec: types.WorkloadSpec{Build: build}}
}

func (b *bench) write(name, text string) {
	b.t.Helper()
	path := filepath.Join(b.dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) ref(service string) string { return b.p.Name + "-" + service }

// build builds a service and returns the last event.
func (b *bench) build(ctx context.Context, service string, change func(*compose.ImageStep)) (compose.Event, error) {
	b.t.Helper()
	step := compose.Step{Op: compose.BuildImage, Image: &compose.ImageStep{ImageRef: compose.ImageRef{Ref: b.ref(service)}, Project: b.p, Service: service, Inputs: "sha256:1", Version: "test"}}
	if change != nil {
		change(step.Image)
	}
	b.notes = nil
	err := b.e.Do(ctx, step, func(ev compose.Event) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.notes = append(b.notes, ev)
	})
	if len(b.notes) == 0 {
		return compose.Event{}, err
	}
	return b.notes[len(b.notes)-1], err
}

func (b *bench) mustBuild(service string) compose.Event {
	b.t.Helper()
	ev, err := b.build(b.t.Context(), service, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return ev
}

// printed is what the build's commands printed.
func (b *bench) printed() string {
	var lines []string
	for _, ev := range b.notes {
		if ev.Kind == compose.StepOutput {
			lines = append(lines, ev.Text)
		}
	}
	return strings.Join(lines, "\n")
}

// shows is what a program prints in a container of the image.
func (b *bench) shows(image string, command ...string) string {
	b.t.Helper()
	return lab.Docker(b.t, b.lab, append([]string{"run", "--rm", "--network", "none", image}, command...)...)
}

func (b *bench) labels(image string) string {
	b.t.Helper()
	return lab.Docker(b.t, b.lab, "image", "inspect", "--format", "{{json .Config.Labels}}", image)
}

const small = "FROM strake-lab/busybox:1\n"

func TestBuild_MakesWhatTheFileSays(t *testing.T) {
	lab.Each(t, func(t *testing.T, on lab.Engine) {
		b := newBench(t, on)
		b.write("Dockerfile", "ARG BASE=strake-lab/busybox:1\nFROM ${BASE} AS one\nARG WORD=none\nRUN echo $WORD > /word\n"+
			"FROM ${BASE} AS two\nCOPY --from=one /word /word\nCOPY . /src\nFROM ${BASE} AS three\nRUN false\n")
		b.write(".dockerignore", "*.secret\n")
		b.write("a.secret", "x")
		b.write("a.txt", "hello")
		value := "spoken"
		*b.p.Services["web"].Build = types.BuildConfig{Context: b.dir, Target: "two", Args: types.MappingWithEquals{"WORD": &value},
			Labels: types.Labels{"own": "label"}, Tags: types.StringList{b.p.Name + "-more:v1"}}
		b.mustBuild("web")
		if got, want := b.shows(b.ref("web"), "sh", "-c", "cat /word; ls /src"), "spoken\nDockerfile\na.txt"; got != want {
			t.Errorf("image has %q, want %q", got, want)
		}
		for _, want := range []string{`"own":"label"`, `"com.docker.compose.project":"` + b.p.Name + `"`, `"com.docker.compose.service":"web"`,
			`"com.docker.compose.version":"test"`, `"dev.strake.inputs":"sha256:1"`} {
			if got := b.labels(b.p.Name + "-more:v1"); !strings.Contains(got, want) {
				t.Errorf("labels are %s, want %s in it", got, want)
			}
		}
	})
}

func TestBuild_AgainIsUnchangedAndQuick(t *testing.T) {
	lab.Each(t, func(t *testing.T, on lab.Engine) {
		b := newBench(t, on)
		b.write("Dockerfile", small+"COPY . /src\nRUN echo once > /once\n")
		if ev := b.mustBuild("web"); ev.Unchanged {
			t.Error("a first build said that the image is unchanged")
		}
		best := time.Hour
		for range 5 {
			start := time.Now()
			if ev := b.mustBuild("web"); !ev.Unchanged {
				t.Error("a second build said that the image changed")
			}
			best = min(best, time.Since(start))
		}
		t.Logf("no-op build on %s: %d ms", on.Name, best.Milliseconds())
		b.write("new", "file")
		if ev := b.mustBuild("web"); ev.Unchanged {
			t.Error("a build of other files said that the image is unchanged")
		}
		b.write("Dockerfile", small+"COPY . /src\nRUN echo twic > /once\n")
		b.mustBuild("web")
		if got := b.shows(b.ref("web"), "cat", "/once"); got != "twic" {
			t.Errorf("after an edit of the Dockerfile that keeps its size, the image says %q", got)
		}
	})
}

// TestBuild_EditThatIsNotRead: other inputs that make the same image leave the image as it was.
func TestBuild_EditThatIsNotRead(t *testing.T) {
	lab.Each(t, func(t *testing.T, on lab.Engine) {
		b := newBench(t, on)
		b.write("Dockerfile", "FROM strake-lab/busybox:1\nCOPY app /app\n")
		b.write("app", "one")
		inputs := func(digest string) func(*compose.ImageStep) {
			return func(i *compose.ImageStep) { i.Inputs = digest }
		}
		for _, turn := range []struct {
			file, text, digest string
			unchanged          bool
		}{{"README", "one", "sha256:1", false}, {"README", "two", "sha256:2", true}, {"app", "two", "sha256:3", false}} {
			b.write(turn.file, turn.text)
			before := lab.Docker(t, on, "images", "-q", "--no-trunc", b.ref("web"))
			ev, err := b.build(t.Context(), "web", inputs(turn.digest))
			if err != nil {
				t.Fatal(err)
			}
			after := lab.Docker(t, on, "images", "-q", "--no-trunc", b.ref("web"))
			if ev.Unchanged != turn.unchanged || (before == after) != turn.unchanged {
				t.Errorf("after an edit of %s: Unchanged = %v, image %s → %s, want unchanged %v", turn.file, ev.Unchanged, before, after, turn.unchanged)
			}
		}
	})
}

func TestBuild_InlineSecretsAndHosts(t *testing.T) {
	lab.Each(t, func(t *testing.T, on lab.Engine) {
		b := newBench(t, on)
		b.write("token", "file-s3cret\n")
		b.p.Environment["TOKEN"] = "env-s3cret"
		b.p.Secrets = types.Secrets{"file": {File: filepath.Join(b.dir, "token")}, "env": {Environment: "TOKEN"}}
		*b.p.Services["web"].Build = types.BuildConfig{Context: b.dir, DockerfileInline: small +
			"RUN --mount=type=secret,id=file --mount=type=secret,id=other cat /run/secrets/file /run/secrets/other; wc -c < /run/secrets/file > /size\n" +
			"RUN grep named /etc/hosts > /hosts; grep gw /etc/hosts >> /hosts; ulimit -n > /files\n",
			Secrets:    []types.ServiceSecretConfig{{Source: "file"}, {Source: "env", Target: "other"}},
			ExtraHosts: types.HostsList{"named": {"10.9.8.7"}, "gw": {"host-gateway"}}, Network: "none",
			ShmSize: 1 << 20, Ulimits: map[string]*types.UlimitsConfig{"nofile": {Soft: 1000, Hard: 2000}}, Isolation: "default"}
		if _, err := b.build(t.Context(), "web", func(i *compose.ImageStep) { i.NoCache = true }); err != nil {
			t.Fatal(err)
		}
		if got := b.shows(b.ref("web"), "sh", "-c", "cat /size /hosts /files"); !strings.HasPrefix(got, "12\n10.9.8.7\tnamed\n") || !strings.Contains(got, "\tgw\n") {
			t.Errorf("image has %q", got)
		}
		if got := b.printed(); strings.Contains(got, "s3cret") || !strings.Contains(got, "***") {
			t.Errorf("output is %q, want secrets masked", got)
		}
	})
}

func TestBuild_AdditionalContexts(t *testing.T) {
	lab.Each(t, func(t *testing.T, on lab.Engine) {
		b := newBench(t, on)
		more := t.TempDir()
		if err := os.WriteFile(filepath.Join(more, "lib"), []byte("local"), 0o644); err != nil {
			t.Fatal(err)
		}
		b.service("lib", &types.BuildConfig{Context: b.dir, DockerfileInline: small + "RUN echo service > /lib\n"})
		*b.p.Services["web"].Build = types.BuildConfig{Context: b.dir,
			DockerfileInline:   "FROM base\nCOPY --from=more /lib /one\nCOPY --from=other /lib /two\n",
			AdditionalContexts: types.Mapping{"base": "docker-image://strake-lab/busybox:1", "more": more, "other": "service:lib"}}
		b.mustBuild("lib")
		_, err := b.build(t.Context(), "web", nil)
		if strings.HasPrefix(on.Version, "20.10") {
			if err == nil || !strings.Contains(err.Error(), "additional context base: the BuildKit of Docker Engine 20.10.24 has none") {
				t.Errorf("build = %v, want it refused", err)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := b.shows(b.ref("web"), "cat", "/one", "/two"); got != "localservice" {
			t.Errorf("image has %q", got)
		}
		b.service("lib", &types.BuildConfig{Context: b.dir, DockerfileInline: small + "RUN echo changed > /lib\n"})
		b.mustBuild("lib")
		b.mustBuild("web")
		if got := b.shows(b.ref("web"), "cat", "/two"); got != "changed" {
			t.Errorf("after the other service's build, image has %q", got)
		}
	})
}

func TestBuild_SaysWhatFailed(t *testing.T) {
	lab.Each(t, func(t *testing.T, on lab.Engine) {
		for _, c := range []struct{ name, dockerfile, want, hint string }{
			{"command", "FROM strake-lab/busybox:1 AS b\n\nRUN true\nRUN for i in 1 2 3 4 5 6 7 8 9 10 11; do echo line $i; done; \\\n  cat /run/no; exit 7\n",
				"build service web: Dockerfile:4: RUN for i in 1 2 3 4 5 6 7 8 9 10 11; do echo line $i; done; cat /run/no; exit 7: exited with code 7", "build web again"},
			{"missing file", small + "COPY nothing /\n", "build service web: Dockerfile:2: COPY nothing /: there is no /nothing in what it copies from", "relative to"},
			{"wrong instruction", small + "RUM x\n", "Dockerfile:2", "correct Dockerfile"},
			{"no base", "FROM 127.0.0.1:1/none:1\n", "127.0.0.1:1", "network"},
			{"no target", small, "target", ""},
		} {
			t.Run(c.name, func(t *testing.T) {
				b := newBench(t, on)
				b.write("Dockerfile", c.dockerfile)
				if c.name == "no target" {
					b.p.Services["web"].Build.Target = "nowhere"
				}
				_, err := b.build(t.Context(), "web", nil)
				var hinted compose.Hinted
				if !errors.As(err, &hinted) {
					t.Fatalf("build = %v, want a hinted error", err)
				}
				t.Logf("%v\nhint: %s", err, hinted.Hint())
				if !strings.Contains(err.Error(), c.want) || !strings.Contains(hinted.Hint(), c.hint) {
					t.Errorf("build = %v (%s), want %q (%s)", err, hinted.Hint(), c.want, c.hint)
				}
			})
		}
	})
}

func TestBuild_EndsWhenCancelled(t *testing.T) {
	lab.Each(t, func(t *testing.T, on lab.Engine) {
		b := newBench(t, on)
		b.write("Dockerfile", small+"RUN echo begun; sleep 60\n")
		ctx, cancel := context.WithCancelCause(t.Context())
		stopped := errors.New("stopped by the test")
		var asked time.Time
		step := compose.Step{Op: compose.BuildImage, Image: &compose.ImageStep{ImageRef: compose.ImageRef{Ref: b.ref("web")}, Project: b.p, Service: "web", NoCache: true}}
		err := b.e.Do(ctx, step, func(ev compose.Event) {
			if ev.Text == "begun" {
				asked = time.Now()
				cancel(stopped)
			}
		})
		if took := time.Since(asked); !errors.Is(err, stopped) || took > 5*time.Second {
			t.Errorf("build = %v, %s after it was cancelled", err, took)
		}
	})
}

func TestBuild_ManyAtOnce(t *testing.T) {
	lab.Each(t, func(t *testing.T, on lab.Engine) {
		b := newBench(t, on)
		var group sync.WaitGroup
		errs := make([]error, 6)
		for i := range errs {
			name := string(rune('a' + i))
			b.service(name, &types.BuildConfig{Context: b.dir, DockerfileInline: small + "RUN echo " + name + " > /name\n"})
		}
		for i := range errs {
			name := string(rune('a' + i))
			group.Go(func() {
				errs[i] = b.e.Do(t.Context(), compose.Step{Op: compose.BuildImage, Image: &compose.ImageStep{ImageRef: compose.ImageRef{Ref: b.ref(name)}, Project: b.p, Service: name}}, nil)
			})
		}
		group.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		if got := b.shows(b.ref("c"), "cat", "/name"); got != "c" {
			t.Errorf("image c says %q", got)
		}
	})
}

func TestBuild_CachesInlineAndLendsItsAgent(t *testing.T) {
	lab.Each(t, func(t *testing.T, on lab.Engine) {
		b := newBench(t, on)
		socket := filepath.Join(t.TempDir(), "agent")
		l, err := net.Listen("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			for c, err := l.Accept(); err == nil; c, err = l.Accept() {
				go agent.ServeAgent(agent.NewKeyring(), c)
			}
		}()
		b.p.Environment["SSH_AUTH_SOCK"] = socket
		*b.p.Services["web"].Build = types.BuildConfig{Context: b.dir, DockerfileInline: small + "RUN --mount=type=ssh test -S $SSH_AUTH_SOCK && echo lent\n",
			SSH: types.SSHConfig{{ID: "default"}}, CacheTo: types.StringList{"type=inline"}, CacheFrom: types.StringList{"127.0.0.1:1/none"}, NoCacheFilter: types.StringList{"none"}}
		if _, err := b.build(t.Context(), "web", func(i *compose.ImageStep) { i.NoCache = true }); err != nil {
			t.Fatal(err)
		}
		if got := b.printed(); got != "lent" {
			t.Errorf("output is %q, want that an agent was lent", got)
		}
		delete(b.p.Environment, "SSH_AUTH_SOCK")
		_, err = b.build(t.Context(), "web", nil)
		if err == nil || err.Error() != "build service web: ssh default wants an agent and SSH_AUTH_SOCK is not set" {
			t.Errorf("build without an agent = %v", err)
		}
		*b.p.Services["web"].Build = types.BuildConfig{Context: b.dir, DockerfileInline: small, Privileged: true}
		_, err = b.build(t.Context(), "web", nil)
		var hinted compose.Hinted
		if !errors.As(err, &hinted) || !strings.Contains(hinted.Hint(), "builder.entitlements") {
			t.Errorf("privileged build = %v, want how it is allowed", err)
		}
	})
}
