package compose

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
)

// Project is a compose file, loaded: compose-go's own model, and strake's settings out of x-strake.
// It is not changed after Load; whoever needs another one makes a copy.
type Project struct {
	*types.Project
	Settings Settings
	// EnvFiles are the --env-file paths that were given, absolute; nil when none was.
	EnvFiles []string
	// Fills says, by the key of a volume, what it is filled with when it is made; nil: volumes begin empty.
	Fills map[string]VolumeFill
	// Warnings are sentences for people about what the files say and strake does otherwise.
	Warnings []string

	root     string          // LoadOptions.Root
	absent   map[string]bool // the files of secrets and configs that are not there
	whole    *types.Project  // with the networks, volumes, … that no enabled service uses; nil: Project is whole
	lenient  bool
	findings []finding // what the files say and strake does not do
	sources  *sources
}

// LoadOptions say which files are loaded and how. The zero value loads what `docker compose` would
// load in Dir "" with an empty environment.
type LoadOptions struct {
	Files    []string // -f, in order; "-" is Stdin; nil means COMPOSE_FILE or the default names, looked for upwards from Dir
	Name     string   // -p; "" means COMPOSE_PROJECT_NAME, name:, the folder
	Profiles []string // --profile; nil means COMPOSE_PROFILES
	EnvFiles []string // --env-file; nil means COMPOSE_ENV_FILES or .env
	// ProjectDir is --project-directory; "" is the folder of the first file.
	ProjectDir string
	// Dir is the folder that relative paths are resolved against; "" is the process's own.
	Dir     string
	Environ []string  // KEY=VALUE, the process's environment
	Stdin   io.Reader // what the file "-" holds; nil is empty
	// Root confines a project that is not trusted: a file that loading would read and that is not below this folder, symbolic links
	// followed, is an error. "" confines nothing.
	Root string
	// Offline refuses what would have to be fetched: remote includes and extends.
	Offline bool
	// CacheDir holds a note of which files were checked already, so that they are not checked again; "" keeps none.
	CacheDir string
	// Foreseen, when not nil, is told what ScopeOf will most likely say of the project, for what can be begun while it is read: first its name,
	// as far as a glance tells, and then the networks, volumes and images. Load may come to others.
	Foreseen func(Scope)
	// AllowUnsupported takes what strake does not do for a warning, and a lost env_file for none: for what only looks at a
	// stack, stops or removes it.
	AllowUnsupported bool
	// NoInterpolate leaves ${…} as written, for `config --no-interpolate`: only AsWritten takes it, as a value that is
	// not filled in may not fit the model.
	NoInterpolate bool
}

// Load reads a project as Docker Compose 2.40.3 does: files, environment, name, profiles, includes and extends.
// A strake.yaml beside the first compose file is merged after all others. Relative paths in it become absolute.
//
// Networks, volumes, secrets and configs that no enabled service uses are left out. What can be put right is a *HintedError:
// no file, no such include or env file, a wrong key (with file and line), a name that nothing is called by, a variable
// that must be set, an attribute that strake does not support.
//
// It returns when ctx ends, and after a minute, also where a file is a pipe that nobody writes to or goes in circles; what reads
// such a file then goes on in the background.
//
// What env_file holds is in Environment, and EnvFiles of the services is empty; ~ is the home of the process's user.
func Load(ctx context.Context, o LoadOptions) (*Project, error) {
	if o.NoInterpolate {
		return nil, errors.New("a project with variables that are not filled in is no project yet: use AsWritten")
	}
	type result struct {
		p    *Project
		said []string
		err  error
	}
	loaded := make(chan result, 1)
	go func() {
		var r result
		r.said = recordLog(func() { r.p, r.err = load(ctx, o) })
		loaded <- r
	}()
	limit := time.NewTimer(loadLimit)
	defer limit.Stop()
	select {
	case r := <-loaded:
		if r.err != nil {
			return nil, r.err
		}
		r.p.Warnings = slices.Concat(r.said, r.p.Warnings)
		return r.p, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-limit.C:
		return nil, &HintedError{Err: fmt.Errorf("the files of the project were not read to their end in %s", loadLimit),
			Next: "look for an env_file that is a pipe nobody writes to, or an included file with an anchor that is merged into itself"}
	}
}

// loadLimit is far more than any project needs.
const loadLimit = time.Minute

// load is Load but for what compose-go logs.
func load(ctx context.Context, o LoadOptions) (*Project, error) {
	in, err := resolveInput(o)
	if err != nil {
		return nil, err
	}
	if name := in.foreseen(); o.Foreseen != nil && name != "" {
		o.Foreseen(Scope{Project: name})
	}
	known := in.known()
	if known.isChecked() {
		if p, err := in.project(ctx, true); err == nil {
			return p, nil
		} // what is wrong is said better by a load that checks
	}
	defer compileSchema()()
	p, err := in.project(ctx, false)
	if err == nil && len(p.findings) == 0 {
		known.remember()
	}
	return p, err
}

