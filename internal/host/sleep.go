package host

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/strake-dev/strake/compose"
)

// leastSleep is how long a lease has to last at least for its machine to be stopped or started: time for AWS to take the schedule, and for a machine
// to boot and have its lease moved before its own timer, which ends it, is due.
const leastSleep = 5 * time.Minute

// sleepPatience is how long a machine may take to stop.
const sleepPatience = 10 * time.Minute

// ErrSpot is of a machine that cannot be stopped and started again, as it is spare capacity.
var ErrSpot = errors.New("a machine of spare capacity cannot be stopped")

// Sleep stops a machine, which keeps its disk, and returns when it stands still. A stopped machine has no clock: before anything else a schedule is
// made with which AWS ends it at the end of its lease. Then quiet is called, nil for nothing, to stop what runs on it.
//
// Who is killed on the way leaves a machine that runs as it did, or one that sleeps; a schedule that is there too early ends the machine when its own
// timer would. The next Sleep or Sweep goes on. ErrSpot is returned for a machine of spare capacity.
// Source: Amazon EC2 API, StopInstances.
func (c *Cloud) Sleep(ctx context.Context, m Machine, by compose.Owner, quiet func(context.Context) error) (Machine, error) {
	switch {
	case m.Spot:
		return m, ErrSpot
	case !c.Settings.Scheduler:
		return m, &compose.HintedError{Err: errors.New("a machine that stands still has no clock that ends it"), Next: "set x-strake.previews.ec2.scheduler: true, for which internal/host/README.md says what AWS needs; or strake preview close " + m.Preview}
	case m.Expires.Sub(c.Now()) < leastSleep:
		return m, &compose.HintedError{Err: fmt.Errorf("the lease of preview %s ends at %s: %w", m.Preview, m.Expires.Local().Format("2006-01-02 15:04"), ErrSoon), Next: "strake preview extend " + m.Preview}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, sleepPatience, fmt.Errorf("machine %s does not stop within %s", m.ID, sleepPatience))
	defer cancel()
	m, err := c.own(ctx, m, by)
	if err != nil {
		return m, err
	}
	if err := c.schedule(ctx, m); err != nil {
		return m, err
	}
	if m.State == "running" && quiet != nil {
		if err := quiet(ctx); err != nil {
			return m, err
		}
	}
	now, err := c.look(ctx, m)
	if err != nil {
		return m, err
	}
	if now.owner != ownerText(by) {
		return now, wanted(m)
	}
	if err := c.Mark(ctx, m, map[string]string{TagState: "asleep"}); err != nil {
		return m, err
	}
	if err := c.Unpoint(ctx, now); err != nil { // its address is another's once it stands still
		return m, err
	}
	return c.stop(ctx, now, ownerText(by))
}

// ErrWanted is of a machine that another command opened while it was put to sleep.
var ErrWanted = errors.New("it was opened by another command meanwhile")

func wanted(m Machine) error {
	return &compose.HintedError{Err: fmt.Errorf("preview %s: %w", m.Preview, ErrWanted), Next: "strake preview list shows how it stands"}
}

// ErrSoon is of a machine whose lease ends too soon for it to sleep.
var ErrSoon = errors.New("too soon to sleep")

// look is a machine as it is now.
func (c *Cloud) look(ctx context.Context, m Machine) (Machine, error) {
	return c.seenOne(ctx, m, func(Machine) bool { return true })
}

// stop stops a machine and returns when it stands still: one that is still its owner's, and that a schedule ends.
func (c *Cloud) stop(ctx context.Context, m Machine, owner string) (Machine, error) {
	asked := false
	err := until(ctx, func() (done bool, err error) {
		if m, err = c.look(ctx, m); err != nil || m.State == "stopped" {
			return true, err
		}
		if m.State == "running" && !asked {
			if m.owner != owner {
				return true, wanted(m)
			}
			if m.Scheduled.IsZero() { // whoever woke it meanwhile took the schedule away
				if err := c.schedule(ctx, m); err != nil {
					return true, err
				}
			}
			_, err := c.ec2.StopInstances(ctx, &ec2.StopInstancesInput{InstanceIds: []string{m.ID}})
			if codeOf(err) == "IncorrectInstanceState" { // it has just been started
				return false, nil
			}
			asked = true
			return false, explain("stop machine "+m.ID, err)
		}
		return false, nil
	})
	return m, err
}

// Wake makes a machine that is there run, and returns it when it has an address: another one than before, where that is public. Its schedule stays
// until its lease is extended, also to where it ends already.
// Source: Amazon EC2 API, StartInstances.
func (c *Cloud) Wake(ctx context.Context, m Machine, by compose.Owner) (Machine, error) {
	if m.Phase == "closing" {
		return m, &compose.HintedError{Err: fmt.Errorf("machine %s is being ended, or what ends it was interrupted", m.ID), Next: "run " + m.Removal() + ", and open the preview again"}
	}
	if m.Still() && m.EndsSoon(c.Now()) {
		return m, &compose.HintedError{Err: fmt.Errorf("the lease of machine %s ends at %s: it would end itself while it starts", m.ID, m.lasts().Local().Format("2006-01-02 15:04")),
			Next: "run " + m.Removal() + ", and open the preview again: it is made anew"}
	}
	m, err := c.own(ctx, m, by) // who began it may be gone
	if err != nil {
		return m, err
	}
	if m, err = c.unended(ctx, m); err != nil {
		return m, err
	}
	return c.awake(ctx, m)
}

