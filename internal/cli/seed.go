package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/engine"
	"github.com/strake-dev/strake/internal/seed"
)

func newSeed() *cli.Command {
	with := func(c *cli.Command) *cli.Command {
		c.HelpName = "seed " + c.Name
		c.CustomHelpTemplate, c.OnUsageError, c.HideHelpCommand = commandText(c), onUsageError, true
		if c.ArgsUsage == "" {
			c.ArgsUsage = " "
		}
		return c
	}
	return &cli.Command{
		Name: "seed", Usage: "Keep the data of a stack as an image, from which stacks start.",
		UsageText:   "strake seed build      # make the seed of this commit, unless it is there\nstrake up --seed       # start from it",
		Description: "0 done, 1 failed, 2 wrong usage, 3 a step did not complete, 4 held by another (with --no-wait), 130 interrupted",
		Action:      func(c *cli.Context) error { return unknownSubcommand(c.Command, "") },
		Subcommands: []*cli.Command{with(newSeedBuild()), with(newSeedKey()), with(newSeedLs()), with(newSeedRm())},
	}
}

func newSeedBuild() *cli.Command {
	return &cli.Command{
		Name: "build", Usage: "Make the seed of what the files say now, unless it is there.",
		UsageText:   "strake seed build",
		Description: "0 it is there, 1 failed, 2 wrong usage, 3 a step did not complete, 4 held by another (with --no-wait), 130 interrupted",
		Flags:       []cli.Flag{offlineFlag(), noWaitFlag(), jsonFlag()},
		Action: func(c *cli.Context) error {
			return seedBuild(c.Context, streamsOf(c), seedOptions{Project: projectOptionsOf(c), NoWait: c.Bool("no-wait"), JSON: c.Bool("json")})
		},
	}
}

func newSeedKey() *cli.Command {
	return &cli.Command{
		Name: "key", Usage: "Print the name of the seed of what the files say now.",
		UsageText:   "strake seed key\nstrake seed key --explain   # and all that it depends on",
		Description: "0 done, 1 failed, 2 wrong usage, 130 interrupted",
		Flags:       []cli.Flag{&cli.BoolFlag{Name: "explain", Usage: "print what the key is made of, as JSON"}},
		Action: func(c *cli.Context) error {
			return seedKey(c.Context, streamsOf(c), seedOptions{Project: projectOptionsOf(c), Explain: c.Bool("explain")})
		},
	}
}

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
		Name: "rm", Usage: "Remove seeds by their keys.", ArgsUsage: "key ...",
		UsageText:   "strake seed rm 3f2c1ab09d8e7f65",
		Description: "0 they are gone, 1 failed, 2 wrong usage, 130 interrupted",
		Action: func(c *cli.Context) error {
			if c.NArg() == 0 {
				return usagef("strake seed ls lists them", "seed rm takes keys")
			}
			return seedRm(c.Context, streamsOf(c), seedOptions{Project: projectOptionsOf(c), Keys: c.Args().Slice()})
		},
	}
}

// seedOptions are the flags of the seed commands.
type seedOptions struct {
	Project               projectOptions
	NoWait, JSON, Explain bool
	Keys                  []string
}

// seeding is what commands about seeds know of a project.
type seeding struct {
	p     *compose.Project
	e     *engine.Engine
	state compose.State
	facts seed.Facts
}

// prepareSeed makes the images of the project be there, and reads what its seed depends on.
func prepareSeed(ctx context.Context, s Streams, p *compose.Project, e *engine.Engine, o projectOptions, noWait bool) (seeding, error) {
	services, err := withBuild(p, nil, false)
	if err != nil {
		return seeding{}, err
	}
	inputs, refs, err := buildState(ctx, s, p, services)
	if err != nil {
		return seeding{}, err
	}
	needed := append(seed.Services(p), seed.Steps(p)...)
	if len(needed) == 0 {
		_, err := seed.FactsOf(ctx, p, seed.FactsOptions{})
		return seeding{}, err
	}
	d := compose.DiffOptions{Services: needed, Inputs: inputs, Refs: refs, Offline: o.Offline, Now: s.Now(), Version: buildVersion()}
	ch := change{streams: s, engine: e, scope: compose.ScopeOf(p, refs), command: "seed build", noWait: noWait, reading: "reading the project",
		plan: func(have compose.State) (compose.Plan, error) {
			plan, err := compose.Diff(p, have, d)
			return only(plan, func(step compose.Step) bool { return step.Op == compose.BuildImage || step.Op == compose.PullImage }), err
		}}
	out, err := ch.do(ctx)
	if err != nil {
		return seeding{}, err
	}
	facts, err := seed.FactsOf(ctx, p, seed.FactsOptions{State: out.state, Inputs: inputs, Files: compose.InputOptions{CacheDir: cacheDir(s)}})
	return seeding{p, e, out.state, facts}, err
}

// build makes the seed and returns whether it was not there.
func (k seeding) build(ctx context.Context, s Streams, noWait bool) (bool, error) {
	begin := s.Now()
	built, err := seed.Build(ctx, seedEngine{k.e}, k.p, seed.BuildOptions{Facts: k.facts, State: k.state, Version: buildVersion(),
		Note: func(text string) { fmt.Fprintf(s.Err, "seed: %s (%s)\n", text, span(s.Now().Sub(begin))) },
		Claim: compose.ConvergeOptions{Owner: owner(s, "seed build"), Alive: isAlive, NoWait: noWait,
			Held: func(e *compose.HeldError) { fmt.Fprintf(s.Err, "seed: waiting: %s\n", e) }}})
	var failed *seed.StepError
	if errors.As(err, &failed) && failed.Log != "" {
		err = &reportedError{error: err, sections: []section{{title: "last lines of " + failed.Service, text: failed.Log}}}
	}
	if errors.As(err, &failed) && hintOf(err) == "" {
		err = &compose.HintedError{Err: err, Next: "put it right and run strake seed build again; nothing of this seed was kept"}
	}
	return built, err
}

