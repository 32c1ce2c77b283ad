package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/engine"
	"github.com/strake-dev/strake/previews"
)

// previewSources are the commits of the repository in which a command runs.
type previewSources struct {
	streams Streams
	options projectOptions
	source  *previews.Source
	dir     string // of the project in the checkout
	trees   string // where the files of previews' commits are
	warn    func(string)
	say     func(string)
	policy  *previews.Policy // once it was read
	engine  *engine.Engine   // on which previews run
	named   map[string]bool  // images that the default branch names, once they were asked for
	here    *engine.Engine   // this machine's, where previews run elsewhere; nil where there is none
	origin  *bool            // whether the repository has an origin, once that was asked
	at      string           // the commit at which changes are taken, whatever is newest; "" for that
}

var _ previews.Sources = (*previewSources)(nil)

func newPreviewSources(s Streams, o projectOptions, warn func(string)) (*previewSources, error) {
	dir := s.Dir
	if o.ProjectDir != "" {
		dir = filepath.Join(dir, o.ProjectDir)
		if filepath.IsAbs(o.ProjectDir) {
			dir = o.ProjectDir
		}
	}
	cache := cacheDir(s)
	if cache == "" {
		return nil, &compose.HintedError{Err: errors.New("there is no folder for the files of previews"), Next: "set STRAKE_CACHE_DIR"}
	}
	return &previewSources{streams: s, options: o, source: &previews.Source{Dir: dir, Environ: s.Environ}, dir: dir, trees: filepath.Join(cache, "previews"), warn: warn}, nil
}

// hasOrigin is whether the repository has a remote that is called origin.
func (v *previewSources) hasOrigin(ctx context.Context, s Streams) (bool, error) {
	if v.origin == nil {
		remotes, err := gitSaid(ctx, s, v.dir, "remote")
		if err != nil {
			return false, err
		}
		is := isLine(remotes, "origin")
		v.origin = &is
	}
	return *v.origin, nil
}

// Policy reads what the default branch says of previews.
func (v *previewSources) Policy(ctx context.Context) (previews.Policy, error) {
	if v.policy != nil {
		return *v.policy, nil
	}
	at, err := v.source.DefaultBranch(ctx)
	if err != nil {
		return previews.Policy{}, err
	}
	p, err := v.source.Project(ctx, at.ID, v.options.loadOptions(v.streams))
	if errors.Is(err, compose.ErrNoFile) { // the project is new: it has a name, and no policy yet
		var here *compose.Project
		if here, err = compose.Load(ctx, v.options.loadOptions(v.streams)); err == nil {
			p = &compose.Project{Project: here.Project}
		}
	}
	if err != nil {
		return previews.Policy{}, fmt.Errorf("read the policy of previews from %s: %w", at.From, err)
	}
	secrets, err := previews.Secrets(p.Settings.Previews, v.dir, v.streams.Environ)
	if err != nil {
		return previews.Policy{}, err
	}
	v.policy = &previews.Policy{Project: p.Name, Settings: p.Settings, Secrets: secrets}
	return *v.policy, nil
}

// Resolve finds the commit of a change.
func (v *previewSources) Resolve(ctx context.Context, c previews.Change) (previews.Target, error) {
	commit, warning, err := v.source.Resolve(ctx, c)
	if warning != "" {
		v.warn(warning)
	}
	if err == nil && v.at != "" { // which was fetched with it, or before
		commit, _, err = v.source.Resolve(ctx, previews.Change{Commit: v.at})
	}
	if err != nil {
		return previews.Target{}, err
	}
	date, err := v.source.Date(ctx, commit.ID)
	return previews.Target{Commit: commit, Date: date}, err
}

// Checkout writes the commit's files into a folder of the generation's own.
func (v *previewSources) Checkout(ctx context.Context, commit, generation string) (string, error) {
	root := v.tree(generation)
	if err := previews.Remove(root); err != nil { // what an open left that was killed
		return "", err
	}
	gaps, err := v.source.Extract(ctx, commit, root, nil)
	for _, w := range gaps.Warnings() {
		v.warn(w)
	}
	return root, err
}

// tree is the folder of a generation's files.
func (v *previewSources) tree(generation string) string { return filepath.Join(v.trees, generation) }

// Load reads the project of a folder of Checkout.
func (v *previewSources) Load(ctx context.Context, root string, policy previews.Policy) (*compose.Project, error) {
	prefix, err := v.source.Prefix(ctx)
	if err != nil {
		return nil, err
	}
	p, err := compose.Load(ctx, previews.LoadOptions(root, filepath.Join(root, filepath.FromSlash(prefix)), policy.Project, policy.Settings.Previews, v.streams.Environ))
	if err != nil {
		return nil, err
	}
	for _, w := range p.Warnings {
		v.warn(w)
	}
	return previewStandIns(ctx, v.streams, p, v.engine)
}

// Trees are the generations of a stack that have a folder.
func (v *previewSources) Trees(_ context.Context, stack string) ([]string, error) {
	entries, err := os.ReadDir(v.trees)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, e := range entries {
		if previews.IsOf(stack, e.Name()) {
			names = append(names, e.Name())
		}
	}
	return names, err
}

// Remove removes the folders of generations.
func (v *previewSources) Remove(_ context.Context, generations []string) (left []string, err error) {
	var errs []error
	for _, g := range generations {
		if err := previews.Remove(v.tree(g)); err != nil {
			errs = append(errs, err)
			left = append(left, "work tree "+v.tree(g))
		}
	}
	_ = os.Remove(v.trees) // where it is empty
	return left, errors.Join(errs...)
}
