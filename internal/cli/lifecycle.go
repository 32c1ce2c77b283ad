package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/strake-dev/strake/compose"
)

// lifecycleOptions are those of start, stop and restart.
type lifecycleOptions struct {
	Project           projectOptions
	Services          []string
	Grace             *time.Duration
	NoDeps            bool
	DryRun, JSON      bool
	NoWait            bool
	WaitTimeout       time.Duration
	command, pastVerb string
	plan              func(p *compose.Project, have compose.State, o lifecycleOptions) (compose.Plan, error)
}

const lifecycleExits = "0 done, 1 failed, 2 wrong usage, 3 something did not get ready in time, 4 held by another (with --no-wait),\n" +
	"10 there is something to do (--dry-run), 130 interrupted"

const stopExits = "0 done, 1 failed, 2 wrong usage, 4 held by another (with --no-wait), 10 there is something to do (--dry-run),\n" +
	"130 interrupted"

func newStart() *cli.Command {
	return &cli.Command{
		Name: "start", Usage: "Start containers that exist and stand still, in the order of their dependencies.",
		ArgsUsage: "[service ...]", UsageText: "strake start\nstrake start web", Description: lifecycleExits,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "wait", Usage: "accepted: start waits for what others depend on"},
			&cli.StringFlag{Name: "wait-timeout", Usage: "`SECONDS` that each service may take to get ready"},
			dryRunFlag(), noWaitFlag(), jsonFlag()},
		Action: func(c *cli.Context) error {
			o, err := lifecycleOptionsOf(c)
			if err != nil {
				return err
			}
			o.command, o.pastVerb = "start", "started"
			o.plan = func(p *compose.Project, have compose.State, o lifecycleOptions) (compose.Plan, error) {
				return compose.Start(p, have, o.Services)
			}
			return lifecycle(c.Context, streamsOf(c), o)
		},
	}
}

func newStop() *cli.Command {
	return &cli.Command{
		Name: "stop", Usage: "Stop containers and keep them.",
		ArgsUsage: "[service ...]", UsageText: "strake stop\nstrake stop -t 1 worker", Description: stopExits,
		Flags: []cli.Flag{timeoutFlag(), dryRunFlag(), noWaitFlag(), jsonFlag()},
		Action: func(c *cli.Context) error {
			o, err := lifecycleOptionsOf(c)
			if err != nil {
				return err
			}
			o.command, o.pastVerb = "stop", "stopped"
			o.plan = func(p *compose.Project, have compose.State, o lifecycleOptions) (compose.Plan, error) {
				return compose.Stop(p, have, o.Services, o.Grace)
			}
			return lifecycle(c.Context, streamsOf(c), o)
		},
	}
}

func newRestart() *cli.Command {
	return &cli.Command{
		Name: "restart", Usage: "Restart containers as they are; strake up is what takes changes of the file over.",
		ArgsUsage: "[service ...]", UsageText: "strake restart web\nstrake restart --no-deps -t 1 db", Description: lifecycleExits,
		Flags: []cli.Flag{timeoutFlag(),
			&cli.BoolFlag{Name: "no-deps", Usage: "leave alone what is to be restarted with the services"},
			dryRunFlag(), noWaitFlag(), jsonFlag()},
		Action: func(c *cli.Context) error {
			o, err := lifecycleOptionsOf(c)
			if err != nil {
				return err
			}
			o.command, o.pastVerb = "restart", "restarted"
			o.plan = func(p *compose.Project, have compose.State, o lifecycleOptions) (compose.Plan, error) {
				return compose.Restart(p, have, o.Services, o.Grace, o.NoDeps)
			}
			return lifecycle(c.Context, streamsOf(c), o)
		},
	}
}

func lifecycleOptionsOf(c *cli.Context) (lifecycleOptions, error) {
	grace, err := durationOf(c, "timeout")
	wait, err2 := durationOf(c, "wait-timeout")
	o := lifecycleOptions{Project: projectOptionsOf(c), Services: servicesOf(c), Grace: grace, NoDeps: c.Bool("no-deps"),
		DryRun: c.Bool("dry-run"), JSON: c.Bool("json"), NoWait: c.Bool("no-wait")}
	if wait != nil {
		o.WaitTimeout = *wait
	}
	return o, errors.Join(err, err2)
}

// lifecycle starts, stops or restarts what exists.
func lifecycle(ctx context.Context, s Streams, o lifecycleOptions) error {
	p, name, e, err := beginStack(ctx, s, o.Project)
	if err != nil {
		return err
	}
	defer func() { _ = e.Close() }() // everything was asked and answered
	ch := change{streams: s, engine: e, scope: compose.Scope{Project: name}, command: o.command, noWait: o.NoWait,
		reading: "looking at what runs", run: compose.RunOptions{WaitTimeout: o.WaitTimeout},
		plan: func(have compose.State) (compose.Plan, error) {
			if _, err := pick(p, name, have.Containers, o.Services); err != nil {
				return nil, err
			}
			return o.plan(p, have, o)
		}}
	if o.command != "stop" {
		ch.refusing(p, o.Services)
	}
	out, said, err := ch.tell(ctx, p, told{o.DryRun, o.JSON})
	if said {
		return err
	}
	changed := 0
	for _, step := range out.plan {
		switch step.Op {
		case compose.StartContainer, compose.StopContainer, compose.RestartContainer:
			changed++
		}
	}
	if changed == 0 {
		_, err = fmt.Fprintf(s.Out, "%s: nothing to %s\n", name, o.command)
		return err
	}
	_, err = fmt.Fprintf(s.Out, "%s: %s %s in %s; strake ps shows them\n", name, plural(changed, "container"), o.pastVerb, span(out.elapsed))
	return err
}
