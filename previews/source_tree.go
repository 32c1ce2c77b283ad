package previews

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/strake-dev/strake/compose"
)

// entry is a file of a commit.
type entry struct {
	mode, id, path string
}

// Modes of entries. Source: git fast-import(1), M.
const (
	modeExecutable = "100755"
	modeLink       = "120000"
	modeSubmodule  = "160000"
)

// Gaps are what the files of a commit have of other places, by their paths from the top, sorted. The zero value is none.
type Gaps struct {
	Submodules []string // which are left out
	Pointers   []string // of Git LFS, which are there in the place of the files
}

// Warnings say what is missing, for people who open previews.
func (g Gaps) Warnings() (all []string) {
	for _, name := range g.Submodules {
		all = append(all, "submodule "+name+" is left out: previews have the files of the repository itself")
	}
	if n := len(g.Pointers); n > 0 {
		all = append(all, fmt.Sprintf("%d files are pointers of Git LFS, whose contents are not fetched", n))
	}
	return all
}

// Extract writes the files of a commit into the new folder dir, whose parents are made: as they are in the repository, byte by byte, and only
// those that keep wants (nil: all), by their path from the top. It is no checkout of git's: there is no .git in it through which a container could
// reach the repository, and no attribute, filter or hook is applied. Submodules are left out and files of Git LFS are the pointers that
// git has of them; gaps say so. What is written depends on the commit alone: modes are 0644 or 0755 and times are the commit's own (those of links on
// Unix).
//
// After an error nothing is left of dir, as far as it can be removed. A dir that is there already is an error.
func (s *Source) Extract(ctx context.Context, commit, dir string, keep func(path string) bool) (gaps Gaps, err error) {
	if !fullID.MatchString(commit) {
		return gaps, fmt.Errorf("%q is no full name of a commit", commit)
	}
	entries, err := s.entries(ctx, commit)
	if err != nil {
		return gaps, err
	}
	at, err := s.Date(ctx, commit)
	if err != nil {
		return gaps, err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return gaps, fmt.Errorf("make the work tree: %w", err)
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return gaps, fmt.Errorf("make the work tree: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, Remove(dir))
		}
	}()
	root, err := os.OpenRoot(dir)
	if err != nil {
		return gaps, fmt.Errorf("open the work tree: %w", err)
	}
	defer root.Close() // nothing is written through it any more
	var files []entry
	for _, e := range entries {
		if keep != nil && !keep(e.path) {
			continue
		}
		if e.mode == modeSubmodule {
			gaps.Submodules = append(gaps.Submodules, e.path)
			continue
		}
		files = append(files, e)
	}
	if gaps.Pointers, err = s.write(ctx, root, files, at); err != nil {
		return gaps, fmt.Errorf("write the files of commit %s: %w", commit, err)
	}
	return gaps, nil
}

// ReadFile is a file of a commit, by its path from the top; fs.ErrNotExist where it has none.
func (s *Source) ReadFile(ctx context.Context, commit, name string) ([]byte, error) {
	if !fullID.MatchString(commit) || !fs.ValidPath(name) {
		return nil, fmt.Errorf("%q of %q: %w", name, commit, fs.ErrNotExist)
	}
	entries, err := s.entries(ctx, commit, name)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if e.path == name && e.mode != modeLink && e.mode != modeSubmodule {
			var text []byte
			err := s.blobs(ctx, []entry{e}, func(_ entry, size int64, r io.Reader) error {
				var err error
				text, err = io.ReadAll(r)
				return err
			})
			return text, err
		}
	}
	return nil, fmt.Errorf("commit %s has no file %s: %w", commit, name, fs.ErrNotExist)
}

// entries are the files of a commit, or of those at paths. Names that no checkout of git's would have are refused.
func (s *Source) entries(ctx context.Context, commit string, paths ...string) ([]entry, error) {
	list, err := s.git(ctx, append([]string{"ls-tree", "-r", "-z", "--full-tree", commit, "--"}, paths...)...)
	if err != nil {
		return nil, err
	}
	var all []entry
	for line := range strings.SplitSeq(strings.TrimRight(list, "\x00"), "\x00") {
		head, name, ok := strings.Cut(line, "\t")
		fields := strings.Fields(head)
		if line == "" {
			continue
		}
		if !ok || len(fields) != 3 || !fullID.MatchString(fields[2]) {
			return nil, fmt.Errorf("git ls-tree says %q", line)
		}
		if !isTreePath(name) {
			return nil, &compose.HintedError{Err: fmt.Errorf("commit %s has a file %q, which git itself would not check out", commit, name), Next: "take it out of the commit"}
		}
		all = append(all, entry{fields[0], fields[2], name})
	}
	return all, nil
}

// isTreePath is whether a path of a commit stays in its folder and touches no .git. Source: git, verify_path in read-cache.c.
func isTreePath(name string) bool {
	if !fs.ValidPath(name) || name == "." || !filepath.IsLocal(filepath.FromSlash(name)) {
		return false
	}
	for part := range strings.SplitSeq(name, "/") {
		if strings.EqualFold(part, ".git") || strings.EqualFold(part, "git~1") {
			return false
		}
	}
	return true
}

