package seed

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/strake-dev/strake/compose"
)

// Facts are everything that a seed's data depends on, in the form that is digested. No secret is in them.
type Facts struct {
	Version  int            `json:"version"` // of this form
	Platform string         `json:"platform"`
	Services []ServiceFacts `json:"services"`
	Steps    []StepFacts    `json:"steps"` // in the order in which they run
}

// ServiceFacts are those of a service whose data is sealed.
type ServiceFacts struct {
	Service     string            `json:"service"`
	Image       string            `json:"image,omitempty"` // digest of its build's inputs, or of its content
	Command     []string          `json:"command,omitempty"`
	Environment map[string]string `json:"environment,omitempty"`
	Volumes     []string          `json:"volumes,omitempty"` // where in the container they are
	Dump        string            `json:"dump,omitempty"`    // digest
}

// StepFacts are those of a step that writes data.
type StepFacts struct {
	Service     string            `json:"service"`
	Image       string            `json:"image,omitempty"`  // as above; "" where Inputs says it all
	Inputs      string            `json:"inputs,omitempty"` // digest of the files that x-strake.inputs names
	Command     []string          `json:"command,omitempty"`
	Environment map[string]string `json:"environment,omitempty"`
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
}

// FactsOf reads what the seed of the project depends on. An image that is neither built by the project nor here is a
// *compose.HintedError, as is a dump that cannot be read, a glob that matches nothing, and a project without seeds.
func FactsOf(ctx context.Context, p *compose.Project, o FactsOptions) (Facts, error) {
	r := &factReader{p: p, o: o}
	f := Facts{Version: 1, Platform: o.State.Engine.OS + "/" + o.State.Engine.Arch}
	names := Services(p)
	if len(names) == 0 {
		return f, &compose.HintedError{Err: fmt.Errorf("project %s seeds no service", p.Name), Next: "give the service that holds the data x-strake: {seed: {}}"}
	}
	var errs []error
	for _, name := range names {
		one, err := r.service(name)
		f.Services, errs = append(f.Services, one), append(errs, err)
	}
	for _, name := range Steps(p) {
		one, err := r.step(ctx, name)
		f.Steps, errs = append(f.Steps, one), append(errs, err)
	}
	return f, errors.Join(errs...)
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

func (r *factReader) service(name string) (ServiceFacts, error) {
	s := r.p.Services[name]
	ref := compose.ImageName(r.p, s)
	if _, ok := r.o.State.Images[ref]; !ok {
		return ServiceFacts{}, &compose.HintedError{Err: fmt.Errorf("image %s of service %s is not there", ref, name), Next: "run strake seed build, which builds or pulls it"}
	}
	if _, others := wholes(r.p, r.o.State); slices.Contains(others, name) { // its data is what the steps make of it
		return ServiceFacts{Service: name, Volumes: volumesOf(s)}, nil
	}
	f := ServiceFacts{Service: name, Command: commandOf(s), Environment: r.environment(s), Volumes: dataPaths(s, r.o.State.Images[ref])}
	var err, dumpErr error
	f.Image, err = r.image(s)
	if from := r.p.Settings.Services[name].Seed.From; from != "" {
		f.Dump, dumpErr = digestFile(dumpPath(r.p, from))
		if dumpErr != nil {
			dumpErr = &compose.HintedError{Err: fmt.Errorf("dump of service %s: %w", name, dumpErr), Next: "correct services." + name + ".x-strake.seed.from"}
		}
	}
	return f, errors.Join(err, dumpErr)
}

func (r *factReader) step(ctx context.Context, name string) (StepFacts, error) {
	s := r.p.Services[name]
	if s.Name == "" {
		return StepFacts{}, &compose.HintedError{Err: fmt.Errorf("step %s of the seed is not enabled", name), Next: "activate its profile, or take the profile from the service"}
	}
	f := StepFacts{Service: name, Command: commandOf(s), Environment: r.environment(s)}
	globs := r.p.Settings.Services[name].Inputs
	var err error
	if len(globs) == 0 {
		f.Image, err = r.image(s)
		return f, err
	}
	f.Inputs, err = compose.FilesDigest(ctx, r.p, name, globs, r.o.Files)
	if err == nil && f.Inputs == "" {
		err = &compose.HintedError{Err: fmt.Errorf("x-strake.inputs of service %s (%s) match no file", name, strings.Join(globs, ", ")), Next: "write them relative to " + r.p.WorkingDir}
	}
	return f, err
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
		return s.Command
	}
	return append(append(slices.Clone([]string(s.Entrypoint)), "--"), s.Command...)
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

func digestFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close() // it is only read
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil)), nil
}

// secretWords are the words in names of environment variables whose values are secrets, but for paths of files (…_FILE).
var secretWords = regexp.MustCompile(`(?i)(^|_)(PASS|PASSWORD|PASSWD|PWD|PASSPHRASE|SECRETS?|TOKENS?|CREDENTIALS?|APIKEY|(API|ACCESS|PRIVATE|SIGNING|ENCRYPTION|AUTH)_?KEY)(_|$)`)

// isSecret is whether the variable's value is a secret, as far as its name tells.
func isSecret(name string) bool {
	return secretWords.MatchString(name) && !strings.HasSuffix(strings.ToUpper(name), "_FILE")
}

// environment is what of a service's environment counts: not the values of secrets, nor what URLs hold of them, and not the
// name of the project.
func (r *factReader) environment(s compose.Service) map[string]string {
	secrets := map[string]bool{}
	for _, o := range r.p.Secrets {
		if o.Environment != "" {
			secrets[o.Environment] = true
		}
	}
	out := map[string]string{}
	for k, v := range s.Environment {
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

// withoutPassword is a text without the password that a URL in it holds.
func withoutPassword(v string) string {
	u, err := url.Parse(v)
	if err != nil || u.User == nil || cmp.Or(u.Scheme, u.Host) == "" {
		return v
	}
	u.User = url.User(u.User.Username())
	return u.String()
}