// seedFor makes the seed that up starts from, unless it is there.
func seedFor(ctx context.Context, s Streams, o upOptions) (seeding, error) {
	p, e, err := begin(ctx, s, o.Project)
	if err != nil {
		return seeding{}, err
	}
	defer func() { _ = e.Close() }() // everything was asked and answered
	k, err := prepareSeed(ctx, s, p, e, o.Project, o.NoWait)
	if err == nil {
		_, err = k.build(ctx, s, o.NoWait)
	}
	return k, err
}

// seedBuild makes the seed of what the files say now.
func seedBuild(ctx context.Context, s Streams, o seedOptions) error {
	p, e, err := begin(ctx, s, o.Project)
	if err != nil {
		return err
	}
	defer func() { _ = e.Close() }() // everything was asked and answered
	begin := s.Now()
	k, err := prepareSeed(ctx, s, p, e, o.Project, o.NoWait)
	if err != nil {
		return err
	}
	built, err := k.build(ctx, s, o.NoWait)
	if err != nil {
		return err
	}
	if o.JSON {
		return printJSON(s.Out, struct {
			Project string  `json:"project"`
			Key     string  `json:"key"`
			Built   bool    `json:"built"`
			Seconds float64 `json:"seconds"`
		}{p.Name, k.facts.Key(), built, s.Now().Sub(begin).Seconds()})
	}
	what := "is there already"
	if built {
		what = "was built in " + span(s.Now().Sub(begin).Round(time.Millisecond))
	}
	_, err = fmt.Fprintf(s.Out, "seed %s of %s %s; strake up --seed starts from it\n", k.facts.Key(), p.Name, what)
	return err
}

// seedFacts is what the seed of the files as they are depends on; nothing is built or pulled for it.
func seedFacts(ctx context.Context, s Streams, p *compose.Project, e *engine.Engine) (seed.Facts, error) {
	services, err := withBuild(p, nil, false)
	if err != nil {
		return seed.Facts{}, err
	}
	inputs, refs, err := buildState(ctx, s, p, services)
	if err != nil {
		return seed.Facts{}, err
	}
	state, err := e.Observe(ctx, compose.ScopeOf(p, refs))
	if err != nil {
		return seed.Facts{}, err
	}
	return seed.FactsOf(ctx, p, seed.FactsOptions{State: state, Inputs: inputs, Files: compose.InputOptions{CacheDir: cacheDir(s)}})
}

// seedKey prints the key, or what it is made of.
func seedKey(ctx context.Context, s Streams, o seedOptions) error {
	p, e, err := begin(ctx, s, o.Project)
	if err != nil {
		return err
	}
	defer func() { _ = e.Close() }() // everything was asked and answered
	facts, err := seedFacts(ctx, s, p, e)
	if err != nil {
		return err
	}
	if o.Explain {
		return printJSON(s.Out, struct {
			Key string `json:"key"`
			seed.Facts
		}{facts.Key(), facts})
	}
	_, err = fmt.Fprintln(s.Out, facts.Key())
	return err
}

// seedRow is one seed of `seed ls --json`.
type seedRow struct {
	Key      string    `json:"key"`
	Services []string  `json:"services"`
	Created  time.Time `json:"created"`
	Size     int64     `json:"size"` // bytes, with the layers of the images below
	Exact    bool      `json:"exact"`
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
	if p != nil {
		markExact(ctx, s, p, e, rows)
	}
	if o.JSON {
		return printJSON(s.Out, rows)
	}
	if len(rows) == 0 {
		_, err := fmt.Fprintf(s.Out, "%s has no seed here; strake seed build makes one\n", name)
		return err
	}
	table := [][]string{{"KEY", "SERVICES", "AGE", "SIZE", "OF THESE FILES"}}
	for _, r := range rows {
		table = append(table, []string{r.Key, strings.Join(r.Services, ", "), span(s.Now().Sub(r.Created).Round(time.Second)), fmt.Sprintf("%d MB", r.Size/1e6), map[bool]string{true: "yes"}[r.Exact]})
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
			rows, at = append(rows, seedRow{Key: key, Created: i.Created}), len(rows)
		}
		rows[at].Services = append(rows[at].Services, service)
		slices.Sort(rows[at].Services)
		rows[at].Size += i.Size
	}
	return rows, nil
}

// markExact marks the seed of what the files say now; where that cannot be told none is.
func markExact(ctx context.Context, s Streams, p *compose.Project, e *engine.Engine, rows []seedRow) {
	facts, err := seedFacts(ctx, s, p, e)
	if err != nil {
		return
	}
	for i := range rows {
		rows[i].Exact = rows[i].Key == facts.Key()
	}
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
	for _, key := range o.Keys {
		i := slices.IndexFunc(rows, func(r seedRow) bool { return r.Key == key })
		if i < 0 {
			return &compose.HintedError{Err: fmt.Errorf("project %s has no seed %s here", name, key), Next: "strake seed ls lists them"}
		}
		for _, service := range rows[i].Services {
			ref := seed.Ref(name, service, key)
			if err := e.Do(ctx, compose.Step{Op: compose.RemoveImage, Name: ref, Target: ref}, nil); err != nil {
				return err
			}
		}
		fmt.Fprintf(s.Out, "seed %s of %s is removed\n", key, name)
	}
	return nil
}