// unended is a machine that a Sweep does not end. One that was about to, as nobody was at it, sees that somebody is, or ends it: else it was interrupted.
func (c *Cloud) unended(ctx context.Context, m Machine) (Machine, error) {
	if m.Phase != emptying || m.Shared() {
		return m, nil
	}
	isSpared := func(m Machine) bool { return m.Phase != emptying }
	now, err := c.seenOne(ctx, m, isSpared)
	if !errors.Is(err, errUnheard) {
		return now, err
	}
	if err := c.Mark(ctx, m, map[string]string{TagState: "opening"}); err != nil {
		return m, err
	}
	return c.seenOne(ctx, m, isSpared)
}

// watch makes what sleeps be covered: a machine that stands still has a schedule, and one that was to sleep and whose command was interrupted does. It
// returns what was done, and what nobody can do.
func (c *Cloud) watch(ctx context.Context, all []Thing, machines []Machine) (noted []Thing, err error) {
	scheduled, covered := map[string]bool{}, map[string]bool{}
	for _, t := range all {
		switch lease := leaseOf(t.Preview, t.Lease); {
		case t.Kind == KindSchedule:
			scheduled[lease] = true
		case t.Kind == KindInstance:
			covered[lease] = covered[lease] || t.Covered // of two one may be too many
		}
	}
	var errs []error
	for _, m := range machines {
		still := m.Still()
		left := m.State == "running" && m.Phase == "asleep" && c.isDead(m.owner)
		if !still && !left || !covered[leaseOf(m.Preview, m.Lease)] {
			continue
		}
		t := Thing{Kind: KindInstance, ID: m.ID, Preview: m.Preview, Lease: m.Lease, State: m.State, Since: m.Launched}
		has := scheduled[leaseOf(m.Preview, m.Lease)]
		if !has && !c.Settings.Scheduler {
			t.Why = "it stands still, and nothing but this command ends it with its lease: x-strake.previews.ec2.scheduler is not set"
			noted = append(noted, t)
			continue
		}
		if !has {
			if err := c.schedule(ctx, m); err != nil {
				errs = append(errs, err)
				continue
			}
			t.Why = "it stands still: AWS ends it with its lease from now on"
		}
		if left {
			if m, err = c.finishSleep(ctx, m); err != nil {
				errs = append(errs, err)
				continue
			}
			t.State, t.Why = m.State, "the command that put it to sleep was interrupted: it is stopped"
		}
		if t.Why != "" {
			noted = append(noted, t)
		}
	}
	return noted, errors.Join(errs...)
}

// finishSleep stops a machine whose sleep was interrupted.
func (c *Cloud) finishSleep(ctx context.Context, m Machine) (Machine, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, sleepPatience, fmt.Errorf("machine %s does not stop within %s", m.ID, sleepPatience))
	defer cancel()
	if err := c.Unpoint(ctx, m); err != nil {
		return m, err
	}
	return c.stop(ctx, m, m.owner)
}

// Gone is why a machine that is gone ended, where AWS ended it: "" for one that is there, or that was ended by whom it belongs to.
// Source: Amazon EC2 API, StateReason.
func (m Machine) Gone() string {
	switch {
	case m.Live() || m.Phase == "closing":
		return ""
	case m.reasonCode == "Server.SpotInstanceTermination", m.reasonCode == "Server.SpotInstanceShutdown":
		return "AWS took it back, as it was spare capacity"
	case strings.HasPrefix(m.reasonCode, "Server."):
		return "AWS ended it: " + m.reason
	}
	return ""
}

// forgetGone has nobody hear any more of a machine that AWS took back, and of those previews on it that are meant.
func (c *Cloud) forgetGone(ctx context.Context, m Machine, meant func(Thing) bool) {
	if m.Gone() == "" {
		return
	}
	var errs []error
	for _, s := range m.Shares {
		if meant(Thing{Kind: KindInstance, Preview: s.Preview}) {
			errs = append(errs, c.giveUp(ctx, m, s.Preview))
		}
	}
	if meant(Thing{Kind: KindInstance, ID: m.ID, Preview: m.Preview, Lease: m.Lease}) {
		errs = append(errs, c.Mark(ctx, m, map[string]string{TagState: "closing"}))
	}
	if err := errors.Join(errs...); err != nil {
		c.note("machine %s, which is gone: %v", m.ID, err) // AWS forgets it soon
	}
}
