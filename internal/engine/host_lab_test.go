//go:build lab

package engine_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/compose/hosttest"
	"github.com/strake-dev/strake/fixtures/lab"
	"github.com/strake-dev/strake/internal/engine"
)

const busybox = "strake-lab/busybox:1"

func TestEngine_Contract(t *testing.T) {
	lab.Each(t, func(t *testing.T, on lab.Engine) {
		hosttest.Contract(t, open(t, on, t.TempDir()), lab.Name(t), busybox)
	})
}

// stand is a project on an engine.
type stand struct {
	*engine.Engine
	lab  lab.Engine
	p    *compose.Project
	dir  string
	said []string // output lines and warnings of steps
}

// newStand writes the compose file and makes its networks.
func newStand(t *testing.T, on lab.Engine, file string) *stand {
	t.Helper()
	s := &stand{Engine: open(t, on, t.TempDir()), lab: on, dir: t.TempDir()}
	if err := os.WriteFile(filepath.Join(s.dir, "compose.yaml"), []byte(file), 0o644); err != nil {
		t.Fatal(err)
	}
	p, err := compose.Load(t.Context(), compose.LoadOptions{Dir: s.dir, Name: lab.Name(t), Environ: []string{"TEXT=hush"}})
	if err != nil {
		t.Fatal(err)
	}
	s.p = p
	for key, n := range p.Networks {
		s.must(t, compose.Step{Op: compose.CreateNetwork, Name: n.Name, Network: &compose.NetworkStep{Key: key, Spec: n},
			Labels: map[string]string{compose.LabelProject: p.Name, compose.LabelNetwork: key}})
	}
	return s
}

func (s *stand) do(t *testing.T, step compose.Step) error {
	return s.Do(t.Context(), step, func(e compose.Event) { s.said = append(s.said, e.Text) })
}

func (s *stand) must(t *testing.T, step compose.Step) {
	t.Helper()
	if err := s.do(t, step); err != nil {
		t.Fatalf("Do(%s) = %v, want nil", step, err)
	}
}

// name is the service's first container.
func (s *stand) name(service string) string { return s.p.Name + "-" + service + "-1" }

// created is the step that creates it.
func (s *stand) created(t *testing.T, service string) compose.Step {
	t.Helper()
	config := s.p.Services[service]
	hash, err := compose.ConfigHash(config)
	if err != nil {
		t.Fatal(err)
	}
	return compose.Step{Op: compose.CreateContainer, Name: s.name(service), Service: service, Container: &compose.ContainerSpec{
		Project: s.p, Service: config, Number: 1, Image: config.Image, Labels: map[string]string{compose.LabelProject: s.p.Name,
			compose.LabelService: service, compose.LabelNumber: "1", compose.LabelOneOff: "False", compose.LabelConfigHash: hash}}}
}

// started creates and starts it.
func (s *stand) started(t *testing.T, service string) error {
	t.Helper()
	if err := s.do(t, s.created(t, service)); err != nil {
		return err
	}
	return s.do(t, compose.Step{Op: compose.StartContainer, Name: s.name(service), Target: s.name(service), Service: service})
}

// refused tests that an error has a text and a hint.
func refused(t *testing.T, err error, want string) {
	t.Helper()
	var h compose.Hinted
	if err == nil || !strings.Contains(err.Error(), want) || !errors.As(err, &h) || h.Hint() == "" {
		t.Errorf("error = %v, want one with %q and a hint", err, want)
	}
}

