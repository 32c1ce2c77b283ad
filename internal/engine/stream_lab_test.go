//go:build lab

package engine_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/fixtures/lab"
	"github.com/strake-dev/strake/internal/engine"
)

const mib = 1 << 20

// random writes a file of so many bytes that compress to no fewer, and returns their digest.
func random(t *testing.T, file string, size int) string {
	t.Helper()
	b := make([]byte, size)
	rand.Read(b)
	if err := os.WriteFile(file, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", sha256.Sum256(b))
}

func TestStreamTo_SendsOnlyTheLayersThatAreMissing(t *testing.T) {
	all := lab.Engines(t)
	for _, from := range all {
		for _, to := range all {
			if from.Name != to.Name {
				t.Run(from.Name+" to "+to.Name, func(t *testing.T) { streams(t, from, to) })
			}
		}
		if from.ContainerdStore {
			t.Run(from.Name+" to another one", func(t *testing.T) { streams(t, from, lab.Private(t, lab.PrivateOptions{Containerd: true})) })
		}
	}
}

// streams sends three images: one with new layers, one that shares all but its own with it, and one in which a layer that is there comes
// once more, upon another one.
func streams(t *testing.T, from, to lab.Engine) {
	dir, name := t.TempDir(), lab.Name(t)
	build := func(tag, dockerfile string) string {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(dockerfile), 0o644); err != nil {
			t.Fatal(err)
		}
		lab.Docker(t, from, "build", "--quiet", "--tag", name+":"+tag, dir)
		return name + ":" + tag
	}
	base := random(t, filepath.Join(dir, "base"), 4*mib)
	random(t, filepath.Join(dir, "a"), mib)
	own := random(t, filepath.Join(dir, "b"), mib)
	const whole = "FROM strake-lab/busybox:1 AS programs\nFROM scratch\nCOPY base /base\nCOPY --from=programs / /\n"
	first := build("first", whole+"COPY a /a\n")
	second := build("second", whole+"COPY b /b\nENV HOME=/b\nLABEL of=test\nCMD [\"cat\", \"/b\"]\n")
	third := build("third", whole+"COPY a /c\nCOPY base /base\n")

	a, b := open(t, from, t.TempDir()), open(t, to, t.TempDir())
	noted := int64(0)
	stream := func(refs ...string) int64 {
		t.Helper()
		sent, err := a.StreamTo(t.Context(), b, refs, func(done int64) { noted = done })
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %d KiB", strings.TrimPrefix(strings.Join(refs, " "), name), sent>>10)
		if sent > 0 && noted != sent {
			t.Errorf("it noted %d bytes at last, want %d", noted, sent)
		}
		return sent
	}
	all := stream(first)
	if all < 6*mib {
		t.Errorf("the first image went in %d bytes, want all of it", all)
	}
	most := int64(mib)
	if from.Name == "20.10" && to.ContainerdStore {
		most = all // its archives are taken only whole there
	}
	if sent := stream(second); sent < mib || sent > most+mib/4 {
		t.Errorf("the second one went in %d bytes, want %d", sent, most)
	}
	if got := lab.Docker(t, to, "run", "--rm", second, "sh", "-c", "sha256sum /base /b | cut -c -64"); got != base+"\n"+own {
		t.Errorf("in a container the files are\n%s\nwant\n%s\n%s", got, base, own)
	}
	if sent := stream(third); sent > max(most, 5*mib)+mib/4 {
		t.Errorf("the third one went in %d bytes, want its own layers of %d", sent, 5*mib)
	}
	if got := lab.Docker(t, to, "run", "--rm", third, "sh", "-c", "sha256sum /base | cut -c -64"); got != base {
		t.Errorf("in a container of the third one the file is %s, want %s", got, base)
	}
	if sent := stream(first, second, third); sent != 0 {
		t.Errorf("what is there went once more, in %d bytes", sent)
	}
	for _, ref := range []string{first, second, third} {
		sameOn(t, a, b, ref, from.ContainerdStore == to.ContainerdStore)
	}
	if got := saved(t, to, second); got < all-mib/4 {
		t.Errorf("the other engine saves the second image in %d bytes, want about the %d of the first", got, all)
	}
}

