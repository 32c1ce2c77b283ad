package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/engine"
	"github.com/strake-dev/strake/internal/seed"
)

// upOptions are the flags of up and plan. Diff is complete but for what is read from files.
type upOptions struct {
	Project      projectOptions
	Diff         compose.DiffOptions
	WaitTimeout  time.Duration
	EngineHealth bool
	Follow       bool
	Attached     *attachment // nil: it does not end by itself
	DryRun, JSON bool
	NoWait       bool
	Yes          bool // containers that hold their data themselves may go
	Quiet        bool
	Seed         seedChoice
	SeedMode     seed.Mode  // "": the one in which the stack runs already
	from         *seed.Seed // what the stack starts from; nil: from nothing
	begun        *begun     // as from was found; nil: not begun yet
	Isolated     bool
	Locked       bool // only images that strake.lock pins
}

// begun is what begin returned.
type begun struct {
	project *compose.Project
	engine  *engine.Engine
}

func newUp() *cli.Command {
	return &cli.Command{
		Name: "up", Usage: "Build or find images and start what is missing or changed, until all is ready.",
		ArgsUsage: "[service ...]",
		UsageText: "strake up                    # everything\nstrake up web --build        # one service and what it depends on, built anew\nstrake up --scale worker=3   # three workers\nstrake up --isolated         # a second stack with no way out, and what it tries to reach",
		Description: "0 everything is ready, or that of a service (--exit-code-from), 1 failed, 2 wrong usage,\n" +
			"3 not healthy or not ready in time, 4 held by another (with --no-wait),\n5 other images than those that are pinned (--locked); with --isolated: it tried to reach something, or nothing is proven, 10 there is something to do (--dry-run), 130 interrupted",
		Flags: append(append(diffFlags(), attachmentFlags()...),
			&cli.BoolFlag{Name: "detach", Aliases: []string{"d"}, Usage: "accepted: up always returns when everything is ready"},
			&cli.BoolFlag{Name: "wait", Usage: "accepted: up always waits"},
			&cli.StringFlag{Name: "wait-timeout", Usage: "give each service `SECONDS` to get ready (default: its healthcheck's, at least 300)"},
			&cli.StringFlag{Name: "health", Usage: "`HOW` health is found out: probe asks at once and again, engine waits for the engine (STRAKE_HEALTH)", DefaultText: "probe"},
			&cli.BoolFlag{Name: "follow", Usage: "then stream what is written since this up began, until Ctrl-C; the stack goes on"},
			&cli.BoolFlag{Name: "quiet-pull", Usage: "accepted"},
			newSeedFlag(),
			&cli.StringFlag{Name: "seed-mode", Usage: "`WHERE` the seed's data goes: volume fills the project's volumes when they are made, layer keeps it in the container", DefaultText: "as it is, else volume"},
			&cli.BoolFlag{Name: "locked", Usage: "use no other images than those that strake.lock pins; others are fetched by their digests"},
			&cli.BoolFlag{Name: "isolated", Usage: "bring up a stack of its own (<project>-isolated) on networks with no way out, and report what it tries to reach; strake down --isolated removes it"},
			dryRunFlag(), noWaitFlag(), jsonFlag(),
			&cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "do not ask before containers are made anew that hold their data themselves (--seed-mode layer): it is lost"}),
		Action: func(c *cli.Context) error {
			o, err := upOptionsOf(c)
			if err != nil {
				return err
			}
			return up(c.Context, streamsOf(c), o)
		},
	}
}

// diffFlags are those that say what is wanted: of up and plan.
func diffFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "build", Usage: "build every service that has a build section"},
		&cli.BoolFlag{Name: "no-build", Usage: "build nothing, even what is missing"},
		&cli.StringFlag{Name: "pull", Usage: "always, missing or never, as `POLICY` (default: each service's pull_policy)"},
		&cli.BoolFlag{Name: "force-recreate", Usage: "recreate containers that did not change"},
		&cli.BoolFlag{Name: "no-recreate", Usage: "leave containers alone that exist"},
		&cli.BoolFlag{Name: "always-recreate-deps", Usage: "with --force-recreate: what the services depend on too"},
		&cli.BoolFlag{Name: "no-deps", Usage: "leave alone what the services depend on"},
		&cli.StringSliceFlag{Name: "scale", Usage: "number of containers, as `SERVICE=N`; may be given again"},
		&cli.BoolFlag{Name: "remove-orphans", Usage: "remove containers of services that the file no longer has"},
		&cli.BoolFlag{Name: "renew-anon-volumes", Aliases: []string{"V"}, Usage: "make anonymous volumes anew instead of taking them over"},
		&cli.BoolFlag{Name: "no-start", Usage: "create and do not start"},
		timeoutFlag(), offlineFlag(),
	}
}

