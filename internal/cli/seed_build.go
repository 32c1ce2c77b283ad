package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/strake-dev/strake/internal/seed"
)

func newSeedBuild() *cli.Command {
	return &cli.Command{
		Name: "build", Usage: "Make the seed of what the files say now, unless it is there.",
		UsageText:   "strake seed build",
		Description: "0 it is there, 1 failed, 2 wrong usage, 4 held by another (with --no-wait), 130 interrupted",
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
		Flags:       []cli.Flag{&cli.BoolFlag{Name: "explain", Usage: "print what the key is made of, as JSON"}, jsonFlag()},
		Action: func(c *cli.Context) error {
			return seedKey(c.Context, streamsOf(c), seedOptions{Project: projectOptionsOf(c), Explain: c.Bool("explain"), JSON: c.Bool("json")})
		},
	}
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
	_, built, err := k.build(ctx, s, o.Project, o.NoWait)
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

// seedKey prints the key, or what it is made of.
func seedKey(ctx context.Context, s Streams, o seedOptions) error {
	p, e, err := begin(ctx, s, o.Project)
	if err != nil {
		return err
	}
	defer func() { _ = e.Close() }() // everything was asked and answered
	k, err := seedFacts(ctx, s, p, e, o.Project)
	if err != nil {
		return err
	}
	if o.Explain {
		return printJSON(s.Out, struct {
			Key string `json:"key"`
			seed.Facts
		}{k.facts.Key(), k.facts})
	}
	if o.JSON {
		return printJSON(s.Out, struct {
			Project string `json:"project"`
			Key     string `json:"key"`
		}{p.Name, k.facts.Key()})
	}
	_, err = fmt.Fprintln(s.Out, k.facts.Key())
	return err
}
