package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sync/errgroup"

	"github.com/strake-dev/strake/compose"
)

type psOptions struct {
	Project               projectOptions
	Services              []string
	All                   bool // one-offs and what does not run too
	JSON, Quiet, Names    bool
	Format                *psFormat // nil: the table
	Status                []string  // containers in one of these states
	NoOrphans, NoTruncate bool
}

// psStates are the states that --status takes. Source: Docker Engine API 1.41, ContainerState.Status.
var psStates = [...]string{"created", "running", "paused", "restarting", "removing", "exited", "dead"}

func newPs() *cli.Command {
	return &cli.Command{
		Name: "ps", Usage: "List the project's containers, how they are and where they are reached. A healthcheck that the engine has not asked yet is asked (STRAKE_HEALTH=engine: not).",
		ArgsUsage:   "[service ...]",
		UsageText:   "strake ps\nstrake ps -a --status exited\nstrake ps --format '{{.Service}} {{.Status}}'\nstrake ps --json | jq -r '.[].url'",
		Description: "0 done, 1 failed, 2 wrong usage, 130 interrupted",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Usage: "containers that ended and one-off ones too"},
			&cli.StringFlag{Name: "format", Usage: "`FORMAT`: table, json (an object a line), a Go template such as '{{.Name}} {{.Status}}', or table and a template", DefaultText: "table"},
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "print ids only"},
			&cli.BoolFlag{Name: "services", Usage: "print the services' names only"},
			&cli.StringSliceFlag{Name: "status", Usage: "those in `STATE` only: " + strings.Join(psStates[:], ", ")},
			&cli.StringSliceFlag{Name: "filter", Usage: "`FILTER` status=STATE, the same"},
			&cli.BoolFlag{Name: "orphans", Value: true, Usage: "services that the file no longer has too"},
			&cli.BoolFlag{Name: "no-trunc", Usage: "print whole ids"},
			jsonFlag(),
		},
		Action: func(c *cli.Context) error {
			format, err := psFormatOf(c.String("format"))
			status, err2 := psStatusOf(c)
			if err := errors.Join(err, err2); err != nil {
				return err
			}
			o := psOptions{Project: projectOptionsOf(c), Services: servicesOf(c), All: c.Bool("all"), JSON: c.Bool("json"), Format: format,
				Quiet: c.Bool("quiet"), Names: c.Bool("services"), Status: status, NoOrphans: !c.Bool("orphans"), NoTruncate: c.Bool("no-trunc")}
			return ps(c.Context, streamsOf(c), o)
		},
	}
}

// psStatusOf are the states that --status and --filter ask for.
func psStatusOf(c *cli.Context) ([]string, error) {
	states := c.StringSlice("status")
	for _, f := range c.StringSlice("filter") {
		state, ok := strings.CutPrefix(f, "status=")
		if !ok {
			return nil, usagef("the one filter is status: write it as --filter status=running", "--filter is %q", f)
		}
		states = append(states, state)
	}
	for _, state := range states {
		if !slices.Contains(psStates[:], state) {
			return nil, notOneOf("status", state, psStates[:])
		}
	}
	return states, nil
}

// ps lists containers.
func ps(ctx context.Context, s Streams, o psOptions) error {
	stack, err := lookAt(ctx, s, o.Project, o.Services)
	if err != nil {
		return err
	}
	defer func() { _ = stack.engine.Close() }() // everything was asked and answered
	name := stack.name
	left, err := unfinishedIn(ctx, stack.engine, name, stack.have)
	if err != nil {
		return err
	}
	left.warn(s)
	if !o.Quiet && !o.Names && s.getenv("STRAKE_HEALTH") != "engine" {
		askStarting(ctx, stack.engine, stack.all)
	}
	rows := slices.DeleteFunc(rowsOf(name, stack.p, stack.all), func(r row) bool { return !o.shows(r) })
	for i := range rows {
		rows[i].Unfinished = left.of(stack.p, rows[i].Service)
	}
	if err := printPs(s, o, rows); err != nil || len(rows) > 0 || left.reset != nil || o.Quiet || o.Names || o.JSON || o.Format != nil {
		return err
	}
	if all := rowsOf(name, stack.p, stack.all); len(all) > 0 {
		fmt.Fprintf(s.Err, "%s has %s that this does not show; strake ps -a shows all\n", name, plural(len(all), "container"))
		return nil
	}
	fmt.Fprintf(s.Err, "%s has no containers; strake up makes them\n", name)
	return nil
}

// askPatience is how long ps waits for the answers of healthchecks.
const askPatience = 3 * time.Second

// askStarting asks the healthchecks of which the engine has no verdict yet, as up does: until its interval has passed the engine
// says "starting" of what is healthy. What does not pass, or not in time, stays as the engine says.
func askStarting(ctx context.Context, h compose.Host, containers []compose.Container) {
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	var all errgroup.Group
	all.SetLimit(16)
	for i := range containers {
		c := &containers[i]
		if c.Status != compose.Running || c.Health != compose.Starting {
			continue
		}
		all.Go(func() error {
			if h.Do(ctx, compose.Step{Op: compose.Probe, Name: c.Name, Target: c.ID, Service: c.Service()}, nil) == nil {
				c.Health = compose.Healthy
			}
			return nil
		})
	}
	_ = all.Wait() // none returns an error
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
	case o.Format != nil:
		return o.Format.print(s, rows, o.NoTruncate)
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
