package offline_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/offline"
)

const other = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

func hereWith(images map[string]compose.Image) compose.State {
	return compose.State{Engine: compose.Engine{OS: "linux", Arch: "amd64"}, Images: images}
}

// pinned is postgres as a registry has it.
func pinned() compose.Image {
	return compose.Image{ID: "sha256:id", Platform: "linux/amd64", Config: "sha256:config", Content: "sha256:content",
		Digests: []string{"ghcr.io/acme/postgres@" + other, "postgres@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}}
}

func TestLock_IsReadBackAndKeepsOtherPlatforms(t *testing.T) {
	dir := t.TempDir()
	if _, err := offline.ReadLock(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("ReadLock without one = %v, want fs.ErrNotExist", err)
	}
	refs := []string{"postgres:16"}
	l, err := offline.Pinned(refs, hereWith(map[string]compose.Image{"postgres:16": pinned()}), nil)
	if err != nil || !strings.HasPrefix(l.Images["postgres:16"].Digest, "sha256:aaaa") {
		t.Fatalf("Pinned = %+v, %v, want the digest of its own repository", l, err)
	}
	l.Images["postgres:16"].Platforms["linux/arm64"] = offline.PinnedOne{Content: "sha256:arm"}
	if err := l.Write(dir); err != nil {
		t.Fatal(err)
	}
	read, err := offline.ReadLock(dir)
	if err != nil || !reflect.DeepEqual(read, l) {
		t.Errorf("ReadLock = %+v, %v, want %+v", read, err, l)
	}
	again, err := offline.Pinned(refs, hereWith(map[string]compose.Image{"postgres:16": pinned()}), read)
	if err != nil || again.Images["postgres:16"].Platforms["linux/arm64"].Content != "sha256:arm" {
		t.Errorf("Pinned of the same image = %+v, %v, want its other platform kept", again, err)
	}
	moved := pinned()
	moved.Digests = []string{"postgres@" + other}
	if again, _ = offline.Pinned(refs, hereWith(map[string]compose.Image{"postgres:16": moved}), read); len(again.Images["postgres:16"].Platforms) != 1 {
		t.Errorf("Pinned of another image = %+v, want only its own platform", again.Images["postgres:16"])
	}
	if _, err := offline.Pinned([]string{"absent:1", "gone:1"}, hereWith(nil), nil); err == nil || !strings.Contains(err.Error(), "absent:1") || !strings.Contains(err.Error(), "gone:1") {
		t.Errorf("Pinned of images that are not here = %v, want both named", err)
	}
	if err := os.WriteFile(filepath.Join(dir, offline.LockFile), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := offline.ReadLock(dir); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("ReadLock of what is none = %v, want an error", err)
	}
}

func TestLock_CheckNamesWhatIsNotPinned(t *testing.T) {
	l, err := offline.Pinned([]string{"postgres:16"}, hereWith(map[string]compose.Image{"postgres:16": pinned()}), nil)
	if err != nil {
		t.Fatal(err)
	}
	changed := func(change func(*compose.Image)) compose.State {
		one := pinned()
		change(&one)
		return hereWith(map[string]compose.Image{"postgres:16": one})
	}
	for _, c := range []struct {
		name string
		have compose.State
		refs []string
		want string
	}{
		{"the same", changed(func(*compose.Image) {}), []string{"postgres:16"}, ""},
		{"loaded, so that its digest is forgotten", changed(func(i *compose.Image) { i.Digests = nil }), []string{"postgres:16"}, ""},
		{"of an engine that does not say its configuration", changed(func(i *compose.Image) { i.Config, i.ID = "", "sha256:manifest" }), []string{"postgres:16"}, ""},
		{"another configuration", changed(func(i *compose.Image) { i.Config = other }), []string{"postgres:16"}, "is pinned"},
		{"other content", changed(func(i *compose.Image) { i.Content = other }), []string{"postgres:16"}, "is pinned"},
		{"another platform", changed(func(i *compose.Image) { i.Platform = "linux/arm64" }), []string{"postgres:16"}, "has none for linux/arm64"},
		{"absent", hereWith(nil), []string{"postgres:16"}, "not here"},
		{"new", changed(func(*compose.Image) {}), []string{"postgres:16", "redis:7"}, "not in strake.lock"},
	} {
		wrong := l.Check(c.refs, c.have)
		if c.want == "" && len(wrong) > 0 || c.want != "" && (len(wrong) != 1 || !strings.Contains(wrong[0].Why, c.want)) {
			t.Errorf("%s: Check = %+v, want %q", c.name, wrong, c.want)
		}
		if c.name == "absent" && (len(wrong) != 1 || !strings.HasPrefix(wrong[0].Exactly, "docker.io/library/postgres@sha256:aaaa")) {
			t.Errorf("Check of an absent image = %+v, want how a registry has it", wrong)
		}
	}
}

func TestReferences_AreThoseThatAreNotBuilt(t *testing.T) {
	p := load(t, `
name: shop
services:
  db: {image: "postgres:16"}
  web: {build: {context: ., dockerfile_inline: "FROM debian:12"}, image: "ghcr.io/acme/web"}
  job: {image: "ghcr.io/acme/web", volumes: [{type: image, source: "data:1", target: /x}]}
  s3: {image: "strake-program:1"}
`)
	p.Settings.Services["s3"] = compose.ServiceSettings{StandIn: true}
	got := offline.References(p, []compose.BuildRef{{ImageRef: compose.ImageRef{Ref: "debian:12"}}})
	if want := []string{"data:1", "debian:12", "postgres:16"}; !slices.Equal(got, want) {
		t.Errorf("References = %q, want %q", got, want)
	}
}
