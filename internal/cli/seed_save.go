package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/seed"
	"github.com/strake-dev/strake/previews"
)

func newSeedSave() *cli.Command {
	return &cli.Command{
		Name: "save", Usage: "Seal the data that the stack has now under a name.", ArgsUsage: "name",
		UsageText:   "strake seed save before-import\nstrake seed reset --to before-import   # back to it",
		Description: "0 it is sealed, 1 failed, 2 wrong usage, 4 held by another (with --no-wait), 130 interrupted",
		Flags:       []cli.Flag{&cli.BoolFlag{Name: "force", Usage: "replace a seed of that name"}, noWaitFlag(), jsonFlag()},
		Action: func(c *cli.Context) error {
			if c.NArg() != 1 {
				return usagef("write it as: strake seed save before-import", "seed save takes one name")
			}
			return seedSave(c.Context, streamsOf(c), seedOptions{Project: projectOptionsOf(c), Name: c.Args().First(),
				Force: c.Bool("force"), NoWait: c.Bool("no-wait"), JSON: c.Bool("json")})
		},
	}
}

// seedSave seals what the stack holds.
func seedSave(ctx context.Context, s Streams, o seedOptions) error {
	if err := seed.CheckName(o.Name); err != nil {
		return &usageError{what: err.Error(), hint: hintOf(err)}
	}
	p, e, err := begin(ctx, s, o.Project)
	if err != nil {
		return err
	}
	defer func() { _ = e.Close() }() // everything was asked and answered
	state, err := e.Observe(ctx, compose.ScopeOf(p, nil))
	if err != nil {
		return err
	}
	began := s.Now()
	with := sealing(s, seed.Facts{}, state, "seed save", o.NoWait)
	with.Replace = o.Force
	if err := seed.Save(ctx, seedEngine{e}, p, o.Name, with); err != nil {
		return showStep(err, "put it right and run strake seed save again")
	}
	if o.JSON {
		return printJSON(s.Out, struct {
			Project string  `json:"project"`
			Name    string  `json:"name"`
			Seconds float64 `json:"seconds"`
		}{p.Name, o.Name, s.Now().Sub(began).Seconds()})
	}
	_, err = fmt.Fprintf(s.Out, "seed %s of %s was saved in %s; strake seed reset --to %s returns to it\n", o.Name, p.Name, span(s.Now().Sub(began).Round(time.Millisecond)), o.Name)
	return err
}

func newSeedReset() *cli.Command {
	return &cli.Command{
		Name: "reset", Usage: "Take the stack's data back to its seed; what was written since is lost.", ArgsUsage: "[service ...]",
		UsageText:   "strake seed reset                      # to the seed of what the files say now\nstrake seed reset db --to before-import",
		Description: "0 it is back and ready, 1 failed, 2 wrong usage, 3 not ready in time, 4 held by another (with --no-wait), 130 interrupted",
		Flags: []cli.Flag{&cli.StringFlag{Name: "to", Usage: "the seed of this `NAME` or key"},
			offlineFlag(), noWaitFlag(), jsonFlag(), yesFlag()},
		Action: func(c *cli.Context) error {
			return seedReset(c.Context, streamsOf(c), seedOptions{Project: projectOptionsOf(c), Services: servicesOf(c), Name: c.String("to"),
				NoWait: c.Bool("no-wait"), JSON: c.Bool("json"), Yes: c.Bool("yes")})
		},
	}
}

// seedReset takes the data of services back to a seed.
func seedReset(ctx context.Context, s Streams, o seedOptions) error {
	if !o.Yes && !s.isInteractive() {
		return usagef("say --yes: what was written since the seed is lost", "seed reset takes data away and there is no terminal to ask on")
	}
	if err := seed.CheckKey(o.Name); err != nil && o.Name != "" {
		return &usageError{what: err.Error(), hint: hintOf(err)}
	}
	p, e, err := begin(ctx, s, o.Project)
	if err != nil {
		return err
	}
	defer func() { _ = e.Close() }() // everything was asked and answered
	have, err := e.Observe(ctx, seed.MarksOf(p.Name))
	if err != nil {
		return err
	}
	killed := seed.Unfinished(p.Name, have)
	if err := checkThere(p.Name, have); err != nil && killed == nil {
		return err
	}
	from, err := seedFor(ctx, s, p, e, o.Project, o.Name, o.NoWait)
	if err != nil {
		return err
	}
	d := compose.DiffOptions{Offline: o.Project.Offline, Now: s.Now(), Version: buildVersion()}
	goal := seed.Goal{Key: from.Key, Services: o.Services}
	if _, goal.Mode = seed.Running(p, have); killed != nil {
		goal.Mode = killed.Mode // what is left of the stack may not say it
	}
	command := strings.Join(append([]string{"seed reset"}, o.Services...), " ")
	if o.Name != "" {
		command += " --to " + o.Name
	}
	ch := change{streams: s, engine: e, scope: seed.ScopeOf(p, from, nil, nil), command: command, claim: goal.Command(), noWait: o.NoWait, reading: "looking at what runs",
		plan: func(have compose.State) (compose.Plan, error) {
			return seed.Reset(p, have, from, goal.Mode, o.Name == "", o.Services, d)
		}}
	if !o.Yes {
		if err := askForReset(ctx, s, ch, from.Key); err != nil {
			return err
		}
	}
	out, err := ch.do(ctx)
	if err != nil && out.plan.Changes() {
		fmt.Fprintf(s.Err, "warning: %s is not at seed %s as a whole: %s finishes it\n", p.Name, from.Key, goal.Finish(p.Name))
	}
	if o.JSON {
		return printDocument(s, documentOf(p.Name, p, out, err), err)
	}
	if err != nil {
		return err
	}
	names := o.Services
	if len(names) == 0 {
		names = seed.Services(p)
	}
	_, err = fmt.Fprintf(s.Out, "%s of %s: back at seed %s in %s\n", strings.Join(names, ", "), p.Name, from.Key, span(out.elapsed.Round(time.Millisecond)))
	return err
}

