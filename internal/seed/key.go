package seed

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/compose/regex"
)

// Facts are everything that a seed's data depends on, in the form that is digested. No secret is in them.
type Facts struct {
	Version int `json:"version"` // of this form
	// For is the preview's stack that alone starts from the seed, "" for whoever has the key. What a pull request makes of data is its own:
	// not all that its files can change is in a key.
	For      string         `json:"for,omitempty"`
	Platform string         `json:"platform"`
	Services []ServiceFacts `json:"services"`
	Steps    []RunFacts     `json:"steps"`           // in the order in which they run
	Needs    []RunFacts     `json:"needs,omitempty"` // of other services that those depend on
}

// RunFacts are those of how a container runs that writes data.
type RunFacts struct {
	Service     string            `json:"service"`
	Image       string            `json:"image,omitempty"`  // digest of its build's inputs, or of its content; "" where Inputs says it all
	Inputs      string            `json:"inputs,omitempty"` // digest of the files that x-strake.inputs names
	User        string            `json:"user,omitempty"`
	Command     []string          `json:"command,omitempty"`
	Environment map[string]string `json:"environment,omitempty"`
	// Files are digests, by their paths in the container, of configs and of the project's own files that are mounted.
	Files map[string]string `json:"files,omitempty"`
	// Rest is what else of its settings can change what it writes, by the names that the file has.
	Rest map[string]any `json:"rest,omitempty"`
}

// ServiceFacts are those of a service whose data is sealed.
type ServiceFacts struct {
	RunFacts
	Volumes []string `json:"volumes,omitempty"` // where in the container they are
	Dump    string   `json:"dump,omitempty"`    // digest
}

// Base is what a seed has to have in common with another one from which it can be made by the migrations alone.
type Base struct {
	// Data is the digest of the facts but for the migrations' files; "" where nothing tells these apart (x-strake.inputs).
	Data string
	// Migrations are short digests of the migrations' files: of each its path and its content.
	Migrations []string
}

// extends is whether all that was migrated of other is as it was, so that only what is new has to be run.
func (b Base) extends(other Base) bool {
	return b.Data != "" && b.Data == other.Data && !slices.ContainsFunc(other.Migrations, func(m string) bool { return !slices.Contains(b.Migrations, m) })
}

// BaseOf reads what a seed of the project would have in common with others; f are its facts.
func BaseOf(ctx context.Context, p *compose.Project, f Facts, o compose.InputOptions) (Base, error) {
	name := p.Settings.Migrate.Service
	i := slices.IndexFunc(f.Steps, func(s RunFacts) bool { return s.Service == name })
	if i < 0 || f.Steps[i].Inputs == "" {
		return Base{}, nil
	}
	f.Steps = slices.Clone(f.Steps)
	f.Steps[i].Inputs, f.For = "", ""
	base := Base{Data: f.Key()}
	files, err := compose.FileDigests(ctx, p, name, p.Settings.Services[name].Inputs, o)
	for _, path := range slices.Sorted(maps.Keys(files)) {
		sum := sha256.Sum256([]byte(path + "\x00" + files[path]))
		base.Migrations = append(base.Migrations, hex.EncodeToString(sum[:6]))
	}
	return base, err
}

