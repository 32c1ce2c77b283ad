package compose_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/strake-dev/strake/compose"
)

// site is a project in a folder: files by path, and service web built in it.
type site struct {
	t     *testing.T
	dir   string
	cache string
	now   time.Time
	p     *compose.Project
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir(), now: time.Now()}
	s.write("Dockerfile", "FROM base\nCOPY . /\n")
	s.write("app/main.go", "package main")
	s.write("app/run.sh", "#!/bin/sh")
	s.write("notes.md", "notes")
	s.p = &compose.Project{Project: &types.Project{Name: "p", WorkingDir: s.dir, Environment: types.Mapping{"FROM_ENV": "1"},
		Services: types.Services{"web": built("web", &types.BuildConfig{Context: s.dir, Dockerfile: "Dockerfile"})}}}
	return s
}

func (s *site) path(name string) string { return filepath.Join(s.dir, filepath.FromSlash(name)) }

func (s *site) write(name, text string) {
	s.t.Helper()
	if err := os.MkdirAll(filepath.Dir(s.path(name)), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(s.path(name), []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// later puts the clock forward by an hour, so that the cache trusts what was written: the time of a change itself
// cannot be put back.
func (s *site) later() { s.now = s.now.Add(time.Hour) }

func (s *site) build() *types.BuildConfig { return s.p.Services["web"].Build }

func (s *site) digest() string {
	s.t.Helper()
	got, err := compose.Inputs(s.t.Context(), s.p, []string{"web"}, compose.InputOptions{CacheDir: s.cache, Now: func() time.Time { return s.now }})
	if err != nil {
		s.t.Fatal(err)
	}
	return got["web"]
}

// built is a service that is built.
func built(name string, b *types.BuildConfig) types.ServiceConfig {
	return types.ServiceConfig{Name: name, WorkloadSpec: types.WorkloadSpec{Build: b}}
}

func str(s string) *string { return &s }

func TestInputs_WhatCounts(t *testing.T) {
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name    string
		prepare func(*site)
		change  func(*site)
		counts  bool
	}{
		{"nothing", nil, func(s *site) {}, false},
		{"content of a file", nil, func(s *site) { s.write("app/main.go", "package other") }, true},
		{"new file", nil, func(s *site) { s.write("app/new", "") }, true},
		{"removed file", nil, func(s *site) { ok(os.Remove(s.path("notes.md"))) }, true},
		{"renamed file", nil, func(s *site) { ok(os.Rename(s.path("notes.md"), s.path("note.md"))) }, true},
		{"new empty folder", nil, func(s *site) { ok(os.Mkdir(s.path("empty"), 0o755)) }, true},
		{"times of a file", nil, func(s *site) { ok(os.Chtimes(s.path("notes.md"), time.Unix(1, 0), time.Unix(1, 0))) }, false},
		{"rights that git does not keep", nil, func(s *site) { ok(os.Chmod(s.path("notes.md"), 0o600)) }, false},
		{"Dockerfile", nil, func(s *site) { s.write("Dockerfile", "FROM base\n") }, true},
		{"ignored file", func(s *site) { s.write(".dockerignore", "*.md\n") }, func(s *site) { s.write("notes.md", "other") }, false},
		{"ignored folder", func(s *site) { s.write(".dockerignore", "app\n") }, func(s *site) { s.write("app/more/deep", "x") }, false},
		{"file taken back by !", func(s *site) { s.write(".dockerignore", "app\n!app/run.sh\n") }, func(s *site) { s.write("app/run.sh", "other") }, true},
		{"file taken back by a wildcard", func(s *site) { s.write(".dockerignore", "app\n!**/*.sh\n") }, func(s *site) { s.write("app/run.sh", "other") }, true},
		{"beside a file taken back", func(s *site) { s.write(".dockerignore", "app\n!app/run.sh\n") }, func(s *site) { s.write("app/main.go", "other") }, false},
		{"ignored by the Dockerfile's own file", func(s *site) { s.write("Dockerfile.dockerignore", "*.md\n"); s.write(".dockerignore", "app\n") }, func(s *site) { s.write("notes.md", "other") }, false},
		{"ignored by the other file only", func(s *site) { s.write("Dockerfile.dockerignore", "*.md\n"); s.write(".dockerignore", "app\n") }, func(s *site) { s.write("app/main.go", "other") }, true},
		{"Dockerfile, ignored in the context", func(s *site) { s.write(".dockerignore", "Dockerfile\n") }, func(s *site) { s.write("Dockerfile", "FROM base\n") }, true},
		{"inline Dockerfile", func(s *site) { s.build().DockerfileInline = "FROM base" }, func(s *site) { s.build().DockerfileInline = "FROM other" }, true},
		{"argument", nil, func(s *site) { s.build().Args = types.MappingWithEquals{"A": str("1")} }, true},
		{"argument of the environment", func(s *site) { s.build().Args = types.MappingWithEquals{"FROM_ENV": nil} }, func(s *site) { s.p.Environment = types.Mapping{"FROM_ENV": "2"} }, true},
		{"environment that no argument names", nil, func(s *site) { s.p.Environment = types.Mapping{"FROM_ENV": "2"} }, false},
		{"where cache mounts are kept", nil, func(s *site) { s.build().Args = types.MappingWithEquals{"BUILDKIT_CACHE_MOUNT_NS": str("shop-pr-42")} }, false},
		{"target", nil, func(s *site) { s.build().Target = "final" }, true},
		{"platforms", nil, func(s *site) { s.build().Platforms = types.StringList{"linux/arm64"} }, true},
		{"labels", nil, func(s *site) { s.build().Labels = types.Labels{"a": "b"} }, true},
		{"network", nil, func(s *site) { s.build().Network = "none" }, true},
		{"tags", nil, func(s *site) { s.build().Tags = types.StringList{"a:b"} }, false},
		{"no_cache", nil, func(s *site) { s.build().NoCache = true }, false},
		{"secret", nil, func(s *site) { s.build().Secrets = []types.ServiceSecretConfig{{Source: "token"}} }, true},
		{"content of a secret", func(s *site) { s.build().Secrets = []types.ServiceSecretConfig{{Source: "token"}}; s.secret("one") }, func(s *site) { s.secret("two") }, false},
		{"additional folder", func(s *site) { s.additional() }, func(s *site) { s.more("lib", "other") }, true},
		{"ignored in an additional folder", func(s *site) { s.more(".dockerignore", "lib"); s.additional() }, func(s *site) { s.more("lib", "other") }, false},
		{"additional image", func(s *site) { s.build().AdditionalContexts = types.Mapping{"x": "docker-image://a:1"} }, func(s *site) { s.build().AdditionalContexts = types.Mapping{"x": "docker-image://a:2"} }, true},
		{"build of an additional service", func(s *site) { s.lib("one") }, func(s *site) { s.lib("two") }, true},
		{"remote context", func(s *site) { s.build().Context = "https://example.com/a.git" }, func(s *site) { s.build().Context = "https://example.com/a.git#v2" }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			if c.prepare != nil {
				c.prepare(s)
			}
			before := s.digest()
			c.change(s)
			if after := s.digest(); (after != before) != c.counts {
				t.Errorf("digest changed = %t, want %t", after != before, c.counts)
			}
		})
	}
}

// more writes a file of a folder outside the context.
func (s *site) more(name, text string) { s.write("../"+filepath.Base(s.dir)+"-more/"+name, text) }

func (s *site) additional() {
	s.more("lib", "lib")
	s.build().AdditionalContexts = types.Mapping{"more": s.path("../" + filepath.Base(s.dir) + "-more")}
}

func (s *site) secret(content string) {
	s.p.Secrets = types.Secrets{"token": {Content: content}}
}

// lib is another service that web's build names.
func (s *site) lib(arg string) {
	s.p.Services["lib"] = built("lib", &types.BuildConfig{Context: s.path("app"), DockerfileInline: "FROM base", Args: types.MappingWithEquals{"A": &arg}})
	s.build().AdditionalContexts = types.Mapping{"lib": "service:lib"}
}

func TestInputs_CountsLinksAndExecutables(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Log("this system has no executable bit")
		return
	}
	s := newSite(t)
	before := s.digest()
	if err := os.Chmod(s.path("app/run.sh"), 0o755); err != nil {
		t.Fatal(err)
	}
	executable := s.digest()
	if err := os.Symlink("main.go", s.path("app/link")); err != nil {
		t.Fatal(err)
	}
	linked := s.digest()
	if err := errors.Join(os.Remove(s.path("app/link")), os.Symlink("run.sh", s.path("app/link"))); err != nil {
		t.Fatal(err)
	}
	all := []string{before, executable, linked, s.digest()}
	slices.Sort(all)
	if n := len(slices.Compact(all)); n != 4 {
		t.Errorf("4 trees have %d digests", n)
	}
}

