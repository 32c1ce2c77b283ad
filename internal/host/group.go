package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
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
	in := &ec2.CreateSecurityGroupInput{GroupName: &name, VpcId: &vpc, Description: aws.String("preview " + preview + " of " + c.Project + ", by strake"), TagSpecifications: []types.TagSpecification{spec}}
	var g types.SecurityGroup
	begin := time.Now()
	err := until(ctx, func() (bool, error) { // again where a Sweep removes the one that was there
		made, err := c.ec2.CreateSecurityGroup(ctx, in)
		if err == nil {
			g = types.SecurityGroup{GroupId: made.GroupId}
			return true, nil
		}
		if codeOf(err) != "InvalidGroup.Duplicate" {
			return false, explain("make security group "+name, err)
		}
		if g, err = c.groupNamed(ctx, vpc, name); err != nil {
			return false, err
		}
		taken, err := c.takeUp(ctx, g, tags)
		if codeOf(err) == unknownGroup && time.Since(begin) < heardPatience {
			return false, nil
		}
		if taken || err != nil {
			return taken, err
		}
		if time.Since(begin) < heardPatience {
			return false, nil
		}
		return true, c.tagGroup(ctx, aws.ToString(g.GroupId), map[string]string{TagState: "opening"}) // whoever was about to is gone
	})
	if err != nil {
		return "", err
	}
	id := aws.ToString(g.GroupId)
	if err := c.letVisitorsIn(ctx, g); err != nil {
		return "", err
	}
	if c.Settings.Address == compose.AddressPrivate {
		return id, c.open(ctx, id, sshPort, forVPC, everybody()...)
	}
	return id, nil
}

// unknownGroup is AWS's code for a group of which a server has not heard, or that is gone.
const unknownGroup = "InvalidGroup.NotFound"

// takeUp has a group that is there be that of who opens the preview now, for whom no Sweep takes it away: whoever made it may be gone. It returns when that
// is seen; taken is false where a Sweep said before that it removes the group. Both say what they do and look then, so that one of the two sees the other.
func (c *Cloud) takeUp(ctx context.Context, g types.SecurityGroup, tags map[string]string) (taken bool, err error) {
	id, before := aws.ToString(g.GroupId), tagsOf(g.Tags)[TagOwner]
	all := map[string]string{TagSince: tags[TagSince]}
	if c.isDead(before) {
		all[TagOwner] = tags[TagOwner]
	}
	if err := c.tagGroup(ctx, id, all); err != nil || all[TagOwner] == "" {
		return err == nil && tagsOf(g.Tags)[TagState] != emptying, err
	}
	again, err := c.seenGroups(ctx, []string{id}, func(t Thing) bool { return t.owner != before || t.owner == all[TagOwner] })
	return err == nil && again[0].phase != emptying, err
}

// seenGroups are security groups when it is seen of all of them what was just written. After errUnheard they are those that the last list showed.
func (c *Cloud) seenGroups(ctx context.Context, ids []string, written func(Thing) bool) (all []Thing, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, heardPatience, errUnheard)
	defer cancel()
	err = until(ctx, func() (bool, error) {
		some, err := every(ctx, func(ctx context.Context, token *string) ([]Thing, *string, error) {
			return c.someGroups(ctx, token, filterOf("group-id", ids...))
		})
		if err != nil {
			return false, err
		}
		all = some
		return len(all) == len(ids) && !slices.ContainsFunc(all, func(t Thing) bool { return !written(t) }), nil
	})
	if ctx.Err() != nil && err != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		err = fmt.Errorf("look at security groups %s: %w", strings.Join(ids, ", "), err)
	}
	return all, err
}

// tagGroup writes down what becomes of a security group. Source: Amazon EC2 API, CreateTags.
func (c *Cloud) tagGroup(ctx context.Context, id string, tags map[string]string) error {
	in := &ec2.CreateTagsInput{Resources: []string{id}}
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		in.Tags = append(in.Tags, types.Tag{Key: &key, Value: aws.String(tags[key])})
	}
	_, err := c.ec2.CreateTags(ctx, in)
	return explain("write down what becomes of security group "+id, err)
}

const sshPort = 22

// forVPC says of a rule for SSH that it is for whoever reaches a private machine.
const forVPC = "strake"

// webPorts are those of visitors, and forVisitors says of a rule that it is for them.
var webPorts = []int32{80, 443}

const forVisitors = "visitors"

// letVisitorsIn has a group let in from where the settings allow, and takes back the rules for visitors from elsewhere, and that which lets everybody in to
// SSH where machines are not private any more. Rules of others stay.
func (c *Cloud) letVisitorsIn(ctx context.Context, g types.SecurityGroup) error {
	for _, port := range webPorts {
		if err := c.open(ctx, aws.ToString(g.GroupId), port, forVisitors, c.visitorsAt(port)...); err != nil {
			return err
		}
	}
	var errs []error
	for _, r := range rulesOf(g.IpPermissions) {
		visitors := r.why == forVisitors && slices.Contains(webPorts, r.port) && !slices.Contains(c.visitorsAt(r.port), r.from)
		inside := r.why == forVPC && r.port == sshPort && c.Settings.Address != compose.AddressPrivate
		if visitors || inside {
			errs = append(errs, c.shut(ctx, aws.ToString(g.GroupId), r.port, r.from))
		}
	}
	return errors.Join(errs...)
}

// ingress is a rule of a security group, of one port or the first of several.
type ingress struct {
	port int32
	from netip.Prefix
	why  string
}

