package compose_test

import (
	"archive/tar"
	"errors"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strake-dev/strake/compose"
)

func TestIsOwn(t *testing.T) {
	p := project(t, "services: {web: {image: nginx}}") // in /src
	for path, want := range map[string]bool{"/src": true, "/src/": true, "/src/a": true, "a": true, "./a/../b": true, "/srcs": false, "../a": false, "/src/../etc": false, "/": false, "/var/run/docker.sock": false} {
		if got := p.IsOwn(path); got != want {
			t.Errorf("IsOwn(%s) = %v, want %v", path, got, want)
		}
	}
	if (&compose.Project{Project: p.Project}).IsOwn("/etc") {
		t.Error("IsOwn(/etc) = true, want false")
	}
	root := t.TempDir()
	writeFile(t, filepath.Join(root, "sub/compose.yaml"), []byte("name: x\nservices: {web: {image: nginx, volumes: ['../shared:/s', './own:/o', '../../else:/e']}}"))
	for confined, want := range map[string][]string{root: {"/o", "/s"}, "": {"/o"}} {
		p, err := compose.Load(t.Context(), compose.LoadOptions{Dir: filepath.Join(root, "sub"), Root: confined})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, c := range compose.ScopeOf(p.Copy(), nil).Copies["web"] {
			got = append(got, c.Target)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("the copies of a project with the root %q differ (-want +got):\n%s", confined, d)
		}
	}
}

// copied reads what one copy of a folder holds.
func copied(t *testing.T, c compose.Copy, cache string) compose.Copied {
	t.Helper()
	all, err := compose.ReadCopies(t.Context(), compose.Scope{Project: "shop", Copies: map[string][]compose.Copy{"web": {c}}},
		compose.InputOptions{CacheDir: cache, Now: func() time.Time { return time.Now().Add(time.Minute) }})
	if err != nil {
		t.Fatal(err)
	}
	return all["web"]
}

func TestReadCopies_WhatCounts(t *testing.T) {
	dir, cache := t.TempDir(), t.TempDir()
	file := filepath.Join(dir, "src/a")
	writeFile(t, file, []byte("one"))
	writeFile(t, filepath.Join(dir, "src/.dockerignore"), []byte("**"))
	if err := os.Symlink("a", filepath.Join(dir, "src/l")); err != nil {
		t.Fatal(err)
	}
	c := compose.Copy{What: "the mount", Source: filepath.Join(dir, "src"), Target: "/app"}
	was := copied(t, c, cache)
	if was.Problem != nil || was.Digest == "" || len(was.Files) > 0 {
		t.Fatalf("ReadCopies = %+v, want a folder's digest", was)
	}
	for _, step := range []struct {
		what   string
		change func() error
		counts bool
	}{
		{"nothing", func() error { return nil }, false},
		{"a time", func() error { return os.Chtimes(file, time.Unix(1, 0), time.Unix(1, 0)) }, false},
		{"content", func() error { return os.WriteFile(file, []byte("two"), 0o644) }, true},
		{"a mode", func() error { return os.Chmod(file, 0o600) }, true},
		{"the folder's mode", func() error { return os.Chmod(filepath.Join(dir, "src"), 0o700) }, true},
		{"a link", func() error {
			return errors.Join(os.Remove(filepath.Join(dir, "src/l")), os.Symlink("b", filepath.Join(dir, "src/l")))
		}, true},
		{"an ignored file", func() error { return os.WriteFile(filepath.Join(dir, "src/more"), nil, 0o644) }, true},
		{"an empty folder", func() error { return os.Mkdir(filepath.Join(dir, "src/empty"), 0o755) }, true},
	} {
		if err := step.change(); err != nil {
			t.Fatal(err)
		}
		now := copied(t, c, cache)
		if now.Problem != nil || (now.Digest != was.Digest) != step.counts {
			t.Errorf("after %s changed the digest is %s, was %s (%v), want another one: %v", step.what, now.Digest, was.Digest, now.Problem, step.counts)
		}
		if plain := copied(t, c, ""); plain.Digest != now.Digest {
			t.Errorf("after %s changed the digest is %s with a cache and %s without", step.what, now.Digest, plain.Digest)
		}
		was = now
	}
	one := copied(t, compose.Copy{Source: file, Target: "/etc/a"}, cache)
	if d := cmp.Diff([]string{"/etc/a"}, one.Files); d != "" || one.Problem != nil {
		t.Errorf("Files of a file differ (-want +got):\n%s%v", d, one.Problem)
	}
}

