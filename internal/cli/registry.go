package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/engine"
	"github.com/strake-dev/strake/internal/release"
)

func newRegistry() *cli.Command {
	return group(&cli.Command{
		Name: "registry", Usage: "Look after the repositories of images and releases.",
		UsageText:   "strake registry init",
		Description: "0 done, 1 failed, 2 wrong usage, 10 there is something to do (--dry-run), 130 interrupted",
	}, newRegistryInit())
}

func newRegistryInit() *cli.Command {
	return &cli.Command{
		Name: "init", Usage: "Make what images and releases need in Amazon ECR: repositories, tags that are written once, sharing, cleaning up.",
		UsageText:   "strake registry init --dry-run   # what it would make\nstrake registry init",
		Description: "0 it is there, 1 failed, 2 wrong usage, 10 there is something to do (--dry-run), 130 interrupted",
		Flags:       []cli.Flag{&cli.BoolFlag{Name: "dry-run", Aliases: []string{"n"}, Usage: "print what would be made, and make nothing"}, jsonFlag()},
		Action: func(c *cli.Context) error {
			return registryInit(c.Context, streamsOf(c), projectOptionsOf(c), c.Bool("dry-run"), c.Bool("json"))
		},
	}
}

// registryDocument is what registry init does in one registry, as --json prints it. Its names are stable.
type registryDocument struct {
	Registry string                   `json:"registry"`
	ECR      bool                     `json:"ecr"` // else it makes repositories by itself
	Steps    []release.RepositoryStep `json:"steps"`
}

// registryInit makes what the registries of a project lack.
func registryInit(ctx context.Context, s Streams, o projectOptions, dryRun, asJSON bool) error {
	r, err := beginReleasing(ctx, s, o, false)
	if err != nil {
		return err
	}
	said := s.Out
	if asJSON {
		said = s.Err
	}
	var all []registryDocument
	todo := 0
	for _, name := range append([]string{""}, compose.EnvironmentNames(r.environments)...) {
		at, want, err := r.repositories(ctx, s, name)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(all, func(d registryDocument) bool { return d.Registry == at.Path }) {
			continue
		}
		d := registryDocument{Registry: at.Path, ECR: at.IsECR(), Steps: []release.RepositoryStep{}}
		if !d.ECR {
			fmt.Fprintf(said, "%s is no Amazon ECR: its repositories are made by the first push, and there is nothing to make\n", at.Path)
			all = append(all, d)
			continue
		}
		fmt.Fprintf(said, "%s\n", at.Path)
		steps, err := at.PlanRepositories(ctx, want)
		if err != nil {
			return err
		}
		d.Steps = append(d.Steps, steps...)
		all = append(all, d)
		n, err := carryOutRepositories(ctx, at, steps, dryRun, func(step release.RepositoryStep) { fmt.Fprintf(said, "  %s\n", step) })
		if todo += n; err != nil {
			return err
		}
	}
	if asJSON {
		if err := printJSON(s.Out, all); err != nil {
			return err
		}
	}
	switch {
	case dryRun && todo > 0:
		return &exitError{code: exitChanges}
	case todo == 0:
		fmt.Fprintf(said, "nothing to make; strake build --push publishes the images\n")
	default:
		fmt.Fprintf(said, "made %s; strake build --push publishes the images\n", plural(todo, "change"))
	}
	return nil
}

// carryOutRepositories says the steps, does them unless that is not wanted, and returns how many change something.
func carryOutRepositories(ctx context.Context, at *release.Registry, steps []release.RepositoryStep, dryRun bool, say func(release.RepositoryStep)) (todo int, err error) {
	for _, step := range steps {
		if step.IsToDo() {
			todo++
		}
		if dryRun {
			say(step)
		}
	}
	if dryRun {
		return todo, nil
	}
	return todo, at.MakeRepositories(ctx, steps, say)
}

// repositories are those that an environment wants of its registry; "" is what was built, and the ledger.
func (r *releasing) repositories(ctx context.Context, s Streams, name string) (*release.Registry, release.Repositories, error) {
	want := release.Repositories{Project: r.project, Services: r.built, Ledger: name == "", Moving: []string{"latest"}}
	at, err := r.imagesOf(ctx, s, name)
	if err != nil {
		return nil, want, err
	}
	home, _, _ := strings.Cut(r.registry.Path, ".")
	for _, other := range compose.EnvironmentNames(r.environments) {
		e := r.environments[other]
		if cmp.Or(e.Registry, r.registry.Path) != at.Path {
			continue
		}
		want.Moving = append(want.Moving, e.Tag)
		if _, of, ok := strings.Cut(e.Role, "::"); ok && e.Registry == "" { // it takes the images from where they were built
			account, _, _ := strings.Cut(of, ":")
			for _, share := range []release.Share{{Account: account}, {Account: account, Role: e.Role}} {
				if account != home && !slices.Contains(want.Shares, share) {
					want.Shares = append(want.Shares, share)
				}
			}
		}
	}
	return at, want, nil
}

