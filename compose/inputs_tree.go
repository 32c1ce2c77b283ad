package compose

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
	"golang.org/x/sync/errgroup"
)

// treeEntry is what counts of one file, link or folder of a build context.
type treeEntry struct {
	path string // relative, with slashes
	kind byte   // 'f' file, 'x' executable file, 'l' link, 'd' folder, 'o' other
	link string
	stat fileStat
	sum  [sha256.Size]byte // of a file's content
}

// tree is the digest of a folder after the first of the ignore files that exists.
func (r *inputReader) tree(ctx context.Context, service, dir string, ignoreFiles []string) (string, error) {
	patterns, err := ignorePatterns(ignoreFiles)
	if err != nil {
		return "", fmt.Errorf("service %s: %w", service, err)
	}
	return r.treeWithout(ctx, service, dir, patterns)
}

// treeWithout is the digest of a folder without what the patterns leave out.
func (r *inputReader) treeWithout(ctx context.Context, service, dir string, patterns []string) (string, error) {
	key := dir + "\x00" + strings.Join(patterns, "\x00")
	if d, ok := r.trees[key]; ok {
		return d, nil
	}
	entries, err := r.entries(ctx, service, dir, patterns)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	for _, e := range entries {
		fmt.Fprintf(h, "%c%s\x00%s\x00", e.kind, e.path, e.link)
		h.Write(e.sum[:])
	}
	r.trees[key] = hex.EncodeToString(h.Sum(nil))
	return r.trees[key], nil
}

// entries are what a folder holds without what the patterns leave out, in a fixed order, with the digests of files.
func (r *inputReader) entries(ctx context.Context, service, dir string, patterns []string) ([]*treeEntry, error) {
	if err := checkContext(r.p, service, dir); err != nil {
		return nil, err
	}
	root, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, fmt.Errorf("build context of service %s: %w", service, err)
	}
	w := &treeWalk{ctx: ctx, root: root}
	if w.ignore, err = patternmatcher.New(patterns); err != nil {
		return nil, fmt.Errorf("service %s: read patterns of .dockerignore: %w", service, err)
	}
	w.mayReappear = exceptions(w.ignore)
	if err := w.folder("", patternmatcher.MatchInfo{}, false); err != nil {
		return nil, unreadable(service, err)
	}
	if err := r.hashes.fill(ctx, root, w.entries); err != nil {
		return nil, unreadable(service, err)
	}
	return w.entries, nil
}

// FileDigests are the digests of the files below the project's folder that one of the globs matches, by their paths. The rest is as
// with FilesDigest.
func FileDigests(ctx context.Context, p *Project, service string, globs []string, o InputOptions) (map[string]string, error) {
	r, patterns := globReader(p, globs, o)
	entries, err := r.entries(ctx, service, p.WorkingDir, patterns)
	if err != nil {
		return nil, err
	}
	r.hashes.save()
	all := map[string]string{}
	for _, e := range entries {
		if e.kind != 'd' {
			sum := sha256.Sum256(append(e.sum[:], e.link...))
			all[e.path] = hex.EncodeToString(sum[:])
		}
	}
	return all, nil
}

// globReader reads what globs match below the project's folder.
func globReader(p *Project, globs []string, o InputOptions) (*inputReader, []string) {
	if o.Now == nil {
		o.Now = time.Now
	}
	r := &inputReader{p: p, hashes: openHashes(o, p, strings.Join(globs, "\x00")), trees: map[string]string{}, done: map[string]string{}}
	patterns := []string{"**"}
	for _, g := range globs {
		patterns = append(patterns, "!"+strings.TrimPrefix(g, "./"))
	}
	return r, patterns
}

// FilesDigest is the digest of the files below the project's folder that one of the globs matches, in the syntax of
// .dockerignore: "migrations/**", "app/*.sql". Of a file count its path, whether it is executable, and its content or link
// target. service is whose globs they are, for errors; the digest is "" where nothing matches.
func FilesDigest(ctx context.Context, p *Project, service string, globs []string, o InputOptions) (string, error) {
	r, patterns := globReader(p, globs, o)
	sum, err := r.treeWithout(ctx, service, p.WorkingDir, patterns)
	if err != nil {
		return "", err
	}
	r.hashes.save()
	if nothing := sha256.Sum256(nil); sum == hex.EncodeToString(nothing[:]) {
		return "", nil
	}
	return "sha256:" + sum, nil
}

// FileDigest is the digest of the content of one regular file, which may be large and anywhere: "sha256:…".
func FileDigest(ctx context.Context, p *Project, name string, o InputOptions) (string, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	info, err := os.Stat(name)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s is no file", name)
	}
	hashes, stat := openHashes(o, p, "file\x00"+name), statOf(info)
	sum, ok := hashes.known(name, stat)
	if !ok {
		if sum, err = hashFile(ctx, name); err != nil {
			return "", err
		}
		hashes.learn(name, stat, sum)
		hashes.save()
	}
	return "sha256:" + hex.EncodeToString(sum[:]), nil
}

