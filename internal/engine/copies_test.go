package engine

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/mount"
	"github.com/google/go-cmp/cmp"

	"github.com/strake-dev/strake/compose"
)

// TestTranslate_OnAnotherMachine: what is the project's is copied and no mount of the engine's; what is not stays one.
func TestTranslate_OnAnotherMachine(t *testing.T) {
	dir := t.TempDir()
	text := `
name: shop
services:
  web:
    image: nginx
    tmpfs: [/run]
    volumes: [./src:/app, "./one:/app/one:ro", ./one:/run/one, "/srv:/srv", {type: bind, source: ./one, target: /etc/one}, "data:/data"]
    secrets: [s]
volumes: {data: {}}
secrets: {s: {file: ./one}}
`
	if err := os.WriteFile(filepath.Join(dir, "compose.yaml"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	p, err := compose.Load(t.Context(), compose.LoadOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	in := surroundings{name: "shop-web-1", api: "1.51", readFile: os.ReadFile, isFolder: func(c compose.Copy) bool { return strings.HasSuffix(c.Source, "src") }}
	c, err := translate(specOf(p, "web"), in)
	if err != nil {
		t.Fatal(err)
	}
	targets := func(all []compose.Copy) (out []string) {
		for _, one := range all {
			out = append(out, one.Target)
		}
		return out
	}
	got := map[string][]string{"binds": c.host.Binds, "copies": targets(c.copies), "hidden": targets(c.hidden)}
	for _, m := range c.host.Mounts {
		if m.Type != mount.TypeVolume || m.Source != "" || !m.VolumeOptions.NoCopy {
			t.Errorf("mount %+v, want a volume with nothing of the image", m)
		}
		got["mounts"] = append(got["mounts"], m.Target+" "+m.VolumeOptions.Subpath)
	}
	want := map[string][]string{"binds": {"/srv:/srv:rw", "shop_data:/data:rw"}, "copies": {"/app", "/app/one", "/etc/one"}, "hidden": {"/run/one", "/run/secrets/s"},
		"mounts": {"/app ", "/run/one 0", "/run/secrets/s 1"}}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("translate differs (-want +got):\n%s", d)
	}
	in.api = "1.41"
	_, err = translate(specOf(p, "web"), in)
	checkRefused(t, err, "the mount at /run/one of service web cannot be put into a container on another machine: there is a tmpfs at /run", "Docker Engine 26")
	in.isFolder = nil
	if c, err := translate(specOf(p, "web"), in); err != nil || c.hasCopies() || len(c.host.Binds) != 6 {
		t.Errorf("on this machine translate = %v with %d binds, want all 6", err, len(c.host.Binds))
	}
}

func TestPack(t *testing.T) {
	dir := t.TempDir()
	if err := errors.Join(os.MkdirAll(filepath.Join(dir, "src/b"), 0o700), os.WriteFile(filepath.Join(dir, "src/b/c"), []byte("text"), 0o640), os.Symlink("b/c", filepath.Join(dir, "src/l"))); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	err := pack(t.Context(), &b, []compose.Copy{{Source: filepath.Join(dir, "src"), Target: "/app"}, {Source: filepath.Join(dir, "src/l"), Target: "/etc/x"}, {Source: filepath.Join(dir, "none"), Target: "/no", Create: true}})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for r := tar.NewReader(&b); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		text, readErr := io.ReadAll(r)
		if err := errors.Join(err, readErr); err != nil {
			t.Fatal(err)
		}
		got = append(got, strings.TrimRight(strings.Join([]string{h.FileInfo().Mode().String(), h.Name, h.Linkname, string(text)}, " "), " "))
	}
	if d := cmp.Diff([]string{"drwx------ app/", "drwx------ app/b/", "-rw-r----- app/b/c  text", "Lrwxrwxrwx app/l b/c", "-rw-r----- etc/x  text"}, got); d != "" {
		t.Errorf("pack differs (-want +got):\n%s", d)
	}
	if err := packContent(io.Discard, filepath.Join(dir, "src/b/c"), 5); err == nil || !strings.Contains(err.Error(), "became shorter") {
		t.Errorf("packContent of more than there is = %v, want an error that says so", err)
	}
}