// awsEndpoint is where ECR's API is, if not at Amazon's own address.
func awsEndpoint(s Streams) string {
	return cmp.Or(s.getenv("AWS_ENDPOINT_URL_ECR"), s.getenv("AWS_ENDPOINT_URL"))
}

// imagesOf is the registry in which an environment's images are, asked in its role; "" is where builds are.
func (r *releasing) imagesOf(ctx context.Context, s Streams, name string) (*release.Registry, error) {
	e := r.environments[name]
	if e.Registry == "" && e.Role == "" {
		return r.registry, nil
	}
	if r.images[name] == nil {
		at, err := release.OpenRegistry(cmp.Or(e.Registry, r.registry.Path), release.RegistryOptions{Endpoint: awsEndpoint(s), Role: e.Role, Person: actor(ctx, s, r.dir)})
		if err != nil {
			return nil, err
		}
		if r.images == nil {
			r.images = map[string]*release.Registry{}
		}
		r.images[name] = at
	}
	return r.images[name], nil
}

// isOn is whether an environment's tags are where a move puts them.
func (r *releasing) isOn(ctx context.Context, s Streams, m release.Move) (bool, error) {
	at, err := r.imagesOf(ctx, s, m.Environment)
	if err != nil {
		return false, err
	}
	return at.IsOn(ctx, m)
}

// bring has the registry of an environment have the images of a move, and returns it.
func (r *releasing) bring(ctx context.Context, s Streams, m release.Move) (*release.Registry, error) {
	at, err := r.imagesOf(ctx, s, m.Environment)
	if err != nil || at.Path == r.registry.Path {
		return at, err
	}
	show := newProgress(s, false, "copying images to "+at.Path)
	defer show.close()
	var mu sync.Mutex // guards last
	last := map[string]time.Time{}
	err = at.Copy(ctx, r.registry, m.Images, func(service string, c release.Copied) {
		mu.Lock()
		defer mu.Unlock()
		if now := s.Now(); c.Done == c.Total || now.Sub(last[service]) >= laterWord {
			last[service] = now
			show.say(fmt.Sprintf("copying %s: %s of %s", service, mebibytes(c.Done), mebibytes(c.Total)))
		}
	})
	return at, err
}

// remote is the name under which an image of a service is sent.
func (w *pushing) remote(service string) string {
	return w.registry.Path + "/" + service + ":" + w.build.Tag()
}

// pushOne sends an image that has the tag of the build, and returns its digest. One that is in the registry under a tag that is written once counts: a
// build that was cut off sent it. id is what the engine calls the image.
func (w *pushing) pushOne(ctx context.Context, service, id string) (digest string, err error) {
	push := func() (string, error) { return w.engine.Push(ctx, w.remote(service), func(compose.Event) {}) }
	digest, err = push()
	if w.registry.ForgetLogin(err) {
		digest, err = push()
	}
	switch {
	case err != nil && strings.Contains(err.Error(), "immutable"):
		return w.had(ctx, service, id)
	case err == nil && digest == "": // an engine that does not say it
		return w.registry.Resolve(ctx, service, w.build.Tag())
	}
	return digest, err
}

// tagOne gives an image the tag of the build, and returns its digest.
func (w *pushing) tagOne(ctx context.Context, service, digest string) (string, error) {
	err := w.registry.Tag(ctx, service, digest, w.build.Tag())
	if errors.Is(err, release.ErrWritten) {
		return w.had(ctx, service, digest)
	}
	return digest, err
}

// had is the image that has the tag of the build already. Where it is not the one that was to get it, nobody knows what it was built from. That of another
// repository's pull request is never taken.
func (w *pushing) had(ctx context.Context, service, wanted string) (digest string, err error) {
	digest, err = w.registry.Resolve(ctx, service, w.build.Tag())
	if err != nil || digest == wanted {
		return digest, err
	}
	if t := w.there; t != nil && t.Foreign && !w.build.Foreign && t.Images[service] == digest {
		return "", &compose.HintedError{Err: fmt.Errorf("the tag %s of %s is on the image of pull request %d, which is of another repository, and is written once: %w", w.build.Tag(), service, t.PullRequest, release.ErrWritten),
			Next: "take that tag away from " + w.registry.Path + "/" + service + ", and run strake build --push again"}
	}
	fmt.Fprintf(w.streams.Err, "warning: an image of %s was published as %s before, and stays its image; it may be of other inputs, so that no later build takes it\n", service, release.Short(w.build.Commit))
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.others == nil {
		w.others = map[string]bool{}
	}
	w.others[service] = true
	return digest, nil
}

// recorded are the inputs that are written down: those of images that were there instead of what was built of them are not known.
func (w *pushing) recorded() map[string]string {
	known := maps.Clone(w.inputs)
	maps.DeleteFunc(known, func(service, _ string) bool { return w.others[service] })
	return known
}

// logIn has an engine ask a registry with the registry's own login where Docker has none.
func logIn(e *engine.Engine, registry *release.Registry) {
	host, _, _ := strings.Cut(registry.Path, "/")
	e.LogIn(host, registry.Login)
}
