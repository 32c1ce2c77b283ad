package bundle

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sync/errgroup"
)

// writer writes one bundle.
type writer struct {
	out     *tar.Writer
	at      time.Time
	written map[string]int64  // sizes of blobs, by digest in hex
	legacy  map[string]string // digests in hex, by the paths of an archive of an engine before 25
	links   map[string]string // paths that are others
	texts   map[string][]byte // small files of the engine's archive
	blobs   map[string][]byte // those that may be JSON, by digest in hex
	scratch string

	index index // of all archives
}

// mostText is the most bytes of a file of an engine's archive that is no layer.
const mostText = 16 << 20

// Write makes a bundle of the archives that an engine saved, which it reads one after the other. The Version is filled in, and the Config of each
// of about's images. After an error what was written is no bundle. scratch is a folder for layers of engines before 25, whose digests are not known before they
// are read.
func Write(to io.Writer, from []io.Reader, about *About, scratch string) error {
	end := &sealing{to, sha256.New()}
	packed, err := zstd.NewWriter(end, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithWindowSize(windowSize))
	if err != nil {
		return err
	}
	w := &writer{out: tar.NewWriter(packed), at: about.Created, written: map[string]int64{}, blobs: map[string][]byte{}, scratch: scratch,
		index: index{SchemaVersion: 2, MediaType: "application/vnd.oci.image.index.v1+json"}}
	err = w.file(layoutFile, []byte(layoutText))
	for _, one := range from {
		if err == nil {
			err = w.archive(tar.NewReader(one))
		}
	}
	if err == nil {
		err = w.finish(about)
	}
	if err = errors.Join(err, w.out.Close(), packed.Close()); err != nil {
		return err
	}
	return end.seal()
}

// windowSize is how far back equal parts are found, in bytes.
const windowSize = 8 << 20

// header is that of a member: two bundles of equal images are equal.
func (w *writer) header(name string, size int64) error {
	return w.out.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: size, ModTime: w.at.Truncate(time.Second), Format: tar.FormatPAX})
}

func (w *writer) file(name string, text []byte) error {
	if err := w.header(name, int64(len(text))); err != nil {
		return err
	}
	_, err := w.out.Write(text)
	return err
}

// read takes over the layers and configurations of an engine's archive. While a layer is read into the scratch folder the one before it is
// written.
func (w *writer) read(in *tar.Reader) error {
	var g errgroup.Group
	layers, stop := make(chan spooled, 1), make(chan struct{})
	g.Go(func() (err error) {
		for l := range layers {
			if err == nil {
				if err = w.hashed(l); err != nil {
					close(stop)
				}
			}
			_ = errors.Join(l.file.Close(), os.Remove(l.file.Name())) // it was read; what is left goes with the folder
		}
		return err
	})
	err := w.members(in, layers, stop)
	close(layers)
	return errors.Join(err, g.Wait())
}

// errStopped ends the reading of an archive that cannot be written any more.
var errStopped = errors.New("it is not read any further")

// members reads the members of an engine's archive; layers whose digests are not known go to layers, until stop is closed.
func (w *writer) members(in *tar.Reader, layers chan<- spooled, stop <-chan struct{}) error {
	for {
		h, err := in.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read what the engine saved: %w", err)
		}
		name := path.Clean(h.Name)
		digest, isBlob := strings.CutPrefix(name, blobDir)
		switch {
		case h.Typeflag == tar.TypeSymlink:
			w.links[name] = path.Join(path.Dir(name), h.Linkname)
		case h.Typeflag != tar.TypeReg:
		case isBlob:
			err = w.blob(digest, h.Size, in)
		case path.Base(name) == "layer.tar":
			var l spooled
			if l, err = w.spool(name, in); err != nil {
				break
			}
			select {
			case layers <- l:
			case <-stop:
				_ = l.file.Close() // it goes with the folder
				err = errStopped
			}
		case h.Size > mostText:
			err = fmt.Errorf("%s has %d bytes", name, h.Size)
		default:
			w.texts[name], err = io.ReadAll(in)
		}
		if err != nil {
			return fmt.Errorf("read what the engine saved: %s: %w", name, err)
		}
	}
}

// blob takes over a blob whose digest is known.
func (w *writer) blob(digest string, size int64, r io.Reader) error {
	if _, ok := w.written[digest]; ok {
		return nil
	}
	if err := w.header(blobDir+digest, size); err != nil {
		return err
	}
	h := sha256.New()
	to := io.MultiWriter(w.out, h)
	if size <= mostManifest {
		text, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		w.blobs[digest], r = jsonIn(text), bytes.NewReader(text)
	}
	if _, err := io.CopyBuffer(to, onlyReader{r}, make([]byte, copySize)); err != nil {
		return err
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != digest {
		return fmt.Errorf("its digest is %s", got)
	}
	w.written[digest] = size
	return nil
}

// copySize is how many bytes are copied at once.
const copySize = 1 << 20

// onlyReader is a reader that does not copy itself in parts of its own choosing.
type onlyReader struct{ io.Reader }

// spooled is a layer in the scratch folder.
type spooled struct {
	file   *os.File // at its beginning
	digest string
	size   int64
}

// spool reads a layer whose digest is not known into the scratch folder.
func (w *writer) spool(name string, r io.Reader) (spooled, error) {
	f, err := os.CreateTemp(w.scratch, "layer-*")
	if err != nil {
		return spooled{}, err
	}
	h := sha256.New()
	size, err := io.CopyBuffer(io.MultiWriter(f, h), onlyReader{r}, make([]byte, copySize))
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		_ = f.Close() // it goes with the folder
		return spooled{}, err
	}
	w.legacy[name] = hex.EncodeToString(h.Sum(nil))
	return spooled{f, w.legacy[name], size}, nil
}

