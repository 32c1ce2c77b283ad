package cli

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/engine"
	"github.com/strake-dev/strake/internal/seed"
)

type runOptions struct {
	Project               projectOptions
	Service               string
	Changes               compose.OneOffChanges // TTY and Input are set by run
	Remove, Detach, NoTTY bool
	NoInput, NoDeps       bool
	Build, Quiet, NoWait  bool
	RemoveOrphans         bool
	Pull                  string
	whole                 *compose.Project // with the volumes of services as the file has them
}

func newRun() *cli.Command {
	return &cli.Command{
		Name: "run", Usage: "Run a command in a new container of a service, with what it depends on ready.",
		ArgsUsage:   "service [command [argument ...]]",
		UsageText:   "strake run --rm web pytest -x\nstrake run --rm -T db pg_dump -h db app > dump.sql",
		Description: "that of the command; 1 it could not be run, 2 wrong usage, 3 something it depends on did not get ready,\n4 held by another (with --no-wait), 130 interrupted",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "rm", Usage: "remove the container when it ends"},
			&cli.StringSliceFlag{Name: "env", Aliases: []string{"e"}, Usage: "set `KEY=VALUE`; may be given again"},
			&cli.StringFlag{Name: "user", Aliases: []string{"u"}, Usage: "run as `USER`"},
			&cli.StringFlag{Name: "workdir", Aliases: []string{"w"}, Usage: "run in `FOLDER`"},
			&cli.BoolFlag{Name: "no-tty", Aliases: []string{"T", "no-TTY"}, Usage: "no terminal (there is one when input and output are terminals)"},
			&cli.BoolFlag{Name: "tty", Aliases: []string{"t"}, Usage: "accepted"},
			&cli.StringSliceFlag{Name: "volume", Aliases: []string{"v"}, Usage: "mount `SOURCE:TARGET`; may be given again"},
			&cli.StringSliceFlag{Name: "publish", Aliases: []string{"p"}, Usage: "publish `HOST:CONTAINER` port; may be given again"},
			&cli.BoolFlag{Name: "service-ports", Aliases: []string{"P"}, Usage: "publish the service's own ports"},
			&cli.StringFlag{Name: "name", Usage: "`NAME` of the container"},
			&cli.StringFlag{Name: "entrypoint", Usage: "run `COMMAND` instead of the image's entrypoint"},
			&cli.StringSliceFlag{Name: "label", Aliases: []string{"l"}, Usage: "set label `KEY=VALUE`; may be given again"},
			&cli.BoolFlag{Name: "no-deps", Usage: "do not start what the service depends on"},
			&cli.BoolFlag{Name: "detach", Aliases: []string{"d"}, Usage: "print the container's name and do not wait for it"},
			&cli.BoolFlag{Name: "build", Usage: "build the image first"},
			&cli.StringFlag{Name: "pull", Usage: "always, missing or never, as `POLICY`"},
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "no progress"},
			&cli.BoolFlag{Name: "quiet-pull", Usage: "accepted"},
			&cli.BoolFlag{Name: "interactive", Aliases: []string{"i"}, Value: true, Usage: "pass input on (--interactive=false: none)"},
			&cli.BoolFlag{Name: "remove-orphans", Usage: "remove containers of services that the file no longer has"},
			offlineFlag(), noWaitFlag(),
		},
		Action: func(c *cli.Context) error {
			o, err := runOptionsOf(c)
			if err != nil {
				return err
			}
			return run(c.Context, streamsOf(c), o)
		},
	}
}

func runOptionsOf(c *cli.Context) (runOptions, error) {
	if c.NArg() == 0 {
		return runOptions{}, usagef("write it as: strake run --rm web sh", "run takes a service")
	}
	pull, err := choiceOf(c, "pull", "always", "missing", "never")
	o := runOptions{Project: projectOptionsOf(c), Service: c.Args().First(), Remove: c.Bool("rm"), Detach: c.Bool("detach"),
		NoTTY: c.Bool("no-tty"), NoInput: !c.Bool("interactive"), NoDeps: c.Bool("no-deps"), Build: c.Bool("build"), Quiet: c.Bool("quiet"),
		NoWait: c.Bool("no-wait"), RemoveOrphans: c.Bool("remove-orphans"), Pull: pull,
		Changes: compose.OneOffChanges{Env: environment(streamsOf(c), c.StringSlice("env")), User: c.String("user"), WorkingDir: c.String("workdir"), Name: c.String("name"),
			Volumes: c.StringSlice("volume"), Publish: c.StringSlice("publish"), Labels: c.StringSlice("label"), ServicePorts: c.Bool("service-ports")}}
	if c.NArg() > 1 {
		o.Changes.Command = c.Args().Tail()
	}
	if c.IsSet("entrypoint") {
		e := c.String("entrypoint")
		o.Changes.Entrypoint = &e
	}
	return o, err
}

