package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/route53/types"

	"github.com/strake-dev/strake/compose"
)

// recordTTL is for how long, in seconds, others may remember an address.
const recordTTL = 60

// TakenError is returned where something is at a name of a preview that strake did not write for it. It is left as it is.
type TakenError struct{ Host, By string }

// Error names it.
func (e *TakenError) Error() string { return "the name " + e.Host + " is taken: " + e.By }

// Hint is what is to be done.
func (e *TakenError) Hint() string {
	return "remove the record if nobody needs it, or write another x-strake.previews.domain"
}

// claimable is a *TakenError for a name that is not for a preview, whichever lease or machine it had; "" is any of the project's.
func (c *Cloud) claimable(n named, preview string) error {
	others := preview != "" && n.mark.preview != preview && !strings.HasPrefix(n.mark.preview, sharedID) // which marks said that did not name the preview
	switch {
	case !n.marked && len(n.text)+len(n.address) > 0:
		return &TakenError{n.host, "there is a record that strake did not write"}
	case n.marked && (n.mark.project != c.Project || others):
		return &TakenError{n.host, fmt.Sprintf("it belongs to preview %s of project %s", n.mark.preview, n.mark.project)}
	case n.marked && !c.isMine(n.mark):
		return hinted("close preview "+n.mark.preview+" in region "+n.mark.region+", with that in x-strake.previews.ec2.region, or write another x-strake.previews.domain",
			&TakenError{n.host, fmt.Sprintf("it belongs to preview %s of this project in region %s", n.mark.preview, n.mark.region)})
	case !n.isPlain():
		return &TakenError{n.host, "somebody put more beside strake's record"}
	}
	return nil
}

// isMine is whether a mark is the project's, of a machine of this region; one that does not say the region is.
func (c *Cloud) isMine(m mark) bool {
	return m.project == c.Project && (m.region == "" || m.region == c.Settings.Region)
}

// Change is what Point wrote and Spread waits for. The zero value is nothing.
type Change struct {
	id string
	at time.Time // which the marks of its names have
}

// Point has names lead to a machine: each of them a name of the domain, for the preview that is the machine's or shares it. Beside each lies a TXT
// record that says whose it is, and a name at which something lies without one is a *TakenError, with nothing changed. What of it Spread waits for is
// returned.
//
// Names are made and moved by changes that say what is there before, so that of two who want one at once the second finds that of the first.
func (c *Cloud) Point(ctx context.Context, m Machine, preview string, hosts []string) (Change, error) {
	if c.Domain == "" || len(hosts) == 0 {
		return Change{}, nil
	}
	wanted := map[string]string{}
	for _, host := range hosts {
		if !isWithin(host, c.Domain) {
			return Change{}, fmt.Errorf("%s is no name of %s", host, c.Domain)
		}
		wanted[host] = preview
	}
	now, err := c.look(ctx, m)
	if err != nil {
		return Change{}, err
	}
	m.pointed = now.pointed // by another command, or as its address was followed
	return c.point(ctx, m, wanted)
}

// point is Point of names of several previews, each with its preview.
func (c *Cloud) point(ctx context.Context, m Machine, wanted map[string]string) (change Change, err error) {
	z, err := c.zone(ctx)
	if err != nil {
		return Change{}, err
	}
	hosts := slices.Sorted(maps.Keys(wanted))
	address, known := m.pointsTo()
	for range 5 {
		change.at = c.Now().UTC()
		var all []types.Change
		for _, host := range hosts {
			n, err := c.lookUp(ctx, z, host)
			if err == nil {
				err = c.claimable(n, wanted[host])
			}
			if err != nil {
				return Change{}, err
			}
			is := mark{project: c.Project, preview: wanted[host], machine: m.Preview, lease: m.Lease, since: n.mark.since, region: c.Settings.Region}
			// What is right already is written again until it is known that all servers have it: of a command that was killed nobody waited.
			if address != m.Address || n.mark.since.After(known) || !n.leads(m.Address) || n.mark != is {
				is.since = change.at
				all = append(append(all, n.removal()...), entry(host, m.Address, is)...)
			}
		}
		if len(all) == 0 {
			return Change{}, nil
		}
		if change.id, err = c.change(ctx, z, all); err == nil || !isOther(err) {
			break
		}
	}
	if err != nil {
		return Change{}, explain("write the records of "+strings.Join(hosts, ", "), err)
	}
	return change, nil
}

