package seed

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	continuity "github.com/containerd/continuity/fs"
)

// CloneFolder makes the empty folder to the one that an image has at path dir: what is in it, with its owners, modes, times, links and extended
// attributes. layers are the folders of the image's layers as an overlay has them, the topmost first. Where the file system can share
// blocks between files (XFS, Btrfs), it takes no time however large they are; elsewhere the kernel copies.
//
// All data must be in the topmost layer, as that of a seed is which was made of no other: of more than one layer only the kernel can tell which files
// are hidden. Else, and after any other error, to may hold a part of it.
// Source: Linux, Documentation/filesystems/overlayfs.rst (whiteouts), copy_file_range(2).
func CloneFolder(to, dir string, layers []string) error {
	from, err := folderOf(layers[0], dir)
	if err != nil {
		return err
	}
	if err := checkEmpty(to); err != nil {
		return err
	}
	if from == "" {
		return fmt.Errorf("clone %s: it is not in the topmost layer", dir)
	}
	for _, layer := range layers[1:] {
		below, err := folderOf(layer, dir)
		if err != nil {
			return err
		}
		if below == "" {
			continue
		}
		if err := checkEmpty(below); err != nil {
			return fmt.Errorf("clone %s: more than one layer has it: %w", dir, err)
		}
	}
	err = filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type()&fs.ModeDevice != 0 {
			err = fmt.Errorf("clone %s: it is a whiteout, or a device", path)
		}
		return err
	})
	if err != nil {
		return err
	}
	// As an engine fills a volume. Source: moby, container/container_unix.go, copyExistingContents.
	return continuity.CopyDir(to, from, continuity.WithXAttrErrorHandler(func(_, _, _ string, err error) error {
		if errors.Is(err, syscall.ENOTSUP) {
			return nil
		}
		return err
	}))
}

// checkEmpty refuses a folder that something is in.
func checkEmpty(folder string) error {
	f, err := os.Open(folder)
	if err != nil {
		return err
	}
	_, err = f.ReadDir(1)
	_ = f.Close() // only read
	if errors.Is(err, io.EOF) {
		return nil
	}
	return errors.Join(err, fmt.Errorf("folder %s is not empty", folder))
}

// folderOf is where a layer has the folder at a path, "" where it has none. A path that a link is part of is an error: it leads elsewhere.
func folderOf(layer, dir string) (string, error) {
	at := layer
	for _, name := range strings.Split(strings.Trim(filepath.Clean("/"+dir), "/"), "/") {
		at = filepath.Join(at, name)
		about, err := os.Lstat(at)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return "", nil
		case err != nil:
			return "", err
		case about.Mode()&fs.ModeSymlink != 0:
			return "", fmt.Errorf("clone %s: %s is a link", dir, at)
		case !about.IsDir():
			return "", nil // it hides what is below
		}
	}
	return at, nil
}
