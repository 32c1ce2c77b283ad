package seed

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"path"
	"strings"
	"testing"
)

// linked is an engine whose container has folder /real with a file in it, and links.
type linked struct{ Engine }

// CopyFrom shows a link as itself, as an engine does.
func (linked) CopyFrom(_ context.Context, _, at string) (io.ReadCloser, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	var err error
	switch to, isLink := map[string]string{"/data": "/more/../link", "/link": "real", "/circle": "circle"}[at]; {
	case isLink:
		err = w.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: path.Base(at), Linkname: to})
	case at == "/real":
		err = errors.Join(w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "real/"}), w.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: "real/rows", Linkname: "none"}))
	default:
		err = errors.New("there is no " + at)
	}
	return io.NopCloser(&b), errors.Join(err, w.Close())
}

func TestPackOne_FollowsTheLinkToAVolume(t *testing.T) {
	pack := func(from string) (names []string, err error) {
		err = piped(func(out *tar.Writer) error { return packOne(t.Context(), linked{}, "c", from, "0", out) }, func(archive io.Reader) error {
			for in := tar.NewReader(archive); ; {
				h, err := in.Next()
				if err != nil {
					_, _ = io.Copy(io.Discard, archive) // what follows the end
					return nil                          // the other side says why
				}
				names = append(names, h.Name)
			}
		})
		return names, err
	}
	if names, err := pack("/data"); err != nil || strings.Join(names, " ") != "0/ 0/rows" {
		t.Errorf("packOne(/data) packs %q with %v, want the folder that it leads to", names, err)
	}
	if _, err := pack("/circle"); err == nil || !strings.Contains(err.Error(), "in a circle") {
		t.Errorf("packOne(/circle) = %v, want an error that names the circle", err)
	}
	if _, err := pack("/gone"); err == nil || !strings.Contains(err.Error(), "there is no /gone") {
		t.Errorf("packOne(/gone) = %v, want what the engine says", err)
	}
}

func TestPiped_TellsWhatWentWrongFirst(t *testing.T) {
	broken, refused := errors.New("broken"), errors.New("refused")
	read := func(r io.Reader) error {
		if _, err := io.Copy(io.Discard, r); err != nil {
			return errors.New("no engine answers")
		}
		return nil
	}
	if err := piped(func(*tar.Writer) error { return broken }, read); !errors.Is(err, broken) {
		t.Errorf("piped = %v, want what broke the archive off", err)
	}
	endless := func(out *tar.Writer) error {
		for {
			if err := out.WriteHeader(&tar.Header{Name: "file"}); err != nil {
				return err
			}
		}
	}
	if err := piped(endless, func(io.Reader) error { return refused }); !errors.Is(err, refused) {
		t.Errorf("piped = %v, want why it was not read", err)
	}
}
