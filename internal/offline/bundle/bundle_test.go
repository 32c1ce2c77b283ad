package bundle_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/strake-dev/strake/internal/offline/bundle"
)

// member is one of an archive; a name that ends in -> TARGET is a link.
type member struct {
	name string
	text string
	kind byte
}

func archive(t *testing.T, members ...member) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, m := range members {
		h := &tar.Header{Typeflag: m.kind, Name: m.name, Mode: 0o644}
		if m.kind == 0 {
			h.Typeflag, h.Size = tar.TypeReg, int64(len(m.text))
		} else {
			h.Linkname = m.text
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if m.kind == 0 {
			if _, err := io.WriteString(w, m.text); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func blob(text string) member { return member{name: "blobs/sha256/" + digest(text), text: text} }

const (
	layer  = "a layer, as far as an archive is concerned"
	config = `{"os":"linux","architecture":"amd64"}`
	other  = `{"os":"linux","architecture":"arm64"}` // the configuration for another platform
)

// engine20 is what an engine before 25 saves: digests are not known before a layer is read, and one that two images have is a link.
func engine20(t *testing.T) []byte {
	return archive(t, member{name: "aa/layer.tar", text: layer}, member{name: "aa/json", text: "{}"}, member{"bb/layer.tar", "../aa/layer.tar", tar.TypeSymlink},
		member{name: digest(config) + ".json", text: config},
		member{name: "manifest.json", text: fmt.Sprintf(`[{"Config":"%[1]s.json","RepoTags":["web:1"],"Layers":["aa/layer.tar"]},{"Config":"%[1]s.json","RepoTags":["shop/api:2"],"Layers":["bb/layer.tar"]}]`, digest(config))},
		member{name: "repositories", text: "{}"})
}

// engine28 is what later engines save: an OCI layout, with digests.
func engine28(t *testing.T) []byte {
	manifest := fmt.Sprintf(`{"schemaVersion":2,"config":{"digest":"sha256:%s"},"layers":[{"digest":"sha256:%s"}]}`, digest(config), digest(layer))
	return archive(t, member{"blobs/", "", tar.TypeDir}, blob(layer), blob(config), blob(manifest),
		member{name: "index.json", text: fmt.Sprintf(`{"schemaVersion":2,"manifests":[{"digest":"sha256:%s","annotations":{"io.containerd.image.name":"docker.io/library/web:1"}},{"digest":"sha256:%[1]s","annotations":{"io.containerd.image.name":"docker.io/shop/api:2"}}]}`, digest(manifest))},
		member{name: "manifest.json", text: fmt.Sprintf(`[{"Config":"blobs/sha256/%[1]s","RepoTags":["web:1"],"Layers":["blobs/sha256/%[2]s"]},{"Config":"blobs/sha256/%[1]s","RepoTags":["shop/api:2"],"Layers":["blobs/sha256/%[2]s"]}]`, digest(config), digest(layer))},
		member{name: "oci-layout", text: "{}"})
}

func about() bundle.About {
	return bundle.About{Project: "shop", Platforms: []string{"linux/amd64"}, Created: time.Unix(1e9, 0).UTC(),
		Images: []bundle.Image{{Ref: "shop/api:2", For: "service api", Platform: "linux/amd64"}, {Ref: "web:1", For: "service web", Platform: "linux/amd64"}}}
}

func write(t *testing.T, saved ...[]byte) []byte {
	t.Helper()
	var out bytes.Buffer
	var from []io.Reader
	for _, s := range saved {
		from = append(from, bytes.NewReader(s))
	}
	a := about()
	if err := bundle.Write(&out, from, &a, t.TempDir()); err != nil {
		t.Fatalf("Write = %v", err)
	}
	return out.Bytes()
}

func TestWrite_IsReadBackOfEveryEngine(t *testing.T) {
	for name, saved := range map[string][]byte{"20.10": engine20(t), "28.5": engine28(t)} {
		text := write(t, saved)
		got, err := bundle.Read(bytes.NewReader(text))
		if err != nil {
			t.Fatalf("%s: Read of what was written = %v", name, err)
		}
		want := about()
		want.Version = 2
		for i := range want.Images {
			want.Images[i].Config = "sha256:" + digest(config)
		}
		if !reflect.DeepEqual(got.About, want) {
			t.Errorf("%s: Read of what was written = %+v, want %+v", name, got.About, want)
		}
		r, err := bundle.OpenArchive(bytes.NewReader(text), got, "linux/amd64")
		if err != nil {
			t.Fatal(err)
		}
		seen, layers := map[string]bool{}, 0
		for in := tar.NewReader(r); ; {
			h, err := in.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if seen[h.Name] {
				t.Errorf("%s: %s is there twice", name, h.Name)
			}
			seen[h.Name] = true
			if h.Name == "blobs/sha256/"+digest(layer) {
				layers++
			}
		}
		if err := r.Close(); err != nil {
			t.Errorf("%s: Close of the archive = %v", name, err)
		}
		if layers != 1 || !seen["manifest.json"] || !seen["index.json"] || !seen["oci-layout"] {
			t.Errorf("%s: the archive has %v, want an OCI layout that docker load reads too, the layer once", name, seen)
		}
		if !bytes.Equal(text, write(t, saved)) {
			t.Errorf("%s: two bundles of the same images differ", name)
		}
	}
}

// TestRead_RefusesWhatIsNotWhole: wherever a byte is another, or the file ends.
func TestRead_RefusesWhatIsNotWhole(t *testing.T) {
	whole := write(t, engine28(t))
	for i := range whole {
		if _, err := bundle.Read(bytes.NewReader(whole[:i])); err == nil {
			t.Errorf("Read of the first %d of %d bytes = nil, want an error", i, len(whole))
		}
		spoilt := bytes.Clone(whole)
		spoilt[i] ^= 0x10
		if _, err := bundle.Read(bytes.NewReader(spoilt)); err == nil {
			t.Errorf("Read with byte %d of %d spoilt = nil, want an error", i, len(whole))
		}
	}
	if _, err := bundle.Read(bytes.NewReader(append(bytes.Clone(whole), "more"...))); err == nil {
		t.Error("Read with something after the end = nil, want an error")
	}
}

// TestOpenArchive_EndsOnlyWhereItIsTheVerifiedOne: what was written to the file since must not be loaded.
func TestOpenArchive_EndsOnlyWhereItIsTheVerifiedOne(t *testing.T) {
	whole := write(t, engine28(t))
	verified, err := bundle.Read(bytes.NewReader(whole))
	if err != nil {
		t.Fatal(err)
	}
	// members is what is there of an archive for whoever reads it to its end.
	members := func(text io.Reader) (n int, err error) {
		r, err := bundle.OpenArchive(text, verified, "linux/amd64")
		if err != nil {
			return 0, err
		}
		for in := tar.NewReader(r); ; n++ {
			if _, err = in.Next(); err != nil {
				closed := r.Close()
				if (err != io.EOF) != errors.Is(closed, bundle.ErrBroken) || closed != r.Close() {
					t.Errorf("Close of an archive that ended in %v = %v", err, closed)
				}
				return n, err
			}
		}
	}
	if n, err := members(bytes.NewReader(whole)); err != io.EOF || n == 0 {
		t.Fatalf("the archive has %d members and ends in %v, want some and EOF", n, err)
	}
	for i := range whole {
		if _, err := members(bytes.NewReader(whole[:i])); err == io.EOF {
			t.Errorf("the archive of the first %d of %d bytes ends well", i, len(whole))
		}
	}
	other, err := io.ReadAll(pack(t, blob("another")))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := members(bytes.NewReader(other)); err == io.EOF {
		t.Error("the archive of another bundle ends well")
	}
	r, err := bundle.OpenArchive(bytes.NewReader(whole), verified, "linux/amd64")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Errorf("Close of an archive that nobody reads = %v", err)
	}
}

// pack is an archive as a bundle is packed.
func pack(t *testing.T, members ...member) io.Reader {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	packed := w.EncodeAll(archive(t, members...), nil)
	sum := sha256.Sum256(packed)
	return bytes.NewReader(append(append(packed, 0x53, 0x2a, 0x4d, 0x18, 32, 0, 0, 0), sum[:]...))
}

func TestRead_RefusesHostileMembers(t *testing.T) {
	manifest := fmt.Sprintf(`{"config":{"digest":"sha256:%s"},"layers":[{"digest":"sha256:%s"}]}`, digest(config), digest(layer))
	index := fmt.Sprintf(`{"manifests":[{"digest":"sha256:%s","annotations":{"io.containerd.image.name":"docker.io/library/web:1"}}]}`, digest(manifest))
	indexed := func(images, index string, more ...member) []member {
		a := about()
		a.Version, a.Images = 2, []bundle.Image{{Ref: "web:1", For: "service web", Platform: "linux/amd64", Config: "sha256:" + digest(config)}}
		text, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		return append([]member{blob(layer), blob(config), blob(manifest), {name: "manifest.json", text: images}, {name: "index.json", text: index}, {name: "strake-bundle.json", text: string(text)}}, more...)
	}
	says := func(images string, more ...member) []member { return indexed(images, index, more...) }
	web := fmt.Sprintf(`{"Config":"blobs/sha256/%s","RepoTags":["web:1"],"Layers":["blobs/sha256/%s"]}`, digest(config), digest(layer))
	if _, err := bundle.Read(pack(t, says("["+web+"]")...)); err != nil {
		t.Fatalf("Read of the good one = %v", err)
	}
	for name, members := range map[string][]member{
		"a way up":            says("["+web+"]", member{name: "../etc/passwd", text: "x"}),
		"an absolute path":    says("["+web+"]", member{name: "/etc/passwd", text: "x"}),
		"a way up in blobs":   says("["+web+"]", member{name: "blobs/sha256/../../x", text: "x"}),
		"a short digest":      says("["+web+"]", member{name: "blobs/sha256/abc", text: "x"}),
		"another file":        says("["+web+"]", member{name: "repositories", text: "{}"}),
		"a symbolic link":     says("["+web+"]", member{"blobs/sha256/" + digest("x"), "/etc/passwd", tar.TypeSymlink}),
		"a hard link":         says("["+web+"]", member{"blobs/sha256/" + digest("x"), "/etc/passwd", tar.TypeLink}),
		"a device":            says("["+web+"]", member{"blobs/sha256/" + digest("x"), "", tar.TypeChar}),
		"a blob twice":        says("["+web+"]", blob(layer)),
		"an index twice":      says("["+web+"]", member{name: "index.json", text: "{}"}),
		"a wrong digest":      says("["+web+"]", member{name: "blobs/sha256/" + digest("x"), text: "y"}),
		"no layer":            says(strings.ReplaceAll("["+web+"]", digest(layer), digest("x"))),
		"a layer elsewhere":   says(strings.ReplaceAll("["+web+"]", "blobs/sha256/"+digest(layer), "../../etc/shadow")),
		"an image not told":   says("[" + web + "," + strings.ReplaceAll(web, "web:1", "postgres:16") + "]"),
		"none of those told":  says("[]"),
		"no manifest":         says(""),
		"a foreign index":     indexed("["+web+"]", strings.Replace(index, "web:1", "postgres:16", 1)),
		"a foreign one more":  indexed("["+web+"]", strings.Replace(index, "]}", ","+strings.TrimPrefix(strings.Replace(index, "web:1", "postgres:16", 1), `{"manifests":[`), 1)),
		"one without a name":  indexed("["+web+"]", strings.Replace(index, "docker.io/library/web:1", "", 1)),
		"an index of nothing": indexed("["+web+"]", strings.Replace(index, digest(manifest), digest("x"), 1)),
		"a manifest of less":  indexed("["+web+"]", index)[1:],
	} {
		if _, err := bundle.Read(pack(t, members...)); !errors.Is(err, bundle.ErrBroken) {
			t.Errorf("%s: Read = %v, want ErrBroken", name, err)
		}
	}
}

// TestRead_KeepsLittle: what is packed to nothing must not fill the memory.
func TestRead_KeepsLittle(t *testing.T) {
	var many []member
	for i := range 20 {
		many = append(many, blob(fmt.Sprintf("{%d%s", i, strings.Repeat(" ", 4<<20-8))))
	}
	if _, err := bundle.Read(pack(t, many...)); !errors.Is(err, bundle.ErrBroken) || !strings.Contains(err.Error(), "may be manifests") {
		t.Errorf("Read of 80 MiB of blobs that begin as a manifest does = %v, want it refused for that", err)
	}
}

func TestWrite_RefusesWhatTheEngineDidNotSave(t *testing.T) {
	a := about()
	a.Images = append(a.Images, bundle.Image{Ref: "absent:1", Platform: "linux/amd64"})
	if err := bundle.Write(io.Discard, []io.Reader{bytes.NewReader(engine28(t))}, &a, t.TempDir()); err == nil || !strings.Contains(err.Error(), "absent:1") {
		t.Errorf("Write of an image that was not saved = %v, want an error that names it", err)
	}
	spoilt := archive(t, member{name: "blobs/sha256/" + digest("x"), text: "y"}, member{name: "manifest.json", text: "[]"})
	a.Images = nil
	if err := bundle.Write(io.Discard, []io.Reader{bytes.NewReader(spoilt)}, &a, t.TempDir()); err == nil {
		t.Error("Write of a blob with another digest = nil, want an error")
	}
}

func TestImage_NameIsATag(t *testing.T) {
	for ref, want := range map[string]string{"web": "web", "ghcr.io/a/b:c": "ghcr.io/a/b:c", "web@sha256:" + digest("x"): "web:strake-sha256-" + digest("x"),
		"localhost:5000/a/web:1@sha256:" + digest("x"): "localhost:5000/a/web:strake-sha256-" + digest("x")} {
		if got := (bundle.Image{Ref: ref}).Name(); got != want {
			t.Errorf("Name of %s = %s, want %s", ref, got, want)
		}
	}
}
