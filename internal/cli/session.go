package cli

import (
	"cmp"
	"context"
	"errors"
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
	"github.com/strake-dev/strake/internal/seed"
)

// projectOptions are the flags that every command has: which project, on which engine.
type projectOptions struct {
	Files, Profiles, EnvFiles []string
	Name, ProjectDir          string
	Context, Host             string
	Remote                    string // see engine.Options.Remote
	Offline                   bool
	looks                     bool // at what the engine has of the project: the engine is asked for it while the files are read
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

// isTrue reads an environment variable as a switch; checkVariables refuses what is none.
func isTrue(v string) bool { return slices.Contains(switchOn[:], strings.ToLower(v)) }

// What an environment variable that is a switch may say.
var (
	switchOn  = [...]string{"true", "1", "yes", "on"}
	switchOff = [...]string{"false", "0", "no", "off", ""}
)

// checkVariables refuses environment variables of strake whose values mean nothing, before a file is read.
func checkVariables(s Streams) error {
	var errs []error
	if v := s.getenv("STRAKE_OFFLINE"); !isTrue(v) && !slices.Contains(switchOff[:], strings.ToLower(v)) {
		errs = append(errs, usagef("set it to true or false", "STRAKE_OFFLINE is %q", v))
	}
	if v := s.getenv("STRAKE_PORTS"); v != "" && v != string(compose.PortsFixed) && v != string(compose.PortsAuto) {
		errs = append(errs, usagef("set it to fixed or auto", "STRAKE_PORTS is %q", v))
	}
	if v := s.getenv("STRAKE_HEALTH"); v != "" && v != "probe" && v != "engine" {
		errs = append(errs, usagef("set it to probe or engine", "STRAKE_HEALTH is %q", v))
	}
	if v := s.getenv("STRAKE_REGISTRY"); v != "" {
		errs = append(errs, checkRegistry("STRAKE_REGISTRY", v))
	}
	return errors.Join(errs...)
}

// loadWith reads the project as the options and the environment say.
func loadWith(ctx context.Context, s Streams, with compose.LoadOptions) (*compose.Project, error) {
	if err := checkVariables(s); err != nil {
		return nil, err
	}
	p, err := compose.Load(ctx, with)
	if err != nil {
		return nil, err
	}
	p.Settings.Ports = cmp.Or(compose.PortMode(s.getenv("STRAKE_PORTS")), p.Settings.Ports)
	p.Settings.Registry = cmp.Or(s.getenv("STRAKE_REGISTRY"), p.Settings.Registry)
	return p, nil
}

func (o projectOptions) loadOptions(s Streams) compose.LoadOptions {
	return compose.LoadOptions{Files: o.Files, Name: o.Name, Profiles: o.Profiles, EnvFiles: o.EnvFiles,
		ProjectDir: o.ProjectDir, Dir: s.Dir, Environ: s.Environ, Stdin: s.In, Offline: o.Offline, CacheDir: cacheDir(s)}
}

// open connects to the engine that the flags or the environment name.
func open(ctx context.Context, s Streams, o projectOptions) (*engine.Engine, error) {
	program := func(ctx context.Context, e *engine.Engine) (string, error) { return programOn(ctx, s, e) }
	return engine.Open(ctx, engine.Options{Host: o.Host, Context: o.Context, Remote: o.Remote, Getenv: s.getenv, Program: program, CacheDir: cacheDir(s)})
}

// begin loads the project, connects to the engine and makes be there what the project's stand-ins run on. The caller closes the engine.
func begin(ctx context.Context, s Streams, o projectOptions) (*compose.Project, *engine.Engine, error) {
	p, e, loadErr, openErr := loadAndOpen(ctx, s, o, o.loadOptions(s))
	if loadErr != nil {
		closeUnused(e)
		return nil, nil, loadErr
	}
	if openErr == nil {
		openErr = readyStandIns(ctx, s, p, e)
	}
	if openErr != nil {
		closeUnused(e)
		return nil, nil, openErr
	}
	return p, e, nil
}

// beginWith is begin with the project reduced to the services (nil: all) and, unless alone, what they depend on.
func beginWith(ctx context.Context, s Streams, o projectOptions, services []string, alone bool) (*compose.Project, *engine.Engine, error) {
	p, e, err := begin(ctx, s, o)
	if err != nil {
		return nil, nil, err
	}
	if p, err = p.Select(services, alone); err != nil {
		closeUnused(e)
	}
	return p, e, err
}

// closeUnused closes an engine that nothing was done with; nil is none.
func closeUnused(e *engine.Engine) {
	if e != nil {
		_ = e.Close()
	}
}

// loadAndOpen loads the project and connects to the engine at the same time. If both go wrong, the file's error is the one to
// tell: it has to be put right anyway. The engine is nil where it is not reached.
func loadAndOpen(ctx context.Context, s Streams, o projectOptions, with compose.LoadOptions) (p *compose.Project, e *engine.Engine, loadErr, openErr error) {
	var both errgroup.Group
	foreseen, loaded := make(chan compose.Scope, 4), make(chan struct{})
	with.Foreseen = func(scope compose.Scope) {
		select {
		case foreseen <- scope:
		default: // nobody asks any more
		}
	}
	both.Go(func() error {
		defer close(loaded)
		p, loadErr = loadWith(ctx, s, with)
		return nil
	})
	both.Go(func() error {
		if e, openErr = open(ctx, s, o); openErr != nil {
			return nil
		}
		e.Learn(ctx)
		if !o.looks {
			return nil
		}
		for {
			select {
			case scope := <-foreseen:
				if scope.Project != "" { // as upChange and Look have it
					scope.Containers = append(seed.MarksOf(scope.Project).Containers, localName(scope.Project))
				}
				e.Expect(ctx, scope)
			case <-loaded: // then nothing is gained any more
				return nil
			}
		}
	})
	_ = both.Wait() // the functions put their errors aside
	if loadErr == nil {
		p, loadErr = withStandIns(s, p, with.AllowUnsupported)
	}
	return p, e, loadErr, openErr
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
	if len(names) == 0 { // ForEachService makes copies of them
		names, alone = p.ServiceNames(), true
	}
	if alone {
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