func upOptionsOf(c *cli.Context) (upOptions, error) {
	s := streamsOf(c)
	o := upOptions{Project: projectOptionsOf(c), Follow: c.Bool("follow"), DryRun: c.Bool("dry-run"), JSON: c.Bool("json"), NoWait: c.Bool("no-wait"), Yes: c.Bool("yes")}
	grace, err := durationOf(c, "timeout")
	wait, err2 := durationOf(c, "wait-timeout")
	pull, err3 := choiceOf(c, "pull", "always", "missing", "never")
	health, err4 := choiceOf(c, "health", "probe", "engine")
	scale, err5 := scaleOf(c.StringSlice("scale"))
	mode, err6 := choiceOf(c, "seed-mode", string(seed.Volume), string(seed.Layer))
	attached, err7 := attachmentOf(c)
	o.Seed, o.SeedMode = seedChoiceOf(c), seed.Mode(mode)
	err = errors.Join(err, err2, err3, err4, err5, err6, err7, conflict(c, "build", "no-build"), conflict(c, "force-recreate", "no-recreate"), conflict(c, "follow", "no-start"))
	if mode != "" && !o.Seed.on {
		err = errors.Join(err, usagef("say --seed too: strake up --seed --seed-mode "+mode, "--seed-mode says where a seed's data goes, and no seed is asked for"))
	}
	if o.Seed.on && o.Seed.name == "" && o.DryRun {
		err = errors.Join(err, usagef("say which with --seed=KEY; strake seed ls lists them", "--dry-run makes no seed"))
	}
	if err != nil {
		return o, err
	}
	if health == "" {
		health = s.getenv("STRAKE_HEALTH")
	}
	o.EngineHealth, o.Attached, o.Isolated = health == "engine", attached, c.Bool("isolated")
	if o.Locked = c.Bool("locked"); o.Locked && pull == "always" {
		return o, usagef("leave one of them out", "--locked uses the images of strake.lock, and --pull always others")
	}
	if o.Isolated && o.SeedMode == seed.Layer {
		return o, usagef("leave --seed-mode out", "--isolated starts from a seed in volumes")
	}
	if o.Isolated && (o.Attached != nil || o.Follow || c.Bool("no-start") || scale != nil || c.Bool("no-deps")) {
		return o, usagef("leave the others out", "--isolated does not go with --follow, --no-start, --no-deps, --scale or what ends up by itself")
	}
	if wait != nil {
		o.WaitTimeout = *wait
	}
	o.Diff = compose.DiffOptions{Services: servicesOf(c), NoDeps: c.Bool("no-deps"), Scale: scale,
		AlwaysRecreateDeps: c.Bool("always-recreate-deps"), RenewAnonVolumes: c.Bool("renew-anon-volumes"),
		RemoveOrphans: c.Bool("remove-orphans"), Pull: pull, Offline: o.Project.Offline, NoStart: c.Bool("no-start"),
		Grace: grace, Now: s.Now(), Version: buildVersion(), NoWait: attached != nil}
	switch {
	case c.Bool("build"):
		o.Diff.Build = compose.BuildAlways
	case c.Bool("no-build"):
		o.Diff.Build = compose.BuildNever
	}
	switch {
	case c.Bool("force-recreate"):
		o.Diff.Recreate = "force"
	case c.Bool("no-recreate"):
		o.Diff.Recreate = "never"
	}
	return o, nil
}

// conflict is a usage error if both flags were given.
func conflict(c *cli.Context, a, b string) error {
	if c.Bool(a) && c.Bool(b) {
		return usagef("leave one of them out", "--%s and --%s exclude each other", a, b)
	}
	return nil
}