// write writes entries below root, which nothing leads out of, as of a time; it returns those that are pointers of Git LFS.
func (s *Source) write(ctx context.Context, root *os.Root, entries []entry, at time.Time) (pointers []string, err error) {
	made := map[string]bool{".": true}
	err = s.blobs(ctx, entries, func(e entry, size int64, r io.Reader) error {
		if dir := path.Dir(e.path); !made[dir] {
			if err := root.MkdirAll(dir, 0o755); err != nil {
				return err
			}
			for ; !made[dir]; dir = path.Dir(dir) {
				made[dir] = true
			}
		}
		if e.mode == modeLink {
			target, err := io.ReadAll(r)
			if err != nil {
				return err
			}
			return errors.Join(root.Symlink(string(target), e.path), touchLink(filepath.Join(root.Name(), filepath.FromSlash(e.path)), at))
		}
		isPointer, err := writeFile(root, e, size, r)
		if isPointer {
			pointers = append(pointers, e.path)
		}
		return errors.Join(err, root.Chtimes(e.path, at, at))
	})
	for dir := range made { // when nothing is made in them any more
		if err == nil {
			err = errors.Join(root.Chmod(dir, 0o755), root.Chtimes(dir, at, at))
		}
	}
	return pointers, err
}

// writeFile writes one file, whatever the umask, and says whether it is a pointer of Git LFS.
func writeFile(root *os.Root, e entry, size int64, r io.Reader) (isPointer bool, err error) {
	mode := fs.FileMode(0o644)
	if e.mode == modeExecutable {
		mode = 0o755
	}
	f, err := root.OpenFile(e.path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return false, err
	}
	var start bytes.Buffer
	_, err = io.Copy(f, io.TeeReader(r, &limitedBuffer{&start, len(lfsPointer)}))
	return size < 1024 && start.String() == lfsPointer, errors.Join(err, f.Chmod(mode), f.Close())
}

// lfsPointer begins each file that Git LFS put in the place of another. Source: Git LFS specification, "The Pointer".
const lfsPointer = "version https://git-lfs.github.com/spec/"

// limitedBuffer keeps the beginning of what is written to it.
type limitedBuffer struct {
	*bytes.Buffer
	most int
}

// Write keeps what there is room for.
func (b *limitedBuffer) Write(p []byte) (int, error) {
	b.Buffer.Write(p[:min(len(p), b.most-b.Len())])
	return len(p), nil
}

// blobs gives the content of each entry to do, in order, through one git process.
func (s *Source) blobs(ctx context.Context, entries []entry, do func(e entry, size int64, r io.Reader) error) error {
	if len(entries) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, fetchLimit, fmt.Errorf("git cat-file took more than %s", fetchLimit))
	defer cancel()
	cmd := s.command(ctx, "cat-file", "--batch")
	var ids strings.Builder
	for _, e := range entries {
		ids.WriteString(e.id + "\n")
	}
	cmd.Stdin = strings.NewReader(ids.String())
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	err = eachBlob(bufio.NewReaderSize(out, 1<<16), entries, do)
	if err != nil {
		cancel() // it is not read to its end
	}
	waited := cmd.Wait()
	switch {
	case ctx.Err() != nil && err == nil:
		return context.Cause(ctx)
	case err != nil:
		return err
	}
	return waited
}

// eachBlob reads what git cat-file --batch prints: a line of id, type and size, the content, and the end of a line.
func eachBlob(r *bufio.Reader, entries []entry, do func(e entry, size int64, r io.Reader) error) error {
	for _, e := range entries {
		line, err := r.ReadString('\n')
		if err != nil {
			return fmt.Errorf("read %s from git: %w", e.path, err)
		}
		fields := strings.Fields(line)
		if len(fields) != 3 || fields[0] != e.id || fields[1] != "blob" {
			return fmt.Errorf("read %s from git: it says %q", e.path, strings.TrimSpace(line))
		}
		size, err := strconv.ParseInt(fields[2], 10, 64)
		if err != nil {
			return fmt.Errorf("read %s from git: %w", e.path, err)
		}
		content := io.LimitReader(r, size)
		if err := do(e, size, content); err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, content); err != nil {
			return err
		}
		if _, err := r.Discard(1); err != nil {
			return fmt.Errorf("read %s from git: %w", e.path, err)
		}
	}
	return nil
}

// scratchAge is how old a folder of Scratch is of which nobody makes use any more.
const scratchAge = 24 * time.Hour

// Scratch makes a folder for a short while in that for temporary files, whose name begins with prefix; the caller removes it. Those of the same prefix that are older
// than a day are removed: whoever made them was killed.
func Scratch(prefix string) (string, error) {
	old, _ := filepath.Glob(filepath.Join(os.TempDir(), prefix+"*")) // no pattern that is bad: prefixes are strake's own
	for _, dir := range old {
		if info, err := os.Lstat(dir); err == nil && info.IsDir() && time.Since(info.ModTime()) > scratchAge {
			_ = os.RemoveAll(dir) // it may be another user's
		}
	}
	return os.MkdirTemp("", prefix)
}

// Remove removes a work tree and looks that it is gone; one that is not there is gone. Symbolic links in it are removed, not followed. What is
// left, as files that a container wrote with another owner may be, is named in the error.
func Remove(dir string) error {
	err := os.RemoveAll(dir)
	if _, still := os.Lstat(dir); errors.Is(still, fs.ErrNotExist) {
		return nil
	} else if still != nil && err == nil {
		err = still
	}
	if err == nil {
		err = errors.New("something makes files in it")
	}
	return &compose.HintedError{Err: fmt.Errorf("remove the work tree %s: %w", dir, err), Next: "what a container wrote there may be another user's: remove it as that one"}
}
