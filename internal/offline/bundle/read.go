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
	"reflect"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/strake-dev/strake/compose/regex"
)

// mostMembers is the most members of a bundle, mostKept the most bytes of its blobs that are kept to be looked at.
const (
	mostMembers = 100_000
	mostKept    = 64 << 20
)

var isDigest = regex.New(`^[0-9a-f]{64}$`)

// ErrBroken is returned, with what is wrong, for a file that is no bundle or not whole.
var ErrBroken = errors.New("it is no bundle, or not whole")

// ErrForm is returned for a bundle that another version of strake wrote, in a form that this one does not read.
var ErrForm = errors.New("another strake wrote it")

func broken(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrBroken, fmt.Sprintf(format, args...))
}

// open is the archive in a bundle.
func open(r io.Reader) (*zstd.Decoder, error) {
	return zstd.NewReader(bufio.NewReaderSize(r, 1<<20), zstd.WithDecoderMaxWindow(64<<20))
}

// Read reads a bundle to its end and verifies all of it: that it has no other members than it may have, that each blob has its digest, and that
// what its images consist of is there. What is wrong is an ErrBroken, but for ErrForm.
func Read(r io.Reader) (*Verified, error) {
	whole := &sealed{from: r, sum: sha256.New()}
	plain, err := open(whole)
	if err != nil {
		return nil, err
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
			return nil, broken("%v", err)
		}
		if n >= mostMembers {
			return nil, broken("it has more than %d members", mostMembers)
		}
		digest, isBlob := strings.CutPrefix(h.Name, blobDir)
		switch {
		case h.Typeflag != tar.TypeReg:
			return nil, broken("%q is no regular file", h.Name)
		case isBlob && isDigest.MatchString(digest):
			if _, twice := blobs[digest]; twice {
				return nil, broken("%s is there twice", h.Name)
			}
			if blobs[digest], err = verify(in, digest, h.Size); err != nil {
				return nil, err
			}
			if kept += len(blobs[digest]); kept > mostKept {
				return nil, broken("those of its blobs that may be manifests hold more than %d bytes", mostKept)
			}
		case slices.Contains([]string{aboutFile, layoutFile, indexFile, manifestFile}, h.Name):
			if _, twice := texts[h.Name]; twice || h.Size > mostText {
				return nil, broken("%s is there twice, or too large", h.Name)
			}
			if texts[h.Name], err = io.ReadAll(in); err != nil {
				return nil, broken("%s: %v", h.Name, err)
			}
		default:
			return nil, broken("%q does not belong in one", h.Name)
		}
	}
	if n, err := io.Copy(io.Discard, plain); err != nil || n > 10<<10 { // the archive's own padding, and the checksum of what is compressed
		return nil, broken("something comes after its end")
	}
	if !whole.isWhole() {
		return nil, broken("its digest is not the one that it ends in")
	}
	v, err := check(texts, blobs)
	if err != nil {
		return nil, err
	}
	v.sum = [sha256.Size]byte(whole.sum.Sum(nil))
	return v, nil
}

// Verified is a bundle that Read found whole.
type Verified struct {
	About
	sum   [sha256.Size]byte // of the file
	parts map[part]saved
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
	return jsonIn(text), nil
}

// check looks that what the images of a bundle consist of is there, and that there are no other images than it says.
func check(texts, blobs map[string][]byte) (*Verified, error) {
	v := &Verified{}
	var images []saved
	var idx index
	for name, into := range map[string]any{aboutFile: &v.About, manifestFile: &images, indexFile: &idx} {
		if err := json.Unmarshal(texts[name], into); err != nil {
			return nil, broken("%s: %v", name, err)
		}
	}
	if v.Version != form {
		return nil, fmt.Errorf("%w: it is of form %d, and this strake reads %d", ErrForm, v.Version, form)
	}
	if len(v.Platforms) == 0 {
		return nil, broken("it is for no platform")
	}
	v.parts = partsOf(idx, blobs)
	if err := checkIndex(v.About, idx, blobs); err != nil {
		return nil, err
	}
	for _, one := range v.Images {
		found, ok := v.parts[part{fullName(one.Name()), one.Platform}]
		if !ok || "sha256:"+strings.TrimPrefix(found.Config, blobDir) != one.Config {
			return nil, broken("image %s is not the one that it says", one.Ref)
		}
		for _, path := range append([]string{found.Config}, found.Layers...) {
			if !there(blobs, path) {
				return nil, broken("%s of image %s is not there", path, one.Ref)
			}
		}
	}
	if !reflect.DeepEqual(images, manifestFor(v.About, v.Platforms[0], v.parts)) {
		return nil, broken("%s names other images than it speaks of", manifestFile)
	}
	return v, nil
}

// there is whether a blob is, of which blobs says at least its digest.
func there(blobs map[string][]byte, path string) bool {
	digest, ok := strings.CutPrefix(path, blobDir)
	_, is := blobs[digest]
	return ok && is
}

// checkIndex looks that an index names what is there, and no other images than the bundle says.
func checkIndex(about About, idx index, blobs map[string][]byte) error {
	for _, d := range idx.Manifests {
		if !there(blobs, blobDir+hexOf(d)) {
			return broken("manifest %s is not there", d.Digest)
		}
		name := nameOf(d)
		if name == "" || !slices.ContainsFunc(about.Images, func(i Image) bool { return fullName(i.Name()) == fullName(name) }) {
			return broken("it has an image %q that it does not speak of", name)
		}
	}
	return nil
}
