package standin

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/rclone/gofakes3"
)

// TestStore_TellsKeysApartThatDifferInCase: the folder's file system is one that does not, as its listing says.
func TestStore_TellsKeysApartThatDifferInCase(t *testing.T) {
	s, err := openStore(t.TempDir(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() // nothing is under way
	ctx := t.Context()
	put := func(key string) error {
		_, err := s.PutObject(ctx, "uploads", key, nil, strings.NewReader("x"), 1)
		return err
	}
	for _, key := range []string{"a/b.txt", "a/c"} {
		if err := put(key); err != nil {
			t.Fatalf("put %s = %v", key, err)
		}
	}
	// Of the names that were written the folder has others: whoever asks for the first gets the second.
	for _, name := range []string{"A/B", "a/B"} {
		s.names = func(dir string) ([]string, error) {
			names, err := s.namesOf(dir)
			for i, n := range names {
				switch {
				case n == "a":
					names[i] = name[:1]
				case n == "b.txt":
					names[i] = "B.txt"
				}
			}
			return names, err
		}
		if err := put("a/b.txt"); !gofakes3.HasErrorCode(err, gofakes3.ErrInvalidRequest) || !strings.Contains(err.Error(), name[:1]) {
			t.Errorf("put of a/b.txt beside %s.txt = %v, want it refused", name, err)
		}
		if err := s.forget("uploads", "a/b.txt"); err != nil {
			t.Fatal(err)
		}
		if _, err := s.HeadObject(ctx, "uploads", "a/b.txt"); !gofakes3.HasErrorCode(err, gofakes3.ErrNoSuchKey) {
			t.Errorf("a/b.txt beside %s.txt = %v, want none", name, err)
		}
		if _, err := s.DeleteObject(ctx, "uploads", "a/b.txt"); err != nil {
			t.Errorf("delete of a/b.txt beside %s.txt = %v", name, err)
		}
	}
	if err := put("a/c"); err != nil {
		t.Errorf("put of what is there under its name = %v", err)
	}
	if err := put("new/x"); err != nil {
		t.Errorf("put of a new key = %v", err)
	}
	s.names = nil
	o, err := s.GetObject(ctx, "uploads", "a/b.txt", nil)
	if err != nil {
		t.Fatalf("the other key's object = %v, want it left", err)
	}
	text, err := io.ReadAll(o.Contents)
	if _ = o.Contents.Close(); err != nil || string(text) != "x" { // only read
		t.Errorf("the other key's object holds %q, %v", text, err)
	}
}
