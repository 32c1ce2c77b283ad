//go:build linux

package seed

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// layerOf makes a layer of an image that has files at /var/data, each with its own name in it.
func layerOf(t *testing.T, files ...string) string {
	t.Helper()
	layer := t.TempDir()
	for _, name := range files {
		path := filepath.Join(layer, "var/data", name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(name), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return layer
}

// TestCloneFolder_IsTheFolderOfTheImage: with what files have beside what is in them.
func TestCloneFolder_IsTheFolderOfTheImage(t *testing.T) {
	top, to, old := layerOf(t, "base/1", "base/2", "run"), t.TempDir(), time.Unix(1_000_000_000, 5000)
	data := filepath.Join(top, "var/data")
	if err := errors.Join(os.Chmod(data, 0o700), os.Chmod(filepath.Join(data, "run"), 0o755|fs.ModeSetgid), os.Symlink("base/1", filepath.Join(data, "link")),
		os.Link(filepath.Join(data, "base/1"), filepath.Join(data, "same")), syscall.Mkfifo(filepath.Join(data, "fifo"), 0o640),
		os.Truncate(filepath.Join(data, "base/2"), 1<<20), os.Chtimes(filepath.Join(data, "run"), old, old)); err != nil {
		t.Fatal(err)
	}
	attributes := unix.Setxattr(filepath.Join(data, "run"), "user.strake", []byte("kept"), 0) == nil // where the file system has them
	if os.Geteuid() == 0 {
		if err := os.Lchown(filepath.Join(data, "base/2"), 70, 71); err != nil {
			t.Fatal(err)
		}
	}
	lower := t.TempDir()
	if err := os.MkdirAll(filepath.Join(lower, "var/data"), 0o755); err != nil { // as the image of a server has it
		t.Fatal(err)
	}
	if err := CloneFolder(to, "/var/data", []string{top, lower, t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{".", "base", "base/1", "base/2", "run", "link", "same", "fifo"} {
		var want, got unix.Stat_t
		if err := errors.Join(unix.Lstat(filepath.Join(data, name), &want), unix.Lstat(filepath.Join(to, name), &got)); err != nil {
			t.Fatal(err)
		}
		if isDir := want.Mode&unix.S_IFMT == unix.S_IFDIR; got.Mode != want.Mode || got.Uid != want.Uid || got.Gid != want.Gid || got.Nlink != want.Nlink || !isDir && (got.Mtim != want.Mtim || got.Size != want.Size) {
			t.Errorf("%s is %+v, want %+v", name, got, want)
		}
	}
	for name, want := range map[string]string{"same": "base/1", "link": "base/1", "run": "run"} {
		if text, err := os.ReadFile(filepath.Join(to, name)); err != nil || string(text) != want {
			t.Errorf("%s holds %q, %v, want %q", name, text, err, want)
		}
	}
	kept := make([]byte, 8)
	if n, err := unix.Getxattr(filepath.Join(to, "run"), "user.strake", kept); attributes && (err != nil || string(kept[:n]) != "kept") {
		t.Errorf("the attribute of run is %q, %v", kept[:max(n, 0)], err)
	}
}

// TestCloneFolder_RefusesWhatItCannotTell: of more than one layer only the kernel knows which files are there.
func TestCloneFolder_RefusesWhatItCannotTell(t *testing.T) {
	linked := layerOf(t)
	if err := os.Symlink("elsewhere", filepath.Join(linked, "var")); err != nil {
		t.Fatal(err)
	}
	hiding := layerOf(t, "1")
	if err := unix.Mknod(filepath.Join(hiding, "var/data/gone"), unix.S_IFCHR, 0); err != nil {
		t.Logf("without a whiteout: %v", err)
		hiding = linked
	}
	if err := CloneFolder(layerOf(t, "1"), "/var/data", []string{layerOf(t, "2")}); err == nil || !strings.Contains(err.Error(), "is not empty") {
		t.Errorf("CloneFolder to a folder with files = %v, want that it says so", err)
	}
	for name, c := range map[string]struct {
		layers []string
		want   string
	}{
		"two layers with files":   {[]string{layerOf(t, "1"), layerOf(t), layerOf(t, "2")}, "more than one layer"},
		"files of a lower one":    {[]string{layerOf(t), layerOf(t, "2")}, "not in the topmost"},
		"a whiteout":              {[]string{hiding}, "clone"},
		"a path with a link":      {[]string{linked}, "is a link"},
		"a link in a lower layer": {[]string{layerOf(t, "1"), linked}, "is a link"},
	} {
		to := t.TempDir()
		err := CloneFolder(to, "/var/data", c.layers)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: CloneFolder = %v, want that it says %q", name, err, c.want)
		}
		if left, err := os.ReadDir(to); err != nil || len(left) > 0 {
			t.Errorf("%s: CloneFolder left %v, %v", name, left, err)
		}
	}
}