// Key is the seed's name: 16 hexadecimal digits of the facts' digest.
func (f Facts) Key() string {
	text, err := json.Marshal(f)
	if err != nil {
		panic(err) // texts, lists and maps of texts can always be encoded
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// FactsOptions are where facts come from beside the project.
type FactsOptions struct {
	State  compose.State     // with the project's images
	Inputs map[string]string // of compose.Inputs, for all services with a build section
	Files  compose.InputOptions
	// Offline refuses dumps that are in S3.
	Offline bool
}

// FactsOf reads what the seed of the project depends on. An image that is neither built by the project nor here is a
// *compose.HintedError, as is a dump that cannot be read, a glob that matches nothing, and a project without seeds.
func FactsOf(ctx context.Context, p *compose.Project, o FactsOptions) (Facts, error) {
	r := &factReader{p: p, o: o}
	f := Facts{Version: 3, Platform: o.State.Engine.OS + "/" + o.State.Engine.Arch}
	names := Services(p)
	if len(names) == 0 {
		return f, unseeded(p)
	}
	var errs []error
	for _, name := range names {
		one, err := r.service(ctx, name)
		f.Services, errs = append(f.Services, one), append(errs, err)
	}
	steps := Steps(p)
	for _, name := range steps {
		one, err := r.run(ctx, name)
		f.Steps, errs = append(f.Steps, one), append(errs, err)
	}
	for _, name := range closure(p, append(running(p, o.State), steps...)) {
		if p.Settings.Services[name].StandIn {
			continue // it begins empty in the scratch stack, whatever strake it is
		}
		if !slices.Contains(names, name) && !slices.Contains(steps, name) {
			one, err := r.run(ctx, name)
			f.Needs, errs = append(f.Needs, one), append(errs, err)
		}
	}
	return f, errors.Join(errs...)
}

// unseeded is the error for a project without seeds.
func unseeded(p *compose.Project) error {
	return &compose.HintedError{Err: fmt.Errorf("project %s seeds no service", p.Name), Next: "give the service that holds the data x-strake: {seed: {}}"}
}

// Services are the services whose data is sealed, sorted.
func Services(p *compose.Project) []string {
	var names []string
	for name, s := range p.Settings.Services {
		if _, ok := p.Services[name]; ok && s.Seed != nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Steps are the services that write a seed's data, in the order in which they run: the migrations, then what each seeded
// service names.
func Steps(p *compose.Project) []string {
	var steps []string
	if m := p.Settings.Migrate.Service; m != "" {
		steps = append(steps, m)
	}
	for _, name := range writers(p) {
		if !slices.Contains(steps, name) {
			steps = append(steps, name)
		}
	}
	return steps
}

// writers are the steps but for the migrations: in a stack that starts from a seed they count as completed.
func writers(p *compose.Project) []string {
	var steps []string
	for _, name := range Services(p) {
		for _, w := range p.Settings.Services[name].Seed.With {
			if !slices.Contains(steps, w) && w != p.Settings.Migrate.Service {
				steps = append(steps, w)
			}
		}
	}
	return steps
}

// factReader reads facts of services.
type factReader struct {
	p *compose.Project
	o FactsOptions
}

func (r *factReader) service(ctx context.Context, name string) (ServiceFacts, error) {
	s := r.p.Services[name]
	ref := compose.ImageName(r.p, s)
	if _, ok := r.o.State.Images[ref]; !ok {
		return ServiceFacts{}, &compose.HintedError{Err: fmt.Errorf("image %s of service %s is not there", ref, name), Next: "run strake seed build, which builds or pulls it"}
	}
	if !slices.Contains(running(r.p, r.o.State), name) { // its data is what the steps make of it, on top of what the image has there
		return ServiceFacts{RunFacts: RunFacts{Service: name}, Volumes: volumesOf(s)}, nil
	}
	one, err := r.run(ctx, name)
	f := ServiceFacts{RunFacts: one, Volumes: dataPaths(s, r.o.State.Images[ref])}
	if from := r.p.Settings.Services[name].Seed.From; from != "" {
		var dumpErr error
		if f.Dump, dumpErr = r.dump(ctx, from); dumpErr != nil {
			dumpErr = fmt.Errorf("dump %s of service %s: %w", from, name, dumpErr)
			var hinted compose.Hinted
			if !errors.As(dumpErr, &hinted) {
				dumpErr = &compose.HintedError{Err: dumpErr, Next: "correct services." + name + ".x-strake.seed.from"}
			}
			err = errors.Join(err, dumpErr)
		}
	}
	return f, err
}

// dump is what a dump counts as: the digest of a file, or what S3 says of an object.
func (r *factReader) dump(ctx context.Context, from string) (string, error) {
	o, remote, err := objectOf(from)
	switch {
	case err != nil:
		return "", err
	case remote && r.o.Offline:
		return "", &compose.HintedError{Err: errors.New("it is in S3, and offline forbids the network"), Next: "fetch it once (aws s3 cp) and name the file, or start from a seed by its name (up --seed=NAME)"}
	case remote:
		return o.fact(ctx)
	}
	return compose.FileDigest(ctx, r.p, dumpPath(r.p, from), r.o.Files)
}

// run are the facts of how a service runs.
func (r *factReader) run(ctx context.Context, name string) (RunFacts, error) {
	s := r.p.Services[name]
	if s.Name == "" {
		return RunFacts{}, &compose.HintedError{Err: fmt.Errorf("step %s of the seed is not enabled", name), Next: "activate its profile, or take the profile from the service"}
	}
	f := RunFacts{Service: name, User: s.User, Command: commandOf(s), Environment: r.environment(s.Environment), Rest: r.rest(s)}
	globs := r.p.Settings.Services[name].Inputs
	var err, filesErr error
	if len(globs) > 0 {
		f.Inputs, err = compose.FilesDigest(ctx, r.p, name, globs, r.o.Files)
		if err == nil && f.Inputs == "" {
			err = &compose.HintedError{Err: fmt.Errorf("x-strake.inputs of service %s (%s) match no file", name, strings.Join(globs, ", ")), Next: "write them relative to " + r.p.WorkingDir}
		}
		if slices.Contains(Steps(r.p), name) {
			return f, err
		}
	}
	f.Files, filesErr = r.files(ctx, s)
	image, imageErr := r.image(s)
	f.Image = image
	return f, errors.Join(err, filesErr, imageErr)
}

// files are digests of the configs of a service and of what it mounts of the project's folder.
func (r *factReader) files(ctx context.Context, s compose.Service) (map[string]string, error) {
	out := map[string]string{}
	for _, c := range s.Configs {
		spec := r.p.Configs[c.Source]
		text := spec.Content
		if spec.Environment != "" {
			text = r.p.Environment[spec.Environment]
		}
		if spec.File != "" {
			sum, err := compose.FileDigest(ctx, r.p, spec.File, r.o.Files)
			if err != nil {
				return nil, fmt.Errorf("config %s of service %s: %w", c.Source, s.Name, err)
			}
			text = sum
		}
		sum := sha256.Sum256([]byte(text))
		out[cmp.Or(c.Target, "/"+c.Source)] = "sha256:" + hex.EncodeToString(sum[:])
	}
	for _, v := range s.Volumes {
		rel, err := filepath.Rel(r.p.WorkingDir, v.Source)
		if v.Type != "bind" || err != nil || !filepath.IsLocal(rel) {
			continue
		}
		globs := []string{rel, rel + "/**"}
		if rel == "." {
			globs = []string{"**"}
		}
		if out[v.Target], err = compose.FilesDigest(ctx, r.p, s.Name, globs, r.o.Files); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// image is what the image of a service counts as: the inputs of its build, or its content.
func (r *factReader) image(s compose.Service) (string, error) {
	ref := compose.ImageName(r.p, s)
	for _, name := range slices.Sorted(maps.Keys(r.o.Inputs)) {
		if b := r.p.Services[name]; b.Build != nil && compose.ImageName(r.p, b) == ref {
			return r.o.Inputs[name], nil
		}
	}
	if c := r.o.State.Images[ref].Content; c != "" {
		return c, nil
	}
	return "", &compose.HintedError{Err: fmt.Errorf("image %s of service %s is not there", ref, s.Name), Next: "run strake pull " + s.Name}
}

func commandOf(s compose.Service) []string {
	if s.Entrypoint == nil {
		return masked(s.Command)
	}
	return masked(append(append(slices.Clone([]string(s.Entrypoint)), "--"), s.Command...))
}

// dataPaths are where a service keeps data: the image's volumes, and those that the file mounts.
func dataPaths(s compose.Service, i compose.Image) []string {
	paths := slices.Clone(i.Volumes)
	for _, v := range s.Volumes {
		if v.Type == "volume" && !v.ReadOnly {
			paths = append(paths, v.Target)
		}
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

// dumpPath is where a dump is: relative paths are the project's.
func dumpPath(p *compose.Project, from string) string {
	if filepath.IsAbs(from) {
		return from
	}
	return filepath.Join(p.WorkingDir, from)
}

// secretWords are the words in names of environment variables whose values are secrets, but for paths of files (…_FILE).
var secretWords = regex.New(`(?i)(^|_)((PG)?PASS|[A-Z]*PASSWORD|PASSWD|PWD|PASSPHRASE|SECRETS?|TOKENS?|CREDENTIALS?|JWT|PAT|COOKIE|([A-Z]+_?)?AUTH|AUTHORIZATION|SALT|(API|ACCESS|PRIVATE|SECRET|SIGNING)?KEY)[0-9]*(_|$)`)

// isSecret is whether the variable's value is a secret, as far as its name tells.
func isSecret(name string) bool {
	return secretWords.MatchString(name) && !strings.HasSuffix(strings.ToUpper(name), "_FILE")
}

// environment is what of an environment counts: not the values of secrets, nor what URLs hold of them.
func (r *factReader) environment(variables map[string]*string) map[string]string {
	secrets := map[string]bool{}
	for _, o := range r.p.Secrets {
		if o.Environment != "" {
			secrets[o.Environment] = true
		}
	}
	out := map[string]string{}
	for k, v := range variables {
		switch {
		case v == nil:
			continue
		case isSecret(k) || secrets[k]:
			out[k] = "(secret)"
		default:
			out[k] = withoutPassword(*v)
		}
	}
	return out
}
