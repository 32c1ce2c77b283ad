package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/release"
	"github.com/strake-dev/strake/previews"
)

// buildTree is a clean extract of a commit from which images are built: what git ignores, and what somebody changes meanwhile, does not get into them.
type buildTree struct {
	scratch string // of which all is removed afterwards
	root    string // where the repository's top is
	dir     string // of the project
	here    string // the project's in the checkout
	gaps    previews.Gaps
	commit  string
}

// extract writes the files of a commit to a folder of their own.
func (r *releasing) extract(ctx context.Context, commit string) (t *buildTree, err error) {
	prefix, err := r.source.Prefix(ctx)
	if err != nil {
		return nil, err
	}
	scratch, err := previews.Scratch("strake-build-")
	if err != nil {
		return nil, err
	}
	t = &buildTree{scratch: scratch, root: filepath.Join(scratch, "tree"), commit: commit}
	t.dir = filepath.Join(t.root, filepath.FromSlash(prefix))
	if t.gaps, err = r.source.Extract(ctx, commit, t.root, nil); err != nil {
		return nil, errors.Join(err, t.remove())
	}
	return t, nil
}

// remove removes it.
func (t *buildTree) remove() error {
	if t == nil {
		return nil
	}
	return previews.Remove(t.scratch)
}

// load is the project that was read where work is done, as the commit has it. Files of secrets that the commit has not are those of here, a folder of the
// project: no image depends on them.
func (t *buildTree) load(ctx context.Context, s Streams, o projectOptions, here *compose.Project) (*compose.Project, error) {
	with := o.loadOptions(s)
	with.Dir, with.Root, with.ProjectDir, with.Name = t.dir, t.root, "", here.Name
	with.Offline, with.AllowUnsupported, with.CacheDir = true, true, "" // here was read with all that it says; an env_file need not be in a commit
	p, err := compose.Load(ctx, with)
	if err != nil {
		return nil, fmt.Errorf("read the project as %s has it: %w", release.Short(t.commit), err)
	}
	t.here = here.WorkingDir
	return p, t.lendSecrets(p)
}

// lendSecrets has a project that was loaded from the tree take the files of secrets that are in no commit from the checkout.
func (t *buildTree) lendSecrets(p *compose.Project) error {
	for name, secret := range p.Secrets {
		if _, err := os.Stat(secret.File); secret.File == "" || !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		rel, err := filepath.Rel(t.dir, secret.File)
		if err != nil {
			return err
		}
		secret.File = filepath.Join(t.here, rel)
		p.Secrets[name] = secret
	}
	return nil
}

// check refuses builds that would be of anything but the commit: what lies outside of it, what git ignores, submodules, and files of Git LFS.
func (t *buildTree) check(p *compose.Project, services []string) error {
	var errs []error
	for _, service := range services {
		errs = append(errs, t.checkPaths(p, service))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for what, names := range map[string][]string{"submodule": t.gaps.Submodules, "pointer of Git LFS": t.gaps.Pointers} {
		for _, name := range names {
			path := filepath.Join(t.root, filepath.FromSlash(name))
			held := compose.BuildsHolding(p, path)
			for _, service := range services {
				for _, dir := range p.AllServices()[service].Build.AdditionalContexts {
					if rel, err := filepath.Rel(dir, path); filepath.IsAbs(dir) && err == nil && filepath.IsLocal(rel) && !slices.Contains(held, service) {
						held = append(held, service)
					}
				}
			}
			if len(held) > 0 {
				errs = append(errs, &release.PolicyError{Why: fmt.Sprintf("the build of %s holds %s, a %s, whose files are not in commit %s", strings.Join(held, ", "), name, what, release.Short(t.commit)),
					Next: "name it in .dockerignore, or put its files into the repository"})
			}
		}
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	return errors.Join(errs...)
}

// checkPaths looks where the paths of one service's build lead.
func (t *buildTree) checkPaths(p *compose.Project, service string) error {
	b := p.AllServices()[service].Build
	paths := map[string]string{}
	if !compose.IsRemoteContext(b.Context) {
		paths["build context"] = b.Context
		if file := b.Dockerfile; b.DockerfileInline == "" && file != "" {
			if !filepath.IsAbs(file) {
				file = filepath.Join(b.Context, file)
			}
			paths["Dockerfile"] = file
		}
	}
	for key, value := range b.AdditionalContexts {
		if !strings.HasPrefix(value, "service:") && !compose.IsRemoteContext(value) {
			paths["additional context "+key] = value
		}
	}
	var errs []error
	for _, what := range slices.Sorted(maps.Keys(paths)) {
		path := paths[what]
		rel, err := filepath.Rel(t.dir, path)
		if err != nil || !compose.Within(t.root, path) {
			shown := path
			if err == nil && !strings.HasPrefix(rel, ".."+string(filepath.Separator)+"..") { // a path of the extract tells nobody anything
				shown = rel
			}
			errs = append(errs, &release.PolicyError{Why: fmt.Sprintf("the %s of service %s, %s, is outside of the repository, so that its images would be of no commit", what, service, shown),
				Next: "keep a copy in the repository, and name it by a path relative to the file"})
			continue
		}
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, &release.PolicyError{Why: fmt.Sprintf("the %s of service %s, %s, is not in commit %s", what, service, rel, release.Short(t.commit)),
				Next: "commit it if git ignores it, or have the Dockerfile make it"})
		}
	}
	return errors.Join(errs...)
}
