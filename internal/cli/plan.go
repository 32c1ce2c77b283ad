package cli

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/strake-dev/strake/compose"
)

func newPlan() *cli.Command {
	return &cli.Command{
		Name: "plan", Usage: "Print what up would do, each step with its reason, and do nothing.",
		ArgsUsage:   "[service ...]",
		UsageText:   "strake plan          # everything\nstrake plan --json   # for programs",
		Description: "0 nothing to do, 1 failed, 2 wrong usage, 10 there is something to do, 130 interrupted",
		Flags:       append(diffFlags(), jsonFlag()),
		Action: func(c *cli.Context) error {
			o, err := upOptionsOf(c)
			if err != nil {
				return err
			}
			return plan(c.Context, streamsOf(c), o)
		},
	}
}

// plan prints what up would do.
func plan(ctx context.Context, s Streams, o upOptions) error {
	show := newProgress(s, false, "reading the project")
	p, ch, err := upChange(ctx, s, o, show)
	show.close()
	if err != nil {
		return err
	}
	defer func() { _ = ch.engine.Close() }() // everything was asked and answered
	return printPlan(ctx, s, p, ch, o.JSON)
}

// printPlan prints the plan of a change without carrying it out. Where there is something to do it returns an
// *exitError of code 10.
func printPlan(ctx context.Context, s Streams, p *compose.Project, ch change, asJSON bool) error {
	out, err := ch.look(ctx)
	if err != nil {
		return err
	}
	if asJSON {
		err = printJSON(s.Out, documentOf(ch.scope.Project, p, out, nil))
	} else {
		err = printSteps(s, ch.scope.Project, out.plan, ch.command)
	}
	if err == nil && out.plan.Changes() {
		return &exitError{code: exitChanges}
	}
	return err
}

func printSteps(s Streams, project string, plan compose.Plan, command string) error {
	var rows [][]string
	changes := 0
	for _, step := range plan {
		switch {
		case step.Op == compose.Warn:
			fmt.Fprintf(s.Err, "warning: %s\n", warning(step))
			continue
		case step.Op.Changes():
			changes++
		}
		op, name := string(step.Op), step.Name
		if step.Op == compose.Wait {
			op = "wait until " + string(step.Until)
		}
		why := step.Why
		if step.IfChanged > 0 {
			if why != "" {
				why += ", "
			}
			why += "if " + plan[step.IfChanged-1].Name + " changes"
		}
		rows = append(rows, []string{op, name, why})
	}
	if changes == 0 {
		_, err := fmt.Fprintf(s.Out, "%s: nothing to do\n", project)
		return err
	}
	if err := printTable(s.Out, rows); err != nil {
		return err
	}
	_, err := fmt.Fprintf(s.Out, "%s: %s to do; strake %s does it\n", project, plural(changes, "change"), command)
	return err
}
