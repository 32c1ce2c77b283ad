package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/fsnotify/fsnotify"

	"github.com/strake-dev/strake/compose"
)

// fileTree tells of changes below the paths of some rules.
type fileTree struct {
	notify *fsnotify.Watcher
	rules  []compose.WatchRule
}

// watchTree begins to watch. Whoever has it closes it.
func watchTree(rules []compose.WatchRule) (*fileTree, error) {
	n, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("watch files: %w", err)
	}
	t := &fileTree{notify: n, rules: rules}
	for _, r := range rules {
		root := r.Path
		info, err := os.Stat(root)
		if err == nil && !info.IsDir() {
			err = n.Add(filepath.Dir(root)) // editors replace files, so the folder is what lasts
		} else if err == nil {
			_, err = t.add(root)
		}
		if err != nil {
			t.close()
			err = fmt.Errorf("watch %s of service %s: %w", root, r.Service, err)
			if errors.Is(err, fs.ErrNotExist) {
				err = &compose.HintedError{Err: err, Next: "make it, or correct path in develop.watch of " + r.Service}
			}
			return nil, err
		}
	}
	return t, nil
}

func (t *fileTree) events() <-chan fsnotify.Event { return t.notify.Events }
func (t *fileTree) errors() <-chan error          { return t.notify.Errors }
func (t *fileTree) close()                        { _ = t.notify.Close() } // nothing was written

// add watches a folder and all below it that a rule may be about, and returns the files that are there.
func (t *fileTree) add(root string) ([]string, error) {
	var files []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // it went while this walked
		case err != nil:
			return err
		case !d.IsDir():
			files = append(files, path)
			return nil
		case t.skips(path):
			return fs.SkipDir
		}
		if err := t.notify.Add(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	})
	return files, err
}

// skips is whether no rule is about anything in the folder.
func (t *fileTree) skips(folder string) bool {
	for _, r := range t.rules {
		if !r.Skips(folder) {
			if _, ok := relative(r.Path, folder); ok {
				return false
			}
		}
	}
	return true
}

func relative(root, path string) (string, bool) {
	rel, err := filepath.Rel(root, path)
	return rel, err == nil && filepath.IsLocal(rel)
}

// changed are the paths that an event is about: a new folder stands for the files in it.
func (t *fileTree) changed(e fsnotify.Event) []string {
	if e.Op == fsnotify.Chmod {
		return nil // indexers and virus scanners do that all the time
	}
	info, err := os.Stat(e.Name)
	if err == nil && info.IsDir() {
		if !e.Has(fsnotify.Create) {
			return nil
		}
		files, err := t.add(e.Name)
		if err != nil {
			return nil // what cannot be watched is told when it is saved again
		}
		return files
	}
	return []string{e.Name}
}
