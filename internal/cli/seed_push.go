package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/seed"
)

func newSeedPush() *cli.Command {
	return &cli.Command{
		Name: "push", Usage: "Send a seed to the registry, from which others start.", ArgsUsage: "[key or name]",
		UsageText:   "strake seed push                # the seed of what the files say now\nstrake seed push --registry ghcr.io/acme",
		Description: "0 it is there, 1 failed, 2 wrong usage, 130 interrupted",
		Flags:       []cli.Flag{registryFlag(), jsonFlag()},
		Action:      func(c *cli.Context) error { return seedMove(c, seedPush) },
	}
}

func newSeedPull() *cli.Command {
	return &cli.Command{
		Name: "pull", Usage: "Fetch a seed from the registry.", ArgsUsage: "[key or name]",
		UsageText:   "strake seed pull                # the seed of what the files say now\nstrake seed pull --registry ghcr.io/acme before-import",
		Description: "0 it is here, 1 failed, 2 wrong usage, 4 held by another (with --no-wait), 130 interrupted",
		Flags:       []cli.Flag{registryFlag(), noWaitFlag(), jsonFlag()},
		Action:      func(c *cli.Context) error { return seedMove(c, seedPull) },
	}
}

func registryFlag() cli.Flag {
	return &cli.StringFlag{Name: "registry", Usage: "the `REGISTRY` and path below it (default: x-strake.registry, STRAKE_REGISTRY)"}
}

// move is one way that a seed goes between here and a registry; isNew is false where it changed nothing.
type move func(ctx context.Context, s Streams, k seeding, t seed.Transfer) (past string, isNew bool, err error)

// seedMove carries a move out.
func seedMove(c *cli.Context, do move) error {
	ctx, s := c.Context, streamsOf(c)
	o := seedOptions{Project: projectOptionsOf(c), Name: c.Args().First(), NoWait: c.Bool("no-wait"), JSON: c.Bool("json")}
	if c.NArg() > 1 {
		return usagef("without one it is the seed of what the files say now", "seed %s takes one key or name", c.Command.Name)
	}
	if o.Project.Offline {
		return usagef("unset STRAKE_OFFLINE for it", "seed %s is all network, and offline forbids it", c.Command.Name)
	}
	if err := seed.CheckKey(o.Name); err != nil && o.Name != "" {
		return &usageError{what: err.Error(), hint: hintOf(err)}
	}
	registry := c.String("registry")
	if err := checkRegistry("--registry", registry); err != nil {
		return err
	}
	p, e, err := begin(ctx, s, o.Project)
	if err != nil {
		return err
	}
	defer func() { _ = e.Close() }() // everything was asked and answered
	t, err := transferOf(s, p, registry, "seed "+c.Command.Name, o.NoWait)
	if err != nil {
		return err
	}
	k := seeding{p: p, e: e}
	if t.Key = o.Name; t.Key == "" {
		if k, err = seedFacts(ctx, s, p, e, o.Project); err != nil {
			return err
		}
		t.Key = k.facts.Key()
	}
	past, isNew, err := do(ctx, s, k, t)
	if err != nil {
		return err
	}
	if o.JSON {
		return printJSON(s.Out, struct {
			Project  string `json:"project"`
			Key      string `json:"key"`
			Registry string `json:"registry"`
			New      bool   `json:"new"`
		}{p.Name, t.Key, t.Registry, isNew})
	}
	_, err = fmt.Fprintf(s.Out, "seed %s of %s %s %s\n", t.Key, p.Name, past, t.Registry)
	return err
}

// transferOf is a transfer between here and a registry, that of the project where none is named.
func transferOf(s Streams, p *compose.Project, registry, command string, noWait bool) (seed.Transfer, error) {
	t := seed.Transfer{Registry: cmp.Or(registry, p.Settings.Registry), Claim: claimOptions(s, command, noWait)}
	if t.Registry == "" {
		return t, &compose.HintedError{Err: errors.New("nothing says in which registry the seeds of " + p.Name + " are"),
			Next: "say --registry ghcr.io/acme, or write x-strake: {registry: ghcr.io/acme} into the compose file"}
	}
	said := s.Now()
	t.Note = func(text string) { said = s.Now(); fmt.Fprintf(s.Err, "seed: %s\n", text) }
	t.Progress = func(text string, part compose.Event) {
		if now := s.Now(); part.Total > 0 && now.Sub(said) > progressEvery {
			t.Note(fmt.Sprintf("%s: %s of %s", text, mebibytes(part.Current), mebibytes(part.Total)))
		}
	}
	return t, nil
}

// progressEvery is how often it is said how far a transfer is.
const progressEvery = 2 * time.Second

// checkRegistry refuses what cannot name a registry; "" is none.
func checkRegistry(where, registry string) error {
	if registry == "" || compose.IsRegistry(registry) {
		return nil
	}
	return usagef("write a host and a path in lower case such as ghcr.io/acme, without https:// and without a tag", "%s is %q", where, registry)
}

func seedPush(ctx context.Context, _ Streams, k seeding, t seed.Transfer) (string, bool, error) {
	from, err := namedSeed(ctx, k.e, k.p, t.Key)
	if err != nil {
		return "", false, err
	}
	isNew, err := seed.Push(ctx, seedEngine{k.e}, k.p, from, t)
	if isNew {
		return "is in", true, err
	}
	return "is already in", false, err
}

func seedPull(ctx context.Context, _ Streams, k seeding, t seed.Transfer) (string, bool, error) {
	here, err := seed.Find(ctx, k.e, k.p, t.Key)
	if err != nil {
		return "", false, err
	}
	if here != nil && seed.CheckName(t.Key) != nil { // a name may stand for something else there, a key never
		return "is here already, and need not be pulled from", false, nil
	}
	found, err := seed.Pull(ctx, seedEngine{k.e}, k.p, t)
	if err == nil && found == nil {
		err = &compose.HintedError{Err: fmt.Errorf("%s does not have seed %s of %s as a whole", t.Registry, t.Key, k.p.Name), Next: "push it where it is (strake seed push), or run strake seed build"}
	}
	return "was pulled from", true, err
}

// pullFirst looks in the project's registry for a seed that is not here; what keeps it from that is told and nothing more, as it can be
// built.
func (k seeding) pullFirst(ctx context.Context, s Streams, o projectOptions, noWait bool) error {
	if k.p.Settings.Registry == "" || o.Offline {
		return nil
	}
	if here, err := seed.Find(ctx, k.e, k.p, k.facts.Key()); err != nil || here != nil {
		return err
	}
	t, err := transferOf(s, k.p, "", "seed build", noWait)
	if err != nil {
		return err
	}
	t.Key = k.facts.Key()
	_, err = seed.Pull(ctx, seedEngine{k.e}, k.p, t)
	if ctx.Err() != nil || errors.Is(err, compose.ErrHeld) {
		return err
	}
	if err != nil {
		fmt.Fprintf(s.Err, "warning: the seed is built, as it was not to be had from %s: %v\n", t.Registry, err)
	}
	return nil
}