// project reads the files; checked says that they are known to be as the specification and strake want them.
func (in *input) project(ctx context.Context, checked bool) (*Project, error) {
	src := in.sources()
	if err := src.checkAnchors(); err != nil {
		return nil, err
	}
	model, findings, err := in.model(ctx, src, checked)
	if err != nil {
		return nil, src.explain(err)
	}
	if in.o.Foreseen != nil {
		in.o.Foreseen(scopeOfModel(model))
	}
	if err := in.checkNamed(model); err != nil {
		return nil, err
	}
	if err := src.checkPlaces(model); err != nil {
		return nil, err
	}
	opts := loader.ToOptions(&in.details, []func(*loader.Options){in.options()})
	name, _ := model["name"].(string)
	opts.SetProjectName(name, true)
	inner, err := toProject(model, opts, in.details)
	if err != nil {
		opts.SkipConsistencyCheck, opts.SkipResolveEnvironment, opts.SkipResolveLabels = true, true, true
		if loose, looseErr := toProject(model, opts, in.details); looseErr == nil {
			err = cmp.Or(src.inconsistent(loose), err)
		}
		return nil, src.explain(err)
	}
	if in.o.AllowUnsupported { // a lost env_file is nothing to who looks, stops or removes
		if resolved, err := inner.WithServicesEnvironmentResolved(true); err == nil {
			inner = resolved
		}
	}
	inner.ComposeFiles = in.files()
	label(inner, in.envFiles)
	p := &Project{Project: inner, EnvFiles: in.envFiles, Warnings: slices.Concat(in.found, src.unread()), absent: absentFiles(inner), root: in.o.Root, whole: inner, lenient: in.o.AllowUnsupported, findings: findings, sources: src}
	if p.Settings, err = src.settings(inner); err != nil {
		return nil, err
	}
	return p.narrowed(inner, findings)
}

// toProject is compose-go's ModelToProject.
func toProject(model map[string]any, opts *loader.Options, details types.ConfigDetails) (_ *types.Project, err error) {
	defer unpanicked(&err)
	return loader.ModelToProject(model, opts, details)
}

// label gives each service the labels that Docker Compose gives its containers before it looks at anything else.
// Source: docker/compose, cmd/compose/compose.go, ToProject.
func label(p *types.Project, envFiles []string) {
	for _, services := range []types.Services{p.Services, p.DisabledServices} {
		for name, s := range services {
			s.CustomLabels = serviceLabels(p, name, envFiles)
			services[name] = s
		}
	}
}

// serviceLabels are the labels of label.
func serviceLabels(p *types.Project, name string, envFiles []string) types.Labels {
	labels := types.Labels{LabelProject: p.Name, LabelService: name, LabelOneOff: "False",
		LabelWorkingDir: p.WorkingDir, LabelConfigFiles: strings.Join(p.ComposeFiles, ",")}
	if len(envFiles) > 0 {
		labels[LabelEnvironmentFile] = strings.Join(envFiles, ",")
	}
	return labels
}

// narrowed is p with the services that inner has enabled and only what they use, if strake does what they ask for.
func (p *Project) narrowed(inner *types.Project, findings []finding) (*Project, error) {
	other := *p
	other.Project = inner.WithoutUnresolvedOptionalDependencies().WithoutUnnecessaryResources()
	warnings, err := p.sources.judge(other.Project, findings, p.lenient)
	if err == nil && !p.lenient {
		err = p.sources.unworkable(other.Project)
	}
	if err != nil {
		return nil, err
	}
	other.Warnings = slices.Clone(p.Warnings)
	for _, w := range warnings {
		if !slices.Contains(other.Warnings, w) {
			other.Warnings = append(other.Warnings, w)
		}
	}
	return &other, nil
}

// Select is the project with only the named services and, unless noDeps, what they depend on; the others are
// disabled. A name enables its service whatever its profiles say. No names: the project as it is.
//
// A name that the project does not have is a *HintedError with the nearest that it has.
func (p *Project) Select(names []string, noDeps bool) (*Project, error) {
	if len(names) == 0 {
		return p, nil
	}
	whole := p.whole
	if whole == nil {
		whole = p.Project
	}
	for _, n := range names {
		if _, ok := whole.AllServices()[n]; !ok {
			return nil, noService(p, n)
		}
	}
	enabled, err := whole.WithServicesEnabled(names...)
	if err != nil {
		return nil, fmt.Errorf("enable %s: %w", strings.Join(names, ", "), err)
	}
	if enabled, err = enabled.WithServicesEnvironmentResolved(true); err != nil {
		return nil, p.sources.explain(err)
	}
	if enabled, err = enabled.WithServicesLabelsResolved(false); err != nil {
		return nil, p.sources.explain(err)
	}
	var options []types.DependencyOption
	if noDeps {
		options = append(options, types.IgnoreDependencies)
	}
	if enabled, err = enabled.WithSelectedServices(names, options...); err != nil {
		return nil, p.sources.explain(err)
	}
	return p.narrowed(enabled, p.findings)
}

// Sharers are the enabled services that live in a namespace of one of the named services, or of one that does: a new container
// of that one ends theirs. Sorted.
func (p *Project) Sharers(names []string) []string {
	var all []string
	known := slices.Clone(names)
	for i := 0; i < len(known); i++ {
		for name, s := range p.Services {
			if slices.Contains(namespaceOwners(s), known[i]) && !slices.Contains(known, name) {
				known, all = append(known, name), append(all, name)
			}
		}
	}
	slices.Sort(all)
	return all
}

// allVolumes are the file's volumes, those that no enabled service uses too.
func (p *Project) allVolumes() types.Volumes {
	if p.whole != nil {
		return p.whole.Volumes
	}
	return p.Volumes
}

// noService is the error for a name that no service has.
func noService(p *Project, name string) error {
	all := slices.Sorted(maps.Keys(p.AllServices()))
	next := "the services are " + strings.Join(all, ", ")
	if n := Nearest(name, all); n != "" {
		next = "did you mean " + n + "? " + next
	}
	return &HintedError{Err: fmt.Errorf("project %s has no service %s", p.Name, name), Next: next}
}
