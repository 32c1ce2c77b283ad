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
)

// Kinds of what belongs to leases, in the order in which they are removed.
const (
	KindInstance  = "instance"
	KindVolume    = "volume"
	KindInterface = "interface"
	KindParameter = "parameter"
	KindGroup     = "security group" // the last: it says whose a lease is
)

// kinds are all of them, in that order.
var kinds = []string{KindInstance, KindVolume, KindInterface, KindParameter, KindGroup}

// Thing is something of AWS that belongs to a lease. Its JSON names are stable.
type Thing struct {
	Kind    string    `json:"kind"`
	ID      string    `json:"id"`
	Preview string    `json:"preview"`
	Lease   int       `json:"lease"`
	State   string    `json:"state,omitempty"` // of an instance, volume or interface
	Since   time.Time `json:"since,omitzero"`
	Why     string    `json:"why,omitempty"` // why a Sweep removed it

	owner string
	rules []types.IpPermission // of a security group
}

// String names it for people.
func (t Thing) String() string { return t.Kind + " " + t.ID }

// Things are all that is there of the project's leases: instances that are not gone, and what no instance has to do with. It asks a call for each
// page of each kind, and fails where one of them does.
// Source: Amazon EC2 API, DescribeInstances, DescribeVolumes, DescribeNetworkInterfaces, DescribeSecurityGroups; AWS Systems Manager API, GetParametersByPath.
func (c *Cloud) Things(ctx context.Context) ([]Thing, []Machine, error) {
	machines, err := c.Machines(ctx)
	if err != nil {
		return nil, nil, err
	}
	var all []Thing
	for _, m := range machines {
		if m.State != "terminated" {
			all = append(all, Thing{Kind: KindInstance, ID: m.ID, Preview: m.Preview, Lease: m.Lease, State: m.State, Since: m.Launched, owner: m.owner})
		}
	}
	for _, list := range []func(context.Context) ([]Thing, error){c.volumes, c.interfaces, c.parameters, c.groups} {
		some, err := list(ctx)
		if err != nil {
			return nil, nil, err
		}
		all = append(all, some...)
	}
	return all, machines, nil
}

// tagged is a thing by its tags; ok is false for what is not of a lease of the project.
func (c *Cloud) tagged(kind, id string, tags []types.Tag) (t Thing, ok bool) {
	all := tagsOf(tags)
	n, err := strconv.Atoi(all[TagLease])
	t = Thing{Kind: kind, ID: id, Preview: all[TagPreview], Lease: n, Since: timeOf(all[TagSince]), owner: all[TagOwner]}
	return t, err == nil && n > 0 && all[TagProject] == c.Project && t.Preview != "" && !t.Since.IsZero()
}

func (c *Cloud) mine() []types.Filter { return []types.Filter{filterOf("tag:"+TagProject, c.Project)} }

// volumes are disks that no machine has: one that is attached goes with it.
func (c *Cloud) volumes(ctx context.Context) (all []Thing, err error) {
	err = pages(func(token *string) (*string, error) {
		page, err := c.ec2.DescribeVolumes(ctx, &ec2.DescribeVolumesInput{NextToken: token, Filters: append(c.mine(), filterOf("status", "available", "error"))})
		if err != nil {
			return nil, explain("list the volumes of "+c.Project, err)
		}
		for _, v := range page.Volumes {
			if t, ok := c.tagged(KindVolume, aws.ToString(v.VolumeId), v.Tags); ok {
				t.State = string(v.State)
				all = append(all, t)
			}
		}
		return page.NextToken, nil
	})
	return all, err
}

// interfaces are network interfaces that no machine has.
func (c *Cloud) interfaces(ctx context.Context) (all []Thing, err error) {
	err = pages(func(token *string) (*string, error) {
		page, err := c.ec2.DescribeNetworkInterfaces(ctx, &ec2.DescribeNetworkInterfacesInput{NextToken: token, Filters: append(c.mine(), filterOf("status", "available"))})
		if err != nil {
			return nil, explain("list the network interfaces of "+c.Project, err)
		}
		for _, n := range page.NetworkInterfaces {
			if t, ok := c.tagged(KindInterface, aws.ToString(n.NetworkInterfaceId), n.TagSet); ok {
				t.State = string(n.Status)
				all = append(all, t)
			}
		}
		return page.NextToken, nil
	})
	return all, err
}

// groups are security groups whose name is that of their lease.
func (c *Cloud) groups(ctx context.Context) (all []Thing, err error) {
	err = pages(func(token *string) (*string, error) {
		page, err := c.ec2.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{NextToken: token, Filters: c.mine()})
		if err != nil {
			return nil, explain("list the security groups of "+c.Project, err)
		}
		for _, g := range page.SecurityGroups {
			if t, ok := c.tagged(KindGroup, aws.ToString(g.GroupId), g.Tags); ok && aws.ToString(g.GroupName) == c.groupName(t.Preview, t.Lease) {
				t.rules = g.IpPermissions
				all = append(all, t)
			}
		}
		return page.NextToken, nil
	})
	return all, err
}

// parameters are the host keys of leases; whose they are says their name, and their owner nobody.
func (c *Cloud) parameters(ctx context.Context) (all []Thing, err error) {
	path := c.parameterPath() + "previews/"
	err = pages(func(token *string) (*string, error) {
		page, err := c.ssm.GetParametersByPath(ctx, &ssm.GetParametersByPathInput{NextToken: token, Path: &path, Recursive: aws.Bool(true)})
		if err != nil {
			return nil, explain("list the parameters of "+c.Project, err)
		}
		for _, p := range page.Parameters {
			parts := strings.Split(strings.TrimPrefix(aws.ToString(p.Name), path), "/")
			if len(parts) != 3 {
				continue
			}
			if n, err := strconv.Atoi(parts[1]); err == nil && n > 0 && aws.ToString(p.Name) == c.hostKeyName(parts[0], n) {
				all = append(all, Thing{Kind: KindParameter, ID: *p.Name, Preview: parts[0], Lease: n, Since: aws.ToTime(p.LastModifiedDate).UTC()})
			}
		}
		return page.NextToken, nil
	})
	slices.SortFunc(all, func(a, b Thing) int { return strings.Compare(a.ID, b.ID) })
	return all, err
}
