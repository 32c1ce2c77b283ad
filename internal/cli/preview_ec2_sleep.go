package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/host"
	"github.com/strake-dev/strake/previews"
)

// stateTaken is the state of a preview whose machine AWS took back.
const stateTaken previews.State = "taken back"

// find is the machine of a preview, or what is remembered of one that sleeps without; an error where there is neither.
func (w *previewing) find(ctx context.Context, id string) (host.Found, error) {
	f, err := w.ec2.cloud.Find(ctx, id)
	switch {
	case err != nil || f.Machine.ID != "" || f.Sleeper.Preview != "":
		return f, err
	case f.Why != "":
		return f, &compose.HintedError{Err: fmt.Errorf("the machine %s of preview %s is gone: %s", f.Last.ID, id, f.Why), Next: "strake preview open " + id + " makes it anew, with the data of its seed"}
	}
	return f, &compose.HintedError{Err: fmt.Errorf("%w %s of %s", previews.ErrNoPreview, id, w.project), Next: "strake preview list shows those that are there"}
}

// sleepOnEC2 sends the machine of a preview to sleep: it is stopped, and one of spare capacity, which cannot be, is ended and remembered.
func (w *previewing) sleepOnEC2(ctx context.Context, s Streams, o previewOptions) error {
	f, err := w.find(ctx, o.ID)
	if err != nil {
		return err
	}
	if f.Machine.ID == "" {
		_, err := fmt.Fprintf(s.Out, "preview %s sleeps already\n", o.ID)
		return err
	}
	if f.Machine.Spot {
		return w.park(ctx, s, o, f.Machine)
	}
	m, err := w.ec2.cloud.Sleep(ctx, f.Machine, owner(s, "preview sleep"), func(ctx context.Context) error { return w.quiet(ctx, s, f.Machine) })
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.Out, "preview %s sleeps: machine %s is stopped, its disk stays, and AWS ends it with its lease at %s; strake preview wake %s starts it\n",
		o.ID, m.ID, m.Expires.Local().Format("2006-01-02 15:04"), o.ID)
	return err
}

// aliveOn is whether the holder of a claim on a machine may still be at work. What runs on the machine itself, as the gateway does, holds none from before
// the machine was started last: who was stopped with it gave nothing back.
func aliveOn(m host.Machine) func(compose.Owner) bool {
	return func(o compose.Owner) bool {
		return isAlive(o) && !(o.Machine == controllerMachine && o.Since.Before(m.Launched))
	}
}

// quiet stops what runs on a machine, so that no database is cut off, and leaves it.
func (w *previewing) quiet(ctx context.Context, s Streams, m host.Machine) error {
	if err := w.connect(ctx, s, m); err != nil {
		return err
	}
	err := w.manager.Sleep(ctx, w.project, m.Preview)
	way := w.ec2.way
	w.ec2.way = nil
	return errors.Join(err, way.Close(ctx))
}

// park ends the machine of a preview and remembers the preview.
func (w *previewing) park(ctx context.Context, s Streams, o previewOptions, m host.Machine) error {
	what := fmt.Sprintf("Machine %s of preview %s is spare capacity, which cannot be stopped: it is ended with its data, and wake makes another one with the data of the seed.", m.ID, o.ID)
	if !o.Yes {
		if !s.isInteractive() {
			return usagef("say --yes", "machine %s of preview %s is spare capacity: its sleep ends it with its data, and there is no terminal to ask on", m.ID, o.ID)
		}
		if err := confirm(ctx, s, what, "nothing was changed"); err != nil {
			return err
		}
	}
	if m.State != "running" {
		return &compose.HintedError{Err: fmt.Errorf("the machine of preview %s is %s", o.ID, m.State), Next: "try again in a moment"}
	}
	if err := w.connect(ctx, s, m); err != nil {
		return err
	}
	records, err := w.manager.Records(ctx, w.project)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(records, func(r *previews.Record) bool { return r.ID == o.ID })
	if i < 0 || records[i].State != previews.Ready && records[i].State != previews.Asleep {
		return &compose.HintedError{Err: fmt.Errorf("preview %s is not ready and cannot sleep", o.ID), Next: "strake preview show " + o.ID}
	}
	r := records[i]
	if _, err := w.ec2.cloud.Park(ctx, m, host.Sleeper{Preview: o.ID, Lease: m.Lease, Commit: r.Commit, Branch: r.Branch, Access: compose.Access(r.AccessAsked), PasswordHash: r.PasswordHash}); err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.Out, "preview %s sleeps: machine %s is gone, and nothing of it costs anything; strake preview wake %s makes another one until %s\n", o.ID, m.ID, o.ID, m.Expires.Local().Format("2006-01-02 15:04"))
	return err
}

