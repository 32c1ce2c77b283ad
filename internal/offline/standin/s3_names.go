package standin

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"
	"syscall"

	"github.com/rclone/gofakes3"
)

// namesOf lists a folder of the store.
func (s *store) namesOf(dir string) ([]string, error) {
	entries, err := fs.ReadDir(s.root.FS(), dir)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, err
}

// folds is whether the folder's file system takes names for the same that are not, as those of macOS and Windows do: in upper and lower case, or
// with a letter and its accent as one character and as two.
func (s *store) folds() (bool, error) {
	name := rand.Text()
	file := func(prefix string) string { return path.Join(storeScratch, prefix+name) }
	err := s.root.WriteFile(file("a\u00e9-"), nil, 0o666)
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		return false, nil // what is there can be read, and no key comes to it
	}
	if err != nil {
		return false, err
	}
	folds := false
	for _, other := range []string{"A\u00e9-", "ae\u0301-"} {
		if _, err := s.root.Lstat(file(other)); err == nil {
			folds = true
		}
	}
	return folds, s.root.Remove(file("a\u00e9-"))
}

// otherName is the path of a file by the names that its folders have for it, where that is not the file's own: the file system takes both for the
// same. It is "" for none, and for a file that is not there.
func (s *store) otherName(file string) (string, error) {
	if s.names == nil {
		return "", nil
	}
	at := "."
	for part := range strings.SplitSeq(file, "/") {
		names, err := s.names(at)
		if isAbsent(err) {
			return "", nil
		}
		if err != nil {
			return "", err
		}
		if !slices.Contains(names, part) {
			if _, err := s.root.Lstat(path.Join(at, part)); isAbsent(err) {
				return "", nil
			}
			i := slices.IndexFunc(names, func(name string) bool { return strings.EqualFold(name, part) })
			if i < 0 {
				return path.Join(at, "another name"), nil // of the same letters in other characters
			}
			return path.Join(at, names[i]), nil
		}
		at = path.Join(at, part)
	}
	return "", nil
}

// checkName refuses a key whose file the file system takes for that of another key.
func (s *store) checkName(file, key string) error {
	other, err := s.otherName(file)
	if err != nil || other == "" {
		return err
	}
	if _, name, ok := strings.Cut(other, "/"); ok { // the bucket's
		other = name
	}
	return gofakes3.ErrorMessagef(gofakes3.ErrInvalidRequest, "Key %q cannot be kept as a file: there is %q, which the file system of the stand-in's folder takes for the same name.", key, other)
}
