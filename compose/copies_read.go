package compose

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// WalkCopy calls each with what a copy holds, in a fixed order, folders before what is in them: path is where it is here, info what it is, and
// header the same for an archive, with its name relative to the source and slashes, "" for the source itself. A source that is a symbolic link is what the link leads to;
// other links stay links. Nothing is ignored. A source that is not there is an empty folder, without a call, where Create says so.
//
// A *HintedError names what is missing, cannot be read, or cannot be copied: sockets, devices and named pipes. An error of each ends it.
func WalkCopy(ctx context.Context, c Copy, each func(path string, info fs.FileInfo, header *tar.Header) error) error {
	source, err := filepath.EvalSymlinks(c.Source)
	if errors.Is(err, fs.ErrNotExist) {
		if c.Create {
			return nil
		}
		return &HintedError{Err: fmt.Errorf("%s: there is no %s", c.What, c.Source), Next: "create it, or correct the path"}
	}
	if err != nil {
		return notCopied(c, err)
	}
	return filepath.WalkDir(source, func(name string, d fs.DirEntry, err error) error {
		if err == nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			return notCopied(c, err)
		}
		info, err := d.Info()
		if err != nil {
			return notCopied(c, err)
		}
		header, err := copiedHeader(c, source, name, info)
		if err != nil {
			return err
		}
		return each(name, info, header)
	})
}

// copiedHeader says what one file, folder or link of a copy is.
func copiedHeader(c Copy, source, name string, info fs.FileInfo) (_ *tar.Header, err error) {
	link := ""
	switch info.Mode().Type() {
	case 0, fs.ModeDir:
	case fs.ModeSymlink:
		if link, err = os.Readlink(name); err != nil {
			return nil, notCopied(c, err)
		}
	default:
		return nil, &HintedError{Err: fmt.Errorf("%s: %s is %s, which cannot be copied to another machine", c.What, name, kindOf(info.Mode())),
			Next: "mount only what is needed of the folder"}
	}
	header, err := tar.FileInfoHeader(info, filepath.ToSlash(link))
	if err != nil {
		return nil, notCopied(c, err)
	}
	rel, err := filepath.Rel(source, name)
	if err != nil {
		return nil, notCopied(c, err)
	}
	header.Name, header.Uname, header.Gname = filepath.ToSlash(rel), "", ""
	if rel == "." {
		header.Name = ""
	}
	return header, nil
}

// kindOf is what a file is that is none.
func kindOf(m fs.FileMode) string {
	switch {
	case m&fs.ModeSocket != 0:
		return "a socket"
	case m&fs.ModeNamedPipe != 0:
		return "a named pipe"
	case m&fs.ModeDevice != 0:
		return "a device"
	}
	return "no file"
}

// notCopied adds to an error what was being copied, and what to do.
func notCopied(c Copy, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return &HintedError{Err: fmt.Errorf("%s: %w", c.What, err), Next: "make it readable, or mount only what is needed of the folder"}
}

// ReadCopies is what the copies of a scope hold, by service. What cannot be copied is told in Copied; an error says that ctx has ended.
func ReadCopies(ctx context.Context, s Scope, o InputOptions) (map[string]Copied, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	hashes := openHashesOf(o, "copies\x00"+s.Project)
	all := map[string]Copied{}
	for service, copies := range s.Copies {
		one, err := readCopied(ctx, copies, hashes)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err != nil {
			one.Problem = err
		}
		all[service] = one
	}
	hashes.save()
	return all, nil
}

// readCopied reads the copies of one service.
func readCopied(ctx context.Context, copies []Copy, hashes *fileHashes) (Copied, error) {
	var out Copied
	sum := sha256.New()
	for _, c := range copies {
		var headers []*tar.Header
		var entries []*treeEntry
		root := c.Source
		err := WalkCopy(ctx, c, func(name string, info fs.FileInfo, h *tar.Header) error {
			if h.Name == "" {
				root = name
			}
			if h.Name == "" && !info.IsDir() {
				out.Files = append(out.Files, c.Target)
			}
			e := &treeEntry{path: h.Name, kind: 'o'}
			if info.Mode().IsRegular() {
				e.kind, e.stat = 'f', statOf(info)
			}
			headers, entries = append(headers, h), append(entries, e)
			return nil
		})
		if err != nil {
			return out, err
		}
		if err := hashes.fill(ctx, root, entries); err != nil {
			return out, notCopied(c, err)
		}
		fmt.Fprintf(sum, "%s\x00%d\x00", c.Target, len(headers))
		for i, h := range headers {
			fmt.Fprintf(sum, "%c%o %d %d %s\x00%s\x00%x", h.Typeflag, h.Mode, h.Uid, h.Gid, h.Name, h.Linkname, entries[i].sum)
		}
	}
	slices.Sort(out.Files)
	out.Digest = "sha256:" + hex.EncodeToString(sum.Sum(nil))
	return out, nil
}
