//go:build lab

package main_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strake-dev/strake/fixtures/lab"
)

// carried is a stack of an image, a build, and data of a seed.
const carried = `
services:
  store:
    image: strake-lab/volume:1
    command: [sh, -c, "mkdir -p /data; test -e /data/rows || echo first > /data/rows; exec probe wait"]
    volumes: ["rows:/data"]
    healthcheck: {test: [CMD, test, -e, /data/rows], interval: 1m}
    x-strake: {seed: {with: [fill]}}
  pinned:
    image: PINNED
    command: probe wait
  web:
    build: .
    command: probe serve :8000 page
    healthcheck: {test: [CMD, probe, get, "http://127.0.0.1:8000/"], interval: 1m}
  fill:
    image: strake-lab/busybox:1
    command: [sh, -c, "echo carried >> /data/rows"]
    volumes: ["rows:/data"]
    depends_on: [store]
    x-strake: {once: true}
volumes: {rows: {}}
`

// TestBundle_RunsOnAnEngineWithoutAnyNetwork: what is saved on each engine starts on one that has no images and no network, of the other image store.
func TestBundle_RunsOnAnEngineWithoutAnyNetwork(t *testing.T) {
	lab.Each(t, func(t *testing.T, e lab.Engine) {
		env := []string{"STRAKE_CACHE_DIR=" + t.TempDir()}
		tagged := lab.Registry(t) + "/" + lab.Name(t) + "/pinned:1"
		lab.Docker(t, e, "tag", "strake-lab/volume:1", tagged)
		lab.Docker(t, e, "push", "-q", tagged)
		pinned := lab.Docker(t, e, "image", "inspect", "-f", "{{range .RepoDigests}}{{println .}}{{end}}", tagged)
		for line := range strings.Lines(pinned) {
			if strings.Contains(tagged, strings.Split(line, "@")[0]) {
				pinned = strings.TrimSpace(line)
			}
		}
		here := newStack(t, e, strings.Replace(carried, "PINNED", pinned, 1))
		if err := os.WriteFile(filepath.Join(here.dir, "Dockerfile"), []byte("FROM "+pinned+"\nENV BUILT=yes\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		must := func(s stack, args ...string) string {
			t.Helper()
			out, code := s.strake(t, env, args...)
			if code != 0 {
				t.Fatalf("strake %s: exit %d\n%s", strings.Join(args, " "), code, out)
			}
			return out
		}
		if out, code := here.strake(t, env, "bundle", "save"); code != 1 || !strings.Contains(out, "strake build") {
			t.Errorf("bundle save before anything is built: exit %d, want 1 and what builds it\n%s", code, out)
		}
		must(here, "build")
		must(here, "seed", "build")
		file := filepath.Join(t.TempDir(), "stack.tar.zst")
		must(here, "bundle", "save", file)
		there := here
		there.Engine = lab.Private(t, lab.PrivateOptions{Alone: true, Containerd: e.Name != "28.5-containerd"})
		there.refusesSpoilt(t, env, file)
		must(there, "bundle", "load", file)
		must(there, "up", "--seed", "--offline")
		if rows := lab.Docker(t, there.Engine, "exec", there.name+"-store-1", "cat", "/data/rows"); !strings.Contains(rows, "carried") {
			t.Errorf("the store has %q, want the seed's rows", rows)
		}
		if err := os.WriteFile(filepath.Join(there.dir, "Dockerfile"), []byte("FROM "+pinned+"\nENV BUILT=there\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		must(there, "up", "--seed", "--offline") // it is built of the base that the bundle brought
		if built := lab.Docker(t, there.Engine, "exec", there.name+"-web-1", "sh", "-c", "echo $BUILT"); strings.TrimSpace(built) != "there" {
			t.Errorf("after the Dockerfile changed web was built %q, want there", built)
		}
		var about struct {
			Images []struct{ Ref, For, Config, Content string }
		}
		if err := json.Unmarshal([]byte(must(there, "bundle", "show", file, "--json")), &about); err != nil || len(about.Images) < 5 {
			t.Fatalf("bundle show --json = %+v, %v, want the images", about, err)
		}
		for _, one := range about.Images {
			if one.For == "strake itself" { // it is made of this program, and need not be there to be saved
				continue
			}
			layers := func(e lab.Engine) string {
				ref := one.Ref
				if e.Name == there.Engine.Name && ref == pinned {
					ref = strings.Replace(ref, "@sha256:", ":strake-sha256-", 1) // an engine forgets the digest
				}
				return lab.Docker(t, e, "image", "inspect", "-f", "{{.RootFS.Layers}} {{.Config.Env}} {{.Config.Cmd}}", ref)
			}
			if one.For == "service web" { // built again
				continue
			}
			if a, b := layers(e), layers(there.Engine); a != b {
				t.Errorf("image %s is %s there and %s here", one.Ref, b, a)
			}
			if e.Name != "28.5-containerd" { // it knows images by another digest
				if id := lab.Docker(t, e, "image", "inspect", "-f", "{{.Id}}", one.Ref); id != one.Config {
					t.Errorf("bundle show says %s of %s, the engine %s", one.Config, one.Ref, id)
				}
			}
		}
	})
}

// refusesSpoilt spoils a bundle in several ways: nothing of it is loaded.
func (s stack) refusesSpoilt(t *testing.T, env []string, file string) {
	t.Helper()
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	flipped := append([]byte{}, whole...)
	flipped[len(flipped)/2] ^= 1
	for name, text := range map[string][]byte{"flipped": flipped, "cut": whole[:len(whole)*2/3], "empty": nil, "text": []byte("hello")} {
		spoilt := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(spoilt, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if out, code := s.strake(t, env, "bundle", "load", spoilt); code != 1 || !strings.Contains(out, "nothing was loaded") {
			t.Errorf("bundle load of one that is %s: exit %d, want 1\n%s", name, code, out)
		}
	}
	if there := lab.Docker(t, s.Engine, "images", "-aq"); there != "" {
		t.Errorf("after spoilt bundles the engine has %q, want nothing", there)
	}
}

// TestBundle_IsForThePlatformsThatAreNamed: an engine that keeps images in containerd has some for several. One with a graph driver does not, and is
// told what is missing.
func TestBundle_IsForThePlatformsThatAreNamed(t *testing.T) {
	lab.Each(t, func(t *testing.T, e lab.Engine) {
		text, err := os.ReadFile(lab.Program(t))
		if err != nil {
			t.Fatal(err)
		}
		const machine, aarch64 = 18, 0xb7 // Source: ELF, e_machine
		text[machine] = aarch64
		program := filepath.Join(t.TempDir(), "strake-linux-arm64")
		if err := os.WriteFile(program, text, 0o755); err != nil {
			t.Fatal(err)
		}
		platforms := "platforms: [linux/amd64, linux/arm64]"
		if e.Name != "28.5-containerd" {
			platforms = ""
		}
		here := newStack(t, e, `
services:
  web:
    build: {context: ., `+platforms+`}
    command: [/page]
`)
		for name, text := range map[string]string{"Dockerfile": "FROM scratch\nCOPY page /page\n", "page": "here\n"} {
			if err := os.WriteFile(filepath.Join(here.dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		env := []string{"STRAKE_CACHE_DIR=" + t.TempDir()}
		must := func(s stack, args ...string) string {
			t.Helper()
			out, code := s.strake(t, env, args...)
			if code != 0 {
				t.Fatalf("strake %s: exit %d\n%s", strings.Join(args, " "), code, out)
			}
			return out
		}
		must(here, "build")
		file := filepath.Join(t.TempDir(), "stack.tar.zst")
		save := []string{"bundle", "save", file, "--platform", "linux/amd64", "--platform", "linux/arm64/v8"}
		if platforms == "" {
			for _, arg := range []string{"no-program", program} {
				if out, code := here.strake(t, append(env, "STRAKE_PROGRAM="+arg), save...); code != 1 || !strings.Contains(out, "is not here for linux/arm64") || !strings.Contains(out, "containerd") {
					t.Errorf("bundle save for a platform that the engine has not: exit %d, want 1 and what has it\n%s", code, out)
				}
			}
			return
		}
		if out, code := here.strake(t, env, save...); code != 1 || !strings.Contains(out, "there is no strake for linux/arm64") {
			t.Errorf("bundle save without that program: exit %d, want 1\n%s", code, out)
		}
		env = append(env, "STRAKE_PROGRAM="+program)
		must(here, save...)
		var about struct {
			Platforms []string
			Images    []struct{ Ref, Platform, For, Config string }
		}
		if err := json.Unmarshal([]byte(must(here, "bundle", "show", file, "--json")), &about); err != nil {
			t.Fatal(err)
		}
		seen := map[string]string{}
		for _, one := range about.Images {
			seen[one.For+" "+one.Platform] = one.Config
		}
		if len(about.Images) != 4 || len(seen) != 4 || seen["service web linux/amd64"] == seen["service web linux/arm64"] || seen["strake itself linux/arm64"] == "" {
			t.Errorf("bundle show --json = %+v, want the service and strake for both platforms", about)
		}
		there := here
		there.Engine = lab.Private(t, lab.PrivateOptions{Alone: true})
		must(there, "bundle", "load", file)
		if got := lab.Docker(t, there.Engine, "image", "inspect", "-f", "{{.Architecture}} {{.Id}}", here.name+"-web"); got != "amd64 "+seen["service web linux/amd64"] {
			t.Errorf("the engine loaded %s, want %s for amd64", got, seen["service web linux/amd64"])
		}
		must(here, "bundle", "save", file, "--platform", "linux/arm64")
		if out, code := there.strake(t, env, "bundle", "load", file); code != 1 || !strings.Contains(out, "--platform linux/amd64") {
			t.Errorf("bundle load of one for another platform: exit %d, want 1\n%s", code, out)
		}
	})
}
