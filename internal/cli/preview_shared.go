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

// launchFor makes the machine of a preview be there: one that it shares where the settings have it so and its commit is a branch's of the repository
// itself, else its own.
func (w *previewing) launchFor(ctx context.Context, l host.Lease) (host.Machine, error) {
	if w.policy.EC2.Placement != compose.PlacementShared {
		return w.ec2.cloud.Launch(ctx, l)
	}
	own, err := w.sources.source.IsOwn(ctx, l.Commit)
	if err != nil {
		return host.Machine{}, err
	}
	if own {
		w.sources.at = l.Commit // and no newer one, of which nobody has asked whose it is
		l.Idle = *w.policy.Idle
		return w.ec2.cloud.LaunchShared(ctx, l, w.policy.EC2.PerMachine)
	}
	all, err := w.ec2.cloud.Machines(ctx)
	if err != nil {
		return host.Machine{}, err
	}
	if m, ok := host.Holding(all, l.Preview); ok && m.Shared() {
		return host.Machine{}, &compose.HintedError{Err: fmt.Errorf("commit %.12s is the end of no branch of the repository, as far as its remote says, and preview %s is on a machine that others share", l.Commit, l.Preview),
			Next: "where the remote did not answer, try again; else run strake preview close " + l.Preview + ", and open it again: it has a machine of its own then"}
	}
	w.show.say(fmt.Sprintf("commit %.12s is the end of no branch of the repository itself: it has a machine of its own", l.Commit))
	return w.ec2.cloud.Launch(ctx, l)
}

// tell writes down what has become of a preview where lists look: at its machine, or at its share of one.
func (w *previewing) tell(ctx context.Context, p previews.Preview) error {
	m := w.ec2.machine
	known := p.State == previews.Ready || p.State == previews.Failed || p.State == previews.Asleep
	if !m.Shared() {
		tags := map[string]string{host.TagCommit: p.Commit, host.TagURL: p.URL}
		if known {
			tags[host.TagState] = string(p.State)
		}
		return w.ec2.cloud.Mark(ctx, m, tags)
	}
	if !known || p.Created.IsZero() {
		if _, err := w.manager.Show(ctx, w.project, p.ID); p.ID != "" && errors.Is(err, previews.ErrNoPreview) { // refused before anything was made
			return w.ec2.cloud.Leave(ctx, m, p.ID)
		}
		return nil
	}
	return w.ec2.cloud.Tell(ctx, m, host.Share{Preview: p.ID, Phase: string(p.State), Commit: p.Commit, URL: p.URL, Since: p.Created, Expires: p.Expires, Ends: p.Ends})
}

// moved has the machine, and what lists look at, follow a preview whose lease was extended.
func (w *previewing) moved(ctx context.Context, id string) error {
	p, err := w.manager.Show(ctx, w.project, id)
	if err != nil {
		return err
	}
	if err := w.extend(ctx, p.Expires); err != nil || !w.ec2.machine.Shared() {
		return err
	}
	return w.tell(ctx, p)
}

// hasOwnMachine is whether a preview has a machine that no other one is on. One that is shared is connected to: its previews sleep as those of this machine
// do. One that somebody stopped is started before, if that is said.
func (w *previewing) hasOwnMachine(ctx context.Context, s Streams, id string, start bool) (bool, error) {
	if w.ec2 == nil {
		return false, nil
	}
	f, err := w.find(ctx, id)
	if err != nil || !f.Machine.Shared() {
		return true, err
	}
	if !start || !f.Machine.Still() {
		return false, w.reach(ctx, s, id)
	}
	m, err := w.started(ctx, s, f.Machine)
	if err == nil {
		err = w.connect(ctx, s, m)
	}
	if err == nil {
		err = w.extend(ctx, m.Expires) // its own timer has it again, and no schedule
	}
	if err == nil {
		err = w.follow(ctx, id)
	}
	if err == nil {
		w.followOthers(ctx, id)
	}
	return false, err
}

// followOthers is follow for those that share the machine with a preview, and tells lists of it: who started it again moved them all. What hinders one, as a
// command that is at it, hinders this one not: the next that comes to the machine goes on.
func (w *previewing) followOthers(ctx context.Context, id string) {
	for _, one := range w.ec2.machine.Shares {
		if one.Preview == id || one.Phase == string(previews.Closing) || !w.hasMoved(one.URL) {
			continue
		}
		err := w.follow(ctx, one.Preview)
		if err == nil {
			err = w.tellShare(ctx, one.Preview)
		}
		if err != nil {
			w.show.warn(fmt.Sprintf("the address of %s: %v", one.Preview, err))
		}
	}
}

// started is a machine that previews share and that runs; one that somebody stopped is started.
func (w *previewing) started(ctx context.Context, s Streams, m host.Machine) (host.Machine, error) {
	if !m.Still() {
		return m, nil
	}
	w.show.say(fmt.Sprintf("machine %s, which %s share, was stopped: starting it", m.ID, plural(len(m.Shares), "preview")))
	return w.ec2.cloud.Wake(ctx, m, owner(s, "preview wake"))
}

