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
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"github.com/strake-dev/strake/compose"
)

// Kinds of what belongs to leases, in the order in which they are removed.
const (
	KindRecord    = "record" // a name of a preview in Route 53, with the text that says whose it is
	KindSchedule  = "schedule"
	KindInstance  = "instance"
	KindVolume    = "volume"
	KindInterface = "interface"
	KindParameter = "parameter"
	KindGroup     = "security group" // the last: it says whose a lease is
)

// kinds are all of them, in that order.
var kinds = []string{KindRecord, KindSchedule, KindInstance, KindVolume, KindInterface, KindParameter, KindGroup}

// Thing is something of AWS that belongs to a lease. Its JSON names are stable.
type Thing struct {
	Kind    string    `json:"kind"`
	ID      string    `json:"id"`
	Preview string    `json:"preview"`
	Lease   int       `json:"lease"`
	State   string    `json:"state,omitempty"` // of an instance, volume or interface
	Since   time.Time `json:"since,omitzero"`
	// Hourly is an estimate of what it costs an hour, and Cost of what it has cost; 0 where it costs nothing, or its price is not known.
	Hourly  compose.Dollars `json:"hourly,omitempty"`
	Cost    compose.Dollars `json:"cost,omitempty"`
	Covered bool            `json:"covered"`        // a lease covers it, until Until; said by Inventory
	Until   time.Time       `json:"until,omitzero"` // zero where the lease's end is not known
	Why     string          `json:"why,omitempty"`  // why a Sweep removes it

	// Previews are those on an instance that several share.
	Previews []string `json:"previews,omitempty"`

	owner   string
	phase   string               // of a security group: emptying where a Sweep is about to remove it
	loose   bool                 // it goes only if nobody comes to it meanwhile
	domain  string               // below which its lease has names
	rules   []types.IpPermission // of a security group
	named   *named               // of a record
	sleeper *Sleeper             // of a parameter that remembers one
}

// String names it for people.
func (t Thing) String() string { return t.Kind + " " + t.ID }

// listing asks for a page of the things of one kind; next is the token of the page after it, nil or "" after the last.
type listing func(ctx context.Context, token *string) (page []Thing, next *string, err error)

// listings are those of all kinds but instances. A new kind is one more here, and one more case of removeOne.
func (c *Cloud) listings(machines []Machine) []listing {
	return []listing{c.schedules(machines), c.volumes, c.interfaces, c.parameters, c.groups}
}

// every is all that a listing has.
func every(ctx context.Context, list listing) (all []Thing, err error) {
	err = pages(func(token *string) (*string, error) {
		page, next, err := list(ctx, token)
		all = append(all, page...)
		return next, err
	})
	return all, err
}

// Things are all that is there of the project's leases: instances that are not gone, and what no instance has to do with. It asks a call for each
// page of each kind, and fails where one of them does.
// Source: Amazon EC2 API, DescribeInstances, DescribeVolumes, DescribeNetworkInterfaces, DescribeSecurityGroups; Amazon EventBridge Scheduler API, ListSchedules;
// AWS Systems Manager API, GetParametersByPath; Amazon Route 53 API, ListHostedZones, ListResourceRecordSets.
func (c *Cloud) Things(ctx context.Context) ([]Thing, []Machine, error) {
	machines, err := c.Machines(ctx)
	if err != nil {
		return nil, nil, err
	}
	var all []Thing
	for _, m := range machines {
		if m.State != "terminated" {
			all = append(all, Thing{Kind: KindInstance, ID: m.ID, Preview: m.Preview, Lease: m.Lease, State: m.State, Since: m.Launched, Hourly: m.Hourly, owner: m.owner, loose: c.isEmpty(m) || c.isInterrupted(m)})
			if m.Shared() {
				all[len(all)-1].Previews = m.previews()
			}
		}
	}
	for _, list := range c.listings(machines) {
		some, err := every(ctx, list)
		if err != nil {
			return nil, nil, err
		}
		all = append(all, some...)
	}
	records, err := c.records(ctx, c.domains(machines, all))
	if err != nil {
		return nil, nil, err
	}
	all = append(all, records...)
	for i, t := range all {
		all[i].Cost = t.Hourly * compose.Dollars(c.Now().Sub(t.Since).Hours())
	}
	return all, machines, nil
}

// ofLeases are the things of what AWS answered, but for those that are not of a lease of the project.
func ofLeases[T any](found []T, thing func(T) (Thing, bool)) (all []Thing) {
	for _, one := range found {
		if t, ok := thing(one); ok {
			all = append(all, t)
		}
	}
	return all
}

// tagged is a thing by its tags; ok is false for what is not of a lease of the project.
func (c *Cloud) tagged(kind string, id *string, tags []types.Tag) (t Thing, ok bool) {
	all := tagsOf(tags)
	n, err := strconv.Atoi(all[TagLease])
	t = Thing{Kind: kind, ID: aws.ToString(id), Preview: all[TagPreview], Lease: n, Since: timeOf(all[TagSince]), owner: all[TagOwner], phase: all[TagState], domain: all[TagDomain]}
	return t, err == nil && n > 0 && all[TagProject] == c.Project && t.Preview != "" && !t.Since.IsZero()
}

