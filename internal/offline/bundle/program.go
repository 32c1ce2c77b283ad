package bundle

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"time"

	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Program is an image that holds one file, which runs, and nothing else. Equal ones have equal digests, whoever makes them.
type Program struct {
	Ref      string // with its tag
	Platform string // os/arch[/variant]
	Name     string // of the file in the image, at its root
	Labels   map[string]string
}

// Open is the archive of the image with the given file, as Write and engines read it. It has to be closed.
// Source: OCI image specification 1.0, image configuration; OCI image layout 1.0; moby, image/tarexport.
func (p Program) Open(file string) (io.ReadCloser, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	r, w := io.Pipe()
	go func() {
		err := p.write(w, f)
		_ = w.CloseWithError(errors.Join(err, f.Close())) // never fails
	}()
	return r, nil
}

func (p Program) write(to io.Writer, f *os.File) error {
	about, err := f.Stat()
	if err != nil {
		return err
	}
	head, tail, err := p.around(about.Size())
	if err != nil {
		return err
	}
	layer := func() io.Reader {
		return io.MultiReader(bytes.NewReader(head), io.NewSectionReader(f, 0, about.Size()), bytes.NewReader(tail))
	}
	h := sha256.New()
	size, err := io.Copy(h, layer())
	if err != nil {
		return err
	}
	sum := hex.EncodeToString(h.Sum(nil))
	config, err := p.config(sum)
	if err != nil {
		return err
	}
	manifest, err := manifestText(descriptor{Digest: "sha256:" + digestOf(config), Size: int64(len(config))}, []descriptor{{Digest: "sha256:" + sum, Size: size}})
	if err != nil {
		return err
	}
	idx, err := json.Marshal(index{SchemaVersion: 2, Manifests: []descriptor{named(manifest, p.Ref)}})
	if err != nil {
		return err
	}
	images, err := json.Marshal([]saved{{Config: blobDir + digestOf(config), RepoTags: []string{p.Ref}, Layers: []string{blobDir + sum}}})
	if err != nil {
		return err
	}
	out := tar.NewWriter(to)
	for _, one := range []struct {
		name string
		size int64
		from io.Reader
	}{
		{layoutFile, int64(len(layoutText)), bytes.NewReader([]byte(layoutText))},
		{blobDir + sum, size, layer()},
		{blobDir + digestOf(config), int64(len(config)), bytes.NewReader(config)},
		{blobDir + digestOf(manifest), int64(len(manifest)), bytes.NewReader(manifest)},
		{indexFile, int64(len(idx)), bytes.NewReader(idx)},
		{manifestFile, int64(len(images)), bytes.NewReader(images)},
	} {
		if err := out.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: one.name, Mode: 0o644, Size: one.size, ModTime: time.Unix(0, 0)}); err != nil {
			return err
		}
		if _, err := io.Copy(out, one.from); err != nil {
			return err
		}
	}
	return out.Close()
}

// around is what comes before and after the file in the image's layer.
func (p Program) around(size int64) (head, tail []byte, err error) {
	var b bytes.Buffer
	err = tar.NewWriter(&b).WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: p.Name, Mode: 0o755, Size: size, ModTime: time.Unix(0, 0)})
	return b.Bytes(), make([]byte, (512-size%512)%512+1024), err
}

// config is the image's configuration.
func (p Program) config(layer string) ([]byte, error) {
	platform, err := platforms.Parse(p.Platform)
	if err != nil {
		return nil, err
	}
	created := time.Unix(0, 0).UTC()
	return json.Marshal(ocispec.Image{Created: &created, Platform: platform, Config: ocispec.ImageConfig{Labels: p.Labels},
		RootFS: ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{digest.NewDigestFromEncoded(digest.SHA256, layer)}}})
}