func TestInputs_CacheTrustsOnlyWhatIsOld(t *testing.T) {
	s := newSite(t)
	s.cache = t.TempDir()
	s.digest()
	if entries := s.cached(); entries != 0 {
		t.Fatalf("%d files that were just written are in the cache, want 0", entries)
	}
	s.later()
	want := s.digest()
	if s.cached() == 0 {
		t.Fatal("files that are an hour old are not in the cache")
	}
	if got := s.digest(); got != want {
		t.Errorf("digest from the cache = %s, want %s", got, want)
	}
	s.write("app/main.go", "package inma")
	changed := s.digest()
	if changed == want {
		t.Error("a changed file of the same size kept its cached hash")
	}
	if err := os.RemoveAll(s.cache); err != nil {
		t.Fatal(err)
	}
	if got := s.digest(); got != changed {
		t.Errorf("digest without cache = %s, with = %s", got, changed)
	}
}

func TestFileDigest_IsKeptBesideWhatBuildsAndGlobsRead(t *testing.T) {
	s := newSite(t)
	s.cache = t.TempDir()
	s.later()
	o := compose.InputOptions{CacheDir: s.cache, Now: func() time.Time { return s.now }}
	ask := func() (got [3]string) {
		t.Helper()
		var errs [3]error
		got[0], errs[0] = compose.FileDigest(t.Context(), s.p, s.path("notes.md"), o)
		got[1], errs[1] = compose.FilesDigest(t.Context(), s.p, "web", []string{"app/*.go"}, o)
		got[2], errs[2] = compose.FilesDigest(t.Context(), s.p, "web", []string{"app/*.sh"}, o)
		if err := errors.Join(errs[:]...); err != nil {
			t.Fatal(err)
		}
		return got
	}
	want := ask()
	kept := s.cached()
	if again := ask(); again != want || s.cached() != kept || kept < 3*32 {
		t.Errorf("digests = %v with %d bytes of cache, want %v and %d", again, s.cached(), want, kept)
	}
	s.write("notes.md", "other")
	if got := ask(); got[0] == want[0] || got[1] != want[1] {
		t.Errorf("digests after a change of notes.md = %v, were %v", got, want)
	}
	// Three files that nothing reads again: what one asks for does not drop what another asked for.
	files, err := os.ReadDir(s.cache)
	if err != nil || len(files) != 3 {
		t.Errorf("the cache has %d files, %v, want 3", len(files), err)
	}
}

