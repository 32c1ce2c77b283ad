package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/host"
	"github.com/strake-dev/strake/previews"
)

// machinePreview is a preview with its machine, as programs are told of it.
type machinePreview struct {
	previews.Preview
	Machine host.Machine `json:"machine"`
	// Cost is an estimate of what the machine has cost since it was started last, in US dollars, or the preview's part of that; 0 where its price is not
	// known, or it does not run.
	Cost compose.Dollars `json:"cost"`
}

// costOf is an estimate of what a machine has cost since it was started last; 0 for one that does not run. Of one that previews share it is the part of
// each of those that are on it now.
func costOf(m host.Machine) compose.Dollars {
	if m.State != "running" && m.State != "pending" {
		return 0
	}
	return m.Hourly * compose.Dollars(m.Hours) / compose.Dollars(max(len(m.Shares), 1))
}

// priceOf is a cost as lists have it.
func priceOf(d compose.Dollars) string {
	if d == 0 {
		return "unknown"
	}
	return "~" + d.String()
}

// listOnEC2 lists previews by the tags of their machines: it connects to none.
func (w *previewing) listOnEC2(ctx context.Context, s Streams, o previewOptions) error {
	list, machines, empty, err := w.listOfMachines(ctx, o.All)
	if err != nil {
		return err
	}
	if o.JSON {
		all := []machinePreview{}
		for _, p := range list {
			m := machines[p.Stack]
			all = append(all, machinePreview{p, m, costOf(m)})
		}
		for _, m := range empty {
			all = append(all, machinePreview{previewOfNone(m), m, costOf(m)})
		}
		return printJSON(s.Out, all)
	}
	if len(list)+len(empty) == 0 {
		_, err := fmt.Fprintln(s.Out, "there is no preview; strake preview open 42 makes one of pull request 42")
		return err
	}
	rows := [][]string{{"PREVIEW", "STATE", "COMMIT", "AGE", "ENDS IN", "MACHINE", "HOURS", "COST", "URL"}}
	var sum compose.Dollars
	for _, p := range list {
		row := rowOf(s, p, machines[p.Stack])
		if o.All {
			row[0] = p.Stack
		}
		rows = append(rows, row)
		sum += costOf(machines[p.Stack])
	}
	for _, m := range empty { // which cost as much as those that are used
		row := rowOf(s, previewOfNone(m), m)
		row[0] = "-"
		if o.All {
			row[0] = m.Project
		}
		rows = append(rows, row)
		sum += costOf(m)
	}
	if err := printTable(s.Out, rows); err != nil {
		return err
	}
	for _, p := range list {
		if p.State == stateTaken {
			fmt.Fprintf(s.Out, "%s: %s; strake preview open %s makes it anew, with the data of its seed\n", p.ID, machines[p.Stack].Gone(), p.ID)
		}
	}
	_, err = fmt.Fprintf(s.Out, "about %s so far, by prices of %s\n", sum, host.PricesOf)
	return err
}

// stateEmpty is what is said of a machine for previews that share it on which there is none.
const stateEmpty previews.State = "empty"

// previewOfNone stands in lists for what is on a machine for previews that share it on which there is none: it has no ID.
func previewOfNone(m host.Machine) previews.Preview {
	return previews.Preview{Project: m.Project, Host: "ec2", State: stateEmpty, Created: m.Since, Expires: m.Expires}
}

// rowOf is a preview as lists have it. Of a machine that stands still nobody knows since when: its disk costs little.
func rowOf(s Streams, p previews.Preview, m host.Machine) []string {
	kind, machine, hours, cost := m.Type, "none", "-", "-"
	if m.Spot {
		kind += " spot"
	}
	if m.Shared() {
		kind += fmt.Sprintf(", shared by %d", len(m.Shares))
	}
	if m.ID != "" {
		machine = m.ID + " (" + kind + ", " + m.State + ")"
	}
	if m.State == "running" || m.State == "pending" {
		hours, cost = fmt.Sprintf("%.1f", m.Hours), priceOf(costOf(m))
	}
	return []string{p.ID, string(p.State), fmt.Sprintf("%.12s", p.Commit), roughly(s.Now().Sub(p.Created)), roughly(p.Expires.Sub(s.Now())), machine, hours, cost, p.URL}
}

