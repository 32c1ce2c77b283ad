package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"github.com/strake-dev/strake/compose"
)

// endPatience is how long a machine may take until it is gone, and what depends on it after.
const endPatience = 10 * time.Minute

// Receipt is what was removed, each looked for and gone. Its JSON names are stable.
type Receipt struct {
	Removed []Thing `json:"removed"`
	Left    []Thing `json:"left"` // still there
	// Noted are machines that a Sweep keeps, each with what it did to it or what has to be known of it.
	Noted []Thing `json:"noted,omitempty"`
}

// LeftError is returned where something is still there. The next End or Sweep goes on.
type LeftError struct{ Left []Thing }

// Error names what is left.
func (e *LeftError) Error() string {
	text := "still there:"
	for _, t := range e.Left {
		text += " " + t.String()
	}
	return text
}

// Hint is how to go on.
func (e *LeftError) Hint() string { return "run strake preview sync, which goes on with it" }

// End removes all that is there of the leases of a preview, and looks that it is gone. *LeftError is returned where something stays. Of a machine that AWS took
// back it is said that it was closed, so that nobody hears of it any more.
func (c *Cloud) End(ctx context.Context, preview string) (Receipt, error) {
	return c.end(ctx, func(t Thing) bool { return t.Preview == preview })
}

// Remove removes things that Things or Inventory listed, with an instance all that belongs to its lease, and looks that they are gone. *LeftError is
// returned where something stays.
func (c *Cloud) Remove(ctx context.Context, some []Thing) (Receipt, error) {
	ids, leases := map[string]bool{}, map[string]bool{}
	for _, t := range some {
		ids[t.ID] = true
		if t.Kind == KindInstance {
			leases[leaseOf(t.Preview, t.Lease)] = true
		}
	}
	return c.end(ctx, func(t Thing) bool { return ids[t.ID] || leases[leaseOf(t.Preview, t.Lease)] })
}

// end removes what is meant of all that is there.
func (c *Cloud) end(ctx context.Context, meant func(Thing) bool) (Receipt, error) {
	return c.removeAll(ctx, func(ctx context.Context) ([]Thing, error) {
		all, machines, err := c.Things(ctx)
		if err != nil {
			return nil, err
		}
		mine := slices.DeleteFunc(all, func(t Thing) bool { return !meant(t) })
		for _, m := range machines { // whoever finds it then goes on
			if m.Live() && slices.ContainsFunc(mine, func(t Thing) bool { return t.ID == m.ID }) {
				if err := c.Mark(ctx, m, map[string]string{TagState: "closing"}); err != nil {
					return mine, err
				}
			}
			c.forgetGone(ctx, m, meant)
		}
		return mine, nil
	}, nil)
}

// removeAll removes what list says, and asks it again until it says nothing: what a machine left behind is seen when the machine is gone, and a machine that
// was just made may be seen after what it uses. *LeftError is returned where something stays.
//
// mayGo takes out what is not to be removed after all, directly before machines are ended; nil takes out nothing.
func (c *Cloud) removeAll(ctx context.Context, list func(context.Context) ([]Thing, error), mayGo func(context.Context, []Thing) ([]Thing, error)) (done Receipt, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, endPatience, errors.New("AWS takes its time"))
	defer cancel()
	done.Removed = []Thing{}
	for wait, first := (&pauses{longest: longestPauseAWS}), true; ; first = false {
		mine, err := list(ctx)
		done.Left = append([]Thing{}, mine...)
		if err != nil || len(mine) == 0 {
			return done, err
		}
		if !first {
			if err := wait.pass(ctx); err != nil {
				return done, errors.Join(err, &LeftError{done.Left})
			}
		}
		some, err := c.remove(ctx, mine, mayGo)
		for _, t := range some.Removed {
			if !slices.ContainsFunc(done.Removed, func(o Thing) bool { return o.Kind == t.Kind && o.ID == t.ID }) { // lists may show for a moment what is gone
				done.Removed = append(done.Removed, t)
			}
		}
		slices.SortStableFunc(done.Removed, func(a, b Thing) int { return slices.Index(kinds, a.Kind) - slices.Index(kinds, b.Kind) })
		if done.Left = some.Left; err != nil {
			if len(done.Left) > 0 {
				err = errors.Join(err, &LeftError{done.Left})
			}
			return done, err
		}
	}
}

// mostRounds is how often it is tried to remove what is in use before it is looked again by what.
const mostRounds = 6