// TestFileDigest_RefusesWhatNeverEnds, as a device does.
func TestFileDigest_RefusesWhatNeverEnds(t *testing.T) {
	if _, err := compose.FileDigest(t.Context(), newSite(t).p, os.DevNull, compose.InputOptions{}); err == nil || !strings.Contains(err.Error(), "is no file") {
		t.Errorf("FileDigest(%s) = %v, want that it is no file", os.DevNull, err)
	}
}

// cached is the size of the cache's files.
func (s *site) cached() (size int64) {
	s.t.Helper()
	err := filepath.WalkDir(s.cache, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			size += info.Size()
		}
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return size
}

func TestInputs_ReadsOnBesideABrokenCache(t *testing.T) {
	s := newSite(t)
	s.cache = t.TempDir()
	s.later()
	want := s.digest()
	files, err := filepath.Glob(filepath.Join(s.cache, "*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("cache has files %v, want one (%v)", files, err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, broken := range [][]byte{nil, text[:len(text)/2], append(slices.Clone(text[:40]), make([]byte, 60)...), []byte("strake file hashes 1\n\xff\xff\xff\xff\xff")} {
		if err := os.WriteFile(files[0], broken, 0o600); err != nil {
			t.Fatal(err)
		}
		if got := s.digest(); got != want {
			t.Errorf("digest beside a broken cache = %s, want %s", got, want)
		}
	}
}

func TestInputs_SaysWhatIsMissing(t *testing.T) {
	for _, c := range []struct {
		name       string
		change     func(*site)
		text, hint string
	}{
		{"context", func(s *site) { s.build().Context = s.path("ap") }, "build context of service web: there is no folder DIR/ap", "correct build.context of service web; did you mean DIR/app?"},
		{"context is a file", func(s *site) { s.build().Context = s.path("notes.md") }, "build context of service web: DIR/notes.md is not a folder", "give build.context the folder, and the file's name in build.dockerfile"},
		{"Dockerfile", func(s *site) { s.write("Dockerfile.dev", ""); s.build().Dockerfile = "Dockerfile.prod" }, "dockerfile of service web: there is no file DIR/Dockerfile.prod", "correct build.dockerfile of service web; did you mean DIR/Dockerfile"},
		{"Dockerfile that never ends", func(s *site) { s.build().Dockerfile = "/dev/zero" }, "dockerfile of service web: read /dev/zero: it is no regular file", "make /dev/zero a file that you can read"},
		{"additional context", func(s *site) { s.build().AdditionalContexts = types.Mapping{"x": s.path("zzzzzzzz")} }, "build context of service web: there is no folder DIR/zzzzzzzz", "correct build.context of service web"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			c.change(s)
			_, err := compose.Inputs(t.Context(), s.p, nil, compose.InputOptions{})
			var hinted compose.Hinted
			if !errors.As(err, &hinted) {
				t.Fatalf("Inputs = %v, want a hinted error", err)
			}
			clean := func(text string) string { return filepath.ToSlash(strings.ReplaceAll(text, s.dir, "DIR")) }
			if got := clean(err.Error()); got != c.text {
				t.Errorf("error = %q, want %q", got, c.text)
			}
			if got := clean(hinted.Hint()); !strings.HasPrefix(got, c.hint) {
				t.Errorf("hint = %q, want %q", got, c.hint)
			}
		})
	}
}