// closeOnEC2 removes the machine of a preview and all that belongs to its leases.
func (w *previewing) closeOnEC2(ctx context.Context, s Streams, o previewOptions) error {
	things, machines, err := w.ec2.cloud.Things(ctx)
	if err != nil {
		return err
	}
	if m, ok := host.Holding(machines, o.ID); ok && m.Shared() {
		return w.closeShare(ctx, s, o, m)
	}
	things = slices.DeleteFunc(things, func(t host.Thing) bool { return t.Preview != o.ID })
	if _, taken := host.Taken(machines, o.ID); len(things) == 0 && taken == "" {
		return &compose.HintedError{Err: fmt.Errorf("%w %s of %s", previews.ErrNoPreview, o.ID, w.project), Next: "strake preview list shows those that are there"}
	}
	if !o.Yes {
		if !s.isInteractive() {
			return usagef("say --yes", "preview close removes the machine of %s with its data, and there is no terminal to ask on", o.ID)
		}
		what := fmt.Sprintf("This removes what is left of preview %s, which has no machine.", o.ID)
		if m, ok := host.Holding(machines, o.ID); ok {
			what = fmt.Sprintf("This ends machine %s of preview %s with its data, and removes what belongs to it.", m.ID, o.ID)
		}
		if err := confirm(ctx, s, what, "nothing was closed"); err != nil {
			return err
		}
	}
	receipt, err := w.ec2.cloud.End(ctx, o.ID)
	err = errors.Join(err, w.dropTrees(ctx, receipt))
	if o.JSON {
		return errors.Join(printJSON(s.Out, receipt), err)
	}
	printRemoved(s, receipt)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.Out, "preview %s is closed: all that it owned was looked for and is gone\n", o.ID)
	return err
}

// treesOf are the generations of a preview whose files are on this machine.
func (w *previewing) treesOf(ctx context.Context, id string) []string {
	trees, err := w.sources.Trees(ctx, previews.StackName(w.project, id))
	if err != nil {
		w.show.warn(err.Error())
	}
	return trees
}

// syncOnEC2 removes what no lease covers, and the previews of pull requests that are not open.
func (w *previewing) syncOnEC2(ctx context.Context, s Streams, o previewOptions) error {
	wanted := func(m host.Machine) string {
		if n := pullRequestOf(m.Preview); n > 0 && o.OpenPullRequests != nil && !slices.Contains(o.OpenPullRequests, n) {
			return "its pull request is not open"
		}
		return ""
	}
	shared, sharedErr := w.syncShares(ctx, s, o)
	receipt, err := w.ec2.cloud.Sweep(ctx, wanted)
	err = errors.Join(sharedErr, err, w.dropTrees(ctx, receipt))
	if err == nil {
		var slept []host.Thing
		slept, err = w.sleepIdle(ctx, s)
		receipt.Noted = append(receipt.Noted, slept...)
	}
	if o.JSON {
		return errors.Join(printJSON(s.Out, machinesSynced{receipt, shared}), err)
	}
	printSynced(s, shared)
	for _, t := range receipt.Removed {
		fmt.Fprintf(s.Out, "removed %s of %s: %s\n", t, t.Preview, t.Why)
	}
	for _, t := range receipt.Noted {
		fmt.Fprintf(s.Out, "%s of %s: %s\n", t, t.Preview, t.Why)
	}
	if err == nil && len(receipt.Removed)+len(receipt.Noted)+len(shared.Closed)+len(shared.Finished) == 0 {
		fmt.Fprintln(s.Out, "all previews are as they should be")
	}
	return err
}

// machinesSynced is what a sync did, as programs are told of it: of machines, and of previews on those that are shared.
type machinesSynced struct {
	host.Receipt
	previews.Synced
}
