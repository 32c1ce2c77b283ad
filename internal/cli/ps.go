package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/strake-dev/strake/compose"
)

type psOptions struct {
	Project               projectOptions
	Services              []string
	All                   bool // one-offs and what does not run too
	JSON, Quiet, Names    bool
	Status                []string // containers in one of these states
	NoOrphans, NoTruncate bool
}

func newPs() *cli.Command {
	return &cli.Command{
		Name: "ps", Usage: "List the project's containers, how they are and where they are reached.",
		ArgsUsage:   "[service ...]",
		UsageText:   "strake ps\nstrake ps -a --status exited\nstrake ps --json | jq -r '.[].url'",
		Description: "0 done, 1 failed, 2 wrong usage, 130 interrupted",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Usage: "containers that ended and one-off ones too"},
			&cli.StringFlag{Name: "format", Usage: "table or json, as `FORMAT`", DefaultText: "table"},
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "print ids only"},
			&cli.BoolFlag{Name: "services", Usage: "print the services' names only"},
			&cli.StringSliceFlag{Name: "status", Usage: "those in `STATE` only: created, running, paused, restarting, exited, dead"},
			&cli.StringFlag{Name: "filter", Usage: "`FILTER` status=STATE, the same"},
			&cli.BoolFlag{Name: "orphans", Value: true, Usage: "services that the file no longer has too"},
			&cli.BoolFlag{Name: "no-trunc", Usage: "print whole ids"},
			jsonFlag(),
		},
		Action: func(c *cli.Context) error {
			format, err := choiceOf(c, "format", "table", "json")
			if err != nil {
				return err
			}
			o := psOptions{Project: projectOptionsOf(c), Services: servicesOf(c), All: c.Bool("all"), JSON: c.Bool("json") || format == "json",
				Quiet: c.Bool("quiet"), Names: c.Bool("services"), Status: c.StringSlice("status"), NoOrphans: !c.Bool("orphans"),
				NoTruncate: c.Bool("no-trunc")}
			if f := c.String("filter"); f != "" {
				state, ok := strings.CutPrefix(f, "status=")
				if !ok {
					return usagef("write it as --filter status=running", "--filter is %q", f)
				}
				o.Status = append(o.Status, state)
			}
			return ps(c.Context, streamsOf(c), o)
		},
	}
}

// ps lists containers.
func ps(ctx context.Context, s Streams, o psOptions) error {
	p, name, e, err := beginStack(ctx, s, o.Project)
	if err != nil {
		return err
	}
	defer func() { _ = e.Close() }() // everything was asked and answered
	containers, err := observeStack(ctx, e, name)
	if err != nil {
		return err
	}
	if _, err := pick(p, name, containers, o.Services); err != nil {
		return err
	}
	rows := slices.DeleteFunc(rowsOf(name, p, containers), func(r row) bool { return !o.shows(r) })
	if err := printPs(s, o, rows); err != nil || len(rows) > 0 || o.Quiet || o.Names || o.JSON {
		return err
	}
	if all := rowsOf(name, p, containers); len(all) > 0 {
		fmt.Fprintf(s.Err, "%s has %s that this does not show; strake ps -a shows all\n", name, plural(len(all), "container"))
		return nil
	}
	fmt.Fprintf(s.Err, "%s has no containers; strake up makes them\n", name)
	return nil
}

// shows is whether the row is one of those that were asked for.
func (o psOptions) shows(r row) bool {
	ended := r.State != string(compose.Running) && r.State != string(compose.Paused) && r.State != string(compose.Restarting)
	switch {
	case len(o.Services) > 0 && !slices.Contains(o.Services, r.Service):
		return false
	case o.NoOrphans && r.Orphan:
		return false
	case len(o.Status) > 0:
		return slices.Contains(o.Status, r.State)
	case o.All:
		return true
	}
	return !ended && !r.OneOff
}

func printPs(s Streams, o psOptions, rows []row) error {
	switch {
	case o.Quiet:
		for _, r := range rows {
			fmt.Fprintln(s.Out, r.ID)
		}
		return nil
	case o.Names:
		var names []string
		for _, r := range rows {
			if !slices.Contains(names, r.Service) {
				names = append(names, r.Service)
				fmt.Fprintln(s.Out, r.Service)
			}
		}
		return nil
	case o.JSON:
		return printJSON(s.Out, rows)
	}
	table := [][]string{{"SERVICE", "NAME", "STATE", "HEALTH", "IMAGE", "PORTS", "URL"}}
	for _, r := range rows {
		state := r.State
		if r.State == string(compose.Exited) {
			state = fmt.Sprintf("exited (%d)", r.ExitCode)
		}
		if r.Orphan {
			state += " orphan"
		}
		image := r.Image
		if !o.NoTruncate && strings.HasPrefix(image, "sha256:") {
			image = image[:min(19, len(image))]
		}
		table = append(table, []string{r.Service, r.Name, state, r.Health, image, portsText(r.Ports), strings.Join(r.URLs, " ")})
	}
	return printTable(s.Out, table)
}