func TestStart_SaysWhatIsWrong(t *testing.T) {
	lab.Each(t, func(t *testing.T, on lab.Engine) {
		s := newStand(t, on, `
services:
  program: {image: "`+busybox+`", command: nosuch}
  file: {image: "`+busybox+`", command: /nosuch}
  mount: {image: "`+busybox+`", command: "true", volumes: [{type: bind, source: ./nosuch, target: /x, bind: {create_host_path: false}}]}
  user: {image: "`+busybox+`", command: "true", user: nobody2}
  image: {image: "strake-lab/nosuch:1", command: "true"}
  memory: {image: "`+busybox+`", command: "true", mem_limit: 1m}
`)
		for service, want := range map[string]string{
			"program": "the image of service program has no program nosuch",
			"file":    "the image of service file has no file /nosuch",
			"mount":   filepath.Join(s.dir, "nosuch") + " is mounted by service mount and does not exist",
			"user":    "has no user or group nobody2",
			"image":   "there is no image strake-lab/nosuch:1 here",
			"memory":  "below the 6MB that the engine needs",
		} {
			refused(t, s.started(t, service), want)
		}
	})
}

func TestStart_NamesWhoHoldsThePort(t *testing.T) {
	lab.Each(t, func(t *testing.T, on lab.Engine) {
		port, mine := lab.FreePort(t), lab.FreePort(t)
		s := newStand(t, on, fmt.Sprintf(`
services:
  one: {image: %[1]q, command: sleep 1000, init: true, ports: ["%[2]d:80"]}
  two: {image: %[1]q, command: sleep 1000, init: true, ports: ["%[2]d:80"]}
  three: {image: %[1]q, command: sleep 1000, init: true, ports: ["%[3]d:80"]}
`, busybox, port, mine))
		if err := s.started(t, "one"); err != nil {
			t.Fatal(err)
		}
		refused(t, s.started(t, "two"), fmt.Sprintf("host port %d is taken by container %s of project %s", port, s.name("one"), s.p.Name))
		l, err := net.Listen("tcp", fmt.Sprintf("0.0.0.0:%d", mine))
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		refused(t, s.started(t, "three"), fmt.Sprintf("(pid %d)", os.Getpid()))
	})
}

