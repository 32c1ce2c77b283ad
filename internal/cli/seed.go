package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/engine"
	"github.com/strake-dev/strake/internal/seed"
)

func newSeed() *cli.Command {
	return group(&cli.Command{
		Name: "seed", Usage: "Keep the data of a stack as an image, from which stacks start.",
		UsageText:   "strake seed build      # make the seed of this commit, unless it is there\nstrake up --seed       # start from it",
		Description: "0 done, 1 failed, 2 wrong usage, 4 held by another (with --no-wait), 130 interrupted",
	}, newSeedBuild(), newSeedKey(), newSeedLs(), newSeedRm(), newSeedSave(), newSeedReset(), newSeedPrune(), newSeedPush(), newSeedPull())
}

// seedOptions are the flags of the seed commands.
type seedOptions struct {
	Project               projectOptions
	NoWait, JSON, Explain bool
	Yes, Force            bool
	Keys, Services        []string
	Name                  string
	Keep                  int
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
	d := compose.DiffOptions{Services: needed, ImagesOnly: true, Inputs: inputs, Refs: refs, Offline: o.Offline, Now: s.Now(), Version: buildVersion()}
	ch := change{streams: s, engine: e, scope: compose.ScopeOf(p, refs), command: "seed build", noWait: noWait, reading: "reading the project",
		plan: func(have compose.State) (compose.Plan, error) {
			return compose.Diff(p, have, d)
		}}
	out, err := ch.do(ctx)
	if err != nil {
		return seeding{}, err
	}
	facts, err := seed.FactsOf(ctx, p, seed.FactsOptions{State: out.state, Inputs: inputs, Files: compose.InputOptions{CacheDir: cacheDir(s)}, Offline: o.Offline})
	return seeding{p, e, out.state, facts}, err
}

// build makes the seed and returns whether it was not there.
func (k seeding) build(ctx context.Context, s Streams, from projectOptions, noWait bool) (there *seed.Seed, built bool, err error) {
	if err := k.pullFirst(ctx, s, from, noWait); err != nil {
		return nil, false, err
	}
	o, err := k.options(ctx, s, noWait)
	if err != nil {
		return nil, false, err
	}
	k.advise(s)
	there, built, err = seed.Build(ctx, seedEngine{k.e}, k.p, o)
	return there, built, showStep(err, "put it right and run strake seed build again; nothing of this seed was kept")
}

// options are those of a build, with the commits whose seeds it can be made of.
func (k seeding) options(ctx context.Context, s Streams, noWait bool) (seed.BuildOptions, error) {
	o := sealing(s, k.facts, k.state, "seed build", noWait)
	o.Commits, o.Clean = commitsOf(ctx, s, k.p.WorkingDir)
	return k.withBase(ctx, o)
}

// withBase adds to the options of a build what its seed has in common with others.
func (k seeding) withBase(ctx context.Context, o seed.BuildOptions) (seed.BuildOptions, error) {
	var err error
	o.Base, err = seed.BaseOf(ctx, k.p, k.facts, o.Files)
	return o, err
}

// advise says which steps make a new seed whenever anything in their images changes.
func (k seeding) advise(s Streams) {
	for _, step := range k.facts.Steps {
		if svc := k.p.Services[step.Service]; step.Inputs == "" && svc.Build != nil {
			fmt.Fprintf(s.Err, "seed: each change to what %s is built from makes a new seed; x-strake: {inputs: [migrations/**]} on the service says which files count\n", step.Service)
		}
	}
}

// claimOptions are those of a command about seeds.
func claimOptions(s Streams, command string, noWait bool) compose.ConvergeOptions {
	return compose.ConvergeOptions{Owner: owner(s, command), Alive: isAlive, NoWait: noWait,
		Held: func(e *compose.HeldError) { fmt.Fprintf(s.Err, "seed: waiting: %s\n", e) }}
}

// sealing are options that tell of a build as it goes on.
func sealing(s Streams, facts seed.Facts, state compose.State, command string, noWait bool) seed.BuildOptions {
	begin := s.Now()
	return seed.BuildOptions{Facts: facts, State: state, Files: compose.InputOptions{CacheDir: cacheDir(s)}, Version: buildVersion(), Claim: claimOptions(s, command, noWait),
		Note: func(text string) { fmt.Fprintf(s.Err, "seed: %s (%s)\n", text, span(s.Now().Sub(begin))) }}
}

// showStep adds to a step that failed what its container printed last, and what to do next.
func showStep(err error, next string) error {
	var failed *seed.StepError
	if !errors.As(err, &failed) {
		return err
	}
	if failed.Log != "" {
		err = &reportedError{error: err, sections: []section{{title: "last lines of " + failed.Service, text: failed.Log}}}
	}
	if hintOf(err) == "" {
		err = &compose.HintedError{Err: err, Next: next}
	}
	return err
}

