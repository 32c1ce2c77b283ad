package cli

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
	"golang.org/x/sync/errgroup"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/engine"
)

// projectOptions are the flags that every command has: which project, on which engine.
type projectOptions struct {
	Files, Profiles, EnvFiles []string
	Name, ProjectDir          string
	Context, Host             string
	Offline                   bool
}

func projectOptionsOf(c *cli.Context) projectOptions {
	s := streamsOf(c)
	return projectOptions{
		Files: c.StringSlice("file"), Profiles: c.StringSlice("profile"), EnvFiles: c.StringSlice("env-file"),
		Name: c.String("project-name"), ProjectDir: c.String("project-directory"),
		Context: c.String("context"), Host: c.String("host"),
		Offline: c.Bool("offline") || isTrue(s.getenv("STRAKE_OFFLINE")),
	}
}

// isTrue reads an environment variable as a switch.
func isTrue(v string) bool {
	switch strings.ToLower(v) {
	case "", "0", "false", "no", "off":
		return false
	}
	return true
}

// load reads the project as the flags, the environment and the files say.
func load(ctx context.Context, s Streams, o projectOptions) (*compose.Project, error) {
	return loadWith(ctx, s, o, o.loadOptions(s))
}

// loadWith is load with options of the caller's.
func loadWith(ctx context.Context, s Streams, o projectOptions, with compose.LoadOptions) (*compose.Project, error) {
	p, err := compose.Load(ctx, with)
	if err != nil {
		return nil, err
	}
	if mode := s.getenv("STRAKE_PORTS"); mode != "" {
		if mode != string(compose.PortsFixed) && mode != string(compose.PortsAuto) {
			return nil, usagef("set it to fixed or auto", "STRAKE_PORTS is %q", mode)
		}
		p.Settings.Ports = compose.PortMode(mode)
	}
	if how := s.getenv("STRAKE_HEALTH"); how != "" && how != "probe" && how != "engine" {
		return nil, usagef("set it to probe or engine", "STRAKE_HEALTH is %q", how)
	}
	return p, nil
}

func (o projectOptions) loadOptions(s Streams) compose.LoadOptions {
	return compose.LoadOptions{Files: o.Files, Name: o.Name, Profiles: o.Profiles, EnvFiles: o.EnvFiles,
		ProjectDir: o.ProjectDir, Dir: s.Dir, Environ: s.Environ, Stdin: s.In, Offline: o.Offline, CacheDir: cacheDir(s)}
}

// open connects to the engine that the flags or the environment name.
func open(ctx context.Context, s Streams, o projectOptions) (*engine.Engine, error) {
	return engine.Open(ctx, engine.Options{Host: o.Host, Context: o.Context, Getenv: s.getenv})
}

// begin loads the project and connects to the engine at the same time. If both go wrong, the file's error is told:
// it is the one that has to be put right anyway. The caller closes the engine.
func begin(ctx context.Context, s Streams, o projectOptions) (*compose.Project, *engine.Engine, error) {
	var (
		p                *compose.Project
		e                *engine.Engine
		loadErr, openErr error
		both             errgroup.Group
	)
	both.Go(func() error { p, loadErr = load(ctx, s, o); return nil })
	both.Go(func() error { e, openErr = open(ctx, s, o); return nil })
	_ = both.Wait() // the functions put their errors aside
	if loadErr != nil {
		if openErr == nil {
			_ = e.Close() // nothing was done with it
		}
		return nil, nil, loadErr
	}
	if openErr != nil {
		return nil, nil, openErr
	}
	return p, e, nil
}

// printWarnings says what the project's files say and strake does otherwise.
func printWarnings(s Streams, warnings []string) {
	for _, w := range warnings {
		fmt.Fprintf(s.Err, "warning: %s\n", w)
	}
}

// unknownService is the error for a name that no service has, with the nearest that one has.
func unknownService(p *compose.Project, name string) error {
	all := slices.Concat(p.ServiceNames(), p.DisabledServiceNames())
	slices.Sort(all)
	next := "the services are " + strings.Join(all, ", ")
	if n := compose.Nearest(name, all); n != "" {
		next = "did you mean " + n + "? " + next
	}
	return &compose.HintedError{Err: fmt.Errorf("project %s has no service %s", p.Name, name), Next: next}
}

// withBuild are the services among names (nil: all enabled), and what they depend on unless alone, that have a
// build section; nil if none has.
func withBuild(p *compose.Project, names []string, alone bool) ([]string, error) {
	found := map[string]bool{}
	look := func(name string, svc *compose.Service) error {
		if svc.Build != nil {
			found[name] = true
		}
		return nil
	}
	if alone && len(names) > 0 {
		for _, n := range names {
			svc := p.Services[n]
			_ = look(n, &svc) // returns nil
		}
	} else if err := p.ForEachService(names, look); err != nil {
		return nil, fmt.Errorf("select services: %w", err)
	}
	return slices.Sorted(maps.Keys(found)), nil
}

// buildState is what Diff has to know of the builds of some services.
func buildState(ctx context.Context, s Streams, p *compose.Project, services []string) (map[string]string, []compose.BuildRef, error) {
	if len(services) == 0 {
		return nil, nil, nil
	}
	var (
		inputs map[string]string
		refs   []compose.BuildRef
	)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		inputs, err = compose.Inputs(ctx, p, services, compose.InputOptions{CacheDir: cacheDir(s)})
		return err
	})
	g.Go(func() (err error) {
		refs, err = compose.BuildRefs(ctx, p, services)
		return err
	})
	return inputs, refs, g.Wait()
}

// cacheDir is where file hashes are kept between runs: STRAKE_CACHE_DIR, else the user's cache folder; "" if there is none.
func cacheDir(s Streams) string {
	if d := s.getenv("STRAKE_CACHE_DIR"); d != "" {
		return d
	}
	d, err := os.UserCacheDir()
	if err != nil {
		return "" // without a home nothing is kept, and every file is read
	}
	return filepath.Join(d, "strake")
}