// entry are the changes that make a name.
func entry(host, address string, m mark) []types.Change {
	set := func(name string, kind types.RRType, value string) types.Change {
		return types.Change{Action: types.ChangeActionCreate, ResourceRecordSet: &types.ResourceRecordSet{Name: &name, Type: kind, TTL: aws.Int64(recordTTL), ResourceRecords: []types.ResourceRecord{{Value: &value}}}}
	}
	return []types.Change{set(markPrefix+host, types.RRTypeTxt, m.String()), set(host, types.RRTypeA, address)}
}

// spreadPatience is how long the servers of a zone may take to have a change, which is a minute as a rule.
const spreadPatience = 5 * time.Minute

// Spread waits until a change of Point is at all servers of the zone, and writes down that names of its age are.
func (c *Cloud) Spread(ctx context.Context, m Machine, change Change) error {
	if change == (Change{}) {
		return nil
	}
	if err := c.spread(ctx, change.id, spreadPatience); err != nil {
		return err
	}
	return c.Mark(ctx, m, map[string]string{TagPointed: m.Address + " " + change.at.Format(time.RFC3339Nano), TagDomain: c.Domain})
}

// pointsTo is to which address the names of a machine are known to lead, those that were written until some time: of a younger one, as that of the next
// preview on the machine, it is not known. The tag holds both, or less of one for which nobody waited.
func (m Machine) pointsTo() (address string, known time.Time) {
	address, at, _ := strings.Cut(m.pointed, " ")
	return address, timeOf(at)
}

// nowhere is in TagPointed where names lead nowhere.
const nowhere = "nowhere"

// Unpoint has the names of a machine lead nowhere, as before it is stopped: its address is somebody else's then. They stay the preview's, and lead to
// the machine again once Reach was called. It returns when the servers of the zone have forgotten the address.
func (c *Cloud) Unpoint(ctx context.Context, m Machine) error {
	all, err := c.recordsOf(ctx, m)
	if err != nil {
		return err
	}
	for _, t := range all {
		n := t.named.own()
		if n.text = nil; len(n.address) == 0 {
			continue
		}
		change, err := c.change(ctx, n.zone, n.removal())
		if err == nil {
			err = c.spread(ctx, change, spreadPatience)
		}
		if err != nil {
			return explain("have "+t.ID+" lead nowhere", err)
		}
	}
	if len(all) == 0 {
		return nil
	}
	return c.Mark(ctx, m, map[string]string{TagPointed: nowhere})
}

// recordsOf are the names of a machine.
func (c *Cloud) recordsOf(ctx context.Context, m Machine) ([]Thing, error) {
	all, err := c.records(ctx, c.domains([]Machine{m}, nil))
	return slices.DeleteFunc(all, func(t Thing) bool { return t.Preview != m.Preview || t.Lease != m.Lease }), err
}

// follow has the names of a machine, of all previews on it, lead to it that has another address than before. It returns when they do.
func (c *Cloud) follow(ctx context.Context, m Machine) error {
	if address, _ := m.pointsTo(); c.Domain == "" || m.pointed == "" || address == m.Address {
		return nil
	}
	all, err := c.recordsOf(ctx, m)
	if err != nil {
		return err
	}
	wanted := map[string]string{}
	for _, t := range all {
		if isWithin(t.ID, c.Domain) {
			wanted[t.ID] = t.named.mark.preview
		}
	}
	if len(wanted) == 0 {
		return c.Mark(ctx, m, map[string]string{TagPointed: m.Address})
	}
	change, err := c.point(ctx, m, wanted)
	if err != nil {
		return err
	}
	return c.Spread(ctx, m, change)
}

// claimNames writes the domain of a lease into its tags, so that its names are found whatever the settings say later. A domain without a zone is an error, and so is a
// name that is taken.
func (c *Cloud) claimNames(ctx context.Context, l Lease, tags map[string]string) error {
	if c.Domain == "" {
		return nil
	}
	tags[TagDomain] = c.Domain
	preview := l.Preview
	if strings.HasPrefix(preview, sharedID) { // it is for one of whom the lease does not say
		preview = ""
	}
	z, err := c.zone(ctx)
	for _, host := range l.Hosts {
		if err != nil {
			return err
		}
		var n named
		if n, err = c.lookUp(ctx, z, host); err == nil {
			err = c.claimable(n, preview)
		}
	}
	return err
}

// domains are those in which there may be names: that of the settings, and those under which machines were made before.
func (c *Cloud) domains(machines []Machine, all []Thing) []string {
	found := map[string]bool{c.Domain: true}
	for _, m := range machines {
		found[m.domain] = true
	}
	for _, t := range all {
		found[t.domain] = true
	}
	delete(found, "")
	return slices.Sorted(maps.Keys(found))
}

