package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/engine"
)

type buildOptions struct {
	Project             projectOptions
	Services            []string
	Args                []string // KEY=VALUE, or KEY for the value that it has here
	NoCache, Pull, Deps bool
	Quiet, DryRun, JSON bool
	NoWait              bool
	Push, Dirty         bool
	PullRequest         int // whose commit is pushed; 0 for none
}

func newBuild() *cli.Command {
	return &cli.Command{
		Name: "build", Usage: "Build the services' images, all at once, with the engine's own BuildKit.",
		ArgsUsage: "[service ...]", UsageText: "strake build\nstrake build --no-cache --build-arg VERSION=1.2 web\nstrake build --push         # the images of this commit, for promote",
		Description: "0 done, 1 failed, 2 wrong usage, 4 held by another (with --no-wait), 5 files are in no commit, or the policy said no (--push), 10 there is something to do (--dry-run), 130 interrupted",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "no-cache", Usage: "use nothing of earlier builds"},
			&cli.BoolFlag{Name: "pull", Usage: "look for newer base images"},
			&cli.StringSliceFlag{Name: "build-arg", Usage: "set `KEY=VALUE` for the Dockerfile; may be given again"},
			&cli.BoolFlag{Name: "with-dependencies", Usage: "what the services depend on too"},
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "do not print what the builds print"},
			&cli.BoolFlag{Name: "push", Usage: "publish the images of this commit in x-strake.registry; what it has already is not built again"},
			&cli.BoolFlag{Name: "dirty", Usage: "with --push: also with changes that are in no commit; such images are never promoted"},
			&cli.IntFlag{Name: "pr", Usage: "with --push: this is the commit of pull request `NUMBER`"},
			offlineFlag(), dryRunFlag(), noWaitFlag(), jsonFlag(),
		},
		Action: func(c *cli.Context) error {
			o := buildOptions{Project: projectOptionsOf(c), Services: servicesOf(c), Args: c.StringSlice("build-arg"),
				NoCache: c.Bool("no-cache"), Pull: c.Bool("pull"), Deps: c.Bool("with-dependencies"), Quiet: c.Bool("quiet"),
				DryRun: c.Bool("dry-run"), JSON: c.Bool("json"), NoWait: c.Bool("no-wait"), Push: c.Bool("push"), Dirty: c.Bool("dirty"), PullRequest: c.Int("pr")}
			if o.Push {
				return buildAndPush(c.Context, streamsOf(c), o)
			}
			if o.Dirty || c.IsSet("pr") {
				return usagef("say --push too", "--dirty and --pr are about images that are pushed")
			}
			return build(c.Context, streamsOf(c), o)
		},
	}
}

// build builds images.
func build(ctx context.Context, s Streams, o buildOptions) error {
	p, e, err := begin(ctx, s, o.Project)
	if err != nil {
		return err
	}
	defer func() { _ = e.Close() }() // everything was asked and answered
	o.Services = builders(s, p, o.Services)
	if p, err = p.Select(o.Services, !o.Deps); err != nil {
		return err
	}
	out, said, err := o.run(ctx, s, p, e)
	if said || err != nil {
		return err
	}
	return printImages(s, p.Name, "built", out)
}

// run builds the images of a project. said is whether nothing is left to be said.
func (o buildOptions) run(ctx context.Context, s Streams, p *compose.Project, e *engine.Engine) (out outcome, said bool, err error) {
	if p, err = o.changed(s, p); err != nil {
		return out, false, err
	}
	printWarnings(s, p.Warnings)
	services, err := withBuild(p, o.Services, !o.Deps)
	if err != nil {
		return out, false, err
	}
	if len(services) == 0 {
		who := "no service has a build section"
		if len(o.Services) > 0 {
			who = strings.Join(o.Services, ", ") + " has no build section"
		}
		_, err := fmt.Fprintf(s.Out, "%s: nothing to build, %s\n", p.Name, who)
		return out, true, err
	}
	inputs, refs, err := buildState(ctx, s, p, services)
	if err != nil {
		return out, false, err
	}
	d := compose.DiffOptions{Services: services, NoDeps: true, ImagesOnly: true, Build: compose.BuildAlways, NoCache: o.NoCache, Inputs: inputs, Refs: refs,
		Offline: o.Project.Offline, AllPlatforms: true, Now: s.Now(), Version: buildVersion()}
	ch := change{streams: s, engine: e, scope: compose.ScopeOf(p, refs), command: "build", noWait: o.NoWait, reading: "reading the project",
		build: !o.Quiet, plan: func(have compose.State) (compose.Plan, error) {
			plan, err := compose.Diff(p, have, d)
			return only(plan, func(step compose.Step) bool { return step.Op == compose.BuildImage }), err
		}}
	return ch.tell(ctx, p, told{o.DryRun, o.JSON})
}

// builders are the named services, and instead of those that run an image which another one builds that other one.
func builders(s Streams, p *compose.Project, names []string) []string {
	all := p.AllServices()
	var kept []string
	for _, name := range names {
		svc := all[name]
		builder := name
		for _, other := range slices.Sorted(maps.Keys(all)) {
			if svc.Build == nil && svc.Image != "" && all[other].Build != nil && compose.ImageName(p, all[other]) == svc.Image && builder == name {
				fmt.Fprintf(s.Err, "%s runs %s, which %s builds\n", name, svc.Image, other)
				builder = other
			}
		}
		if !slices.Contains(kept, builder) {
			kept = append(kept, builder)
		}
	}
	return kept
}

// changed is the project with what the command line says of its builds.
func (o buildOptions) changed(s Streams, p *compose.Project) (*compose.Project, error) {
	args := environment(s, o.Args)
	inner, err := p.WithServicesTransform(func(_ string, svc compose.Service) (compose.Service, error) {
		if svc.Build == nil {
			return svc, nil
		}
		b := *svc.Build
		b.Pull = b.Pull || o.Pull
		b.Args = maps.Clone(b.Args)
		for _, kv := range args {
			if b.Args == nil {
				b.Args = map[string]*string{}
			}
			k, v, _ := strings.Cut(kv, "=")
			b.Args[k] = &v
		}
		svc.Build, svc.PullPolicy = &b, "build" // a policy of pulling is not about this command
		return svc, nil
	})
	if err != nil {
		return nil, fmt.Errorf("set build arguments: %w", err)
	}
	other := *p
	other.Project = inner
	return &other, nil
}

// printImages says which images a plan made, in one last line.
func printImages(s Streams, project, verb string, out outcome) error {
	var names []string
	changed := 0
	for i, step := range out.plan {
		if step.Image == nil || slices.Contains(names, step.Image.Ref) {
			continue
		}
		names = append(names, step.Image.Ref)
		if i < len(out.show.steps) && !out.show.steps[i].unchanged {
			changed++
		}
	}
	for _, n := range slices.Sorted(slices.Values(names)) {
		fmt.Fprintln(s.Out, n)
	}
	_, err := fmt.Fprintf(s.Out, "%s: %s %s, %d changed, in %s; strake up runs them\n", project, plural(len(names), "image"), verb, changed, span(out.elapsed))
	return err
}