// hashed takes over a layer from the scratch folder.
func (w *writer) hashed(l spooled) error {
	if _, ok := w.written[l.digest]; ok {
		return nil
	}
	if err := w.header(blobDir+l.digest, l.size); err != nil {
		return err
	}
	w.written[l.digest] = l.size
	_, err := io.CopyBuffer(w.out, onlyReader{l.file}, make([]byte, copySize))
	return err
}

// digestOf is a text's digest in hex.
func digestOf(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// text takes over a small blob, and returns its digest in hex.
func (w *writer) text(text []byte) (string, error) {
	digest := digestOf(text)
	return digest, w.blob(digest, int64(len(text)), bytes.NewReader(text))
}

// archive takes over an engine's archive.
func (w *writer) archive(in *tar.Reader) error {
	w.legacy, w.links, w.texts = map[string]string{}, map[string]string{}, map[string][]byte{}
	if err := w.read(in); err != nil {
		return err
	}
	var idx index
	if text, ok := w.texts[indexFile]; ok {
		if err := json.Unmarshal(text, &idx); err != nil {
			return fmt.Errorf("read what the engine saved: %s: %w", indexFile, err)
		}
	}
	for _, d := range idx.Manifests {
		if nameOf(d) != "" { // what has no name nobody asked for
			w.index.Manifests = append(w.index.Manifests, d)
		}
	}
	var images []saved
	if err := json.Unmarshal(w.texts[manifestFile], &images); err != nil {
		return fmt.Errorf("read what the engine saved: %s: %w", manifestFile, err)
	}
	for i := range images {
		made, err := w.image(&images[i])
		if err != nil {
			return err
		}
		w.index.Manifests = append(w.index.Manifests, made...)
	}
	return nil
}

// finish writes what says which images there are.
func (w *writer) finish(about *About) error {
	parts := partsOf(w.index, w.blobs)
	if err := fill(about, parts); err != nil {
		return err
	}
	var first string
	if len(about.Platforms) > 0 {
		first = about.Platforms[0]
	}
	for _, one := range []struct {
		name  string
		value any
	}{{indexFile, w.index}, {manifestFile, manifestFor(*about, first, parts)}, {aboutFile, about}} {
		text, err := json.MarshalIndent(one.value, "", "  ")
		if err == nil {
			err = w.file(one.name, text)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// image writes the manifest of an image of an engine before 25, which writes none, and has it refer to blobs.
func (w *writer) image(s *saved) ([]descriptor, error) {
	if strings.HasPrefix(s.Config, blobDir) {
		return nil, nil
	}
	config, err := w.text(w.texts[path.Clean(s.Config)])
	if err != nil {
		return nil, err
	}
	layers := []descriptor{}
	s.Config = blobDir + config
	for i, l := range s.Layers {
		name := path.Clean(l)
		for range 100 { // a link to a link to itself ends too
			to, ok := w.links[name]
			if !ok {
				break
			}
			name = to
		}
		digest, ok := w.legacy[name]
		if !ok {
			return nil, fmt.Errorf("read what the engine saved: there is no %s", l)
		}
		s.Layers[i] = blobDir + digest
		layers = append(layers, descriptor{Digest: "sha256:" + digest, Size: w.written[digest]})
	}
	manifest, err := manifestText(descriptor{Digest: "sha256:" + config, Size: w.written[config]}, layers)
	if err != nil {
		return nil, err
	}
	_, err = w.text(manifest)
	var all []descriptor
	for _, tag := range s.RepoTags {
		all = append(all, named(manifest, tag))
	}
	return all, err
}

// manifestText is the manifest of an image of plain layers.
func manifestText(config descriptor, layers []descriptor) ([]byte, error) {
	config.MediaType = "application/vnd.oci.image.config.v1+json"
	for i := range layers {
		layers[i].MediaType = "application/vnd.oci.image.layer.v1.tar"
	}
	return json.Marshal(imageManifest{SchemaVersion: 2, MediaType: manifestType, Config: config, Layers: layers})
}

const manifestType = "application/vnd.oci.image.manifest.v1+json"

// named is what an index says of a manifest that is an image's.
func named(manifest []byte, tag string) descriptor {
	return descriptor{MediaType: manifestType, Digest: "sha256:" + digestOf(manifest), Size: int64(len(manifest)),
		Annotations: map[string]string{annotationName: fullName(tag), "org.opencontainers.image.ref.name": tag[strings.LastIndex(tag, ":")+1:]}}
}

// fill says of each of about's images which of those saved it is.
func fill(about *About, parts map[part]saved) error {
	about.Version = form
	for i := range about.Images {
		one := &about.Images[i]
		found, ok := parts[part{fullName(one.Name()), one.Platform}]
		if !ok {
			return fmt.Errorf("the engine did not save image %s for %s", one.Ref, one.Platform)
		}
		one.Config = "sha256:" + strings.TrimPrefix(found.Config, blobDir)
	}
	return nil
}
