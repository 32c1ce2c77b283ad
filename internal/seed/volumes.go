package seed

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"

	"github.com/strake-dev/strake/compose"
)

// dirOf is the folder of an image of volumes in which the data of its n-th volume is.
func dirOf(n int) string { return "/" + strconv.Itoa(n) }

// pack streams the volumes that a container has mounted as one layer: the n-th volume's data in folder n.
func pack(ctx context.Context, e Engine, container string, s compose.Service) io.ReadCloser {
	r, w := io.Pipe()
	go func() {
		out := tar.NewWriter(w)
		var errs []error
		for i, key := range volumesOf(s) {
			errs = append(errs, packOne(ctx, e, container, targetOf(s, key), strings.TrimPrefix(dirOf(i), "/"), out))
		}
		_ = w.CloseWithError(errors.Join(append(errs, out.Close())...)) // never fails
	}()
	return r
}

// packOne adds what is at a path of a container to the archive, below folder to.
func packOne(ctx context.Context, e Engine, container, from, to string, out *tar.Writer) error {
	archive, err := e.CopyFrom(ctx, container, from)
	if err != nil {
		return fmt.Errorf("read %s: %w", from, err)
	}
	defer archive.Close() // it is only read
	in := tar.NewReader(archive)
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", from, err)
		}
		h.Name = moved(h.Name, to) + map[bool]string{true: "/"}[h.Typeflag == tar.TypeDir]
		if h.Typeflag == tar.TypeLink {
			h.Linkname = moved(h.Linkname, to)
		}
		if err := out.WriteHeader(h); err != nil {
			return err
		}
		if _, err := io.Copy(out, in); err != nil {
			return err
		}
	}
}

// moved is a name of an archive of a folder, with another name for that folder.
func moved(name, to string) string {
	_, rest, _ := strings.Cut(path.Clean(name), "/")
	return path.Join(to, rest)
}

// targetOf is where a service mounts a volume.
func targetOf(s compose.Service, key string) string {
	for _, v := range s.Volumes {
		if v.Source == key && v.Type == "volume" && !v.ReadOnly {
			return v.Target
		}
	}
	return ""
}