// unreadable adds what to do to an error about a file of a build context.
func unreadable(service string, err error) error {
	err = fmt.Errorf("build context of service %s: %w", service, err)
	if errors.Is(err, fs.ErrPermission) {
		return &HintedError{Err: err, Next: "name it in .dockerignore, or make it readable"}
	}
	return err
}

// ignorePatterns are the patterns of the first of the files that exists.
func ignorePatterns(files []string) ([]string, error) {
	for _, name := range files {
		text, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		patterns, err := ignorefile.ReadAll(bytes.NewReader(text))
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		return patterns, nil
	}
	return nil, nil
}

// treeWalk lists what of a folder is not ignored, in a fixed order.
type treeWalk struct {
	ctx     context.Context
	root    string
	ignore  *patternmatcher.PatternMatcher
	entries []*treeEntry
	// mayReappear are the fixed beginnings of the patterns with "!": an ignored folder outside all of them is not read.
	mayReappear []string
}

// exceptions are the beginnings without a wildcard of the patterns with "!", with slashes.
func exceptions(m *patternmatcher.PatternMatcher) []string {
	var out []string
	for _, p := range m.Patterns() {
		if !p.Exclusion() {
			continue
		}
		s := filepath.ToSlash(p.String())
		if i := strings.IndexAny(s, `*[]?^\`); i >= 0 {
			s = s[:strings.LastIndexByte(s[:i], '/')+1]
		}
		out = append(out, strings.TrimSuffix(s, "/"))
	}
	return out
}

// folder adds what is in folder rel. above is what the patterns said of it, ignored whether that leaves it out.
func (w *treeWalk) folder(rel string, above patternmatcher.MatchInfo, ignored bool) error {
	if w.ctx.Err() != nil {
		return context.Cause(w.ctx)
	}
	list, err := os.ReadDir(filepath.Join(w.root, filepath.FromSlash(rel)))
	if err != nil {
		if ignored && errors.Is(err, fs.ErrPermission) {
			return nil // BuildKit does not send it either
		}
		return err
	}
	for _, d := range list {
		name := path.Join(rel, d.Name())
		skip, match, err := w.ignore.MatchesUsingParentResults(filepath.FromSlash(name), above)
		if err != nil {
			return fmt.Errorf("match %s with .dockerignore: %w", name, err)
		}
		if !skip {
			if err := w.add(name, d); err != nil {
				return err
			}
		}
		if d.IsDir() && (!skip || w.reappears(name)) {
			if err := w.folder(name, match, skip); err != nil {
				return err
			}
		}
	}
	return nil
}

// reappears is whether a pattern with "!" may take back something below the ignored folder name.
func (w *treeWalk) reappears(name string) bool {
	for _, p := range w.mayReappear {
		if p == "" || p == name || strings.HasPrefix(p, name+"/") || strings.HasPrefix(name, p+"/") {
			return true
		}
	}
	return false
}

// add appends one entry; a file that is gone meanwhile and a socket are left out, as BuildKit does.
func (w *treeWalk) add(name string, d fs.DirEntry) error {
	e := &treeEntry{path: name, kind: 'o'}
	switch d.Type() {
	case fs.ModeDir:
		e.kind = 'd'
	case fs.ModeSocket:
		return nil
	case fs.ModeSymlink:
		link, err := os.Readlink(filepath.Join(w.root, filepath.FromSlash(name)))
		if err != nil {
			return gone(err)
		}
		e.kind, e.link = 'l', filepath.ToSlash(link)
	case 0:
		info, err := d.Info()
		if err != nil {
			return gone(err)
		}
		e.kind, e.stat = 'f', statOf(info)
		if info.Mode()&0o111 != 0 {
			e.kind = 'x'
		}
	}
	w.entries = append(w.entries, e)
	return nil
}

func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// fill gives each file of entries the hash of its content, from the cache where it is known.
func (h *fileHashes) fill(ctx context.Context, root string, entries []*treeEntry) error {
	h.walked(root)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(4, runtime.GOMAXPROCS(0)))
	for _, e := range entries {
		if e.kind != 'f' && e.kind != 'x' {
			continue
		}
		name := filepath.Join(root, filepath.FromSlash(e.path))
		if sum, ok := h.known(name, e.stat); ok {
			e.sum = sum
			continue
		}
		g.Go(func() error {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			sum, err := hashFile(ctx, name)
			if err != nil {
				return gone(err)
			}
			e.sum = sum
			h.learn(name, e.stat, sum)
			return nil
		})
	}
	return g.Wait()
}

func hashFile(ctx context.Context, name string) (sum [sha256.Size]byte, err error) {
	f, err := os.Open(name)
	if err != nil {
		return sum, err
	}
	defer f.Close() // it was only read
	h := sha256.New()
	if _, err := io.Copy(h, untilDone{ctx, f}); err != nil {
		return sum, err
	}
	return [sha256.Size]byte(h.Sum(nil)), nil
}

// untilDone reads until a context ends.
type untilDone struct {
	ctx context.Context
	r   io.Reader
}

// Read reads, unless the context has ended.
func (u untilDone) Read(p []byte) (int, error) {
	if u.ctx.Err() != nil {
		return 0, context.Cause(u.ctx)
	}
	return u.r.Read(p)
}