// remove removes things, the names first and then the machines, and looks that they are gone. Those that stay as they are in use are no error. mayGo is that
// of removeAll.
func (c *Cloud) remove(ctx context.Context, all []Thing, mayGo func(context.Context, []Thing) ([]Thing, error)) (Receipt, error) {
	done := Receipt{Removed: []Thing{}, Left: []Thing{}}
	named, rest, unnameErr := c.unname(ctx, all)
	done.Removed = append(done.Removed, named.Removed...)
	var err error
	if mayGo != nil {
		if some, goErr := mayGo(ctx, rest); goErr != nil {
			err = goErr
		} else {
			rest = some
		}
	}
	if err == nil {
		err = c.terminate(ctx, rest)
	}
	if err != nil {
		done.Left = append(append(done.Left, named.Left...), rest...)
		return done, errors.Join(unnameErr, err)
	}
	done.Left = append(done.Left, rest...)
	var errs []error
	round := 0
	err = until(ctx, func() (bool, error) { // in rounds: what one waits for hinders no other
		errs = nil
		var left []Thing
		for _, t := range done.Left {
			gone, err := c.removeOne(ctx, t)
			if gone {
				done.Removed = append(done.Removed, t)
				continue
			}
			left = append(left, t)
			errs = append(errs, err)
		}
		done.Left = left
		round++
		return len(left) == 0 || errors.Join(errs...) != nil || round == mostRounds, nil
	})
	done.Left = append(done.Left, named.Left...)
	return done, errors.Join(append(errs, err, unnameErr)...)
}

// terminate ends the machines of a list, which a list of AWS's showed, and returns when they are gone: shown to be, or not shown for heardPatience.
// Source: Amazon EC2 API, TerminateInstances.
func (c *Cloud) terminate(ctx context.Context, all []Thing) error {
	ctx, cancel := context.WithTimeoutCause(ctx, endPatience, fmt.Errorf("machines do not end within %s", endPatience))
	defer cancel()
	var ids []string
	for _, t := range all {
		if t.Kind == KindInstance {
			ids = append(ids, t.ID)
		}
	}
	for some := range slices.Chunk(ids, 100) {
		if err := c.askEnd(ctx, some); err != nil {
			return explain("end machines", err)
		}
		begin := time.Now()
		if err := until(ctx, func() (bool, error) {
			shown, err := c.machines(ctx, filterOf("instance-id", some...))
			left := slices.ContainsFunc(shown, func(m Machine) bool { return m.State != "terminated" })
			return !left && (len(shown) == len(some) || time.Since(begin) >= heardPatience), err
		}); err != nil {
			return fmt.Errorf("wait for the end of machines: %w", err)
		}
	}
	return nil
}

// askEnd asks AWS to end machines. One of which it says that there is none may run still, and is asked for again, for heardPatience.
// Source: Amazon EC2 API, TerminateInstances; Eventual consistency.
func (c *Cloud) askEnd(ctx context.Context, ids []string) error {
	const unknown = "InvalidInstanceID.NotFound"
	begin := time.Now()
	return until(ctx, func() (bool, error) {
		_, err := c.ec2.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: ids})
		if codeOf(err) != unknown || len(ids) == 1 {
			if codeOf(err) == unknown {
				return time.Since(begin) >= heardPatience, nil
			}
			return true, err
		}
		var left []string // of one: none of the others was ended
		var errs []error
		for _, id := range ids {
			if _, err := c.ec2.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{id}}); codeOf(err) == unknown {
				left = append(left, id)
			} else {
				errs = append(errs, err)
			}
		}
		ids = left
		return len(ids) == 0 || time.Since(begin) >= heardPatience, errors.Join(errs...)
	})
}

// removeOne removes a thing, and says whether it is gone: what a machine had to do with AWS gives up some time after the machine.
func (c *Cloud) removeOne(ctx context.Context, t Thing) (gone bool, err error) {
	switch t.Kind {
	case KindVolume:
		_, err = c.ec2.DeleteVolume(ctx, &ec2.DeleteVolumeInput{VolumeId: &t.ID})
	case KindInterface:
		_, err = c.ec2.DeleteNetworkInterface(ctx, &ec2.DeleteNetworkInterfaceInput{NetworkInterfaceId: &t.ID})
	case KindGroup:
		_, err = c.ec2.DeleteSecurityGroup(ctx, &ec2.DeleteSecurityGroupInput{GroupId: &t.ID})
	case KindSchedule:
		err = c.deleteSchedule(ctx, t.ID)
		return err == nil, err
	case KindParameter:
		_, err = c.ssm.DeleteParameter(ctx, &ssm.DeleteParameterInput{Name: &t.ID})
	}
	switch codeOf(err) {
	case "InvalidVolume.NotFound", "InvalidNetworkInterfaceID.NotFound", "InvalidGroup.NotFound", "InvalidGroupId.NotFound", "ParameterNotFound":
		return true, nil
	case "DependencyViolation", "VolumeInUse", "InvalidNetworkInterface.InUse", "IncorrectState":
		return false, nil
	}
	return err == nil, explain("remove "+t.String(), err)
}

// youngest is how old something without a machine has to be before a Sweep takes it for left behind: a launch may be about to use it.
const youngest = time.Hour

// Wanted says of a machine's preview why it has to go, "" if it has not.
type Wanted func(Machine) (why string)