func TestInputs_RefusesACycle(t *testing.T) {
	s := newSite(t)
	s.lib("one")
	s.p.Services["lib"].Build.AdditionalContexts = types.Mapping{"web": "service:web"}
	_, err := compose.Inputs(t.Context(), s.p, []string{"web"}, compose.InputOptions{})
	if err == nil || !strings.Contains(err.Error(), "web → lib → web") {
		t.Errorf("Inputs = %v, want the cycle", err)
	}
}

// BenchmarkInputs_Warm reads a context of 100,000 files of which every hash is known.
func BenchmarkInputs_Warm(b *testing.B) {
	dir, cache := b.TempDir(), b.TempDir()
	for i := range 1000 {
		sub := filepath.Join(dir, fmt.Sprint("d", i))
		if err := os.Mkdir(sub, 0o755); err != nil {
			b.Fatal(err)
		}
		for j := range 100 {
			if err := os.WriteFile(filepath.Join(sub, fmt.Sprint("file", j)), []byte{byte(i), byte(j)}, 0o644); err != nil {
				b.Fatal(err)
			}
		}
	}
	p := &compose.Project{Project: &types.Project{Name: "p", WorkingDir: dir, Services: types.Services{"web": built("web", &types.BuildConfig{Context: dir, DockerfileInline: "FROM scratch"})}}}
	o := compose.InputOptions{CacheDir: cache, Now: func() time.Time { return time.Now().Add(time.Hour) }}
	if _, err := compose.Inputs(b.Context(), p, nil, o); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := compose.Inputs(b.Context(), p, nil, o); err != nil {
			b.Fatal(err)
		}
	}
}
