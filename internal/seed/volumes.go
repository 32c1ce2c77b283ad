package seed

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"github.com/strake-dev/strake/compose"
)

// dirOf is the folder of an image of volumes in which the data of its n-th volume is.
func dirOf(n int) string { return "/" + strconv.Itoa(n) }

// piped gives to read what write writes meanwhile. Its error is that of write, unless that failed because read gave up: what an engine says
// of an archive that breaks off is that the connection did.
func piped(write func(*tar.Writer) error, read func(io.Reader) error) error {
	r, w := io.Pipe()
	written := make(chan error, 1)
	go func() {
		out := tar.NewWriter(w)
		err := write(out)
		if err == nil {
			err = out.Close()
		}
		_ = w.CloseWithError(err) // never fails
		written <- err
	}()
	err := read(r)
	_ = r.Close() // never fails, and ends the other side
	if writeErr := <-written; writeErr != nil && !errors.Is(writeErr, io.ErrClosedPipe) {
		return writeErr
	}
	return err
}

// mostLinks is how many links a path may lead through. Source: Linux, path_resolution(7).
const mostLinks = 40

// packOne adds what is at a path of a container to the archive, below folder to. A link is followed: the engine mounts a volume where
// it leads to, and shows the link.
func packOne(ctx context.Context, e Engine, container, from, to string, out *tar.Writer) error {
	at := from
	for range mostLinks {
		link, err := packFrom(ctx, e, container, at, to, out)
		if err != nil {
			return fmt.Errorf("read %s: %w", from, err)
		}
		if link == "" {
			return nil
		}
		at = followed(at, link)
	}
	return fmt.Errorf("read %s: it leads in a circle", from)
}

// followed is where a link at a path leads to.
func followed(at, link string) string {
	if path.IsAbs(link) {
		return path.Clean(link)
	}
	return path.Join(path.Dir(at), link)
}

// leadsTo is where a path of a container, which may stand still, leads to in the end, and whether there is something.
func (b *build) leadsTo(ctx context.Context, container, at string) (to string, there bool, err error) {
	from := at
	for range mostLinks {
		archive, err := b.CopyFrom(ctx, container, at)
		if errors.Is(err, fs.ErrNotExist) {
			return at, false, nil
		}
		if err != nil {
			return "", false, err
		}
		first, err := tar.NewReader(archive).Next()
		_ = archive.Close() // it is only read
		switch {
		case err != nil:
			return "", false, err
		case first.Typeflag != tar.TypeSymlink:
			return at, true, nil
		}
		at = followed(at, first.Linkname)
	}
	return "", false, fmt.Errorf("%s leads in a circle", from)
}

// packFrom is packOne of what is no link, and returns where a link leads to.
func packFrom(ctx context.Context, e Engine, container, from, to string, out *tar.Writer) (link string, err error) {
	archive, err := e.CopyFrom(ctx, container, from)
	if err != nil {
		return "", err
	}
	defer archive.Close() // it is only read
	in := tar.NewReader(archive)
	for first := true; ; first = false {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return "", nil
		}
		if err != nil {
			return "", err
		}
		if first && h.Typeflag == tar.TypeSymlink {
			return h.Linkname, nil
		}
		h.Name = moved(h.Name, to) + map[bool]string{true: "/"}[h.Typeflag == tar.TypeDir]
		if h.Typeflag == tar.TypeLink {
			h.Linkname = moved(h.Linkname, to)
		}
		if err := out.WriteHeader(h); err != nil {
			return "", err
		}
		if _, err := io.Copy(out, in); err != nil {
			return "", err
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
