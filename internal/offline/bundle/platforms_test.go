package bundle_test

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strake-dev/strake/internal/offline/bundle"
)

// TestWrite_CarriesEachPlatform: an engine that keeps images in containerd saves an index of those that it has.
func TestWrite_CarriesEachPlatform(t *testing.T) {
	manifest := func(config, layer string) string {
		return fmt.Sprintf(`{"schemaVersion":2,"config":{"digest":"sha256:%s"},"layers":[{"digest":"sha256:%s"}]}`, digest(config), digest(layer))
	}
	here, there := manifest(config, layer), manifest(other, "another layer")
	both := fmt.Sprintf(`{"schemaVersion":2,"manifests":[{"digest":"sha256:%s"},{"digest":"sha256:%s"},{"digest":"sha256:%s"}]}`, digest(here), digest(there), digest("of a platform that is not here"))
	saved := archive(t, blob(layer), blob(config), blob(here), blob("another layer"), blob(other), blob(there), blob(both),
		member{name: "index.json", text: fmt.Sprintf(`{"manifests":[{"digest":"sha256:%s","annotations":{"io.containerd.image.name":"docker.io/library/web:1"}}]}`, digest(both))},
		member{name: "manifest.json", text: fmt.Sprintf(`[{"Config":"blobs/sha256/%s","RepoTags":["web:1"],"Layers":["blobs/sha256/%s"]}]`, digest(config), digest(layer))})
	a := bundle.About{Project: "shop", Platforms: []string{"linux/amd64", "linux/arm64"}, Images: []bundle.Image{{Ref: "web:1", Platform: "linux/amd64"}, {Ref: "web:1", Platform: "linux/arm64"}}}
	var out bytes.Buffer
	if err := bundle.Write(&out, []io.Reader{bytes.NewReader(saved)}, &a, t.TempDir()); err != nil {
		t.Fatalf("Write = %v", err)
	}
	v, err := bundle.Read(bytes.NewReader(out.Bytes()))
	if err != nil {
		t.Fatalf("Read = %v", err)
	}
	for platform, want := range map[string]string{"linux/amd64": config, "linux/arm64": other} {
		r, err := bundle.OpenArchive(bytes.NewReader(out.Bytes()), v, platform)
		if err != nil {
			t.Fatal(err)
		}
		if got := memberOf(t, r, "manifest.json"); !strings.Contains(got, digest(want)) || strings.Count(got, "Config") != 1 {
			t.Errorf("on %s manifest.json is %s, want the image of configuration %s", platform, got, digest(want))
		}
		if images := v.ImagesOn(platform); len(images) != 1 || images[0].Config != "sha256:"+digest(want) {
			t.Errorf("on %s there are %+v, want the one of configuration %s", platform, images, digest(want))
		}
		if err := r.Close(); err != nil {
			t.Errorf("Close = %v", err)
		}
	}
	a.Images = append(a.Images, bundle.Image{Ref: "web:1", Platform: "linux/riscv64"})
	if err := bundle.Write(io.Discard, []io.Reader{bytes.NewReader(saved)}, &a, t.TempDir()); err == nil || !strings.Contains(err.Error(), "web:1 for linux/riscv64") {
		t.Errorf("Write for a platform that was not saved = %v, want an error that names it", err)
	}
}

// memberOf is the text of a member of an archive, which is read to its end.
func memberOf(t *testing.T, r io.Reader, name string) (text string) {
	t.Helper()
	for in := tar.NewReader(r); ; {
		h, err := in.Next()
		if err == io.EOF {
			return text
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Name == name {
			b, err := io.ReadAll(in)
			if err != nil {
				t.Fatal(err)
			}
			text = string(b)
		}
	}
}

// TestProgram_IsEqualWhoeverMakesIt, and goes through a bundle.
func TestProgram_IsEqualWhoeverMakesIt(t *testing.T) {
	file := filepath.Join(t.TempDir(), "strake")
	if err := os.WriteFile(file, bytes.Repeat([]byte("program"), 1000), 0o755); err != nil {
		t.Fatal(err)
	}
	p := bundle.Program{Ref: "strake-program:1", Platform: "linux/arm64", Name: "strake", Labels: map[string]string{"a": "b"}}
	var texts [][]byte
	for range 2 {
		r, err := p.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, text)
	}
	if !bytes.Equal(texts[0], texts[1]) {
		t.Error("two archives of one program differ")
	}
	a := bundle.About{Platforms: []string{"linux/arm64"}, Images: []bundle.Image{{Ref: p.Ref, Platform: p.Platform}}}
	var out bytes.Buffer
	if err := bundle.Write(&out, []io.Reader{bytes.NewReader(texts[0])}, &a, t.TempDir()); err != nil {
		t.Fatalf("Write = %v", err)
	}
	if _, err := bundle.Read(bytes.NewReader(out.Bytes())); err != nil {
		t.Errorf("Read = %v", err)
	}
}
