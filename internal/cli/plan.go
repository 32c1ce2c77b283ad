package cli

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/strake-dev/strake/compose"
)

func newPlan() *cli.Command {
	return &cli.Command{
		Name: "plan", Usage: "Print what up would do to each service and why, and do nothing.",
		ArgsUsage:   "[service ...]",
		UsageText:   "strake plan          # everything\nstrake plan --steps  # each step\nstrake plan --json   # for programs\nstrake plan --env prod  # what merging this commit would promote",
		Description: "0 nothing to do, 1 failed, 2 wrong usage, 5 the policy says no (--env), 10 there is something to do, 130 interrupted",
		Flags:       append(diffFlags(), &cli.StringFlag{Name: "env", Usage: "print what `ENVIRONMENT` would run if the commit that is checked out were merged, which its file says"}, &cli.BoolFlag{Name: "steps", Usage: "print each step, in order, instead of a line per service"}, jsonFlag()),
		Action: func(c *cli.Context) error {
			if c.IsSet("env") {
				if c.NArg() > 0 {
					return usagef("say strake plan --env "+c.String("env"), "plan --env is of a release, which is of all services")
				}
				return planRelease(c.Context, streamsOf(c), promoteOptions{Project: projectOptionsOf(c), Environment: c.String("env"), DryRun: true, JSON: c.Bool("json")})
			}
			o, err := upOptionsOf(c)
			if err != nil {
				return err
			}
			return plan(c.Context, streamsOf(c), o, c.Bool("steps"))
		},
	}
}

// plan prints what up would do.
func plan(ctx context.Context, s Streams, o upOptions, steps bool) error {
	show := newProgress(s, false, "reading the project")
	p, ch, err := upChange(ctx, s, o, show)
	if err != nil {
		show.close()
		return err
	}
	defer func() { _ = ch.engine.Close() }() // everything was asked and answered
	ch.steps = steps
	return printPlan(ctx, s, p, ch, o.JSON)
}

// planRelease prints what an environment would run if the commit that is checked out were the default branch's.
func planRelease(ctx context.Context, s Streams, o promoteOptions) error {
	sources, err := newPreviewSources(s, o.Project, func(string) {})
	if err != nil {
		return err
	}
	if o.WishAt, err = commitNamed(ctx, s, sources.dir, "HEAD"); err != nil {
		return err
	}
	return promote(ctx, s, o)
}

// printPlan prints the plan of a change without carrying it out. Where there is something to do it returns an
// *exitError of code 10.
func printPlan(ctx context.Context, s Streams, p *compose.Project, ch change, asJSON bool) error {
	out, err := ch.look(ctx)
	if err != nil {
		return err
	}
	for _, step := range out.plan {
		if step.Op == compose.Warn && !asJSON {
			fmt.Fprintf(s.Err, "warning: %s\n", warning(step))
		}
	}
	switch {
	case asJSON:
		err = printJSON(s.Out, documentOf(ch.scope.Project, p, out, nil))
	case ch.steps && out.plan.Changes():
		err = printSteps(s, out.plan, ch.command)
	default:
		err = printPlanView(s, out, ch.command)
	}
	if err == nil && out.plan.Changes() {
		return &exitError{code: exitChanges}
	}
	return err
}

// printSteps prints each step of a plan that changes something.
func printSteps(s Streams, plan compose.Plan, command string) error {
	var rows [][]string
	for _, step := range plan {
		if step.Op == compose.Warn {
			continue
		}
		op, why := string(step.Op), step.Why
		if step.Op == compose.Wait {
			op = "wait until " + string(step.Until)
		}
		if step.IfChanged > 0 {
			if why != "" {
				why += ", "
			}
			why += "if " + plan[step.IfChanged-1].Name + " changes"
		}
		rows = append(rows, []string{op, step.Name, why})
	}
	if err := printTable(s.Out, rows); err != nil {
		return err
	}
	_, err := fmt.Fprintf(s.Out, "plan: %s; strake %s does it\n", plural(len(rows), "step"), command)
	return err
}
