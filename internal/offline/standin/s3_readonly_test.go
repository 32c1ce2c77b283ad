package standin

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestStore_OpensAFolderThatIsOnlyRead: what is there can be read.
func TestStore_OpensAFolderThatIsOnlyRead(t *testing.T) {
	dir := t.TempDir()
	s, err := openStore(dir, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	scratch := filepath.Join(dir, filepath.FromSlash(storeScratch))
	if err := os.Chmod(scratch, 0o555); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(scratch, 0o755) // so that it can be removed
	if s, err = openStore(dir, time.Now()); err != nil {
		t.Fatalf("openStore of a folder that cannot be written to = %v, want nil", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