func TestCreate_AutoPortsTakeTheNextFreeOne(t *testing.T) {
	lab.Each(t, func(t *testing.T, on lab.Engine) {
		l, err := net.Listen("tcp", "0.0.0.0:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		taken := l.Addr().(*net.TCPAddr).Port
		s := newStand(t, on, fmt.Sprintf(`
services:
  one: {image: %[1]q, command: sleep 1000, init: true, ports: ["%[2]d:80"]}
  two: {image: %[1]q, command: sleep 1000, init: true, ports: ["%[2]d:80"]}
`, busybox, taken))
		seen := map[uint16]bool{uint16(taken): true}
		for _, service := range []string{"one", "two"} {
			step := s.created(t, service)
			step.Container.AutoPorts = true
			s.must(t, step)
			s.must(t, compose.Step{Op: compose.StartContainer, Target: s.name(service)})
			for _, p := range s.container(t, service).Ports {
				if p.HostIP == "0.0.0.0" && seen[p.Published] {
					t.Errorf("%s publishes port %d, which is taken", service, p.Published)
				}
				seen[p.Published] = true
			}
		}
	})
}

// container observes the service's first container.
func (s *stand) container(t *testing.T, service string) compose.Container {
	t.Helper()
	st, err := s.Observe(t.Context(), compose.Scope{Project: s.p.Name})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range st.Containers {
		if c.Name == s.name(service) {
			return c
		}
	}
	t.Fatalf("there is no container %s", s.name(service))
	return compose.Container{}
}

func TestCreate_MakesTheHalfOfAKilledCreateAgain(t *testing.T) {
	lab.Each(t, func(t *testing.T, on lab.Engine) {
		s := newStand(t, on, `
services:
  web: {image: "`+busybox+`", command: sleep 1000, init: true, configs: [c], networks: [a, b]}
networks: {a: {}, b: {}}
configs: {c: {content: hello}}
`)
		step := s.created(t, "web")
		lab.Docker(t, on, "create", "--name", step.Name, "--label", compose.LabelProject+"="+s.p.Name, "--label", compose.LabelService+"=web",
			"--label", compose.LabelOneOff+"=False", "--label", compose.LabelConfigHash+"="+step.Container.Labels[compose.LabelConfigHash], busybox, "true")
		s.must(t, step)
		s.must(t, compose.Step{Op: compose.StartContainer, Target: step.Name})
		if got := s.container(t, "web"); len(got.Networks) != 2 {
			t.Errorf("it is attached to %v, want two networks", got.Networks)
		}
		if got := lab.Docker(t, on, "exec", step.Name, "cat", "/c"); got != "hello" {
			t.Errorf("its config reads %q, want hello", got)
		}
		before := s.container(t, "web").ID
		s.must(t, step)
		if after := s.container(t, "web").ID; before != after {
			t.Errorf("a create of a container that runs made another one")
		}
	})
}

func TestCreate_NamesTheForeignHolderOfTheName(t *testing.T) {
	lab.Each(t, func(t *testing.T, on lab.Engine) {
		s := newStand(t, on, `services: {web: {image: "`+busybox+`", command: "true"}}`)
		lab.Docker(t, on, "create", "--name", s.name("web"), busybox, "true")
		refused(t, s.do(t, s.created(t, "web")), "the name "+s.name("web")+" is taken by a container that no project made")
	})
}

func TestExec_CodesStreamsAndCancel(t *testing.T) {
	lab.Each(t, func(t *testing.T, on lab.Engine) {
		s := newStand(t, on, `services: {web: {image: "`+busybox+`", command: sleep 1000, init: true}}`)
		if err := s.started(t, "web"); err != nil {
			t.Fatal(err)
		}
		var out, errs strings.Builder
		code, err := s.Exec(t.Context(), s.name("web"), engine.ExecOptions{Command: []string{"sh", "-c", `cat; echo $A >&2; exit 7`}, Env: []string{"A=b"}},
			engine.Streams{In: strings.NewReader("in"), Out: &out, Err: &errs})
		if err != nil || code != 7 || out.String() != "in" || errs.String() != "b\n" {
			t.Errorf("Exec = %d, %v with %q and %q, want 7, nil, in, b", code, err, out.String(), errs.String())
		}
		out.Reset()
		size := func() (cols, rows uint) { return 91, 37 }
		code, err = s.Exec(t.Context(), s.name("web"), engine.ExecOptions{Command: []string{"sh", "-c", "sleep 0.3; stty size"}, TTY: true}, engine.Streams{Out: &out, Size: size})
		if err != nil || code != 0 || !strings.Contains(out.String(), "37 91") {
			t.Errorf("Exec with a terminal = %d, %v with %q, want 37 91", code, err, out.String())
		}
		if _, err := s.Exec(t.Context(), s.name("web"), engine.ExecOptions{Command: []string{"sleep", "30"}, TTY: true},
			engine.Streams{In: strings.NewReader("\x10\x11")}); !errors.Is(err, engine.ErrDetached) {
			t.Errorf("Exec with the detach keys = %v, want %v", err, engine.ErrDetached)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		start := time.Now()
		if _, err := s.Exec(ctx, s.name("web"), engine.ExecOptions{Command: []string{"sleep", "30"}}, engine.Streams{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a cancelled Exec = %v, want %v", err, context.DeadlineExceeded)
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("a cancelled Exec took %v, want it to end at once", took)
		}
		err = s.do(t, compose.Step{Op: compose.ExecHook, Target: s.name("web"), Hook: &compose.ServiceHook{Command: []string{"sh", "-c", "echo one; echo two; exit 3"}}})
		if err == nil || !strings.Contains(err.Error(), "exited with code 3") || strings.Join(s.said, " ") != "one two" {
			t.Errorf("ExecHook = %v with %q, want code 3 and two lines", err, s.said)
		}
	})
}

func TestRunHook_TellsItsOutputAndLeavesNothing(t *testing.T) {
	lab.Each(t, func(t *testing.T, on lab.Engine) {
		s := newStand(t, on, `services: {web: {image: "`+busybox+`", command: [sh, -c, "echo one; echo two >&2; exit $$CODE"], environment: {CODE: "0"}}}`)
		step := s.created(t, "web")
		step.Op, step.Name = compose.RunHook, s.p.Name+"-web-pre_start-0"
		lab.Docker(t, on, "create", "--name", step.Name, "--label", compose.LabelProject+"="+s.p.Name, "--label", compose.LabelService+"=web", busybox, "true")
		s.must(t, step)
		if got := strings.Join(s.said, " "); got != "one two" && got != "two one" {
			t.Errorf("the hook said %q, want one and two", got)
		}
		code := "4"
		step.Container.Service.Environment = map[string]*string{"CODE": &code}
		if err := s.do(t, step); err == nil || !strings.Contains(err.Error(), "exited with code 4") {
			t.Errorf("RunHook = %v, want exit code 4", err)
		}
		if got := lab.Docker(t, on, "ps", "-aq", "--filter", "label="+compose.LabelProject+"="+s.p.Name); got != "" {
			t.Errorf("the hook left %s", got)
		}
	})
}

func TestProbe_TellsOutputAndTimeout(t *testing.T) {
	lab.Each(t, func(t *testing.T, on lab.Engine) {
		s := newStand(t, on, `
x-base: &base {image: "`+busybox+`", command: sleep 1000, init: true}
services:
  sick: {<<: *base, healthcheck: {test: "echo not yet; exit 1", interval: 1h}}
  slow: {<<: *base, healthcheck: {test: sleep 30, interval: 1h, timeout: 300ms}}
  absent: {<<: *base, healthcheck: {test: [CMD, nosuch], interval: 1h}}
  off: {<<: *base, healthcheck: {disable: true}}
`)
		probe := func(service string) error {
			if err := s.started(t, service); err != nil {
				t.Fatal(err)
			}
			return s.do(t, compose.Step{Op: compose.Probe, Target: s.name(service)})
		}
		var p *compose.ProbeError
		if err := probe("sick"); !errors.As(err, &p) || p.ExitCode != 1 || p.Output != "not yet\n" {
			t.Errorf("Probe = %#v, want code 1 and its output", err)
		}
		if err := probe("slow"); !errors.As(err, &p) || !p.TimedOut {
			t.Errorf("Probe = %v, want that it timed out", err)
		}
		if err := probe("absent"); !errors.As(err, &p) || p.ExitCode == 0 || !strings.Contains(p.Output, "executable file not found") {
			t.Errorf("Probe = %#v, want that the program is not there", err)
		}
		if err := probe("off"); !errors.Is(err, compose.ErrNoHealthcheck) {
			t.Errorf("Probe = %v, want %v", err, compose.ErrNoHealthcheck)
		}
		if err := s.do(t, compose.Step{Op: compose.Probe, Target: s.p.Name + "-nosuch-1"}); !errors.Is(err, compose.ErrNotRunning) {
			t.Errorf("Probe of nothing = %v, want %v", err, compose.ErrNotRunning)
		}
	})
}

func TestLogs_FollowEndsWithTheContainerOrTheContext(t *testing.T) {
	lab.Each(t, func(t *testing.T, on lab.Engine) {
		s := newStand(t, on, `
services:
  job: {image: "`+busybox+`", command: [sh, -c, "echo out; echo err >&2; sleep 0.3; echo end"]}
  web: {image: "`+busybox+`", command: sleep 1000, init: true, tty: true}
`)
		for _, service := range []string{"job", "web"} {
			if err := s.started(t, service); err != nil {
				t.Fatal(err)
			}
		}
		var out, errs strings.Builder
		if err := s.Logs(t.Context(), s.name("job"), engine.LogOptions{Follow: true}, &out, &errs); err != nil || out.String() != "out\nend\n" || errs.String() != "err\n" {
			t.Errorf("Logs = %v with %q and %q, want out, end and err", err, out.String(), errs.String())
		}
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		if err := s.Logs(ctx, s.name("web"), engine.LogOptions{Follow: true}, &out, &errs); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a cancelled Logs = %v, want %v", err, context.DeadlineExceeded)
		}
	})
}
