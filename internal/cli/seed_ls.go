package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sync/errgroup"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/engine"
	"github.com/strake-dev/strake/internal/seed"
)

func newSeedLs() *cli.Command {
	return &cli.Command{
		Name: "ls", Usage: "List the project's seeds, the newest first.",
		UsageText:   "strake seed ls",
		Description: "0 done, 1 failed, 2 wrong usage, 130 interrupted",
		Flags:       []cli.Flag{jsonFlag()},
		Action: func(c *cli.Context) error {
			return seedLs(c.Context, streamsOf(c), seedOptions{Project: projectOptionsOf(c), JSON: c.Bool("json")})
		},
	}
}

func newSeedRm() *cli.Command {
	return &cli.Command{
		Name: "rm", Usage: "Remove seeds by their keys or names.", ArgsUsage: "key ...",
		UsageText:   "strake seed rm 3f2c1ab09d8e7f65\nstrake seed rm before-import --yes",
		Description: "0 they are gone, 1 failed, 2 wrong usage, 4 held by another (with --no-wait), 130 interrupted",
		Flags: []cli.Flag{&cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "do not ask before a seed goes that was saved under a name: nothing makes it again"},
			noWaitFlag(), jsonFlag()},
		Action: func(c *cli.Context) error {
			if c.NArg() == 0 {
				return usagef("strake seed ls lists them", "seed rm takes keys")
			}
			return seedRm(c.Context, streamsOf(c), seedOptions{Project: projectOptionsOf(c), Keys: c.Args().Slice(), Yes: c.Bool("yes"),
				NoWait: c.Bool("no-wait"), JSON: c.Bool("json")})
		},
	}
}

// seedRow is one seed of `seed ls --json`.
type seedRow struct {
	Key      string    `json:"key"`
	Services []string  `json:"services"`
	Created  time.Time `json:"created"`
	Size     int64     `json:"size"`          // bytes, with the layers of the images below
	Exact    bool      `json:"exact"`         // of the files as they are, whole or not: a build may be under way
	Base     bool      `json:"base"`          // that of the files as they are would be built on it
	Saved    bool      `json:"saved"`         // under a name
	Whole    bool      `json:"whole"`         // false: what a killed command left
	Running  bool      `json:"running"`       // the stack started from it
	Where    []string  `json:"where"`         // "here", and the project's registry where that has it too
	For      string    `json:"for,omitempty"` // the preview that made it for itself
	// Unfinished is the command that finishes a reset to it which did not come to its end, "" for none.
	Unfinished string `json:"unfinished,omitempty"`
	set        string
	of         string // the services that it is to have, joined by commas; "" where it does not say
	parted     bool   // its images are of several builds, or some are missing
}

// seedLs lists the seeds that are here.
func seedLs(ctx context.Context, s Streams, o seedOptions) error {
	p, name, e, err := beginStack(ctx, s, o.Project)
	if err != nil {
		return err
	}
	defer func() { _ = e.Close() }() // everything was asked and answered
	rows, err := seedRows(ctx, e, name)
	if err != nil {
		return err
	}
	have, err := e.Observe(ctx, seed.MarksOf(name))
	if err != nil {
		return err
	}
	left, err := unfinishedIn(ctx, e, name, have)
	if err != nil {
		return err
	}
	left.warn(s)
	for i := range rows {
		if left.reset != nil && rows[i].Key == left.reset.Key {
			rows[i].Unfinished = left.reset.Finish(name)
		}
	}
	if p != nil {
		running, _ := seed.Running(p, have)
		for i := range rows {
			rows[i].Running = rows[i].Key == running && left.reset == nil // of a stack between two seeds it is not known
		}
		_ = mark(ctx, s, p, e, o.Project, rows) // what cannot be told is left out
		if err := locate(ctx, p, e, o.Project, rows); err != nil {
			fmt.Fprintf(s.Err, "warning: which seeds are in %s is not known: %v\n", p.Settings.Registry, err)
		}
	}
	if o.JSON {
		return printJSON(s.Out, rows)
	}
	if len(rows) == 0 {
		_, err := fmt.Fprintf(s.Out, "%s has no seed here; strake seed build makes one\n", name)
		return err
	}
	table := [][]string{{"KEY", "SERVICES", "AGE", "SIZE", "WHERE", "OF THESE FILES"}}
	for _, r := range rows {
		table = append(table, []string{r.Key, strings.Join(r.Services, ", "), span(s.Now().Sub(r.Created).Round(time.Second)), mebibytes(r.Size), strings.Join(r.Where, ", "), r.what()})
	}
	return printTable(s.Out, table)
}

// seedRows are the seeds of a project, the newest first.
func seedRows(ctx context.Context, e *engine.Engine, project string) ([]seedRow, error) {
	images, err := e.ImagesWith(ctx, seed.LabelKey)
	if err != nil {
		return nil, err
	}
	rows := []seedRow{}
	for _, i := range images {
		key, service := i.Labels[seed.LabelKey], i.Labels[seed.LabelService]
		if i.Labels[seed.LabelProject] != project || !slices.Contains(i.Tags, seed.Ref(project, service, key)) {
			continue
		}
		at := slices.IndexFunc(rows, func(r seedRow) bool { return r.Key == key })
		if at < 0 {
			rows, at = append(rows, seedRow{Key: key, Created: i.Created, Saved: seed.CheckName(key) == nil, Whole: true, Where: []string{"here"}, For: i.Labels[seed.LabelFor], set: i.Labels[seed.LabelSet], of: i.Labels[seed.LabelServices]}), len(rows)
		}
		rows[at].Services = append(rows[at].Services, service)
		slices.Sort(rows[at].Services)
		rows[at].Size += i.Size
		if rows[at].set != i.Labels[seed.LabelSet] {
			rows[at].Whole, rows[at].parted = false, true
		}
	}
	for i, r := range rows {
		if r.of != "" && r.of != strings.Join(r.Services, ",") {
			rows[i].Whole, rows[i].parted = false, true
		}
	}
	return rows, nil
}