func TestWalkCopy(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "real/b/c"), []byte("x"))
	writeFile(t, filepath.Join(dir, "real/a"), []byte("x"))
	if err := errors.Join(os.Symlink("real", filepath.Join(dir, "link")), os.Symlink("../a", filepath.Join(dir, "real/b/l"))); err != nil {
		t.Fatal(err)
	}
	var got []string
	walk := func(c compose.Copy) error {
		return compose.WalkCopy(t.Context(), c, func(_ string, _ fs.FileInfo, h *tar.Header) error {
			got = append(got, h.Name+">"+h.Linkname)
			return nil
		})
	}
	if err := walk(compose.Copy{What: "it", Source: filepath.Join(dir, "link")}); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{">", "a>", "b>", "b/c>", "b/l>../a"}, got); d != "" {
		t.Errorf("WalkCopy differs (-want +got):\n%s", d)
	}
	got = nil
	if err := walk(compose.Copy{What: "it", Source: filepath.Join(dir, "none"), Create: true}); err != nil || got != nil {
		t.Errorf("WalkCopy of what is made = %v with %q, want nothing", err, got)
	}
	l, err := net.Listen("unix", filepath.Join(dir, "real/s.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() // nothing was written
	for source, want := range map[string]string{"rael": "it: there is no " + filepath.Join(dir, "rael"), "real": filepath.Join(dir, "real/s.sock") + " is a socket"} {
		err := walk(compose.Copy{What: "it", Source: filepath.Join(dir, source)})
		var h compose.Hinted
		if err == nil || !strings.Contains(err.Error(), want) || !errors.As(err, &h) || h.Hint() == "" {
			t.Errorf("WalkCopy(%s) = %v, want %s with a hint", source, err, want)
		}
	}
}

func TestHides(t *testing.T) {
	p := project(t, `
services:
  web: {image: nginx, tmpfs: ["/run:size=1m"], volumes: ["vol:/data", "vol:/ro:ro", "/srv:/srv", "./src:/app", "./x:/srv/own", {type: tmpfs, target: /app/tmp}]}
  shut: {image: nginx, read_only: true, volumes: ["vol:/data", "./src:/app"]}
volumes: {vol: {}}
`)
	for _, c := range []struct{ service, target, want string }{
		{"web", "/etc/x", ""}, {"web", "/runs", ""}, {"web", "/data/x", ""}, {"web", "/app/x", ""}, {"web", "/srv/own/x", ""},
		{"web", "/run/x", "there is a tmpfs at /run"}, {"web", "/app/tmp/x", "there is a tmpfs at /app/tmp"},
		{"web", "/ro/x", "what is mounted at /ro is read-only"}, {"web", "/srv/x", "there is a folder of that machine at /srv, into which it would be written"},
		{"shut", "/etc/x", "the root file system is read-only"}, {"shut", "/data/x", ""}, {"shut", "/app/x", ""},
	} {
		if got := compose.Hides(p, p.Services[c.service], c.target); got != c.want {
			t.Errorf("Hides(%s, %s) = %q, want %q", c.service, c.target, got, c.want)
		}
	}
}

// TestDiff_AFileThatWouldNotBeSeen: an engine that cannot mount it out of a volume is refused, before anything is planned.
func TestDiff_AFileThatWouldNotBeSeen(t *testing.T) {
	p := project(t, "services: {web: {image: nginx, tmpfs: [/run], volumes: [./c.conf:/run/c.conf]}}")
	for api, want := range map[string]string{
		"1.41": "service web: the file for /run/c.conf cannot be put into a container on another machine: there is a tmpfs at /run", "1.45": "",
	} {
		got := ""
		have := compose.State{Engine: compose.Engine{Remote: true, APIVersion: api}, Images: images("nginx"), Copies: map[string]compose.Copied{"web": {Digest: "d", Files: []string{"/run/c.conf"}}}}
		if _, err := compose.Diff(p, have, compose.DiffOptions{}); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("Diff with API %s = %q, want %q", api, got, want)
		}
	}
}

// TestDiff_AnUnfinishedCreate: what a create left that was cut off goes, also where the service has a container.
func TestDiff_AnUnfinishedCreate(t *testing.T) {
	p := project(t, "services: {web: {image: nginx}}")
	labels := map[string]string{compose.LabelProject: "shop", compose.LabelService: "web", compose.LabelNumber: "1"}
	left := compose.Container{ID: strings.Repeat("ab", 32), Name: compose.UnfinishedName("shop-web-1"), Status: compose.Created, Labels: labels}
	other := left
	other.Labels = maps.Clone(labels)
	other.Labels[compose.LabelProject] = "other"
	plan, err := compose.Diff(p, compose.State{Images: images("nginx"), Containers: []compose.Container{left, other}}, compose.DiffOptions{})
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(plan, func(s compose.Step) bool { return s.Op == compose.RemoveContainer && s.Target == left.ID })
	create := slices.IndexFunc(plan, func(s compose.Step) bool { return s.Op == compose.CreateContainer && s.Name == "shop-web-1" })
	if at < 0 || create < 0 || !slices.Contains(plan[create].After, at) || strings.Count(plan.String(), "remove ") != 1 {
		t.Errorf("Diff =\n%swant web created after what was left is removed", plan)
	}
}