// wakeOnEC2 starts the machine of a preview and what ran on it, or makes another one where it was ended.
func (w *previewing) wakeOnEC2(ctx context.Context, s Streams, o previewOptions) error {
	f, err := w.find(ctx, o.ID)
	if err != nil {
		return err
	}
	if f.Machine.ID == "" {
		return w.reopen(ctx, s, o, f.Sleeper)
	}
	m, err := w.ec2.cloud.Wake(ctx, f.Machine, owner(s, "preview wake"))
	if err == nil {
		err = w.connect(ctx, s, m)
	}
	if err == nil {
		err = w.follow(ctx, o.ID)
	}
	if err == nil {
		err = w.manager.Wake(ctx, w.project, o.ID)
	}
	if err != nil {
		return err
	}
	p, err := w.manager.Show(ctx, w.project, o.ID)
	if err != nil {
		return err
	}
	if err := w.ec2.cloud.Mark(ctx, m, map[string]string{host.TagState: string(p.State), host.TagURL: p.URL}); err != nil {
		return err
	}
	if err := w.extend(ctx, m.Expires); err != nil { // its own timer has it again, and no schedule
		return err
	}
	if err := w.signed(ctx, &p); err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.Out, "%s\npreview %s is awake, on machine %s\n", p.URL, o.ID, m.ID)
	return err
}

// follow has a preview on a machine that was started again be reached under the address that this has now.
func (w *previewing) follow(ctx context.Context, id string) error {
	at := w.ec2.machine.URL
	if one, ok := w.ec2.machine.Share(id); ok {
		at = one.URL
	}
	if !w.hasMoved(at) {
		return nil
	}
	w.show.say("its address is another one now")
	err := w.manager.Follow(ctx, w.project, id, w.sources.policy.Settings.Previews.Domain)
	if errors.Is(err, previews.ErrNoPreview) { // its first open was interrupted
		return nil
	}
	return err
}

// hasMoved is whether an address leads no more to the machine that this is connected to; not where nobody was told one.
func (w *previewing) hasMoved(at string) bool {
	u, err := url.Parse(at)
	if w.sources.policy == nil || err != nil {
		return false
	}
	domain := w.sources.policy.Settings.Previews.Domain
	return u.Hostname() != "" && domain != "" && !strings.HasSuffix(u.Hostname(), "."+domain)
}

// reopen makes a machine for a preview that sleeps without, at the commit at which it fell asleep.
func (w *previewing) reopen(ctx context.Context, s Streams, o previewOptions, one host.Sleeper) error {
	o.Change = previews.Change{PullRequest: pullRequestOf(o.ID), Branch: one.Branch}
	if o.Change == (previews.Change{}) {
		o.Change.Commit = one.Commit
	}
	w.sources.at, o.TTL = one.Commit, max(one.Expires.Sub(s.Now()), leastReopened)
	p, err := w.openOnEC2(ctx, s, o, previews.OpenOptions{Change: o.Change, TTL: o.TTL})
	if err == nil {
		err = w.signed(ctx, &p)
	}
	if err != nil {
		return w.explain(err, p)
	}
	_, err = fmt.Fprintf(s.Out, "%s\npreview %s is awake, on machine %s, with the data of its seed\n", p.URL, o.ID, w.ec2.machine.ID)
	return err
}

// leastReopened is how long a lease lasts at least that goes on: a machine has to boot.
const leastReopened = 10 * time.Minute

// sleeperOf is what is remembered of a preview that fell asleep without a machine; the zero Sleeper where nothing is.
func (w *previewing) sleeperOf(ctx context.Context, id string) (host.Sleeper, error) {
	all, err := w.ec2.cloud.Sleepers(ctx, nil)
	i := slices.IndexFunc(all, func(one host.Sleeper) bool { return one.Preview == id })
	if err != nil || i < 0 {
		return host.Sleeper{}, err
	}
	return all[i], nil
}

// asleepError is of a command for which a preview's machine has to run.
type asleepError struct {
	host.Found
	id string
}

// Error says that it does not.
func (e *asleepError) Error() string {
	if e.Machine.ID == "" {
		return "preview " + e.id + " sleeps, and has no machine"
	}
	return fmt.Sprintf("preview %s sleeps: its machine is %s", e.id, e.Machine.State)
}

// Hint is what starts it.
func (e *asleepError) Hint() string { return "strake preview wake " + e.id }

