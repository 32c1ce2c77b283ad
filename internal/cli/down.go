package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/offline"
	"github.com/strake-dev/strake/internal/seed"
)

type downOptions struct {
	Project           projectOptions
	Down              compose.DownOptions
	DryRun, JSON, Yes bool
	NoWait            bool
	Isolated          bool // that of up --isolated, with its volumes
}

func newDown() *cli.Command {
	return &cli.Command{
		Name: "down", Usage: "Stop and remove the project's containers and networks.",
		ArgsUsage: "[service ...]",
		UsageText: "strake down              # containers and networks; volumes stay\nstrake down -v           # the data in volumes too\nstrake down --rmi local  # the images that were built too",
		Description: "0 it is gone, 1 failed, 2 wrong usage, 4 held by another (with --no-wait),\n" +
			"10 there is something to do (--dry-run), 130 interrupted",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "volumes", Aliases: []string{"v"}, Usage: "remove the project's volumes and their data; on a terminal it asks first"},
			&cli.StringFlag{Name: "rmi", Usage: "remove `IMAGES`: local are those without a name of their own, all is all"},
			&cli.BoolFlag{Name: "remove-orphans", Usage: "remove containers of services that the file no longer has"},
			&cli.BoolFlag{Name: "isolated", Usage: "remove the stack of up --isolated instead, with its volumes"},
			timeoutFlag(), dryRunFlag(), noWaitFlag(), jsonFlag(), yesFlag(),
		},
		Action: func(c *cli.Context) error {
			grace, err := durationOf(c, "timeout")
			rmi, err2 := choiceOf(c, "rmi", "local", "all")
			if err := errors.Join(err, err2); err != nil {
				return err
			}
			return down(c.Context, streamsOf(c), downOptions{Project: projectOptionsOf(c), DryRun: c.Bool("dry-run"), JSON: c.Bool("json"),
				Yes: c.Bool("yes"), NoWait: c.Bool("no-wait"), Isolated: c.Bool("isolated"), Down: compose.DownOptions{Services: servicesOf(c), Volumes: c.Bool("volumes"),
					Images: rmi, RemoveOrphans: c.Bool("remove-orphans"), Grace: grace}})
		},
	}
}

// down removes a stack.
func down(ctx context.Context, s Streams, o downOptions) error {
	p, name, e, err := beginStack(ctx, s, o.Project)
	if err != nil {
		return err
	}
	defer func() { _ = e.Close() }() // everything was asked and answered
	if o.Isolated {                  // all of it is strake's, and none of it is anybody's data
		project := name
		p, name, o.Down.Volumes, o.Yes = nil, offline.Name(name), true, true
		have, err := e.Observe(ctx, compose.Scope{Project: name})
		if err == nil {
			err = isOurs(project, have)
		}
		if err != nil {
			return err
		}
	}
	if p == nil && o.Down.Volumes && !o.Isolated {
		if _, err := loadWith(ctx, s, o.Project.loadOptions(s)); err != nil && !errors.Is(err, compose.ErrNoFile) { // the file may say that a volume is not ours
			return &compose.HintedError{Err: fmt.Errorf("volumes are not removed by labels alone where there is a file: %w", err), Next: "put the file right, or leave -v out"}
		}
	}
	ch := change{streams: s, engine: e, scope: scopeOfDown(p, name, o.Down), command: "down", noWait: o.NoWait,
		reading: "looking at what runs",
		plan: func(have compose.State) (compose.Plan, error) {
			plan, err := compose.Down(p, have, o.Down)
			if err != nil || len(o.Down.Services) > 0 {
				return plan, err
			}
			return seed.Forgotten(name, have, plan, o.Down.Volumes), nil
		}}
	ch.scope.Containers = append(ch.scope.Containers, seed.Marks(name)...)
	if o.Down.Volumes && !o.DryRun && !o.Yes && s.isInteractive() {
		if err := askForVolumes(ctx, s, ch); err != nil {
			return err
		}
	}
	if len(o.Down.Services) == 0 {
		g := &gatewayHost{streams: s, engine: e, owner: compose.ConvergeOptions{Owner: owner(s, "down"), Alive: isAlive, NoWait: o.NoWait}}
		ch.after = func(ctx context.Context, _ compose.State) ([]served, error) { return nil, g.withdraw(ctx, name, true) }
	}
	out, said, err := ch.tell(ctx, p, told{o.DryRun, o.JSON})
	if said {
		return err
	}
	if !out.plan.Changes() {
		_, err = fmt.Fprintf(s.Out, "%s: nothing to remove\n", name)
		return err
	}
	next := "; strake up brings it back" + projectFlags(o.Project)
	if o.Isolated {
		next = "; strake up --isolated brings it back" + projectFlags(o.Project)
	}
	if seed.Unfinished(name, out.state) != nil {
		next = "; its volumes are there, and strake up does not take them"
		unfinished{project: name, reset: seed.Unfinished(name, out.state)}.warn(s)
	}
	_, err = fmt.Fprintf(s.Out, "%s is down: %s in %s%s\n", name, removedText(out.plan), span(out.elapsed.Round(time.Millisecond)), next)
	return err
}

// scopeOfDown is what is looked at to remove a stack: its images only where they go too, so that one whose name is
// wrong by now is in nobody's way.
func scopeOfDown(p *compose.Project, name string, o compose.DownOptions) compose.Scope {
	scope := scopeOfStack(p, name)
	if o.Images == "" {
		scope.Images = nil
	}
	return scope
}

// removedText counts what a plan removed.
func removedText(plan compose.Plan) string {
	var parts []string
	for _, kind := range []struct {
		op   compose.Op
		noun string
	}{{compose.RemoveContainer, "container"}, {compose.RemoveNetwork, "network"}, {compose.RemoveVolume, "volume"}, {compose.RemoveImage, "image"}, {compose.DropMark, "mark"}} {
		n := 0
		for _, step := range plan {
			if step.Op == kind.op {
				n++
			}
		}
		if n > 0 {
			parts = append(parts, plural(n, kind.noun))
		}
	}
	return strings.Join(parts, ", ") + " removed"
}

// askForVolumes names the volumes that would be removed and asks. Without a terminal -v is explicit enough, as it is
// for Docker Compose, whose scripts rely on it.
func askForVolumes(ctx context.Context, s Streams, ch change) error {
	out, err := ch.look(ctx)
	if err != nil {
		return err
	}
	var names []string
	for _, step := range out.plan {
		if step.Op == compose.RemoveVolume {
			names = append(names, step.Name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return confirm(ctx, s, fmt.Sprintf("This removes the data in %s: %s.", plural(len(names), "volume"), strings.Join(names, ", ")), "nothing was removed")
}
