package compose

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// keptSame is how many equivalent digests are kept for a project.
const keptSame = 200

// sameInputs are digests of inputs that were found to make the same image as others did, oldest first.
type sameInputs []struct{ Inputs, As string }

// sameFile is where a project's are kept; "" for nowhere.
func sameFile(p *Project, o InputOptions) string {
	if o.CacheDir == "" {
		return ""
	}
	return filepath.Join(o.CacheDir, "same-"+digest([]byte(p.WorkingDir + "\x00" + p.Name))[:16])
}

// readSame reads them. What cannot be read is forgotten: it costs a build that changes nothing.
func readSame(file string) sameInputs {
	var all sameInputs
	text, err := os.ReadFile(file)
	if err != nil || json.Unmarshal(text, &all) != nil {
		return nil
	}
	return all
}

// as is the digest that stands for another, itself if none does.
func (s sameInputs) as(inputs string) string {
	for _, one := range s {
		if one.Inputs == inputs {
			return one.As
		}
	}
	return inputs
}

// RememberSame keeps that a build from other inputs left the image as it was, so that Inputs answers with the digest on the
// image from then on, and the next up has nothing to build. It does nothing for a build from the same inputs, or without
// CacheDir.
func RememberSame(i *ImageStep, o InputOptions) error {
	if i.Project == nil || i.Was == "" || i.Inputs == "" || i.Was == i.Inputs {
		return nil
	}
	file := sameFile(i.Project, o)
	if file == "" {
		return nil
	}
	all := append(readSame(file), struct{ Inputs, As string }{i.Inputs, i.Was})
	text, err := json.Marshal(all[max(0, len(all)-keptSame):])
	if err != nil {
		return fmt.Errorf("remember inputs of %s: %w", i.Service, err)
	}
	if err := replaceFile(file, text); err != nil {
		return fmt.Errorf("remember inputs of %s: %w", i.Service, err)
	}
	return nil
}

// replaceFile writes a file of the cache so that a reader sees the former or the new one, whole.
func replaceFile(file string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	if _, err := os.Lstat(file); errors.Is(err, fs.ErrNotExist) {
		forgetOld(filepath.Dir(file), time.Now().Add(-unusedFor))
	}
	tmp, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(text)
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), file)
	}
	if err != nil {
		_ = os.Remove(tmp.Name()) // the first error is the one that tells
	}
	return err
}

// unusedFor is how long a file of the cache stays that is not written any more, as its project's folder is gone: each commit of a preview has
// a folder of its own.
const unusedFor = 30 * 24 * time.Hour

// forgetOld removes the files of a cache folder that were last written before then. What is still in use is found out once more.
func forgetOld(dir string, then time.Time) {
	entries, _ := os.ReadDir(dir) // what cannot be read is not removed
	for _, e := range entries {
		kind, _, _ := strings.Cut(e.Name(), "-")
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() && slices.Contains([]string{"known", "inputs", "same"}, kind) && info.ModTime().Before(then) {
			_ = os.Remove(filepath.Join(dir, e.Name())) // the next time
		}
	}
}