// show prints what is known of a preview that sleeps.
func (e *asleepError) show(s Streams, o previewOptions) error {
	p, machine := previewsOn(e.Machine)[0], e.Machine.ID+" ("+e.Machine.State+")"
	if e.Machine.ID == "" {
		p, machine = previewOfSleeper(e.Sleeper), "none: wake makes one, with the data of the seed"
	}
	if o.JSON {
		return printJSON(s.Out, machinePreview{p, e.Machine, costOf(e.Machine)})
	}
	at := func(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") }
	rows := [][]string{{"preview", p.ID}, {"state", string(p.State)}, {"commit", p.Commit}, {"machine", machine}, {"lease ends", at(p.Expires)}, {"at the latest", at(p.Ends)}}
	if !e.Machine.Scheduled.IsZero() {
		rows = append(rows, []string{"AWS ends it", at(e.Machine.Scheduled)})
	}
	return printTable(s.Out, append(rows, []string{"next", e.Hint()}))
}

// previewsOn are the previews on a machine, as its tags say it. Where it does not run its address is somebody else's.
func previewsOn(m host.Machine) []previews.Preview {
	shares := m.Shares
	if !m.Shared() {
		shares = []host.Share{{Preview: m.Preview, Phase: m.Phase, Commit: m.Commit, URL: m.URL, Since: m.Since, Expires: m.Expires, Ends: m.Ends}}
	}
	var list []previews.Preview
	for _, one := range shares {
		p := previews.Preview{ID: one.Preview, PR: pullRequestOf(one.Preview), Project: m.Project, Stack: previews.StackName(m.Project, one.Preview), Host: "ec2", Commit: one.Commit,
			State: previews.State(one.Phase), URL: one.URL, Created: one.Since, Expires: one.Expires, Ends: one.Ends}
		if m.State != "running" && m.State != "pending" {
			p.URL = ""
		}
		list = append(list, p)
	}
	return list
}

// previewOfSleeper is a preview that sleeps without a machine.
func previewOfSleeper(one host.Sleeper) previews.Preview {
	return previews.Preview{ID: one.Preview, PR: pullRequestOf(one.Preview), Branch: one.Branch, Host: "ec2", Commit: one.Commit, State: previews.Asleep, Created: one.Since, Expires: one.Expires, Ends: one.Ends}
}

// listOfMachines are the project's previews on EC2, as tags and what is remembered say it, and their machines by stack: those that run or stand still,
// those that sleep without a machine, and those whose machine AWS ended; of every project in the account and region if all. empty are machines for previews that
// share them on which there is none.
func (w *previewing) listOfMachines(ctx context.Context, all bool) (list []previews.Preview, machines map[string]host.Machine, empty []host.Machine, err error) {
	projects := []string{w.project}
	if all {
		if projects, err = w.ec2.cloud.Projects(ctx); err != nil {
			return nil, nil, nil, err
		}
	}
	machines = map[string]host.Machine{}
	for _, project := range projects {
		some, without, err := listOf(ctx, w.ec2.cloud.Of(project), machines)
		if err != nil && project != w.project { // whoever may see that it is there may not see all of it
			w.show.warn(fmt.Sprintf("project %s is left out: %v", project, err))
			continue
		}
		if err != nil {
			return nil, nil, nil, err
		}
		list, empty = append(list, some...), append(empty, without...)
	}
	slices.SortFunc(list, func(a, b previews.Preview) int {
		return cmp.Or(strings.Compare(a.Project, b.Project), strings.Compare(a.ID, b.ID))
	})
	return list, machines, empty, nil
}

// listOf are the previews of one project, whose machines it adds by stack, and those of its machines that previews share and that are empty.
func listOf(ctx context.Context, cloud *host.Cloud, machines map[string]host.Machine) (list []previews.Preview, empty []host.Machine, err error) {
	all, err := cloud.Machines(ctx)
	if err != nil {
		return nil, nil, err
	}
	sleepers, err := cloud.Sleepers(ctx, all)
	if err != nil {
		return nil, nil, err
	}
	sleeps := map[string]bool{}
	for _, one := range sleepers {
		p := previewOfSleeper(one)
		p.Project, p.Stack = cloud.Project, previews.StackName(cloud.Project, one.Preview)
		sleeps[one.Preview], list = true, append(list, p)
	}
	for _, m := range all {
		if m.Shared() && m.Live() && len(m.Shares) == 0 {
			empty = append(empty, m)
		}
		for _, p := range previewsOn(m) {
			one, ok := host.Holding(all, p.ID)
			if !ok {
				last, why := host.Taken(all, p.ID)
				one, ok, p.State = last, why != "" && !sleeps[p.ID], stateTaken
			}
			if ok && one.ID == m.ID {
				machines[p.Stack], list = m, append(list, p)
			}
		}
	}
	return list, empty, nil
}
