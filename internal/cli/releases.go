package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/strake-dev/strake/internal/release"
)

func newReleases() *cli.Command {
	return &cli.Command{
		Name: "releases", Usage: "List what an environment has run, the newest first.", ArgsUsage: "environment",
		UsageText:   "strake releases prod\nstrake releases prod --json",
		Description: "0 told, 1 failed or the ledger is broken, 2 wrong usage, 130 interrupted",
		Flags:       []cli.Flag{jsonFlag()},
		Action: func(c *cli.Context) error {
			if c.NArg() != 1 {
				return usagef("strake status lists the environments", "releases takes an environment")
			}
			return releases(c.Context, streamsOf(c), projectOptionsOf(c), c.Args().First(), c.Bool("json"))
		},
	}
}

// releases prints the ledger of an environment.
func releases(ctx context.Context, s Streams, o projectOptions, name string, asJSON bool) error {
	r, err := beginReleasing(ctx, s, o, false)
	if err != nil {
		return err
	}
	if _, err := r.environment(name); err != nil {
		return err
	}
	h, err := r.registry.History(ctx, name, nil)
	if len(h) == 0 && err != nil {
		return err
	}
	if asJSON {
		if h == nil {
			h = release.History{}
		}
		return errors.Join(printJSON(s.Out, h), err)
	}
	if len(h) == 0 {
		_, err := fmt.Fprintf(s.Out, "%s has had no release; strake promote %s makes the first\n", name, name)
		return err
	}
	rows := [][]string{{"RELEASE", "HOW", "WHEN", "BY", "APPROVED", "SUBJECT"}}
	for i, e := range h {
		how := string(e.Action)
		if !e.Done && i > 0 && h[i-1].Commit == e.Commit { // the line of its end is above
			continue
		}
		if !e.Done {
			how += ", not done"
		}
		rows = append(rows, []string{release.Short(e.Commit), how, e.Time.Local().Format(time.DateTime), harmless(e.Actor), approvedBy(e.Approvals), fmt.Sprintf("%.60s", harmless(e.Subject))})
	}
	return errors.Join(printTable(s.Out, rows), err)
}
