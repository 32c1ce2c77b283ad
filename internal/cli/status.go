package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/release"
)

func newStatus() *cli.Command {
	return &cli.Command{
		Name: "status", Usage: "Say what each environment runs, since when, and what is next.",
		UsageText:   "strake status\nstrake status --json",
		Description: "0 told, 1 failed, 2 wrong usage, 130 interrupted",
		Flags:       []cli.Flag{jsonFlag()},
		Action: func(c *cli.Context) error {
			return status(c.Context, streamsOf(c), projectOptionsOf(c), c.Bool("json"))
		},
	}
}

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

// environmentStatus is what status says of an environment. Its JSON names are stable.
type environmentStatus struct {
	Environment string         `json:"environment"`
	Tag         string         `json:"tag"`
	Release     *release.Entry `json:"release"` // null: none, or a move is begun and not done
	Begun       *release.Entry `json:"begun"`   // which is not done
	Next        []string       `json:"next"`    // commits of the environment that it comes from that it has not; null where that is not known
	Back        int            `json:"back"`    // how many releases it can go back
}

// status prints what each environment runs.
func status(ctx context.Context, s Streams, o projectOptions, asJSON bool) error {
	r, err := beginReleasing(ctx, s, o)
	if err != nil {
		return err
	}
	names := compose.EnvironmentNames(r.environments)
	if len(names) == 0 {
		_, err := r.environment("")
		return err
	}
	ledgers := map[string]release.History{}
	var all []environmentStatus
	for _, name := range names {
		h, err := r.registry.History(ctx, name, nil)
		var broken *release.BrokenError
		if errors.As(err, &broken) && len(h) > 0 {
			fmt.Fprintf(s.Err, "warning: %v\n", err)
			err = nil
		}
		if err != nil {
			return err
		}
		ledgers[name] = h
		all = append(all, r.statusOf(ctx, s, name, ledgers))
	}
	if asJSON {
		return printJSON(s.Out, all)
	}
	rows := [][]string{{"ENVIRONMENT", "RELEASE", "SUBJECT", "SINCE", "BY", "NEXT", "BACK"}}
	for _, e := range all {
		row := []string{e.Environment, "none", "", "", "", "?", fmt.Sprint(e.Back)}
		if e.Next != nil {
			row[5] = plural(len(e.Next), "commit")
		}
		if e.Release != nil {
			row[1], row[2], row[3], row[4] = release.Short(e.Release.Commit), fmt.Sprintf("%.50s", harmless(e.Release.Subject)), roughly(s.Now().Sub(e.Release.Time)), harmless(e.Release.Actor)
		} else if e.Begun != nil {
			row[1], row[2], row[3], row[4] = "incomplete", "run "+e.Begun.Command(), roughly(s.Now().Sub(e.Begun.Time)), harmless(e.Begun.Actor)
		}
		rows = append(rows, row)
	}
	return printTable(s.Out, rows)
}

// statusOf is what the ledgers say of an environment.
func (r *releasing) statusOf(ctx context.Context, s Streams, name string, ledgers map[string]release.History) environmentStatus {
	e := r.environments[name]
	h := ledgers[name]
	st := environmentStatus{Environment: name, Tag: e.Tag}
	if current, ok := h.Current(); ok {
		st.Release = &current
	}
	if begun, ok := h.Begun(); ok {
		st.Begun = &begun
	}
	st.Back = max(0, len(h.Line())-1)
	if last, ok := h.Last(); ok {
		from, known := "", false
		if e.From == "" {
			at, err := r.source.DefaultBranch(ctx)
			from, known = at.ID, err == nil
		} else if runs, is := ledgers[e.From].Current(); is {
			from, known = runs.Commit, true
		}
		if known {
			st.Next, _ = commitsBetween(ctx, s, r.dir, last.Commit, from) // a commit that the repository has not is none that is known
		}
	}
	return st
}

// releases prints the ledger of an environment.
func releases(ctx context.Context, s Streams, o projectOptions, name string, asJSON bool) error {
	r, err := beginReleasing(ctx, s, o)
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