// checkThere refuses to reset a stack of which nothing is there, before a seed is built for it.
func checkThere(project string, have compose.State) error {
	ours := func(c compose.Container) bool { return c.Labels[compose.LabelProject] == project }
	if slices.ContainsFunc(have.Containers, ours) || len(have.Volumes) > 0 {
		return nil
	}
	return &compose.HintedError{Err: fmt.Errorf("nothing of %s is there that could be reset: it has no container and no volume", project), Next: "strake up --seed starts it from its seed"}
}

// askForReset names what would be thrown away and asks.
func askForReset(ctx context.Context, s Streams, ch change, key string) error {
	out, err := ch.look(ctx)
	if err != nil {
		return err
	}
	var names []string
	for _, step := range out.plan {
		switch {
		case step.Op == compose.RemoveVolume:
			names = append(names, "volume "+step.Name)
		case step.Op == compose.RemoveContainer:
			names = append(names, "container "+step.Name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	return confirm(ctx, s, fmt.Sprintf("This throws away what %s hold and starts from seed %s.", strings.Join(names, ", "), key), "nothing was reset")
}

func newSeedPrune() *cli.Command {
	return &cli.Command{
		Name: "prune", Usage: "Remove old seeds: not that of the files as they are, not those that have a name.",
		UsageText:   "strake seed prune            # keeps the newest 3\nstrake seed prune --keep 0   # keeps only that of the files as they are",
		Description: "0 done, 1 failed, 2 wrong usage, 4 held by another (with --no-wait), 130 interrupted",
		Flags:       []cli.Flag{&cli.IntFlag{Name: "keep", Value: 3, Usage: "keep the newest `N`"}, noWaitFlag(), jsonFlag()},
		Action: func(c *cli.Context) error {
			if c.Int("keep") < 0 {
				return usagef("0 keeps none but that of the files as they are", "--keep is %d", c.Int("keep"))
			}
			return seedPrune(c.Context, streamsOf(c), seedOptions{Project: projectOptionsOf(c), Keep: c.Int("keep"), NoWait: c.Bool("no-wait"), JSON: c.Bool("json")})
		},
	}
}

// seedPrune removes old seeds that nothing runs on.
func seedPrune(ctx context.Context, s Streams, o seedOptions) error {
	p, e, err := begin(ctx, s, o.Project)
	if err != nil {
		return err
	}
	defer func() { _ = e.Close() }() // everything was asked and answered
	rows, err := seedRows(ctx, e, p.Name)
	if err != nil {
		return err
	}
	if err := mark(ctx, s, p, e, o.Project, rows); err != nil {
		return fmt.Errorf("tell which seed is that of the files: %w", err)
	}
	removed := []string{}
	kept := 0
	for _, r := range rows {
		if r.Exact || r.Saved || r.Base {
			continue
		}
		stays := kept < o.Keep
		if r.For != "" { // it goes with its preview
			of, err := e.Observe(ctx, compose.Scope{Project: r.For, Label: previews.LabelPreview + "=" + r.For})
			if err != nil {
				return err
			}
			stays = len(of.Containers) > 0
		} else {
			kept++
		}
		if stays {
			continue
		}
		gone, err := seed.Remove(ctx, seedEngine{e}, p.Name, r.Key, r.Services, claimOptions(s, "seed prune", o.NoWait))
		if err != nil {
			return err
		}
		if gone {
			removed = append(removed, r.Key)
		} else {
			fmt.Fprintf(s.Err, "seed %s is in use and stays\n", r.Key)
		}
	}
	if o.JSON {
		return printJSON(s.Out, struct {
			Project string   `json:"project"`
			Removed []string `json:"removed"`
		}{p.Name, removed})
	}
	if len(removed) == 0 {
		_, err = fmt.Fprintf(s.Out, "%s: no seed to remove\n", p.Name)
		return err
	}
	_, err = fmt.Fprintf(s.Out, "%s: removed %s: %s\n", p.Name, plural(len(removed), "seed"), strings.Join(removed, ", "))
	return err
}
