package bundle

import (
	"archive/tar"
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// mostMembers is the most members of a bundle, mostKept the most bytes of its blobs that are kept to be looked at.
const (
	mostMembers = 100_000
	mostKept    = 64 << 20
)

var isDigest = regexp.MustCompile(`^[0-9a-f]{64}$`)

// ErrBroken is returned, with what is wrong, for a file that is no bundle or not whole.
var ErrBroken = errors.New("it is no bundle, or not whole")

func broken(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrBroken, fmt.Sprintf(format, args...))
}

// open is the archive in a bundle.
func open(r io.Reader) (*zstd.Decoder, error) {
	return zstd.NewReader(bufio.NewReaderSize(r, 1<<20), zstd.WithDecoderMaxWindow(64<<20))
}

// Read reads a bundle to its end and verifies all of it: that it has no other members than it may have, that each blob has its digest, and that
// what its images consist of is there. What is wrong is an ErrBroken. The sum tells Archive what was verified.
func Read(r io.Reader) (About, Sum, error) {
	whole := &sealed{from: r, sum: sha256.New()}
	plain, err := open(whole)
	if err != nil {
		return About{}, Sum{}, err
	}
	defer plain.Close()
	in := tar.NewReader(plain)
	texts, blobs := map[string][]byte{}, map[string][]byte{} // of blobs only those that may be a manifest
	for n, kept := 0, 0; ; n++ {
		h, err := in.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return About{}, Sum{}, broken("%v", err)
		}
		if n >= mostMembers {
			return About{}, Sum{}, broken("it has more than %d members", mostMembers)
		}
		digest, isBlob := strings.CutPrefix(h.Name, blobDir)
		switch {
		case h.Typeflag != tar.TypeReg:
			return About{}, Sum{}, broken("%q is no regular file", h.Name)
		case isBlob && isDigest.MatchString(digest):
			if _, twice := blobs[digest]; twice {
				return About{}, Sum{}, broken("%s is there twice", h.Name)
			}
			if blobs[digest], err = verify(in, digest, h.Size); err != nil {
				return About{}, Sum{}, err
			}
			if kept += len(blobs[digest]); kept > mostKept {
				return About{}, Sum{}, broken("those of its blobs that may be manifests hold more than %d bytes", mostKept)
			}
		case slices.Contains([]string{aboutFile, layoutFile, indexFile, manifestFile}, h.Name):
			if _, twice := texts[h.Name]; twice || h.Size > mostText {
				return About{}, Sum{}, broken("%s is there twice, or too large", h.Name)
			}
			if texts[h.Name], err = io.ReadAll(in); err != nil {
				return About{}, Sum{}, broken("%s: %v", h.Name, err)
			}
		default:
			return About{}, Sum{}, broken("%q does not belong in one", h.Name)
		}
	}
	if n, err := io.Copy(io.Discard, plain); err != nil || n > 10<<10 { // the archive's own padding, and the checksum of what is compressed
		return About{}, Sum{}, broken("something comes after its end")
	}
	if !whole.isWhole() {
		return About{}, Sum{}, broken("its digest is not the one that it ends in")
	}
	about, err := check(texts, blobs)
	return about, Sum(whole.sum.Sum(nil)), err
}

// mostManifest is the largest blob that is kept to be looked at.
const mostManifest = 4 << 20

// verify reads a blob and compares its digest. Its text is returned where it may be a manifest, else nil.
func verify(r io.Reader, digest string, size int64) ([]byte, error) {
	h := sha256.New()
	var text []byte
	var err error
	if size <= mostManifest {
		text, err = io.ReadAll(r)
		h.Write(text)
	} else {
		_, err = io.Copy(h, r)
	}
	if err != nil {
		return nil, broken("blob %s: %v", digest, err)
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != digest {
		return nil, broken("blob %s has the digest %s", digest, got)
	}
	if len(text) > 0 && text[0] != '{' {
		text = nil // the bytes are given back
	}
	return text, nil
}

// check looks that what the images of a bundle consist of is there, and that there are no other images than it says.
func check(texts, blobs map[string][]byte) (About, error) {
	var about About
	var images []saved
	var idx index
	for name, into := range map[string]any{aboutFile: &about, manifestFile: &images, indexFile: &idx} {
		if err := json.Unmarshal(texts[name], into); err != nil {
			return About{}, broken("%s: %v", name, err)
		}
	}
	if about.Version != 1 {
		return About{}, broken("its form is %d, this strake reads 1", about.Version)
	}
	has := func(path string) bool {
		digest, ok := strings.CutPrefix(path, blobDir)
		_, there := blobs[digest]
		return ok && there
	}
	listed := map[string]string{} // configs by reference
	for _, s := range images {
		for _, path := range append([]string{s.Config}, s.Layers...) {
			if !has(path) {
				return About{}, broken("%s is not there", path)
			}
		}
		for _, tag := range s.RepoTags {
			listed[fullName(tag)] = "sha256:" + strings.TrimPrefix(s.Config, blobDir)
		}
	}
	for _, d := range idx.Manifests {
		digest := strings.TrimPrefix(d.Digest, "sha256:")
		if !has(blobDir + digest) {
			return About{}, broken("manifest %s is not there", d.Digest)
		}
		if name := d.Annotations["io.containerd.image.name"]; name != "" && listed[fullName(name)] == "" {
			return About{}, broken("its index names an image %s that its manifest does not", name)
		}
		var m imageManifest
		if json.Unmarshal(blobs[digest], &m) == nil && m.Config.Digest != "" {
			for _, part := range append([]descriptor{m.Config}, m.Layers...) {
				if !has(blobDir + strings.TrimPrefix(part.Digest, "sha256:")) {
					return About{}, broken("%s of manifest %s is not there", part.Digest, d.Digest)
				}
			}
		}
	}
	for _, one := range about.Images {
		if listed[fullName(one.Name())] != one.Config || one.Config == "" {
			return About{}, broken("image %s is not the one that it says", one.Ref)
		}
		delete(listed, fullName(one.Name()))
	}
	for ref := range listed {
		return About{}, broken("it has an image %s that it does not speak of", ref)
	}
	return about, nil
}