// Sweep removes what no lease covers: machines whose lease has ended or of which wanted says why they have to go, those of opens that were
// interrupted, and whatever belongs to a lease without a machine. A listing that fails removes nothing. It closes SSH where an open left it open, and
// has AWS end with their leases the machines that stand still.
func (c *Cloud) Sweep(ctx context.Context, wanted Wanted) (Receipt, error) {
	var all []Thing
	var machines []Machine
	var shutErr error
	var first map[string]bool // the leases of what had to go when it was first looked
	done, err := c.removeAll(ctx, func(ctx context.Context) (left []Thing, err error) {
		if all, machines, err = c.inventory(ctx, wanted); err != nil {
			return nil, err
		}
		left = slices.DeleteFunc(slices.Clone(all), func(t Thing) bool { return t.Why == "" || first != nil && !first[leaseOf(t.Preview, t.Lease)] })
		if first == nil {
			shutErr, first = c.shutStale(ctx, all), map[string]bool{}
			for _, t := range left {
				first[leaseOf(t.Preview, t.Lease)] = true
			}
		}
		return c.spare(ctx, left, machines)
	}, c.unclaimed)
	noted, watchErr := c.watch(ctx, all, machines) // which may take its time
	done.Noted = noted
	return done, errors.Join(err, shutErr, watchErr)
}

// Inventory is Things, of each of which it says whether a lease covers it, or why a Sweep would remove it. Of one that is neither a launch may be about
// to make use.
func (c *Cloud) Inventory(ctx context.Context, wanted Wanted) ([]Thing, error) {
	all, _, err := c.inventory(ctx, wanted)
	return all, err
}

// inventory is Inventory with the machines.
func (c *Cloud) inventory(ctx context.Context, wanted Wanted) ([]Thing, []Machine, error) {
	all, machines, err := c.Things(ctx)
	if err != nil {
		return nil, nil, err
	}
	covered, ended, goes := map[string]time.Time{}, map[string]string{}, map[string]bool{}
	for _, m := range machines {
		why := c.ended(m, wanted)
		goes[m.ID] = why != ""
		if m.State != "terminated" && why == "" {
			covered[leaseOf(m.Preview, m.Lease)] = m.lasts()
			continue
		}
		if why == "" {
			why = cmp.Or(m.Gone(), "its machine is gone")
		}
		ended[leaseOf(m.Preview, m.Lease)] = why
	}
	second := c.second(machines, goes)
	left, busy := map[string]bool{}, map[string]bool{} // leases of which it is known that nobody is about to use them, or that somebody may be
	for _, t := range all {
		if lease := leaseOf(t.Preview, t.Lease); c.isLeft(t) {
			left[lease] = true
		} else if t.owner != "" {
			busy[lease] = true
		}
	}
	for i := range all {
		t, lease := &all[i], leaseOf(all[i].Preview, all[i].Lease)
		if second[t.ID] {
			t.Why = "another machine has its preview"
			continue
		}
		if t.sleeper != nil {
			t.Why, t.Until = c.forgotten(*t.sleeper, machines, wanted), t.sleeper.Expires
			t.Covered = t.Why == ""
			continue
		}
		if t.Until, t.Covered = covered[lease]; t.Covered {
			continue
		}
		switch why, had := ended[lease]; {
		case had:
			t.Why = why
		case left[lease] && !busy[lease]:
			t.Why = noMachine
		}
	}
	return all, machines, nil
}

// noMachine is why what belongs to a lease without a machine has to go.
const noMachine = "no machine came of it"

func leaseOf(preview string, lease int) string { return fmt.Sprintf("%s/%d", preview, lease) }

// ended is why a machine has to go, "" if it has not or is gone.
func (c *Cloud) ended(m Machine, wanted Wanted) string {
	now := c.Now()
	switch {
	case m.State == "terminated":
		return ""
	case !m.Live():
		return cmp.Or(m.Gone(), "it is ending")
	case !m.Expires.IsZero() && !now.Before(m.lasts().Add(heardPatience)): // a move of it is seen late; without one, and before, the machine's own timer counts
		return "its lease ended at " + m.Expires.Format(time.RFC3339)
	case m.Phase == "closing":
		return "its close was interrupted"
	case c.isEmpty(m):
		return "no preview has been on it for " + c.Idle.String()
	case m.Shared(): // each preview on it is looked after by itself
		return ""
	case c.isInterrupted(m):
		return "the command that opened it was interrupted"
	}
	if wanted == nil {
		return ""
	}
	return wanted(m)
}

// isInterrupted is whether the command that opened a preview on a machine of its own is known to be gone.
func (c *Cloud) isInterrupted(m Machine) bool {
	return (m.Phase == "opening" || m.Phase == emptying) && !m.Shared() && c.isDead(m.owner)
}

// isDead is whether whoever owns something is known to be at work no more.
func (c *Cloud) isDead(owner string) bool {
	o := ownerOf(owner)
	return o != (compose.Owner{}) && !c.Alive(o)
}

// isLeft is whether something without a machine is left behind.
func (c *Cloud) isLeft(t Thing) bool {
	return c.isDead(t.owner) || c.Now().Sub(t.Since) > youngest
}

// shutStale closes SSH where it was opened too long ago for whoever did to be about.
func (c *Cloud) shutStale(ctx context.Context, all []Thing) error {
	var errs []error
	for _, t := range all {
		if t.Kind != KindGroup || !t.Covered {
			continue
		}
		for _, rule := range staleRules(t.rules, c.Now()) {
			errs = append(errs, c.shut(ctx, t.ID, sshPort, rule))
		}
	}
	return errors.Join(errs...)
}