// seedFor is the seed of a name, or with none that of what the files say now, which is made unless it is there.
func seedFor(ctx context.Context, s Streams, p *compose.Project, e *engine.Engine, o projectOptions, name string, noWait bool) (*seed.Seed, error) {
	if name != "" {
		return namedSeed(ctx, e, p, name)
	}
	k, err := prepareSeed(ctx, s, p, e, o, noWait)
	if err != nil {
		return nil, err
	}
	there, _, err := k.build(ctx, s, o, noWait)
	return there, err
}

// namedSeed is the seed of a key or of a name that was given to it.
func namedSeed(ctx context.Context, e *engine.Engine, p *compose.Project, name string) (*seed.Seed, error) {
	if err := seed.CheckKey(name); err != nil {
		return nil, err
	}
	found, err := seed.Find(ctx, e, p, name)
	if err != nil {
		return nil, err
	}
	if found == nil {
		return nil, &compose.HintedError{Err: fmt.Errorf("project %s has no seed %s here that has all of %s", p.Name, name, strings.Join(seed.Services(p), ", ")),
			Next: "strake seed ls lists those that are here"}
	}
	return found, nil
}

// runningSeed is the seed that a stack was started from, and how, as long as its data is there; nil if there is none.
func runningSeed(ctx context.Context, e *engine.Engine, p *compose.Project) (*seed.Seed, seed.Mode, error) {
	if len(seed.Services(p)) == 0 {
		return nil, "", nil
	}
	have, err := e.Observe(ctx, seed.MarksOf(p.Name))
	if err != nil {
		return nil, "", err
	}
	key, mode := seed.Running(p, have)
	goal := seed.Unfinished(p.Name, have)
	if by := seed.Claimant(p.Name, have); goal == nil && by != nil && isAlive(*by) {
		goal = seed.Resetting(p.Name, have)
	}
	if goal != nil { // what follows waits for it, or leaves the services alone that it is of
		key, mode = goal.Key, goal.Mode
	}
	if key == "" {
		return nil, mode, nil
	}
	found, err := seed.Find(ctx, e, p, key)
	for service, k := range seed.Others(p, have, key) {
		if other, otherErr := seed.Find(ctx, e, p, k); other != nil && found != nil && otherErr == nil {
			found.Sealed[service] = other.Sealed[service]
		}
	}
	switch {
	case err != nil || found != nil:
		return found, mode, err
	case mode == seed.Layer && goal == nil:
		return nil, mode, &compose.HintedError{Err: fmt.Errorf("%s runs on seed %s, which is not here any more", p.Name, key),
			Next: "strake seed save NAME keeps its data; strake down first, where it may go; strake up --seed starts from the seed of the files"}
	}
	return &seed.Seed{Key: key}, mode, nil
}

// seedChoice is what --seed says: nothing, the seed of the files as they are, or one by its name.
type seedChoice struct {
	on   bool
	name string
}

// Set reads --seed and --seed=NAME.
func (v *seedChoice) Set(text string) error {
	*v = seedChoice{on: text != "false"}
	if text != "true" && text != "false" {
		v.name = text
	}
	return nil
}

// String is the name.
func (v *seedChoice) String() string { return v.name }

// IsBoolFlag says that the flag can stand alone.
func (v *seedChoice) IsBoolFlag() bool { return true }

// seedFlag is a flag whose value may be left out.
type seedFlag struct{ *cli.GenericFlag }

// TakesValue is false: the next argument is not the flag's.
func (seedFlag) TakesValue() bool { return false }

func newSeedFlag() cli.Flag {
	return seedFlag{&cli.GenericFlag{Name: "seed", Value: &seedChoice{},
		Usage: "start from the project's seed (x-strake.seed), which is built first where it is missing; --seed=NAME from one that was saved or built before"}}
}

func seedChoiceOf(c *cli.Context) seedChoice {
	if v, ok := c.Generic("seed").(*seedChoice); ok && v != nil {
		return *v
	}
	return seedChoice{}
}

// seedFacts are what the seed of the files as they are depends on; nothing is built or pulled for it.
func seedFacts(ctx context.Context, s Streams, p *compose.Project, e *engine.Engine, o projectOptions) (seeding, error) {
	services, err := withBuild(p, nil, false)
	if err != nil {
		return seeding{}, err
	}
	inputs, refs, err := buildState(ctx, s, p, services)
	if err != nil {
		return seeding{}, err
	}
	state, err := e.Observe(ctx, compose.ScopeOf(p, refs))
	if err != nil {
		return seeding{}, err
	}
	facts, err := seed.FactsOf(ctx, p, seed.FactsOptions{State: state, Inputs: inputs, Files: compose.InputOptions{CacheDir: cacheDir(s)}, Offline: o.Offline})
	return seeding{p, e, state, facts}, err
}
