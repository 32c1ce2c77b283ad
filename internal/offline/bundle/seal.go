package bundle

import (
	"bytes"
	"crypto/sha256"
	"hash"
	"io"
)

// A bundle ends in a frame that decompressors skip: the digest of all that comes before it. What is compressed has more than one form, so that a
// byte may be another one and what is unpacked the same; a file of which that is so was not copied well.
// Source: RFC 8878, 3.1.2, skippable frames: a magic number, the length of what follows, both with the lowest byte first.
var sealHead = [8]byte{0x53, 0x2a, 0x4d, 0x18, sha256.Size, 0, 0, 0}

const sealSize = len(sealHead) + sha256.Size

// sealing is a writer of a bundle.
type sealing struct {
	to  io.Writer
	sum hash.Hash
}

func (s *sealing) Write(b []byte) (int, error) {
	n, err := s.to.Write(b)
	s.sum.Write(b[:n]) // never fails
	return n, err
}

// seal writes the end.
func (s *sealing) seal() error {
	_, err := s.to.Write(append(sealHead[:], s.sum.Sum(nil)...))
	return err
}

// sealed is a reader of a bundle that sums all of it but its end.
type sealed struct {
	from io.Reader
	sum  hash.Hash
	tail []byte // the last sealSize bytes, which are not summed yet
}

func (s *sealed) Read(b []byte) (int, error) {
	n, err := s.from.Read(b)
	s.tail = append(s.tail, b[:n]...)
	if more := len(s.tail) - sealSize; more > 0 {
		s.sum.Write(s.tail[:more]) // never fails
		s.tail = append(s.tail[:0], s.tail[more:]...)
	}
	return n, err
}

// isWhole is whether the end, which has been read, is that of what came before it.
func (s *sealed) isWhole() bool {
	return bytes.Equal(s.tail, append(sealHead[:], s.sum.Sum(nil)...))
}
