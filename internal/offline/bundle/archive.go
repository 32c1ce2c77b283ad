package bundle

import (
	"archive/tar"
	"crypto/sha256"
	"errors"
	"io"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// Archive is the archive in a bundle that was verified, as an engine loads it. It is unpacked from another read of the file, which somebody may
// have written to since: where that has another sum, or cannot be read, reading it fails before the archive's end, so that an engine loads
// nothing of it. It has to be closed.
type Archive struct {
	plain *zstd.Decoder
	pipe  *io.PipeReader
	ended chan error
	close func() error
}

var _ io.ReadCloser = (*Archive)(nil)

// OpenArchive is the archive in a bundle of which Read said the sum.
func OpenArchive(r io.Reader, verified Sum) (*Archive, error) {
	whole := &sealed{from: r, sum: sha256.New()}
	plain, err := open(whole)
	if err != nil {
		return nil, err
	}
	from, to := io.Pipe()
	a := &Archive{plain: plain, pipe: from, ended: make(chan error, 1)}
	a.close = sync.OnceValue(a.end)
	go func() {
		err := copyArchive(to, plain, func() bool { return whole.isWhole() && Sum(whole.sum.Sum(nil)) == verified })
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

// copyArchive copies an archive, and of its end only what comes before it where it is not the one that was verified.
func copyArchive(to io.Writer, plain io.Reader, isVerified func() bool) error {
	in, out := tar.NewReader(plain), tar.NewWriter(to)
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return broken("it is another one than was verified: %v", err)
		}
		if err := out.WriteHeader(h); err != nil {
			return err
		}
		if _, err := io.Copy(out, in); errors.Is(err, io.ErrClosedPipe) {
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