// An engine that keeps images in containerd has the bytes of a layer as they came. Those that make the same layer elsewhere may be others.
func TestStreamTo_SendsALayerThatIsThereInOtherBytes(t *testing.T) {
	var graph, store lab.Engine
	for _, e := range lab.Engines(t) {
		if e.ContainerdStore {
			store = e
		} else if e.Name == "28.5" {
			graph = e
		}
	}
	if graph.Name == "" || store.Name == "" {
		t.Fatal("it takes the engines 28.5 and 28.5-containerd: name both in STRAKE_LAB_ENGINES, or none")
	}
	dir, name := t.TempDir(), lab.Name(t)
	random(t, filepath.Join(dir, "base"), 2*mib)
	build := func(on lab.Engine, tag, text string) string {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		lab.Docker(t, on, "build", "--quiet", "--tag", name+":"+tag, dir)
		return name + ":" + tag
	}
	stream := func(from, to lab.Engine, ref string) int64 {
		t.Helper()
		a, b := open(t, from, t.TempDir()), open(t, to, t.TempDir())
		sent, err := a.StreamTo(t.Context(), b, []string{ref}, nil)
		if err != nil {
			t.Fatal(err)
		}
		sameOn(t, a, b, ref, from.ContainerdStore == to.ContainerdStore)
		return sent
	}
	another := lab.Private(t, lab.PrivateOptions{Containerd: true})
	base := build(store, "base", "FROM scratch\nCOPY base /base\nCMD [\"-\"]\n") // compressed
	stream(store, graph, base)
	stream(graph, another, base) // and here not
	for _, c := range []struct {
		from, to lab.Engine
		tag      string
	}{{graph, store, "one"}, {store, another, "two"}} {
		ref := build(c.from, c.tag, "FROM "+base+"\nCOPY Dockerfile /\nLABEL of="+c.tag+"\n")
		sent := stream(c.from, c.to, ref)
		t.Logf("from %s to %s: %d KiB", c.from.Name, c.to.Name, sent>>10)
		if got := saved(t, c.to, ref); sent < 2*mib || got < 2*mib {
			t.Errorf("from %s to %s it went in %d bytes and is saved in %d, want the layer of %d in both", c.from.Name, c.to.Name, sent, got, 2*mib)
		}
		if again := stream(c.from, c.to, ref); again != 0 {
			t.Errorf("from %s to %s once more: %d bytes, want none", c.from.Name, c.to.Name, again)
		}
	}
}

func TestStreamTo_GoesOnAfterItWasCalledOff(t *testing.T) {
	all := lab.Engines(t)
	from, to := all[0], all[len(all)-1]
	if len(all) == 1 {
		to = lab.Private(t, lab.PrivateOptions{})
	}
	dir, name := t.TempDir(), lab.Name(t)
	random(t, filepath.Join(dir, "base"), 32*mib)
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte("FROM scratch\nCOPY base /base\nCMD [\"-\"]\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	ref := name + ":1"
	lab.Docker(t, from, "build", "--quiet", "--tag", ref, dir)
	a, b := open(t, from, t.TempDir()), open(t, to, t.TempDir())
	ctx, stop := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	sent, err := a.StreamTo(ctx, b, []string{ref}, func(done int64) {
		if done > 8*mib {
			stop(enough)
		}
	})
	if !errors.Is(err, enough) || sent > 24*mib {
		t.Errorf("StreamTo = %d, %v, want the context's cause after some 8 MiB", sent, err)
	}
	if _, err := a.StreamTo(t.Context(), b, []string{ref}, nil); err != nil {
		t.Fatal(err)
	}
	sameOn(t, a, b, ref, from.ContainerdStore == to.ContainerdStore)
	var hinted compose.Hinted
	if _, err := a.StreamTo(t.Context(), b, []string{name + ":absent"}, nil); !errors.As(err, &hinted) {
		t.Errorf("StreamTo of what is not here = %v, want an error with a hint", err)
	}
}

// saved is how large the archive of an image is. One of which parts are missing is saved without them.
func saved(t *testing.T, on lab.Engine, ref string) int64 {
	t.Helper()
	file := filepath.Join(t.TempDir(), "saved.tar")
	lab.Docker(t, on, "save", "--output", file, ref)
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// sameOn tests that both engines have the same image; sameID is whether they know it by the same id.
func sameOn(t *testing.T, a, b *engine.Engine, ref string, sameID bool) {
	t.Helper()
	var got [2]compose.Image
	for i, e := range []*engine.Engine{a, b} {
		state, err := e.Observe(t.Context(), compose.Scope{Images: []compose.ImageRef{{Ref: ref}}})
		if err != nil {
			t.Fatal(err)
		}
		got[i] = state.Images[ref]
	}
	if got[0].Content == "" || got[0].Content != got[1].Content || sameID && got[0].ID != got[1].ID {
		t.Errorf("image %s is %+v there, want %+v", ref, got[1], got[0])
	}
}
