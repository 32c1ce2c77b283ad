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
	// Cost is an estimate of what the machine has cost until now, in US dollars; 0 where its price is not known.
	Cost compose.Dollars `json:"cost"`
}

// costOf is an estimate of what a machine has cost until now.
func costOf(m host.Machine) compose.Dollars { return m.Hourly * compose.Dollars(m.Hours) }

// priceOf is a cost as lists have it.
func priceOf(d compose.Dollars) string {
	if d == 0 {
		return "unknown"
	}
	return "~" + d.String()
}

// listOnEC2 lists previews by the tags of their machines: it connects to none.
func (w *previewing) listOnEC2(ctx context.Context, s Streams, o previewOptions) error {
	list, machines, err := w.listOfMachines(ctx, o.All)
	if err != nil {
		return err
	}
	if o.JSON {
		all := []machinePreview{}
		for _, p := range list {
			m := machines[p.Stack]
			all = append(all, machinePreview{p, m, costOf(m)})
		}
		return printJSON(s.Out, all)
	}
	if len(list) == 0 {
		_, err := fmt.Fprintln(s.Out, "there is no preview; strake preview open 42 makes one of pull request 42")
		return err
	}
	rows := [][]string{{"PREVIEW", "STATE", "COMMIT", "AGE", "ENDS IN", "MACHINE", "HOURS", "COST", "URL"}}
	var sum compose.Dollars
	for _, p := range list {
		m := machines[p.Stack]
		kind := m.Type
		if m.Spot {
			kind += " spot"
		}
		sum += costOf(m)
		name := p.ID
		if o.All {
			name = p.Stack
		}
		rows = append(rows, []string{name, string(p.State), fmt.Sprintf("%.12s", p.Commit), roughly(s.Now().Sub(p.Created)), roughly(p.Expires.Sub(s.Now())), m.ID + " (" + kind + ", " + m.State + ")",
			fmt.Sprintf("%.1f", m.Hours), priceOf(costOf(m)), p.URL})
	}
	if err := printTable(s.Out, rows); err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.Out, "about %s so far, by prices of %s\n", sum, host.PricesOf)
	return err
}

// closeOnEC2 removes the machine of a preview and all that belongs to its leases.
func (w *previewing) closeOnEC2(ctx context.Context, s Streams, o previewOptions) error {
	things, machines, err := w.ec2.cloud.Things(ctx)
	if err != nil {
		return err
	}
	things = slices.DeleteFunc(things, func(t host.Thing) bool { return t.Preview != o.ID })
	if len(things) == 0 {
		return &compose.HintedError{Err: fmt.Errorf("%w %s of %s", previews.ErrNoPreview, o.ID, w.project), Next: "strake preview list shows those that are there"}
	}
	if !o.Yes {
		if !s.isInteractive() {
			return usagef("say --yes", "preview close removes the machine of %s with its data, and there is no terminal to ask on", o.ID)
		}
		m, _ := host.Of(machines, o.ID)
		if err := confirm(ctx, s, fmt.Sprintf("This ends machine %s of preview %s with its data, and removes what belongs to it.", m.ID, o.ID), "nothing was closed"); err != nil {
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
	receipt, err := w.ec2.cloud.Sweep(ctx, wanted)
	err = errors.Join(err, w.dropTrees(ctx, receipt))
	if o.JSON {
		return errors.Join(printJSON(s.Out, receipt), err)
	}
	for _, t := range receipt.Removed {
		fmt.Fprintf(s.Out, "removed %s of %s: %s\n", t, t.Preview, t.Why)
	}
	if err == nil && len(receipt.Removed) == 0 {
		fmt.Fprintln(s.Out, "all previews are as they should be")
	}
	return err
}
