package previews

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/strake-dev/strake/compose"
)

// LoadOptions load the project of a commit whose work tree is root, from the folder dir in it, as the project of that name. The file sees no
// other variables than those of the policy, COMPOSE_PROJECT_NAME and what its own .env says; no file outside of root is read, and nothing is
// fetched. environ is the environment of who opens the preview, from which the policy's names take their values.
func LoadOptions(root, dir, name string, policy compose.PreviewSettings, environ []string) compose.LoadOptions {
	// What chooses files is the tree's own, also where the policy's names hold such a variable.
	seen := slices.DeleteFunc(policy.Environment.From(environ), func(kv string) bool {
		return strings.HasPrefix(kv, "COMPOSE_") || strings.HasPrefix(kv, "PWD=")
	})
	return compose.LoadOptions{Dir: dir, Root: root, Name: name, Offline: true, Environ: append(seen, "COMPOSE_PROJECT_NAME="+name)}
}

// Project is the project in the files of a commit, which is the default branch's: those are trusted, and with says what they see. Of the
// files only those are there that say what the project is; what they name beside them need not be. compose.ErrNoFile: it has none.
func (s *Source) Project(ctx context.Context, commit string, with compose.LoadOptions) (p *compose.Project, err error) {
	err = s.reading(ctx, commit, with, func(at compose.LoadOptions) error {
		p, err = compose.Load(ctx, at)
		return err
	})
	return p, err
}

// Written is what the files of a commit say, merged and as compose.AsWritten has it in JSON, with the same path for the repository's top in each commit.
// compose.ErrNoFile: there is no project in it.
func (s *Source) Written(ctx context.Context, commit string, with compose.LoadOptions) (text []byte, err error) {
	err = s.reading(ctx, commit, with, func(at compose.LoadOptions) error {
		text, err = compose.AsWritten(ctx, at, true)
		root, rootErr := json.Marshal(at.Root) // as the text has it
		text = bytes.ReplaceAll(text, bytes.Trim(root, `"`), []byte("/"))
		return errors.Join(err, rootErr)
	})
	return text, err
}

// reading has those files of a commit that say what the project is in a folder, which is gone when read has returned.
func (s *Source) reading(ctx context.Context, commit string, with compose.LoadOptions, read func(compose.LoadOptions) error) (err error) {
	prefix, err := s.Prefix(ctx)
	if err != nil {
		return err
	}
	scratch, err := Scratch("strake-policy-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, Remove(scratch)) }()
	dir, err := filepath.Abs(s.Dir)
	if err != nil {
		return err
	}
	root := filepath.Join(scratch, filepath.Base(dir)) // a project without a name has that of its folder
	if _, err := s.Extract(ctx, commit, root, isPolicyFile); err != nil {
		return err
	}
	with.Dir, with.Root, with.ProjectDir, with.Offline, with.AllowUnsupported = filepath.Join(root, filepath.FromSlash(prefix)), root, "", true, true
	if _, err := os.Stat(with.Dir); errors.Is(err, fs.ErrNotExist) {
		return compose.ErrNoFile // the project is new
	}
	return read(with)
}

// isPolicyFile is whether a file may be one that loading a project reads for its settings.
func isPolicyFile(name string) bool {
	return strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, ".yml") || path.Base(name) == ".env"
}

// secretLimit is more than any key needs. Source: BuildKit and Swarm take 500 KiB.
const secretLimit = 500 << 10

// Secrets reads the secrets of the policy, by name: files relative to dir, the project's folder on this machine, and variables of environ.
// What cannot be read is a *compose.HintedError, all of them joined; no value is part of it.
func Secrets(policy compose.PreviewSettings, dir string, environ []string) (map[string]string, error) {
	var errs []error
	values := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(policy.Secrets)) {
		from := policy.Secrets[name]
		if from.Environment != "" {
			i := slices.IndexFunc(environ, func(kv string) bool { return strings.HasPrefix(kv, from.Environment+"=") })
			if i < 0 {
				errs = append(errs, &compose.HintedError{Err: fmt.Errorf("secret %s of previews: variable %s is not set", name, from.Environment), Next: "set it where previews are opened"})
				continue
			}
			values[name] = environ[i][len(from.Environment)+1:]
			continue
		}
		file := from.File
		if !filepath.IsAbs(file) {
			file = filepath.Join(dir, file)
		}
		text, err := readSecret(file)
		if err != nil {
			errs = append(errs, &compose.HintedError{Err: fmt.Errorf("secret %s of previews: %w", name, err), Next: "make the file, or correct x-strake.previews.secrets." + name})
			continue
		}
		values[name] = text
	}
	return values, errors.Join(errs...)
}

// readSecret reads a regular file of a secret's size.
func readSecret(file string) (string, error) {
	info, err := os.Stat(file)
	switch {
	case err != nil:
		return "", err
	case !info.Mode().IsRegular():
		return "", &fs.PathError{Op: "read", Path: file, Err: errors.New("it is no regular file")}
	case info.Size() > secretLimit:
		return "", fmt.Errorf("%s has %d bytes, a secret at most %d", file, info.Size(), secretLimit)
	}
	text, err := os.ReadFile(file)
	return string(text), err
}