// mine are filters for what has the project's tag.
func (c *Cloud) mine(more ...types.Filter) []types.Filter {
	return append(more, filterOf("tag:"+TagProject, c.Project))
}

// volumes are disks that no machine has: one that is attached goes with it.
func (c *Cloud) volumes(ctx context.Context, token *string) ([]Thing, *string, error) {
	page, err := c.ec2.DescribeVolumes(ctx, &ec2.DescribeVolumesInput{NextToken: token, Filters: c.mine(filterOf("status", "available", "error"))})
	if err != nil {
		return nil, nil, explain("list the volumes of "+c.Project, err)
	}
	return ofLeases(page.Volumes, func(v types.Volume) (Thing, bool) {
		t, ok := c.tagged(KindVolume, v.VolumeId, v.Tags)
		t.State, t.Hourly = string(v.State), compose.Dollars(diskHourly*float64(aws.ToInt32(v.Size)))
		return t, ok
	}), page.NextToken, nil
}

// interfaces are network interfaces that no machine has.
func (c *Cloud) interfaces(ctx context.Context, token *string) ([]Thing, *string, error) {
	page, err := c.ec2.DescribeNetworkInterfaces(ctx, &ec2.DescribeNetworkInterfacesInput{NextToken: token, Filters: c.mine(filterOf("status", "available"))})
	if err != nil {
		return nil, nil, explain("list the network interfaces of "+c.Project, err)
	}
	return ofLeases(page.NetworkInterfaces, func(n types.NetworkInterface) (Thing, bool) {
		t, ok := c.tagged(KindInterface, n.NetworkInterfaceId, n.TagSet)
		t.State = string(n.Status)
		return t, ok
	}), page.NextToken, nil
}

// groups are security groups whose name is that of their lease.
func (c *Cloud) groups(ctx context.Context, token *string) ([]Thing, *string, error) {
	return c.someGroups(ctx, token)
}

// someGroups are those of groups that some filters let through.
func (c *Cloud) someGroups(ctx context.Context, token *string, filters ...types.Filter) ([]Thing, *string, error) {
	page, err := c.ec2.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{NextToken: token, Filters: c.mine(filters...)})
	if err != nil {
		return nil, nil, explain("list the security groups of "+c.Project, err)
	}
	return ofLeases(page.SecurityGroups, func(g types.SecurityGroup) (Thing, bool) {
		t, ok := c.tagged(KindGroup, g.GroupId, g.Tags)
		t.rules = g.IpPermissions
		return t, ok && aws.ToString(g.GroupName) == c.groupName(t.Preview, t.Lease)
	}), page.NextToken, nil
}

// parameters are the host keys of leases, and what is remembered of sleepers; whose they are says their name, and their owner nobody.
func (c *Cloud) parameters(ctx context.Context, token *string) ([]Thing, *string, error) {
	path := c.parameterPath() + "previews/"
	page, err := c.ssm.GetParametersByPath(ctx, &ssm.GetParametersByPathInput{NextToken: token, Path: &path, Recursive: aws.Bool(true), WithDecryption: aws.Bool(true)})
	if err != nil {
		return nil, nil, explain("list the parameters of "+c.Project, err)
	}
	all := ofLeases(page.Parameters, func(p ssmtypes.Parameter) (Thing, bool) {
		parts := strings.Split(strings.TrimPrefix(aws.ToString(p.Name), path), "/")
		if len(parts) != 3 {
			return Thing{}, false
		}
		n, err := strconv.Atoi(parts[1])
		t := Thing{Kind: KindParameter, ID: *p.Name, Preview: parts[0], Lease: n, Since: aws.ToTime(p.LastModifiedDate).UTC()}
		if t.ID == c.sleeperName(t.Preview, n) {
			t.sleeper = sleeperOf(t, aws.ToString(p.Value))
		}
		return t, err == nil && n > 0 && (t.sleeper != nil || t.ID == c.hostKeyName(t.Preview, n))
	})
	slices.SortFunc(all, func(a, b Thing) int { return strings.Compare(a.ID, b.ID) })
	return all, page.NextToken, nil
}

// Of is the part of another project in the same account and region.
func (c *Cloud) Of(project string) *Cloud {
	other := *c
	other.Project = project
	return &other
}

// Projects are those of which there is a lease, the own one among them: each lease has a security group, which is the first of it that is made
// and the last that is removed.
func (c *Cloud) Projects(ctx context.Context) ([]string, error) {
	all := []string{c.Project}
	err := pages(func(token *string) (*string, error) {
		page, err := c.ec2.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{NextToken: token, Filters: []types.Filter{filterOf("tag-key", TagProject)}})
		if err != nil {
			return nil, explain("look for the projects that have machines", err)
		}
		for _, g := range page.SecurityGroups {
			if project := tagsOf(g.Tags)[TagProject]; project != "" {
				all = append(all, project)
			}
		}
		return page.NextToken, nil
	})
	slices.Sort(all)
	return slices.Compact(all), err
}
