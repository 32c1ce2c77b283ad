package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/strake-dev/strake/compose"
)

// pageSize is how many instances are asked for at once, the most that AWS gives.
const pageSize = 1000

// Machines are those of the project that are there or were until a moment ago, by preview and lease: of all that carry its tags those that strake
// launched. It asks a call for each page of them and none for each machine.
// Source: Amazon EC2 API, DescribeInstances.
func (c *Cloud) Machines(ctx context.Context) ([]Machine, error) {
	return c.machines(ctx, types.Filter{Name: aws.String("tag:" + TagProject), Values: []string{c.Project}})
}

// machines are the project's machines that some filters let through.
func (c *Cloud) machines(ctx context.Context, filters ...types.Filter) ([]Machine, error) {
	var all []Machine
	in := &ec2.DescribeInstancesInput{Filters: filters, MaxResults: aws.Int32(pageSize)}
	for _, f := range filters {
		if aws.ToString(f.Name) == "instance-id" {
			in.MaxResults = nil // one or a few
		}
	}
	err := pages(func(token *string) (*string, error) {
		in.NextToken = token
		page, err := c.ec2.DescribeInstances(ctx, in)
		if err != nil {
			return nil, explain("list the machines of "+c.Project, err)
		}
		for _, r := range page.Reservations {
			for _, i := range r.Instances {
				m := c.machineOf(i)
				if m.account = aws.ToString(r.OwnerId); c.isOurs(m) {
					all = append(all, m)
				}
			}
		}
		return page.NextToken, nil
	})
	slices.SortFunc(all, func(a, b Machine) int {
		return cmp.Or(strings.Compare(a.Preview, b.Preview), a.Lease-b.Lease, byAge(a, b))
	})
	return all, err
}

// machineOf is an instance as its tags say it.
func (c *Cloud) machineOf(i types.Instance) Machine {
	tags := tagsOf(i.Tags)
	m := Machine{ID: aws.ToString(i.InstanceId), Type: string(i.InstanceType), Spot: i.InstanceLifecycle == types.InstanceLifecycleTypeSpot,
		Since: timeOf(tags[TagSince]), Launched: aws.ToTime(i.LaunchTime).UTC(), Project: tags[TagProject], Preview: tags[TagPreview], Commit: tags[TagCommit], Phase: tags[TagState],
		URL: tags[TagURL], Scheduled: timeOf(tags[TagScheduled]), Expires: timeOf(tags[TagExpires]), Ends: timeOf(tags[TagEnds]), owner: tags[TagOwner],
		token: aws.ToString(i.ClientToken), attempt: attemptOf(tags[TagAttempt]), vpc: aws.ToString(i.VpcId), domain: tags[TagDomain], pointed: tags[TagPointed]}
	m.Lease, _ = strconv.Atoi(tags[TagLease]) // 0 is nobody's
	if i.State != nil {
		m.State = string(i.State.Name)
	}
	if i.StateReason != nil {
		m.reason, m.reasonCode = aws.ToString(i.StateReason.Message), aws.ToString(i.StateReason.Code)
	}
	if i.Placement != nil {
		m.Zone = aws.ToString(i.Placement.AvailabilityZone)
	}
	m.Address = aws.ToString(i.PublicIpAddress)
	if c.Settings.Address == compose.AddressPrivate {
		m.Address = aws.ToString(i.PrivateIpAddress)
	}
	m.Shares, m.empty = sharesIn(tags), timeOf(tags[tagEmpty])
	if n, err := strconv.ParseFloat(tags[TagHourly], 64); err == nil {
		m.Hourly = compose.Dollars(n)
	}
	if !m.Launched.IsZero() {
		m.Hours = c.Now().Sub(m.Launched).Hours()
	}
	return m
}