// mark marks the seed of what the files say now, and where there is none that on which it would be built. One without all
// services is not whole.
func mark(ctx context.Context, s Streams, p *compose.Project, e *engine.Engine, o projectOptions, rows []seedRow) error {
	for i := range rows {
		rows[i].Whole = rows[i].Whole && slices.Equal(rows[i].Services, seed.Services(p))
	}
	k, err := seedFacts(ctx, s, p, e, o)
	if err != nil {
		return err
	}
	found := false
	for i := range rows {
		rows[i].Exact = rows[i].Key == k.facts.Key()
		found = found || rows[i].Exact && rows[i].Whole
	}
	build, err := k.options(ctx, s, false)
	if err != nil || found {
		return err
	}
	base, err := seed.Nearest(ctx, seedEngine{e}, p, build)
	for i := range rows {
		rows[i].Base = err == nil && rows[i].Key == base
	}
	return err
}

// registryPatience is the longest that a list waits for a registry.
const registryPatience = 5 * time.Second

// locate adds the project's registry to those seeds that it has too. Offline none is asked.
func locate(ctx context.Context, p *compose.Project, e *engine.Engine, o projectOptions, rows []seedRow) error {
	if p.Settings.Registry == "" || o.Offline {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, registryPatience)
	defer cancel()
	var all errgroup.Group
	all.SetLimit(8)
	for i := range rows {
		all.Go(func() error {
			there, err := seed.Published(ctx, seedEngine{e}, p, seed.Transfer{Key: rows[i].Key, Registry: p.Settings.Registry})
			if there {
				rows[i].Where = append(rows[i].Where, p.Settings.Registry)
			}
			return err
		})
	}
	return all.Wait()
}

// what says how a seed stands to the files as they are.
func (r seedRow) what() string {
	what := ""
	switch {
	case r.Saved && !r.Whole && !r.parted:
		what = "saved, of other services"
	case !r.Whole:
		what = "unfinished: strake seed rm " + r.Key
	case r.For != "":
		what = "preview " + r.For + "'s own"
	case r.Exact:
		what = "yes"
	case r.Base:
		what = "base"
	case r.Saved:
		what = "saved"
	}
	if r.Running {
		what += ", the stack runs on it"
	}
	if r.Unfinished != "" {
		what += ", a reset to it is unfinished"
	}
	return strings.TrimPrefix(what, ", ")
}

// seedRm removes seeds. One that a container was made from stays, with an error that says so.
func seedRm(ctx context.Context, s Streams, o seedOptions) error {
	_, name, e, err := beginStack(ctx, s, o.Project)
	if err != nil {
		return err
	}
	defer func() { _ = e.Close() }() // everything was asked and answered
	rows, err := seedRows(ctx, e, name)
	if err != nil {
		return err
	}
	var found []seedRow
	var named []string
	for _, key := range o.Keys {
		i := slices.IndexFunc(rows, func(r seedRow) bool { return r.Key == key })
		if i < 0 {
			return &compose.HintedError{Err: fmt.Errorf("project %s has no seed %s here", name, key), Next: "strake seed ls lists them"}
		}
		if slices.ContainsFunc(found, func(r seedRow) bool { return r.Key == key }) {
			continue
		}
		found = append(found, rows[i])
		if rows[i].Saved && rows[i].Whole {
			named = append(named, key)
		}
	}
	if len(named) > 0 && !o.Yes {
		if !s.isInteractive() {
			return usagef("say --yes: nothing makes them again", "seed rm takes saved data away (%s) and there is no terminal to ask on", strings.Join(named, ", "))
		}
		if err := confirm(ctx, s, fmt.Sprintf("This throws away the saved %s of %s: nothing makes them again.", strings.Join(named, ", "), name), "nothing was removed"); err != nil {
			return err
		}
	}
	removed := []string{}
	for _, r := range found {
		var gone bool
		if gone, err = seed.Remove(ctx, seedEngine{e}, name, r.Key, r.Services, claimOptions(s, "seed rm", o.NoWait)); err == nil && !gone {
			err = inUse(ctx, e, name, r.Key)
		}
		if err != nil {
			break
		}
		if removed = append(removed, r.Key); !o.JSON {
			fmt.Fprintf(s.Out, "seed %s of %s is removed\n", r.Key, name)
		}
	}
	if !o.JSON {
		return err
	}
	text, hint := "", ""
	if err != nil {
		text, hint = err.Error(), hintOf(err)
	}
	return documented(err, printJSON(s.Out, struct {
		Project string   `json:"project"`
		Removed []string `json:"removed"`
		Error   string   `json:"error,omitempty"`
		Hint    string   `json:"hint,omitempty"`
	}{name, removed, text, hint}))
}

// inUse is why a seed stays: of a stack that runs on it, or of a reset to it that can be finished.
func inUse(ctx context.Context, e *engine.Engine, project, key string) error {
	have, err := e.Observe(ctx, seed.MarksOf(project))
	if err != nil {
		return err
	}
	if goal := seed.Unfinished(project, have); goal != nil && goal.Key == key {
		err := &seed.UnfinishedError{Project: project, Goal: *goal}
		return &compose.HintedError{Err: fmt.Errorf("seed %s is needed: %w", key, err), Next: err.Hint()}
	}
	return &compose.HintedError{Err: fmt.Errorf("seed %s is in use by a container", key), Next: "remove the stack that was started from it (strake down) first"}
}
