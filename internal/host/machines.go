package host

import (
	"context"
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
		if n := strings.Compare(a.Preview, b.Preview); n != 0 {
			return n
		}
		return a.Lease - b.Lease
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

// Of is the live machine of a preview; ok is false where there is none. Of several, which cannot be, it is the newest.
func Of(all []Machine, preview string) (m Machine, ok bool) {
	for _, one := range all {
		if one.Preview == preview && one.Live() && (!ok || one.Lease > m.Lease) {
			m, ok = one, true
		}
	}
	return m, ok
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