// records are the project's names below some domains for machines of this region: those beside which it says so. Whose they are as things is what their
// machine's tags say. A domain without a zone has none.
func (c *Cloud) records(ctx context.Context, domains []string) (all []Thing, err error) {
	seen := map[string]bool{}
	for _, domain := range domains {
		zones, err := c.zones(ctx, domain)
		if err != nil {
			return nil, err
		}
		for _, z := range zones {
			sets, err := c.sets(ctx, z, domain, func(name string) bool { return isWithin(name, domain) })
			if err != nil {
				return nil, err
			}
			for _, n := range group(z, sets) {
				if key := z.id + " " + n.host; n.marked && c.isMine(n.mark) && !seen[key] {
					seen[key] = true
					all = append(all, Thing{Kind: KindRecord, ID: n.host, Preview: n.mark.machine, Lease: n.mark.lease, Since: n.mark.since, named: n})
				}
			}
		}
	}
	slices.SortFunc(all, func(a, b Thing) int {
		return cmp.Or(strings.Compare(a.ID, b.ID), strings.Compare(a.named.zone.id, b.named.zone.id))
	})
	return all, nil
}

// forgetPatience is how long the end of a machine waits for its names to be forgotten. It is not longer, as the machine costs money.
const forgetPatience = 2 * time.Minute

// unname removes the names of a list, and returns what may be removed after them. Left is what may not.
//
// They go before the machines: AWS gives the address of one that is gone to somebody else, who would have visitors of the name, and could have a
// certificate for it, as long as a server of the zone still says that address. So it is waited for them too. A name that cannot be removed keeps its
// lease's machine, which ends itself with its lease, and nothing of other leases.
func (c *Cloud) unname(ctx context.Context, all []Thing) (done Receipt, rest []Thing, err error) {
	kept, changes, errs := map[string]bool{}, []string{}, []error{}
	for _, t := range all {
		if t.Kind != KindRecord {
			continue
		}
		change, err := c.removeRecord(ctx, t)
		if err != nil {
			kept[leaseOf(t.Preview, t.Lease)] = true
			errs, done.Left = append(errs, err), append(done.Left, t)
			continue
		}
		done.Removed = append(done.Removed, t)
		if change != "" {
			changes = append(changes, change)
		}
	}
	machines := false
	for _, t := range all {
		switch {
		case t.Kind == KindRecord:
		case kept[leaseOf(t.Preview, t.Lease)]:
			done.Left = append(done.Left, t)
		default:
			rest, machines = append(rest, t), machines || t.Kind == KindInstance
		}
	}
	for _, change := range changes {
		if !machines {
			break
		}
		if err := c.spread(ctx, change, forgetPatience); err != nil {
			if ctx.Err() != nil {
				done.Left = append(done.Left, rest...)
				return done, nil, errors.Join(append(errs, err)...)
			}
			c.note("%v: going on", err)
			break
		}
	}
	return done, rest, errors.Join(errs...)
}

// Unname removes the names of one of the previews on a machine that several share.
func (c *Cloud) Unname(ctx context.Context, m Machine, preview string) error {
	all, err := c.recordsOf(ctx, m)
	if err != nil {
		return err
	}
	for _, t := range all {
		if t.named.mark.preview != preview {
			continue
		}
		if _, err := c.removeRecord(ctx, t); err != nil {
			return explain("remove the record of "+t.ID, err)
		}
	}
	return nil
}

// removeRecord removes a name with what says whose it is, and returns the change; "" where it is gone, or another lease's by now.
func (c *Cloud) removeRecord(ctx context.Context, t Thing) (change string, err error) {
	n := *t.named
	for range 5 {
		if change, err = c.change(ctx, n.zone, n.own().removal()); err == nil || codeOf(err) == "NoSuchHostedZone" {
			return change, nil
		}
		if !isOther(err) {
			break
		}
		if n, err = c.lookUp(ctx, n.zone, n.host); err != nil {
			return "", err
		}
		is := t.named.mark
		if is.since = n.mark.since; !n.marked || n.mark != is {
			return "", nil
		}
	}
	if code := codeOf(err); code == "AccessDenied" && !isWithin(t.ID, c.Domain) {
		return "", hinted("write x-strake.previews.domain as it was, for which strake init --iam ec2 prints what has to be allowed, or remove "+t.ID+" and "+markPrefix+t.ID+" by hand",
			fmt.Errorf("remove record %s: %w", t.ID, err))
	}
	return "", explain("remove record "+t.ID, cmp.Or(err, error(&compose.HintedError{Err: errors.New("somebody changes it again and again"), Next: "run strake preview sync"})))
}
