package bundle

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// Archive is the archive in a bundle that was verified, as an engine of one platform loads it. It is unpacked from another read of the file, which somebody may
// have written to since: where that has another sum, or cannot be read, reading it fails before the archive's end, so that an engine loads
// nothing of it. It has to be closed.
type Archive struct {
	plain *zstd.Decoder
	pipe  *io.PipeReader
	ended chan error
	close func() error
}

var _ io.ReadCloser = (*Archive)(nil)

// OpenArchive is the archive in a bundle that Read found whole, for an engine of one of its platforms.
func OpenArchive(r io.Reader, v *Verified, platform string) (*Archive, error) {
	manifest, err := json.Marshal(manifestFor(v.About, platform, v.parts))
	if err != nil {
		return nil, err
	}
	whole := &sealed{from: r, sum: sha256.New()}
	plain, err := open(whole)
	if err != nil {
		return nil, err
	}
	from, to := io.Pipe()
	a := &Archive{plain: plain, pipe: from, ended: make(chan error, 1)}
	a.close = sync.OnceValue(a.end)
	go func() {
		err := copyArchive(to, plain, manifest, func() bool { return whole.isWhole() && bytes.Equal(whole.sum.Sum(nil), v.sum[:]) })
		_ = to.CloseWithError(err) // never fails
		a.ended <- err
	}()
	return a, nil
}

// Read implements io.Reader.
func (a *Archive) Read(b []byte) (int, error) { return a.pipe.Read(b) }

// Close ends what is not read. Its error is what was wrong with the bundle, an ErrBroken: who read the archive may have hidden that. It may be
// called again.
func (a *Archive) Close() error { return a.close() }

func (a *Archive) end() error {
	_ = a.pipe.Close() // never fails
	err := <-a.ended
	a.plain.Close()
	if errors.Is(err, io.ErrClosedPipe) {
		return nil
	}
	return err
}

// copyArchive copies an archive, with another manifest.json, and of its end only what comes before it where it is not the one that was verified.
func copyArchive(to io.Writer, plain io.Reader, manifest []byte, isVerified func() bool) error {
	in, out := tar.NewReader(plain), tar.NewWriter(to)
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return broken("it is another one than was verified: %v", err)
		}
		from := io.Reader(in)
		if h.Name == manifestFile {
			from, h.Size = bytes.NewReader(manifest), int64(len(manifest))
		}
		if err := out.WriteHeader(h); err != nil {
			return err
		}
		if _, err := io.Copy(out, from); errors.Is(err, io.ErrClosedPipe) {
			return err
		} else if err != nil {
			return broken("it is another one than was verified: %v", err)
		}
	}
	if _, err := io.Copy(io.Discard, plain); err != nil {
		return broken("it is another one than was verified: %v", err)
	}
	if !isVerified() {
		return broken("it is another one than was verified")
	}
	return out.Close()
}