// rulesOf are the rules that let addresses in; those for other groups are left out.
func rulesOf(all []types.IpPermission) (rules []ingress) {
	add := func(port *int32, cidr, why *string) {
		if p, err := netip.ParsePrefix(aws.ToString(cidr)); err == nil {
			rules = append(rules, ingress{aws.ToInt32(port), p, aws.ToString(why)})
		}
	}
	for _, r := range all {
		for _, one := range r.IpRanges {
			add(r.FromPort, one.CidrIp, one.Description)
		}
		for _, one := range r.Ipv6Ranges {
			add(r.FromPort, one.CidrIpv6, one.Description)
		}
	}
	return rules
}

// everybody is every address.
func everybody() []netip.Prefix {
	return []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
}

// visitorsAt are from where visitors are let in at a port.
func (c *Cloud) visitorsAt(port int32) []netip.Prefix {
	if _, ok := c.Settings.Certificates(); ok && port == 80 { // from where authorities come nobody says, and there is nothing else for them but the way to HTTPS
		return everybody()
	}
	var all []netip.Prefix
	for _, text := range c.Settings.Allow {
		if p, err := netip.ParsePrefix(text); err == nil { // as the settings were checked
			all = append(all, p.Masked())
		}
	}
	if len(c.Settings.Allow) == 0 {
		return everybody()
	}
	return all
}

// groupNamed is the security group of a name that is ours by its tags.
func (c *Cloud) groupNamed(ctx context.Context, vpc, name string) (types.SecurityGroup, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, fmt.Errorf("there is no security group %s", name))
	defer cancel()
	var out *ec2.DescribeSecurityGroupsOutput
	err := until(ctx, func() (done bool, err error) { // AWS may not show for a moment one that was just made
		out, err = c.ec2.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{Filters: []types.Filter{filterOf("group-name", name), filterOf("vpc-id", vpc)}})
		return err != nil || len(out.SecurityGroups) > 0, err
	})
	if err != nil {
		return types.SecurityGroup{}, explain("look for security group "+name, err)
	}
	for _, g := range out.SecurityGroups {
		if tagsOf(g.Tags)[TagProject] == c.Project {
			return g, nil
		}
	}
	return types.SecurityGroup{}, &compose.HintedError{Err: fmt.Errorf("there is a security group %s that strake did not make", name), Next: "give it another name, or remove it"}
}

// open lets addresses in at a port of a group. A rule for SSH that is there is given the words of why.
// Source: Amazon EC2 API, AuthorizeSecurityGroupIngress, UpdateSecurityGroupRuleDescriptionsIngress.
func (c *Cloud) open(ctx context.Context, group string, port int32, why string, from ...netip.Prefix) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for _, p := range from { // one by one: of several of which one is there none is added
		rule := []types.IpPermission{permission(port, p, why)}
		var err error
		waitErr := until(ctx, func() (bool, error) { // AWS may not know for a moment what was just made
			_, err = c.ec2.AuthorizeSecurityGroupIngress(ctx, &ec2.AuthorizeSecurityGroupIngressInput{GroupId: &group, IpPermissions: rule})
			return codeOf(err) != "InvalidGroup.NotFound", nil
		})
		if codeOf(err) == "InvalidPermission.Duplicate" {
			err = nil
			if port == sshPort {
				_, err = c.ec2.UpdateSecurityGroupRuleDescriptionsIngress(ctx, &ec2.UpdateSecurityGroupRuleDescriptionsIngressInput{GroupId: &group, IpPermissions: rule})
			}
		}
		if err = cmp.Or(err, waitErr); err != nil {
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
// nothing is changed. What a killed one left is closed by a Sweep an hour after: who needs it longer calls LetIn again, as a Way does.
func (c *Cloud) LetIn(ctx context.Context, m Machine) (closeAgain func(context.Context) error, err error) {
	none := func(context.Context) error { return nil }
	if c.Settings.Address == compose.AddressPrivate {
		return none, nil
	}
	from, err := c.From(ctx)
	if err != nil {
		return none, err
	}
	g, err := c.groupNamed(ctx, m.vpc, c.groupName(m.Preview, m.Lease))
	if err != nil {
		return none, err
	}
	id, rule := aws.ToString(g.GroupId), netip.PrefixFrom(from, from.BitLen())
	closeAgain = func(ctx context.Context) error { return c.shut(ctx, id, sshPort, rule) }
	if err := c.open(ctx, id, sshPort, sshSince+c.Now().UTC().Format(time.RFC3339), rule); err != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		return none, errors.Join(err, closeAgain(ctx)) // it may be open although nobody said so
	}
	return closeAgain, nil
}

// sshSince begins the description of a rule that lets SSH in, and goes on with when somebody last said that it is needed. It is needed no more when
// that is staleSSH ago; who is connected says so every refreshSSH.
const (
	sshSince   = "strake since "
	staleSSH   = time.Hour
	refreshSSH = staleSSH / 4
)

// shut takes back a rule; one that is not there is gone.
// Source: Amazon EC2 API, RevokeSecurityGroupIngress.
func (c *Cloud) shut(ctx context.Context, group string, port int32, from netip.Prefix) error {
	rule := permission(port, from, "")
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
	return explain(fmt.Sprintf("close port %d of security group %s for %s", port, group, from), err)
}

// staleRules are the rules for SSH that nobody has needed for an hour.
func staleRules(rules []types.IpPermission, now time.Time) (all []netip.Prefix) {
	for _, r := range rulesOf(rules) {
		if since, ours := strings.CutPrefix(r.why, sshSince); ours && r.port == sshPort && now.Sub(timeOf(since)) > staleSSH {
			all = append(all, r.from)
		}
	}
	return all
}
