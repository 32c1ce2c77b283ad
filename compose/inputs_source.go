package compose

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// BuildSource is what a service's build reads, resolved: paths are absolute and arguments have their values.
type BuildSource struct {
	Service string
	Build   *Build
	// Context is a folder, or a URL when Remote.
	Context string
	Remote  bool
	// File is the Dockerfile's path; "" when it is inline; inside the context when Remote and Text is nil.
	File string
	// Text is the Dockerfile; nil when it is part of a remote context.
	Text []byte
	// Args are the build's arguments; one without a value has that of the project's environment, or is left out.
	Args map[string]string
	// Platforms are what is built for; empty is the engine's own platform.
	Platforms []string

	dir string // of the project
}

// ReadBuild resolves the build section of a service and reads its Dockerfile.
// A missing context or Dockerfile is a *HintedError that says which of them it is.
func ReadBuild(p *Project, service string) (BuildSource, error) {
	s, ok := serviceNamed(p, service)
	if !ok || s.Build == nil {
		return BuildSource{}, fmt.Errorf("service %s has no build section", service)
	}
	b := s.Build
	src := BuildSource{Service: service, Build: b, Context: b.Context, Remote: IsRemoteContext(b.Context),
		Args: map[string]string{}, Platforms: buildPlatforms(p, s), dir: p.WorkingDir}
	for key, value := range b.Args {
		if value != nil {
			src.Args[key] = *value
		} else if v, ok := p.Environment[key]; ok {
			src.Args[key] = v
		}
	}
	if !src.Remote {
		if err := checkContext(p, service, src.Context); err != nil {
			return BuildSource{}, err
		}
	}
	if b.DockerfileInline != "" {
		src.Text = []byte(b.DockerfileInline)
		return src, nil
	}
	src.File = b.Dockerfile
	if src.File == "" {
		src.File = "Dockerfile"
	}
	if src.Remote && !filepath.IsAbs(src.File) {
		return src, nil
	}
	if !filepath.IsAbs(src.File) {
		src.File = filepath.Join(src.Context, src.File)
	}
	text, err := readRegular(src.File)
	if err != nil {
		return BuildSource{}, dockerfileError(service, src.File, err)
	}
	src.Text = text
	return src, nil
}

// Where is the Dockerfile as people say it: relative to the project's folder if it lies inside.
func (s BuildSource) Where() string {
	if s.File == "" {
		return "dockerfile_inline of service " + s.Service
	}
	if rel, err := filepath.Rel(s.dir, s.File); err == nil && filepath.IsLocal(rel) {
		return filepath.ToSlash(rel)
	}
	return s.File
}

// ignoreFiles are the files that may hold the patterns of what is left out of the context; the first that exists does.
// Source: Dockerfile reference, "Filename and location" of .dockerignore.
func (s BuildSource) ignoreFiles() []string {
	files := []string{filepath.Join(s.Context, ".dockerignore")}
	if s.File != "" {
		files = slices.Insert(files, 0, s.File+".dockerignore")
	}
	return files
}

// SecretID is the id under which a Dockerfile mounts a build's secret: its target, or its name.
func SecretID(ref FileReference) string {
	if ref.Target != "" {
		return ref.Target
	}
	return ref.Source
}

// IsRemoteContext is whether a build context is a URL or a reference, and not a folder of this machine.
// Source: moby/buildkit, frontend/dockerui (Git and HTTP contexts).
func IsRemoteContext(value string) bool {
	for _, prefix := range []string{"github.com/", "git@"} {
		if strings.HasPrefix(value, prefix) {
			return true
		}
	}
	return strings.Contains(value, "://")
}

// buildPlatforms is what the service runs on if that is said, else what DOCKER_DEFAULT_PLATFORM says, else build.platforms.
func buildPlatforms(p *Project, s Service) []string {
	if s.Platform != "" {
		return []string{s.Platform}
	}
	all := s.Build.Platforms
	if d := p.Environment["DOCKER_DEFAULT_PLATFORM"]; d != "" && (len(all) == 0 || slices.Contains(all, d)) {
		return []string{d}
	}
	return all
}

// checkContext says what is wrong with a build context that is no folder.
func checkContext(p *Project, service, dir string) error {
	info, err := os.Stat(dir)
	switch {
	case err == nil && info.IsDir():
		return nil
	case err == nil:
		return &HintedError{Err: fmt.Errorf("build context of service %s: %s is not a folder", service, dir), Next: "give build.context the folder, and the file's name in build.dockerfile"}
	case errors.Is(err, fs.ErrNotExist):
		next := "correct build.context of service " + service
		if near := nearestName(filepath.Dir(dir), filepath.Base(dir), true); near != "" {
			next += fmt.Sprintf("; did you mean %s?", filepath.Join(filepath.Dir(dir), near))
		}
		return &HintedError{Err: fmt.Errorf("build context of service %s: there is no folder %s", service, dir), Next: next}
	}
	return fmt.Errorf("build context of service %s: %w", service, err)
}

// readRegular is os.ReadFile for files that end: a pipe or a device may not.
func readRegular(file string) ([]byte, error) {
	if info, err := os.Stat(file); err == nil && !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "read", Path: file, Err: errors.New("it is no regular file")}
	}
	return os.ReadFile(file)
}

// dockerfileError says what is wrong with a Dockerfile that cannot be read.
func dockerfileError(service, file string, err error) error {
	if !errors.Is(err, fs.ErrNotExist) {
		return &HintedError{Err: fmt.Errorf("dockerfile of service %s: %w", service, err), Next: "make " + file + " a file that you can read"}
	}
	next := "correct build.dockerfile of service " + service
	if near := nearestName(filepath.Dir(file), filepath.Base(file), false); near != "" {
		next += fmt.Sprintf("; did you mean %s?", filepath.Join(filepath.Dir(file), near))
	}
	return &HintedError{Err: fmt.Errorf("dockerfile of service %s: there is no file %s", service, file), Next: next}
}

// nearestName is the entry of dir that resembles name most, "" for none: at most three edits away whatever
// the case, or a Dockerfile by its name.
func nearestName(dir, name string, folders bool) string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "" // it is only a suggestion
	}
	best, bestEdits := "", 4
	for _, e := range entries {
		if e.IsDir() != folders {
			continue
		}
		edits := distance(strings.ToLower(e.Name()), strings.ToLower(name))
		if !folders && edits > 3 && strings.Contains(strings.ToLower(e.Name()), "dockerfile") && !strings.HasSuffix(e.Name(), ".dockerignore") {
			edits = 3
		}
		if edits < bestEdits && edits < max(len(name), 2) {
			best, bestEdits = e.Name(), edits
		}
	}
	return best
}