// Holding is the live machine that has a preview: its own, of several, which cannot be for long, that of the newest lease and of those who was first; else one
// that it shares. ok is false where there is none.
func Holding(all []Machine, preview string) (m Machine, ok bool) {
	for _, one := range slices.SortedFunc(slices.Values(all), byAge) {
		_, shares := one.Share(preview)
		own := one.Preview == preview && (m.Preview != preview || one.Lease > m.Lease)
		if one.Live() && (own || shares && !ok) {
			m, ok = one, true
		}
	}
	return m, ok
}

// Taken is the last machine that had a preview, and why AWS ended it; "" where that did not happen.
func Taken(all []Machine, preview string) (last Machine, why string) {
	for _, m := range all {
		if _, shares := m.Share(preview); (m.Preview == preview || shares) && !m.Live() && m.Launched.After(last.Launched) {
			last = m
		}
	}
	return last, last.Gone()
}

func tagsOf(tags []types.Tag) map[string]string {
	all := map[string]string{}
	for _, t := range tags {
		all[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	return all
}

// timeOf is a time in a tag; the zero time for one that cannot be read.
func timeOf(text string) time.Time {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}
	}
	return t.UTC()
}

// heardPatience is how long AWS may take until all of its servers have heard of what was just made or written.
// Source: Amazon EC2 API Reference, Eventual consistency.
const heardPatience = time.Minute

// errUnheard is that AWS did not show within heardPatience what was just made or written.
var errUnheard = errors.New("AWS does not show what was written")

// seen are machines when it is seen of all of them what was just written, or that they are gone: nothing else says that they are. One that a list lacks is
// waited for, as that server may not have heard of it. After errUnheard they are those that the last list showed.
func (c *Cloud) seen(ctx context.Context, ids []string, written func(Machine) bool) (all []Machine, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, heardPatience, errUnheard)
	defer cancel()
	err = until(ctx, func() (done bool, err error) {
		some, err := c.machines(ctx, filterOf("instance-id", ids...))
		if err != nil {
			return false, err
		}
		all = some
		return len(all) == len(ids) && !slices.ContainsFunc(all, func(m Machine) bool { return m.Live() && !written(m) }), nil
	})
	if ctx.Err() != nil && err != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		err = fmt.Errorf("look at %s: %w", strings.Join(ids, ", "), err)
	}
	return all, err
}

// seenOne is seen of one machine; one that is gone is a *diedError.
func (c *Cloud) seenOne(ctx context.Context, m Machine, written func(Machine) bool) (Machine, error) {
	all, err := c.seen(ctx, []string{m.ID}, written)
	if err != nil {
		return m, err
	}
	if !all[0].Live() {
		return m, &diedError{m.ID, cmp.Or(all[0].reason, "it is gone")}
	}
	return all[0], nil
}

// own writes down who is at a machine, and is the machine when that, or who came after, is seen. Who says of a machine what contradicts that looks after it
// has said so: so one of the two sees the other.
func (c *Cloud) own(ctx context.Context, m Machine, by compose.Owner) (Machine, error) {
	before := m.owner
	if err := c.Mark(ctx, m, map[string]string{TagOwner: ownerText(by)}); err != nil {
		return m, err
	}
	return c.seenOne(ctx, m, func(m Machine) bool { return m.owner == ownerText(by) || m.owner != before })
}

// Mark writes down what has become of a machine's preview. Tags without a value are left as they are.
// Source: Amazon EC2 API, CreateTags.
func (c *Cloud) Mark(ctx context.Context, m Machine, tags map[string]string) error {
	var all []types.Tag
	for key, value := range tags {
		if value != "" {
			all = append(all, types.Tag{Key: aws.String(key), Value: aws.String(value)})
		}
	}
	slices.SortFunc(all, func(a, b types.Tag) int { return strings.Compare(*a.Key, *b.Key) })
	_, err := c.ec2.CreateTags(ctx, &ec2.CreateTagsInput{Resources: []string{m.ID}, Tags: all})
	return explain("write down what became of machine "+m.ID, err)
}
