package host

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/strake-dev/strake/compose"
)

// group is the security group of a lease, which is made where it is not there. It lets visitors in, and SSH only where machines are private: else
// LetIn does.
// Source: Amazon EC2 API, CreateSecurityGroup, AuthorizeSecurityGroupIngress.
func (c *Cloud) group(ctx context.Context, vpc, preview string, lease int, tags map[string]string) (string, error) {
	name := c.groupName(preview, lease)
	spec := types.TagSpecification{ResourceType: types.ResourceTypeSecurityGroup}
	for key, value := range tags {
		spec.Tags = append(spec.Tags, types.Tag{Key: aws.String(key), Value: aws.String(value)})
	}
	made, err := c.ec2.CreateSecurityGroup(ctx, &ec2.CreateSecurityGroupInput{GroupName: &name, VpcId: &vpc, Description: aws.String("preview " + preview + " of " + c.Project + ", by strake"),
		TagSpecifications: []types.TagSpecification{spec}})
	id := ""
	switch {
	case err == nil:
		id = aws.ToString(made.GroupId)
	case codeOf(err) == "InvalidGroup.Duplicate":
		if id, err = c.groupNamed(ctx, vpc, name); err != nil {
			return "", err
		}
	default:
		return "", explain("make security group "+name, err)
	}
	for _, port := range []int32{80, 443} {
		if err := c.open(ctx, id, port, "visitors", c.visitors()...); err != nil {
			return "", err
		}
	}
	if c.Settings.Address == compose.AddressPrivate {
		return id, c.open(ctx, id, sshPort, "strake", netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0"))
	}
	return id, nil
}

const sshPort = 22

// visitors are from where they are let in.
func (c *Cloud) visitors() []netip.Prefix {
	var all []netip.Prefix
	for _, text := range c.Settings.Allow {
		if p, err := netip.ParsePrefix(text); err == nil { // as the settings were checked
			all = append(all, p.Masked())
		}
	}
	if len(c.Settings.Allow) == 0 {
		all = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
	}
	return all
}

// groupNamed is the security group of a name that is ours by its tags.
func (c *Cloud) groupNamed(ctx context.Context, vpc, name string) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, fmt.Errorf("there is no security group %s", name))
	defer cancel()
	var out *ec2.DescribeSecurityGroupsOutput
	err := until(ctx, func() (done bool, err error) { // AWS may not show for a moment one that was just made
		out, err = c.ec2.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{Filters: []types.Filter{filterOf("group-name", name), filterOf("vpc-id", vpc)}})
		return err != nil || len(out.SecurityGroups) > 0, err
	})
	if err != nil {
		return "", explain("look for security group "+name, err)
	}
	for _, g := range out.SecurityGroups {
		if tagsOf(g.Tags)[TagProject] == c.Project {
			return aws.ToString(g.GroupId), nil
		}
	}
	return "", &compose.HintedError{Err: fmt.Errorf("there is a security group %s that strake did not make", name), Next: "give it another name, or remove it"}
}

// open lets addresses in at a port of a group.
func (c *Cloud) open(ctx context.Context, group string, port int32, why string, from ...netip.Prefix) error {
	for _, p := range from { // one by one: of several of which one is there none is added
		err := soon(ctx, func() error {
			_, err := c.ec2.AuthorizeSecurityGroupIngress(ctx, &ec2.AuthorizeSecurityGroupIngressInput{GroupId: &group, IpPermissions: []types.IpPermission{permission(port, p, why)}})
			return err
		}, "InvalidGroup.NotFound")
		if err != nil && codeOf(err) != "InvalidPermission.Duplicate" {
			return explain(fmt.Sprintf("open port %d for %s", port, p), err)
		}
	}
	return nil
}

// permission is a rule that lets addresses in at a port.
func permission(port int32, p netip.Prefix, why string) types.IpPermission {
	one := types.IpPermission{IpProtocol: aws.String("tcp"), FromPort: &port, ToPort: &port}
	text := p.String()
	if p.Addr().Is4() {
		one.IpRanges = []types.IpRange{{CidrIp: &text, Description: &why}}
	} else {
		one.Ipv6Ranges = []types.Ipv6Range{{CidrIpv6: &text, Description: &why}}
	}
	return one
}

// LetIn lets SSH in to a machine from where this one reaches it, and returns what ends that. A private machine is open inside of its VPC, and
// nothing is changed. What a killed one left is closed by the next Sweep.
func (c *Cloud) LetIn(ctx context.Context, m Machine) (closeAgain func(context.Context) error, err error) {
	none := func(context.Context) error { return nil }
	if c.Settings.Address == compose.AddressPrivate {
		return none, nil
	}
	from, err := c.From(ctx)
	if err != nil {
		return none, err
	}
	id, err := c.groupNamed(ctx, m.vpc, c.groupName(m.Preview, m.Lease))
	if err != nil {
		return none, err
	}
	rule := netip.PrefixFrom(from, from.BitLen())
	if err := c.open(ctx, id, sshPort, sshSince+c.Now().UTC().Format(time.RFC3339), rule); err != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		return none, errors.Join(err, c.shut(ctx, id, rule)) // it may be open although nobody said so
	}
	return func(ctx context.Context) error { return c.shut(ctx, id, rule) }, nil
}

// sshSince begins the description of a rule that lets SSH in, and goes on with when it was made.
const sshSince = "strake since "

// shut takes a rule for SSH away; one that is not there is gone.
// Source: Amazon EC2 API, RevokeSecurityGroupIngress.
func (c *Cloud) shut(ctx context.Context, group string, from netip.Prefix) error {
	rule := permission(sshPort, from, "")
	for i := range rule.IpRanges {
		rule.IpRanges[i].Description = nil
	}
	for i := range rule.Ipv6Ranges {
		rule.Ipv6Ranges[i].Description = nil
	}
	_, err := c.ec2.RevokeSecurityGroupIngress(ctx, &ec2.RevokeSecurityGroupIngressInput{GroupId: &group, IpPermissions: []types.IpPermission{rule}})
	if code := codeOf(err); code == "InvalidPermission.NotFound" || strings.HasPrefix(code, "InvalidGroup") {
		return nil
	}
	return explain("close SSH of security group "+group, err)
}

// staleRules are the rules that let SSH in for an open that began more than an hour ago.
func staleRules(rules []types.IpPermission, now time.Time) (all []netip.Prefix) {
	stale := func(cidr, why *string) {
		since, ours := strings.CutPrefix(aws.ToString(why), sshSince)
		p, err := netip.ParsePrefix(aws.ToString(cidr))
		if ours && err == nil && now.Sub(timeOf(since)) > time.Hour {
			all = append(all, p)
		}
	}
	for _, r := range rules {
		for _, one := range r.IpRanges {
			stale(one.CidrIp, one.Description)
		}
		for _, one := range r.Ipv6Ranges {
			stale(one.CidrIpv6, one.Description)
		}
	}
	return all
}
