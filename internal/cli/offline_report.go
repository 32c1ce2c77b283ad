package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/offline"
)

func newOfflineReport() *cli.Command {
	return &cli.Command{
		Name: "report", Usage: "Say of the stack of up --isolated what its services tried to reach, and whether it is proven that it needs nothing of it.",
		UsageText: "strake up --isolated\nnpm test                  # use it\nstrake offline report",
		Description: "0 it is proven, and nothing was tried, 1 failed, 2 wrong usage, 3 not healthy,\n" +
			"5 something was tried beyond x-strake.offline.allow, or nothing is proven, 130 interrupted",
		Flags: []cli.Flag{jsonFlag()},
		Action: func(c *cli.Context) error {
			return offlineReport(c.Context, streamsOf(c), projectOptionsOf(c), c.Bool("json"))
		},
	}
}

// offlineReport prints what is known of the isolated stack. What it consists of the stack says itself; of the files only counts what is allowed.
func offlineReport(ctx context.Context, s Streams, o projectOptions, asJSON bool) error {
	p, project, e, err := beginStack(ctx, s, o)
	if err != nil {
		return err
	}
	defer func() { _ = e.Close() }() // everything was asked and answered
	name := offline.Name(project)
	there, err := e.Observe(ctx, compose.Scope{Project: name})
	if err == nil && len(there.Containers) == 0 {
		err = &compose.HintedError{Err: fmt.Errorf("%s has no isolated stack", project), Next: "strake up --isolated brings it up"}
	}
	if err == nil {
		err = isOurs(project, there)
	}
	if err != nil {
		return err
	}
	var allow []string
	if p != nil {
		allow = p.Settings.Offline.Allow
	}
	r, err := reportOn(ctx, e, name, allow)
	if err != nil {
		return err
	}
	return printReport(s, r, asJSON)
}

// prove brings an isolated stack up and prints what is known of it, also where it did not get ready.
func (c change) prove(ctx context.Context, o upOptions) error {
	if c.isolated.stale {
		c.show.warn("what there is of it is another one: it is taken down first")
		if err := c.isolated.clear(ctx, c); err != nil {
			return err
		}
	}
	out, err := c.do(ctx)
	var unready *compose.NotReadyError
	if err != nil && (ctx.Err() != nil || !errors.As(err, &unready)) {
		return err
	}
	r, reportErr := reportOn(ctx, c.engine, c.isolated.project.Name, c.isolated.project.Settings.Offline.Allow)
	if reportErr != nil {
		return errors.Join(err, reportErr)
	}
	if !o.JSON {
		for _, u := range out.served {
			fmt.Fprintln(c.streams.Out, u.Service+"  "+u.URL)
		}
	}
	if reportErr = printReport(c.streams, r, o.JSON); err == nil || o.JSON { // the document says what is not ready
		return reportErr
	}
	return err
}

// printReport prints a report. What it says is also in its error's code.
func printReport(s Streams, r offline.Report, asJSON bool) error {
	if asJSON {
		if err := printJSON(s.Out, r); err != nil {
			return err
		}
		return verdictOf(r)
	}
	if len(r.Attempts) > 0 {
		rows := [][]string{{"SERVICE", "TRIED TO REACH", "PORT", "BY", "TIMES", "FIRST", "LAST", ""}}
		for _, a := range r.Attempts {
			note := ""
			if a.Allowed {
				note = "allowed"
			}
			rows = append(rows, []string{strings.Join(append([]string{a.Service}, a.With...), ", "), cmp.Or(a.Name, a.Address), numbersText(a.Ports), strings.Join(a.Protocols, ","), strconv.Itoa(a.Count), clockText(a.First), clockText(a.Last), note})
		}
		if err := printTable(s.Out, rows); err != nil {
			return err
		}
	}
	for _, u := range r.Uncounted {
		fmt.Fprintf(s.Err, "warning: %s: attempts by bare addresses are not counted: %s\n", u.Service, u.Why)
	}
	for _, why := range r.Why {
		fmt.Fprintf(s.Out, "not proven: %s\n", why)
	}
	wanted := len(r.Wanted())
	tried := "nothing was tried to be reached"
	switch allowed := len(r.Attempts) - wanted; {
	case wanted > 0:
		tried = plural(wanted, "thing") + " of the outside " + were(wanted) + " tried to be reached; stand-ins, settings or x-strake.offline.allow are the answers"
	case allowed > 0:
		tried = "nothing was tried to be reached but what is allowed"
	}
	verdict := "proven: it got ready with no way out"
	if !r.Proven {
		verdict = "not proven"
	}
	_, err := fmt.Fprintf(s.Out, "%s is %s (%s, %s, %s); %s\n", r.Stack, verdict, plural(len(r.Networks), "network"), plural(triesIn(r), "way")+" out tried in vain", r.Engine, tried)
	return errors.Join(err, verdictOf(r))
}

func were(n int) string {
	if n == 1 {
		return "was"
	}
	return "were"
}

// triesIn is how many ways out the newest control tried, and did not get out.
func triesIn(r offline.Report) int {
	n := 0
	if len(r.Control) > 0 {
		for _, t := range r.Control[len(r.Control)-1].Tries {
			if t.Failed {
				n++
			}
		}
	}
	return n
}

// verdictOf is nil where it is proven that a stack needs nothing, else an *exitError.
func verdictOf(r offline.Report) error {
	switch {
	case !r.Ready:
		return &exitError{code: exitNotReady}
	case !r.Proven || len(r.Wanted()) > 0:
		return &exitError{code: exitRefused}
	}
	return nil
}

// numbersText are ports as a table has them.
func numbersText(ports []int) string {
	var all []string
	for _, p := range slices.Sorted(slices.Values(ports)) {
		all = append(all, strconv.Itoa(p))
	}
	return cmp.Or(strings.Join(all, ","), "-")
}

// clockText is a time of day in the user's zone.
func clockText(t time.Time) string { return t.Local().Format("15:04:05") }
