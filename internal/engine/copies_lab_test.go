//go:build lab

package engine_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/fixtures/lab"
	"github.com/strake-dev/strake/internal/engine"
)

// away is a project whose engine counts as another machine's: what is mounted there would be another file.
type away struct {
	*engine.Engine
	lab  lab.Engine
	dir  string
	name string
	said []string
}

func newAway(t *testing.T, on lab.Engine) *away {
	t.Helper()
	cache := t.TempDir()
	e, err := engine.Open(t.Context(), engine.Options{Host: on.Host, Config: t.TempDir(), Remote: "a machine", CacheDir: cache})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return &away{Engine: e, lab: on, dir: t.TempDir(), name: lab.Name(t)}
}

// write makes a file of the project.
func (a *away) write(t *testing.T, name, text string, mode os.FileMode) {
	t.Helper()
	path := filepath.Join(a.dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644), os.Chmod(path, mode)); err != nil {
		t.Fatal(err)
	}
}

func (a *away) load(t *testing.T) *compose.Project {
	t.Helper()
	p, err := compose.Load(t.Context(), compose.LoadOptions{Dir: a.dir, Name: a.name})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// up converges through a Host, and returns the plan that was run.
func (a *away) up(t *testing.T, h compose.Host) (compose.Plan, error) {
	t.Helper()
	p := a.load(t)
	_, plan, err := compose.Converge(t.Context(), h, compose.ScopeOf(p, nil), func(have compose.State) (compose.Plan, error) {
		return compose.Diff(p, have, compose.DiffOptions{Version: "test"})
	}, compose.ConvergeOptions{Run: compose.RunOptions{Note: func(e compose.Event) {
		if e.Kind == compose.StepWarning {
			a.said = append(a.said, e.Text)
		}
	}}})
	return plan, err
}

// mustUp is up that works, and what its plan says.
func (a *away) mustUp(t *testing.T) string {
	t.Helper()
	plan, err := a.up(t, a.Engine)
	if err != nil {
		t.Fatalf("up = %v, want nil", err)
	}
	return plan.String()
}

// sh is what a command prints in the service's first container.
func (a *away) sh(t *testing.T, service, command string) string {
	t.Helper()
	return strings.TrimSpace(lab.Docker(t, a.lab, "exec", a.name+"-"+service+"-1", "sh", "-c", command))
}

// sees tests what a command prints in a container.
func (a *away) sees(t *testing.T, service, command, want string) {
	t.Helper()
	if got := a.sh(t, service, command); got != want {
		t.Errorf("%s in %s prints %q, want %q", command, service, got, want)
	}
}

// unused are the volumes for copies that the engine has of the project and of no container's.
func (a *away) unused(t *testing.T) string {
	t.Helper()
	return lab.Docker(t, a.lab, "volume", "ls", "-q", "--filter", "label=dev.strake.copy="+a.name, "--filter", "dangling=true")
}

const awayFile = `
services:
  web:
    image: ` + busybox + `
    command: sleep 1000
    init: true
    volumes:
      - ./src:/app
      - ./one.conf:/app/nested/one.conf
      - type: bind
        source: ./etc/two.conf
        target: /etc/two.conf
        read_only: true
      - ./absent:/absent
      - data:/data
      - ./src/deep:/data/deep:ro
      - ./one.conf:/data/one.conf
    configs: [{source: conf, target: /etc/conf}]
    secrets: [word]
  shut:
    image: ` + busybox + `
    command: sleep 1000
    init: true
    read_only: true
    tmpfs: [/tmp]
    volumes:
      - ./src:/app:ro
      - ./one.conf:/app/one.conf
      - ./src/deep:/tmp/deep
volumes: {data: {}}
configs: {conf: {file: ./one.conf}}
secrets: {word: {file: ./word}}
`

func writeAway(t *testing.T, a *away) {
	a.write(t, "compose.yaml", awayFile, 0o644)
	a.write(t, ".dockerignore", "**\n", 0o644)
	a.write(t, "src/run.sh", "#!/bin/sh\necho ran\n", 0o755)
	a.write(t, "src/deep/er/x", "x\n", 0o640)
	a.write(t, "src/nested/other", "other\n", 0o644)
	a.write(t, "one.conf", "one\n", 0o600)
	a.write(t, "etc/two.conf", "two\n", 0o444)
	a.write(t, "word", "hush\n", 0o644)
	if err := errors.Join(os.Symlink("deep/er/x", filepath.Join(a.dir, "src/link")), os.Symlink("/nowhere", filepath.Join(a.dir, "src/lost")),
		os.Chown(filepath.Join(a.dir, "src/deep/er/x"), 1234, 4321), os.Chown(filepath.Join(a.dir, "src"), 1000, 1000), os.Chmod(filepath.Join(a.dir, "src"), os.ModeSetgid|0o775)); err != nil {
		t.Fatal(err)
	}
}

func TestCopies_AreSeenAsBindMountsWouldBe(t *testing.T) {
	lab.Each(t, func(t *testing.T, on lab.Engine) {
		a := newAway(t, on)
		writeAway(t, a)
		a.mustUp(t)
		for _, service := range []string{"web", "shut"} {
			a.sees(t, service, "stat -c '%a %u %g' /app", "2775 1000 1000")
			a.sees(t, service, "/app/run.sh", "ran")
			a.sees(t, service, "stat -c '%a %u %g' /app/deep/er/x; cat /app/link; readlink /app/lost", "640 1234 4321\nx\n/nowhere")
			a.sees(t, service, "cat /app/nested/other", "other")
		}
		a.sees(t, "web", "cat /app/nested/one.conf /etc/two.conf /etc/conf /run/secrets/word", "one\ntwo\none\nhush")
		a.sees(t, "web", "stat -c %a /etc/two.conf /etc/conf /run /run/secrets", "444\n600\n755\n755")
		a.sees(t, "web", "ls -A /absent; stat -c %F /absent", "directory")
		a.sees(t, "web", "cat /data/deep/er/x /data/one.conf", "x\none")
		a.sees(t, "shut", "cat /app/one.conf /tmp/deep/er/x", "one\nx")
		a.sees(t, "shut", "touch /x 2>/dev/null || echo shut", "shut")
		if got := lab.Docker(t, on, "inspect", "-f", "{{range .Mounts}}{{.Type}} {{end}}", a.name+"-web-1", a.name+"-shut-1"); strings.Contains(got, "bind") {
			t.Errorf("the mounts are of types %s, want no bind", got)
		}
		a.sees(t, "web", "echo new > /app/new; cat /app/new", "new")
		if _, err := os.Stat(filepath.Join(a.dir, "src/new")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("what the container wrote is here: %v", err)
		}
		want := "mounts of the project (shut: /app/one.conf, shut: /tmp/deep, web: /app, web: /app/nested/one.conf, web: /absent, web: /data/one.conf) they are copied"
		if !slices.ContainsFunc(a.said, func(s string) bool { return strings.HasPrefix(s, want) }) {
			t.Errorf("warnings = %q, want one that begins with %q", a.said, want)
		}
		if _, err := os.Stat(filepath.Join(a.dir, "absent")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the absent source is here now: %v", err)
		}
	})
}

func TestCopies_AChangedFileMakesTheContainerAnew(t *testing.T) {
	lab.Each(t, func(t *testing.T, on lab.Engine) {
		a := newAway(t, on)
		writeAway(t, a)
		a.mustUp(t)
		if again := a.mustUp(t); again != "" {
			t.Errorf("the second up does %s, want nothing", again)
		}
		for what, change := range map[string]func(){
			"content": func() { a.write(t, "src/nested/other", "others\n", 0o644) },
			"mode":    func() { a.write(t, "one.conf", "one\n", 0o644) },
			"link": func() {
				link := filepath.Join(a.dir, "src/link")
				if err := errors.Join(os.Remove(link), os.Symlink("run.sh", link)); err != nil {
					t.Fatal(err)
				}
			},
			"absent": func() { a.write(t, "absent/now", "here\n", 0o644) },
		} {
			change()
			if again := a.mustUp(t); !strings.Contains(again, "create ") || !strings.Contains(again, "-web-1: the files that are copied into it changed") {
				t.Errorf("after another %s up does\n%swant web made anew", what, again)
			}
		}
		a.sees(t, "web", "cat /app/nested/other /absent/now; stat -c %a /app/nested/one.conf; readlink /app/link", "others\nhere\n644\nrun.sh")
		p := a.load(t)
		state, err := a.Observe(t.Context(), compose.ScopeOf(p, nil))
		if err != nil {
			t.Fatal(err)
		}
		var volumes []string
		for _, c := range state.Containers {
			for _, m := range c.Mounts {
				volumes = append(volumes, m.Name)
			}
		}
		lab.Docker(t, on, "volume", "create", "--label", "dev.strake.copy="+a.name) // as a removal leaves it that is cut off
		if n := len(volumes); n != 6 {                                              // data, and a volume for each folder
			t.Errorf("the containers have %d volumes, want 6: %q", n, volumes)
		}
		plan, err := compose.Down(p, state, compose.DownOptions{})
		if err == nil {
			err = compose.Run(t.Context(), a.Engine, plan, compose.RunOptions{Project: a.name})
		}
		if err != nil {
			t.Fatalf("down = %v, want nil", err)
		}
		if left := a.unused(t); left != "" {
			t.Errorf("after down there are the volumes %s", left)
		}
	})
}

// cut is an engine whose creates are cut off: the container is there under the name that it has meanwhile, and has nothing in it.
type cut struct {
	*engine.Engine
	lab lab.Engine
	err error
	t   *testing.T
}

func (c *cut) Do(ctx context.Context, s compose.Step, note func(compose.Event)) error {
	if s.Op != compose.CreateContainer {
		return c.Engine.Do(ctx, s, note)
	}
	args := []string{"create", "--name", compose.UnfinishedName(s.Name), "-v", "/app"}
	for k, v := range s.Container.Labels {
		args = append(args, "--label", k+"="+v)
	}
	lab.Docker(c.t, c.lab, append(args, s.Container.Image, "sleep", "1000")...)
	return c.err
}

func TestCopies_AKilledCreateIsNotTakenForADoneOne(t *testing.T) {
	lab.Each(t, func(t *testing.T, on lab.Engine) {
		a := newAway(t, on)
		writeAway(t, a)
		killed := errors.New("killed")
		half := &cut{a.Engine, on, killed, t}
		for range 2 { // a new one, and a successor
			if _, err := a.up(t, half); !errors.Is(err, killed) {
				t.Fatalf("up = %v, want %v", err, killed)
			}
			a.mustUp(t)
			a.sees(t, "web", "cat /app/nested/one.conf /etc/conf", "one\none")
			a.sees(t, "shut", "cat /app/one.conf", "one")
			if left := lab.Docker(t, on, "ps", "-aq", "--filter", "name=strake-unfinished-.*"+a.name); left != "" {
				t.Errorf("containers are left over: %s", left)
			}
			a.write(t, "src/nested/more", "more\n", 0o644)
		}
		p := a.load(t)
		step := compose.Step{Op: compose.RunHook, Name: a.name + "-hook", Service: "web", Container: &compose.ContainerSpec{Project: p, Service: p.Services["web"], OneOff: true,
			Image: busybox, Labels: map[string]string{compose.LabelProject: a.name, compose.LabelService: "web", compose.LabelOneOff: "True"}}}
		step.Container.Service.Command = []string{"cat", "/app/nested/more"}
		lab.Docker(t, on, "create", "--name", compose.UnfinishedName(step.Name), "--label", compose.LabelProject+"="+a.name, "--label", compose.LabelService+"=web", busybox)
		var said []string
		if err := a.Do(t.Context(), step, func(e compose.Event) { said = append(said, e.Text) }); err != nil || !slices.Contains(said, "more") {
			t.Errorf("the hook = %v and says %q, want nil and what was copied", err, said)
		}
	})
}

func TestCopies_AreRefusedByName(t *testing.T) {
	lab.Each(t, func(t *testing.T, on lab.Engine) {
		a := newAway(t, on)
		a.write(t, "one.conf", "one\n", 0o644)
		if err := errors.Join(os.Mkdir(filepath.Join(a.dir, "odd"), 0o755), syscall.Mkfifo(filepath.Join(a.dir, "odd/pipe"), 0o644)); err != nil {
			t.Fatal(err)
		}
		for want, service := range map[string]string{
			filepath.Join(a.dir, "odd/pipe") + " is a named pipe": `volumes: ["./odd:/odd"]`,
			"there is no " + filepath.Join(a.dir, "none"):         `volumes: [{type: bind, source: ./none, target: /x, bind: {create_host_path: false}}]`,
		} {
			a.write(t, "compose.yaml", "services: {web: {image: "+busybox+", "+service+"}}\n", 0o644)
			_, err := a.up(t, a.Engine)
			refused(t, err, want)
		}
	})
}

// TestCopies_OfFilesThatWouldNotBeSeen: they are mounted out of a volume by engines that can, and refused for others.
func TestCopies_OfFilesThatWouldNotBeSeen(t *testing.T) {
	lab.Each(t, func(t *testing.T, on lab.Engine) {
		a := newAway(t, on)
		a.write(t, "one.conf", "one\n", 0o640)
		a.write(t, "dir/two", "two\n", 0o644)
		if err := os.Chown(filepath.Join(a.dir, "one.conf"), 12, 34); err != nil {
			t.Fatal(err)
		}
		theirs := t.TempDir() // stands for a folder of the engine's machine
		for i, c := range []struct{ service, file, why string }{
			{`tmpfs: [/run], volumes: ["./one.conf:/run/one.conf"]`, "/run/one.conf", "there is a tmpfs at /run"},
			{`read_only: true, volumes: ["./one.conf:/etc/one.conf:ro", "./dir:/dir"]`, "/etc/one.conf", "the root file system is read-only"},
			{`read_only: true, configs: [{source: c, target: /etc/deep/c}]`, "/etc/deep/c", "the root file system is read-only"},
			{`volumes: ["` + theirs + `:/srv", "./one.conf:/srv/one.conf"]`, "/srv/one.conf", "there is a folder of that machine at /srv"},
		} {
			a.write(t, "compose.yaml", "services: {web: {image: "+busybox+", command: sleep 1000, init: true, "+c.service+"}}\nconfigs: {c: {file: one.conf}}\n", 0o644)
			if on.APIVersion < compose.HiddenAPI {
				_, err := a.up(t, a.Engine)
				refused(t, err, c.why)
				continue
			}
			a.mustUp(t)
			a.sees(t, "web", "stat -c '%a %u %g' "+c.file+"; cat "+c.file, "640 12 34\none")
			if again := a.mustUp(t); again != "" {
				t.Errorf("the second up of %d does %s, want nothing", i, again)
			}
			if strings.Contains(c.service, "./dir") {
				a.sees(t, "web", "cat /dir/two", "two")
			}
			if text, err := os.ReadFile(filepath.Join(theirs, "one.conf")); err == nil && len(text) > 0 {
				t.Errorf("the folder of the engine's machine holds %q now", text)
			}
			if left := lab.Docker(t, on, "ps", "-aq", "--filter", "name=strake-unfinished-.*"+a.name); left != "" {
				t.Errorf("containers are left over: %s", left)
			}
		}
		state, err := a.Observe(t.Context(), compose.Scope{Project: a.name})
		if err != nil {
			t.Fatal(err)
		}
		plan, err := compose.Down(nil, state, compose.DownOptions{})
		if err == nil {
			err = compose.Run(t.Context(), a.Engine, plan, compose.RunOptions{Project: a.name})
		}
		if err != nil {
			t.Fatalf("down = %v, want nil", err)
		}
		if left := a.unused(t); left != "" {
			t.Errorf("after down there are the volumes %s", left)
		}
	})
}
