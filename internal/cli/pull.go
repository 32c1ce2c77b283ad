package cli

import (
	"context"
	"fmt"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/engine"
)

type pullOptions struct {
	Project              projectOptions
	Services             []string
	Deps, IgnoreFailures bool
	MissingOnly          bool
	NoBases              bool // not what builds need
	Quiet, DryRun, JSON  bool
	NoWait               bool
}

func newPull() *cli.Command {
	return &cli.Command{
		Name: "pull", Usage: "Fetch images and what builds need, so that up works without a network.",
		ArgsUsage: "[service ...]", UsageText: "strake pull\nstrake pull --policy missing web",
		Description: "0 done, 1 failed, 2 wrong usage, 4 held by another (with --no-wait), 10 there is something to do (--dry-run), 130 interrupted",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "ignore-pull-failures", Usage: "go on with the others where one cannot be had, and exit with 0"},
			&cli.BoolFlag{Name: "include-deps", Usage: "what the services depend on too"},
			&cli.BoolFlag{Name: "ignore-buildable", Usage: "not the base images and frontends of builds"},
			&cli.StringFlag{Name: "policy", Usage: "`POLICY`: always looks for newer images, missing fetches what is not there", DefaultText: "always"},
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "no progress"},
			dryRunFlag(), noWaitFlag(), jsonFlag(),
		},
		Action: func(c *cli.Context) error {
			policy, err := choiceOf(c, "policy", "always", "missing")
			if err != nil {
				return err
			}
			return pull(c.Context, streamsOf(c), pullOptions{Project: projectOptionsOf(c), Services: servicesOf(c), Deps: c.Bool("include-deps"),
				IgnoreFailures: c.Bool("ignore-pull-failures"), MissingOnly: policy == "missing", NoBases: c.Bool("ignore-buildable"),
				Quiet: c.Bool("quiet"), DryRun: c.Bool("dry-run"), JSON: c.Bool("json"), NoWait: c.Bool("no-wait")})
		},
	}
}

// pull fetches images.
func pull(ctx context.Context, s Streams, o pullOptions) error {
	if o.Project.Offline {
		return usagef("unset STRAKE_OFFLINE and leave out --offline for it", "pull is all network, and offline forbids it")
	}
	p, e, err := beginWith(ctx, s, o.Project, o.Services, !o.Deps)
	if err != nil {
		return err
	}
	defer func() { _ = e.Close() }() // everything was asked and answered
	printWarnings(s, p.Warnings)
	services, err := o.selected(p)
	if err != nil {
		return err
	}
	var refs []compose.BuildRef
	if builds, err := withBuild(p, services, true); err != nil {
		return err
	} else if len(builds) > 0 && !o.NoBases {
		if refs, err = compose.BuildRefs(ctx, p, builds); err != nil {
			return err
		}
	}
	ch := change{streams: s, engine: e, scope: compose.ScopeOf(p, refs), command: "pull", noWait: o.NoWait, quiet: o.Quiet,
		reading: "reading the project",
		plan:    func(have compose.State) (compose.Plan, error) { return o.plan(p, have, services, refs), nil }}
	if o.IgnoreFailures && !o.DryRun {
		return pullEach(ctx, s, e, ch)
	}
	out, said, err := ch.tell(ctx, p, told{o.DryRun, o.JSON})
	if said {
		return err
	}
	if len(out.plan) == 0 {
		_, err := fmt.Fprintf(s.Out, "%s: nothing to pull\n", p.Name)
		return err
	}
	return printImages(s, p.Name, "pulled", out)
}

// selected are the services to pull for: the named ones, and with Deps what they depend on.
func (o pullOptions) selected(p *compose.Project) ([]string, error) {
	if len(o.Services) > 0 && !o.Deps {
		return o.Services, nil
	}
	var names []string
	err := p.ForEachService(o.Services, func(name string, _ *compose.Service) error {
		names = append(names, name)
		return nil
	})
	slices.Sort(names)
	return names, err
}

// plan has a step for each image that is pulled and not built, each once.
func (o pullOptions) plan(p *compose.Project, have compose.State, services []string, refs []compose.BuildRef) compose.Plan {
	var plan compose.Plan
	seen := map[compose.ImageRef]bool{}
	for _, svc := range p.AllServices() {
		if svc.Build != nil || p.Settings.Services[svc.Name].StandIn {
			seen[compose.ImageRef{Ref: compose.ImageName(p, svc), Platform: svc.Platform}] = true
		}
	}
	add := func(ref compose.ImageRef, service, why string) {
		_, present := have.Images[ref.Ref]
		if seen[ref] || present && o.MissingOnly {
			return
		}
		seen[ref] = true
		plan = append(plan, compose.Step{Op: compose.PullImage, Name: ref.Ref, Why: why, Service: service,
			Image: &compose.ImageStep{ImageRef: ref, Present: present}})
	}
	for _, name := range services {
		svc := p.Services[name]
		if svc.Build == nil {
			add(compose.ImageRef{Ref: compose.ImageName(p, svc), Platform: svc.Platform}, name, "image of "+name)
		}
	}
	for _, r := range refs {
		add(r.ImageRef, r.Service, fmt.Sprintf("%s of %s (%s:%d)", r.Kind, r.Service, r.File, r.Line))
	}
	return plan
}

// pullEach pulls one image after the other and only warns of those that cannot be had.
func pullEach(ctx context.Context, s Streams, e *engine.Engine, ch change) error {
	out, err := ch.look(ctx)
	if err != nil {
		return err
	}
	for _, step := range out.plan {
		if err := e.Do(ctx, step, nil); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			fmt.Fprintf(s.Err, "warning: %v\n", err)
			continue
		}
		fmt.Fprintf(s.Out, "%s\n", step.Name)
	}
	return nil
}