// tellShare writes down where lists look what has become of a preview that shares a machine; of others it does nothing.
func (w *previewing) tellShare(ctx context.Context, id string) error {
	if w.ec2 == nil {
		return nil
	}
	p, err := w.manager.Show(ctx, w.project, id)
	if err != nil {
		return err
	}
	return w.tell(ctx, p)
}

// closeShare removes a preview from a machine that it shares, and looks that all that it owned is gone.
func (w *previewing) closeShare(ctx context.Context, s Streams, o previewOptions, m host.Machine) error {
	if !o.Yes {
		if !s.isInteractive() {
			return usagef("say --yes", "preview close removes %s with its data, and there is no terminal to ask on", o.ID)
		}
		if err := confirm(ctx, s, fmt.Sprintf("This removes preview %s from machine %s with its data; the others on it stay.", o.ID, m.ID), "nothing was closed"); err != nil {
			return err
		}
	}
	receipt, stood := previews.Receipt{ID: o.ID}, m.Still()
	if stood && m.EndsSoon(s.Now()) { // it is started no more, and goes with what is on it
		err := w.ec2.cloud.CloseShare(ctx, m, o.ID, func(context.Context) error { return nil })
		if o.JSON {
			return errors.Join(printJSON(s.Out, receipt), err)
		}
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(s.Out, "preview %s is closed: its names are gone, and its data goes with machine %s, which stands still until its lease ends in a moment\n", o.ID, m.ID)
		return err
	}
	m, err := w.started(ctx, s, m)
	if err != nil {
		return err
	}
	err = w.ec2.cloud.CloseShare(ctx, m, o.ID, func(ctx context.Context) error {
		if err := w.connect(ctx, s, m); err != nil {
			return err
		}
		if stood {
			if err := w.extend(ctx, m.Expires); err != nil { // it goes on for the others, without a schedule
				return err
			}
			w.followOthers(ctx, o.ID)
		}
		done, err := w.manager.Close(ctx, w.project, o.ID)
		if errors.Is(err, previews.ErrNoPreview) { // it did not come to more than a share, or the close before was cut off
			return nil
		}
		receipt = done
		return err
	})
	if o.JSON {
		return errors.Join(printJSON(s.Out, receipt), err)
	}
	if err != nil {
		return err
	}
	return printReceipt(s, receipt)
}

// syncShares puts the previews right that share machines, on those machines of which the tags say that there is something to do.
func (w *previewing) syncShares(ctx context.Context, s Streams, o previewOptions) (previews.Synced, error) {
	done := previews.Synced{Closed: []previews.Receipt{}, Why: map[string]string{}, Finished: []string{}}
	all, err := w.ec2.cloud.Machines(ctx)
	if err != nil {
		return done, err
	}
	var errs []error
	for _, m := range all {
		if m.State != "running" || m.Phase == "closing" || !slices.ContainsFunc(m.Shares, func(one host.Share) bool { return w.isDue(s, o, one) }) {
			continue
		}
		some, err := w.syncMachine(ctx, s, o, m)
		done.Closed, done.Finished = append(done.Closed, some.Closed...), append(done.Finished, some.Finished...)
		for id, why := range some.Why {
			done.Why[id] = why
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("machine %s: %w", m.ID, err))
		}
	}
	return done, errors.Join(errs...)
}

// isDue is whether a share says that something is to be done of its preview.
func (w *previewing) isDue(s Streams, o previewOptions, one host.Share) bool {
	n := pullRequestOf(one.Preview)
	return one.Phase == string(previews.Closing) || w.ec2.cloud.Abandoned(one) || !s.Now().Before(one.Expires) ||
		n > 0 && o.OpenPullRequests != nil && !slices.Contains(o.OpenPullRequests, n)
}

// syncMachine puts the previews of a machine right, and writes down what has become of them.
func (w *previewing) syncMachine(ctx context.Context, s Streams, o previewOptions, m host.Machine) (previews.Synced, error) {
	if err := w.connect(ctx, s, m); err != nil {
		return previews.Synced{}, err
	}
	defer func() {
		closeUnused(w.engine)
		if err := w.ec2.way.Close(ctx); err != nil {
			w.show.warn(err.Error())
		}
		w.engine, w.ec2.way = nil, nil
	}()
	done, err := w.manager.Sync(ctx, w.project, previews.SyncOptions{Open: o.OpenPullRequests})
	there, listErr := w.manager.List(ctx, w.project)
	if listErr != nil {
		return done, errors.Join(err, listErr)
	}
	errs := []error{err}
	for _, one := range m.Shares {
		if !w.isDue(s, o, one) {
			continue
		}
		i := slices.IndexFunc(there, func(p previews.Preview) bool { return p.ID == one.Preview })
		switch {
		case i >= 0:
			errs = append(errs, w.tell(ctx, there[i]))
		case one.Phase != "opening" || w.ec2.cloud.Abandoned(one):
			errs = append(errs, w.ec2.cloud.Vacate(ctx, m, one.Preview))
		}
	}
	return done, errors.Join(errs...)
}