// run creates the container of a one-off, runs it and passes its exit code on as an *exitError.
func run(ctx context.Context, s Streams, o runOptions) error {
	p, e, err := beginWith(ctx, s, o.Project, []string{o.Service}, o.NoDeps)
	if err != nil {
		return err
	}
	defer func() { _ = e.Close() }() // everything was asked and answered
	o.whole = p
	from, mode, err := runningSeed(ctx, e, p)
	if err != nil {
		return err
	}
	if from != nil {
		p = seed.Apply(p, from, mode, []string{o.Service})
	}
	printWarnings(s, p.Warnings)
	o.Changes.TTY = !o.NoTTY && !o.Detach && isTerminal(s.In) && isTerminal(s.Out)
	o.Changes.Input = !o.NoInput
	svc, err := compose.OneOffService(p, o.Service, o.Changes)
	if err != nil {
		return err
	}
	name, err := createOneOff(ctx, s, e, p, svc, o)
	if err != nil && ctx.Err() != nil && name != "" && o.Changes.Name == "" { // its create may have been finished after the interrupt
		return errors.Join(err, removeOneOff(ctx, e, name, o))
	}
	if err != nil {
		return err
	}
	return runOneOff(ctx, s, e, name, o)
}

// createOneOff makes what the one-off depends on ready and creates its container, whose name it returns.
func createOneOff(ctx context.Context, s Streams, e *engine.Engine, p *compose.Project, svc compose.Service, o runOptions) (string, error) {
	slug := make([]byte, 32)
	if _, err := rand.Read(slug); err != nil {
		return "", fmt.Errorf("make a name: %w", err)
	}
	services, err := withBuild(p, []string{o.Service}, o.NoDeps)
	if err != nil {
		return "", err
	}
	inputs, refs, err := buildState(ctx, s, p, services)
	if err != nil {
		return "", err
	}
	d := compose.DiffOptions{NoDeps: o.NoDeps, Inputs: inputs, Refs: refs, Offline: o.Project.Offline, Pull: o.Pull,
		RemoveOrphans: o.RemoveOrphans, Now: s.Now(), Version: buildVersion()}
	if o.Build {
		d.Build = compose.BuildAlways
	}
	name := ""
	ch := change{streams: s, engine: e, scope: compose.ScopeOf(p, refs), command: "run", noWait: o.NoWait, quiet: o.Quiet,
		reading: "reading the project",
		plan: func(have compose.State) (plan compose.Plan, err error) {
			plan, name, err = compose.OneOff(p, have, svc, d, hex.EncodeToString(slug))
			return plan, err
		}}
	ch.refusing(o.whole, o.whole.ServiceNames())
	_, err = ch.do(ctx)
	return name, err
}

// oneOffDeadline bounds what is done for a one-off after its end or after an interrupt.
const oneOffDeadline = 30 * time.Second

// runOneOff starts the created container and stays with it until it ends.
func runOneOff(ctx context.Context, s Streams, e *engine.Engine, name string, o runOptions) error {
	start := compose.Step{Op: compose.StartContainer, Name: name, Target: name, Service: o.Service}
	if o.Detach {
		if err := e.Do(ctx, start, nil); err != nil {
			return err
		}
		_, err := fmt.Fprintln(s.Out, name)
		return err
	}
	lasting := context.WithoutCancel(ctx) // an interrupt goes to the program, whose end is then waited for
	t, err := newTerminal(lasting, s, o.Changes.TTY, o.Changes.Input)
	if err != nil {
		return err
	}
	defer t.restore()
	wait, err := e.Attach(lasting, name, o.Changes.TTY, t.streams)
	if err == nil {
		err = context.Cause(ctx)
	}
	if err == nil {
		err = e.Do(lasting, start, nil) // once begun it is finished: the program may be at work before Do returns
	}
	if err != nil {
		return errors.Join(err, removeOneOff(ctx, e, name, o))
	}
	t.resize()
	stop := context.AfterFunc(ctx, func() {
		end := compose.Step{Op: compose.KillContainer, Name: name, Target: name, Signal: "SIGINT"}
		if errors.Is(context.Cause(ctx), errHungUp) {
			end = compose.Step{Op: compose.StopContainer, Name: name, Target: name} // nobody can tell the program to end
		}
		fmt.Fprintf(s.Err, "finishing: %s was sent an interrupt; press Ctrl-C again to stop now\n", name)
		limit, cancel := context.WithTimeout(lasting, oneOffDeadline)
		defer cancel()
		if err := e.Do(limit, end, nil); err != nil {
			fmt.Fprintf(s.Err, "warning: %v\n", err) // one that ended meanwhile cannot be sent anything
		}
	})
	code, err := wait()
	stop()
	t.restore()
	if err = errors.Join(err, removeOneOff(ctx, e, name, o)); err != nil {
		return fmt.Errorf("run %s: %w", name, err)
	}
	if code != 0 {
		return &exitError{code: code}
	}
	return nil
}

// removeOneOff removes the container if that was asked for.
func removeOneOff(ctx context.Context, e *engine.Engine, name string, o runOptions) error {
	if !o.Remove {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), oneOffDeadline)
	defer cancel()
	return e.Do(ctx, compose.Step{Op: compose.RemoveContainer, Name: name, Target: name, Volumes: true}, nil)
}
