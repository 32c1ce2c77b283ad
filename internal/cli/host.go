package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/host"
)

// hostOptions are the flags of the host commands.
type hostOptions struct {
	Project               projectOptions
	IDs                   []string
	JSON, All, Yes, Force bool
}

func newHost() *cli.Command {
	return group(&cli.Command{
		Name: "host", Usage: "Look after the machines of EC2 on which previews run, and all that belongs to them.",
		UsageText:   "strake host ls\nstrake host rm i-0123456789abcdef0",
		Description: "0 done, 1 failed, 2 wrong usage, 5 a lease covers it, 130 interrupted",
	}, newHostLs(), newHostRm())
}

func newHostLs() *cli.Command {
	return &cli.Command{
		Name: "ls", Usage: "List what strake owns of this project in the account and region, and whether a lease covers it.",
		UsageText:   "strake host ls\nstrake host ls --all-projects --json",
		Description: "0 done, 1 failed, 2 wrong usage, 130 interrupted",
		Flags:       []cli.Flag{&cli.BoolFlag{Name: "all-projects", Usage: "of every project that has machines in this account and region"}, jsonFlag()},
		Action: func(c *cli.Context) error {
			return hostLs(c.Context, streamsOf(c), hostOptions{Project: projectOptionsOf(c), JSON: c.Bool("json"), All: c.Bool("all-projects")})
		},
	}
}

func newHostRm() *cli.Command {
	return &cli.Command{
		Name: "rm", Usage: "Remove things by their IDs, with a machine all that belongs to it, and look that they are gone.", ArgsUsage: "id ...",
		UsageText:   "strake host rm i-0123456789abcdef0\nstrake host rm vol-0123456789abcdef0 --yes",
		Description: "0 they are gone, 1 failed or something is left, 2 wrong usage, 5 a lease covers one of them (without --force), 130 interrupted",
		Flags:       []cli.Flag{yesFlag(), &cli.BoolFlag{Name: "force", Usage: "also what a lease covers, with the preview that runs on it"}, jsonFlag()},
		Action: func(c *cli.Context) error {
			if c.NArg() == 0 {
				return usagef("strake host ls lists them", "host rm takes the IDs of things")
			}
			return hostRm(c.Context, streamsOf(c), hostOptions{Project: projectOptionsOf(c), IDs: c.Args().Slice(), JSON: c.Bool("json"), Yes: c.Bool("yes"), Force: c.Bool("force")})
		},
	}
}

// onHosts calls do with the machines of the project. It needs no engine.
func onHosts(ctx context.Context, s Streams, o hostOptions, do func(*previewing) error) error {
	w := &previewing{show: newProgress(s, o.JSON, "reading the project")}
	defer w.close()
	sources, err := newPreviewSources(s, o.Project, w.show.warn)
	if err != nil {
		return err
	}
	policy, err := sources.Policy(ctx)
	if err != nil {
		return err
	}
	w.sources, w.project, w.policy = sources, policy.Project, policy.Settings.Previews.WithDefaults(policy.Project)
	if w.policy.Host != compose.HostEC2 {
		return &compose.HintedError{Err: fmt.Errorf("the previews of %s run on engines that strake does not make: it has no machines", w.project), Next: "write x-strake: {previews: {host: ec2}} into the default branch's compose file"}
	}
	if err := w.onEC2(ctx, s); err != nil {
		return err
	}
	return do(w)
}

// hostLs lists what there is.
func hostLs(ctx context.Context, s Streams, o hostOptions) error {
	return onHosts(ctx, s, o, func(w *previewing) error {
		names := []string{w.project}
		var err error
		if o.All {
			if names, err = w.ec2.cloud.Projects(ctx); err != nil {
				return err
			}
		}
		all := []ownedThing{}
		for _, name := range names {
			things, err := w.ec2.cloud.Of(name).Inventory(ctx, nil)
			if err != nil && name != w.project { // whoever may see that it is there may not see all of it
				w.show.warn(fmt.Sprintf("project %s is left out: %v", name, err))
				continue
			}
			if err != nil {
				return err
			}
			for _, t := range things {
				all = append(all, ownedThing{name, t})
			}
		}
		if o.JSON {
			return printJSON(s.Out, all)
		}
		return printThings(s, all, o.All)
	})
}

// ownedThing is a thing with the project that it is of, as programs are told of it.
type ownedThing struct {
	Project string `json:"project"`
	host.Thing
}