// up makes what runs equal to what the project says.
func up(ctx context.Context, s Streams, o upOptions) error {
	if o.Seed.on {
		p, e, err := begin(ctx, s, o.Project)
		if err != nil {
			return err
		}
		if o.from, err = seedFor(ctx, s, p, e, o.Project, o.Seed.name, o.NoWait); err != nil {
			_ = e.Close() // everything was asked and answered
			return err
		}
		o.begun = &begun{p, e}
	}
	show := newProgress(s, o.Quiet, "reading the project")
	p, ch, err := upChange(ctx, s, o, show)
	if err != nil {
		show.close()
		return err
	}
	defer func() { _ = ch.engine.Close() }() // everything was asked and answered
	ch.asks = !o.Yes
	logs := logScope{services: o.Diff.Services}
	if o.Attached != nil || o.Follow {
		if logs.since, err = clockOf(ctx, s, ch.engine); err != nil {
			show.close()
			return err
		}
	}
	if ch.isolated != nil && !o.DryRun {
		return ch.prove(ctx, o)
	}
	out, said, err := ch.tell(ctx, p, told{o.DryRun, o.JSON})
	if said {
		return err
	}
	if o.Attached != nil {
		return (&attachedUp{attachment: *o.Attached, streams: s, engine: ch.engine, project: p, options: o, since: logs.since}).follow(ctx)
	}
	printUp(s, p, o, out)
	if !o.Follow {
		return nil
	}
	err = followLogs(ctx, s, ch.engine, p, logs)
	if errors.Is(err, errInterrupted) {
		fmt.Fprintf(s.Err, "%s goes on; strake logs -f follows it again, strake down removes it%s\n", p.Name, projectFlags(o.Project))
		err = &exitError{code: exitInterrupted}
	}
	return err
}

// clockOf is the time that the engine has, which is another machine's where it runs on one.
func clockOf(ctx context.Context, s Streams, e *engine.Engine) (time.Time, error) {
	f, err := e.Facts(ctx)
	if f.Clock.IsZero() {
		f.Clock = s.Now()
	}
	return f.Clock, err
}

// checkNames refuses options that name services which the project does not have.
func (o upOptions) checkNames(p *compose.Project) error {
	names := slices.Sorted(maps.Keys(o.Diff.Scale))
	if o.Attached != nil && o.Attached.from != "" {
		names = append(names, o.Attached.from)
	}
	for _, name := range names {
		if _, ok := p.Services[name]; !ok {
			return unknownService(p, name)
		}
	}
	return nil
}

// upChange reads what up needs of files and of the command line. The caller closes its engine unless err is set.
func upChange(ctx context.Context, s Streams, o upOptions, show *progress) (*compose.Project, change, error) {
	if o.begun == nil {
		o.Project.looks = !o.Isolated
		p, e, err := begin(ctx, s, o.Project)
		if err != nil {
			return nil, change{}, err
		}
		o.begun = &begun{p, e}
	}
	p, e := o.begun.project, o.begun.engine
	ch := change{streams: s, engine: e, command: "up", noWait: o.NoWait, show: show, build: true,
		run: compose.RunOptions{EngineHealth: o.EngineHealth, WaitTimeout: o.WaitTimeout}}
	d, whole := o.Diff, p
	err := func() (err error) {
		if o.Isolated {
			if err := ch.isolate(ctx, p, d.Services); err != nil {
				return err
			}
			p = ch.isolated.project
			whole = p
		}
		if o.from == nil {
			if o.from, o.SeedMode, err = runningSeed(ctx, e, p); err != nil {
				return err
			}
		}
		if ch.isolated != nil {
			ch.isolated.serve(&ch, show)
		} else if err := errors.Join(ch.serve(p, d.NoStart, show), isWrittenElsewhere(ctx, e, p)); err != nil {
			return err
		}
		selected := slices.Concat(d.Services, p.Sharers(d.Services))
		if p, err = p.Select(selected, d.NoDeps); err != nil {
			return err
		}
		for _, w := range p.Warnings {
			show.warn(w)
		}
		if err := o.checkNames(p); err != nil {
			return err
		}
		services, err := withBuild(p, d.Services, d.NoDeps)
		if err != nil {
			return err
		}
		if d.Inputs, d.Refs, err = buildState(ctx, s, p, services); err == nil && o.Locked {
			d.Pull, p = "missing", withoutPulls(p)
			err = makeLocked(ctx, e, p, d.Refs, o.Project.Offline || o.DryRun, show.warn)
		}
		return err
	}()
	if err != nil {
		_ = e.Close() // nothing was done with it
		return nil, change{}, err
	}
	want := p
	ch.scope, ch.plan = compose.ScopeOf(p, d.Refs), func(have compose.State) (compose.Plan, error) { return compose.Diff(p, have, d) }
	if o.from != nil {
		want = seed.Apply(p, o.from, seed.Volume, d.Services)
		ch.scope, ch.plan = seed.ScopeOf(p, o.from, d.Services, d.Refs), func(have compose.State) (compose.Plan, error) { return seed.Plan(p, have, o.from, o.SeedMode, d) }
	}
	var of []string // all
	if len(d.Services) > 0 || d.NoStart {
		of = p.ServiceNames()
	}
	ch.refusing(whole, of)
	ch.scope.Containers = append(ch.scope.Containers, localName(p.Name)) // for what follows the run
	return want, ch, nil
}
