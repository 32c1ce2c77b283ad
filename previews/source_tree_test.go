//go:build unix

package previews_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestSource_ExtractDependsOnTheCommitAlone: images that are built of it have its files' modes and times in them.
func TestSource_ExtractDependsOnTheCommitAlone(t *testing.T) {
	r := newRepository(t)
	write(t, filepath.Join(r.dir, "deep/er/link"), "-> x")
	id := r.commit(map[string]string{"deep/er/x": "1", "run.sh": "2"})
	r.git("update-index", "--chmod=+x", "run.sh")
	r.git("commit", "--quiet", "--amend", "--no-edit", "--date=2001-02-03T04:05:06Z")
	id = r.git("rev-parse", "HEAD")
	at, err := r.source().Date(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "x")
	old := syscall.Umask(0o077)
	_, err = r.source().Extract(t.Context(), id, dir, nil)
	syscall.Umask(old)
	if err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]fs.FileMode{".": 0o755, "deep": 0o755, "deep/er": 0o755, "deep/er/x": 0o644, "deep/er/link": 0, "run.sh": 0o755} {
		info, err := os.Lstat(filepath.Join(dir, name))
		if err != nil || !info.ModTime().Equal(at) || mode != 0 && info.Mode().Perm() != mode {
			t.Errorf("%s is %v of %v (%v), want %v of %v", name, info.Mode(), info.ModTime(), err, mode, at)
		}
	}
}