// printThings prints a table of what there is.
func printThings(s Streams, all []ownedThing, projects bool) error {
	if len(all) == 0 {
		_, err := fmt.Fprintln(s.Out, "there is nothing; strake preview open 42 makes a machine for pull request 42")
		return err
	}
	rows := [][]string{{"KIND", "ID", "PREVIEW", "LEASE", "STATE", "AGE", "COST", "COVERED"}}
	var sum compose.Dollars
	for _, t := range all {
		name, cost := t.Preview, "-"
		if projects {
			name = t.Project + "-" + t.Preview
		}
		if t.Kind == host.KindInstance || t.Cost > 0 {
			cost = priceOf(t.Cost)
		}
		sum += t.Cost
		covered := "not yet: a launch may be under way"
		switch {
		case t.Covered && t.Until.IsZero():
			covered = "yes"
		case t.Covered:
			covered = "for " + roughly(t.Until.Sub(s.Now()))
		case t.Why != "":
			covered = "no: " + t.Why
		}
		rows = append(rows, []string{t.Kind, t.ID, name, fmt.Sprint(t.Lease), cmp.Or(t.State, "-"), roughly(s.Now().Sub(t.Since)), cost, covered})
	}
	if err := printTable(s.Out, rows); err != nil {
		return err
	}
	_, err := fmt.Fprintf(s.Out, "about %s so far, by prices of %s; strake preview sync removes what no lease covers\n", sum, host.PricesOf)
	return err
}

// errCovered is of what is not removed, as a lease covers it.
var errCovered = errors.New("a lease covers it")

// namedThings are the things of some IDs.
func namedThings(all []host.Thing, project string, o hostOptions) ([]host.Thing, error) {
	var some []host.Thing
	for _, id := range o.IDs {
		i := slices.IndexFunc(all, func(t host.Thing) bool { return t.ID == id })
		switch {
		case i < 0:
			return nil, &compose.HintedError{Err: fmt.Errorf("%.80q is nothing that strake owns of %s", id, project), Next: "strake host ls lists what there is"}
		case all[i].Covered && !o.Force && len(all[i].Previews) > 0:
			on := strings.Join(all[i].Previews, ", ")
			return nil, &compose.HintedError{Err: fmt.Errorf("%s is not removed: %w, and on it are %s", all[i], errCovered, on), Next: "run strake preview close for each of them, or say --force"}
		case all[i].Covered && !o.Force && strings.Contains(all[i].Preview, "."): // no preview has such a name
			return nil, &compose.HintedError{Err: fmt.Errorf("%s is not removed: %w, that of a machine which previews share", all[i], errCovered), Next: "strake preview close removes previews from it, and it goes when it is empty; or say --force"}
		case all[i].Covered && !o.Force:
			return nil, &compose.HintedError{Err: fmt.Errorf("%s is not removed: %w, that of preview %s", all[i], errCovered, all[i].Preview), Next: "run strake preview close " + all[i].Preview + ", or say --force"}
		}
		some = append(some, all[i])
	}
	return some, nil
}

// hostRm removes what is named.
func hostRm(ctx context.Context, s Streams, o hostOptions) error {
	return onHosts(ctx, s, o, func(w *previewing) error {
		all, err := w.ec2.cloud.Inventory(ctx, nil)
		if err != nil {
			return err
		}
		some, err := namedThings(all, w.project, o)
		if err != nil {
			return err
		}
		if !o.Yes {
			var names []string
			for _, t := range some {
				names = append(names, t.String()+" of preview "+t.Preview)
			}
			if !s.isInteractive() {
				return usagef("say --yes", "host rm removes %s, and there is no terminal to ask on", strings.Join(names, ", "))
			}
			if err := confirm(ctx, s, "This removes "+strings.Join(names, ", ")+", with a machine its data and all that belongs to it.", "nothing was removed"); err != nil {
				return err
			}
		}
		receipt, err := w.ec2.cloud.Remove(ctx, some)
		err = errors.Join(err, w.dropTrees(ctx, receipt))
		if o.JSON {
			return errors.Join(printJSON(s.Out, receipt), err)
		}
		printRemoved(s, receipt)
		return err
	})
}

// printRemoved says what is gone.
func printRemoved(s Streams, r host.Receipt) {
	for _, t := range r.Removed {
		fmt.Fprintf(s.Out, "gone  %-14s  %s\n", t.Kind, t.ID)
	}
}

// dropTrees removes the files on this machine that are of previews which have no machine any more.
func (w *previewing) dropTrees(ctx context.Context, r host.Receipt) error {
	if len(r.Removed) == 0 {
		return nil
	}
	machines, err := w.ec2.cloud.Machines(ctx)
	if err != nil {
		return err
	}
	var errs []error
	seen := map[string]bool{}
	for _, t := range r.Removed {
		for _, id := range append(slices.Clone(t.Previews), t.Preview) {
			if _, lives := host.Holding(machines, id); !lives && !seen[id] {
				seen[id] = true
				_, err := w.sources.Remove(ctx, w.treesOf(ctx, id))
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}
