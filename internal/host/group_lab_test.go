//go:build lab

package host_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/strake-dev/strake/fixtures/lab/awslab"
	"github.com/strake-dev/strake/internal/host"
)

// groupOf is the security group of a preview's lease.
func groupOf(t *testing.T, a *awslab.Cloud, preview string) types.SecurityGroup {
	t.Helper()
	out, err := ec2.NewFromConfig(a.Config()).DescribeSecurityGroups(t.Context(), &ec2.DescribeSecurityGroupsInput{Filters: []types.Filter{{Name: aws.String("tag:" + host.TagPreview), Values: []string{preview}}}})
	if err != nil || len(out.SecurityGroups) != 1 {
		t.Fatalf("its security groups are %+v, %v, want one", out, err)
	}
	return out.SecurityGroups[0]
}

// letIn are its rules: port and address.
func letIn(t *testing.T, a *awslab.Cloud, preview string) (all []string) {
	t.Helper()
	for _, r := range groupOf(t, a, preview).IpPermissions {
		for _, one := range r.IpRanges {
			all = append(all, fmt.Sprintf("%d %s", aws.ToInt32(r.FromPort), aws.ToString(one.CidrIp)))
		}
	}
	slices.Sort(all)
	return all
}

// TestLaunch_TakesBackRulesForVisitors: those of whom the settings allow no more, and nobody else's.
func TestLaunch_TakesBackRulesForVisitors(t *testing.T) {
	a := awslab.Start(t)
	allow := func(from ...string) *host.Cloud {
		return cloudOf(t, a.Environ(), func(o *host.Options) { o.Settings.Allow, o.Settings.Wildcard = from, "lab.test" }) // without certificates
	}
	m := launch(t, allow("10.0.0.0/8", "192.0.2.0/24"), leaseOf("pr-1", 1))
	if _, err := ec2.NewFromConfig(a.Config()).AuthorizeSecurityGroupIngress(t.Context(), &ec2.AuthorizeSecurityGroupIngressInput{GroupId: groupOf(t, a, "pr-1").GroupId, IpPermissions: []types.IpPermission{{
		IpProtocol: aws.String("tcp"), FromPort: aws.Int32(80), ToPort: aws.Int32(80), IpRanges: []types.IpRange{{CidrIp: aws.String("203.0.113.0/24"), Description: aws.String("the monitoring")}}}}}); err != nil {
		t.Fatal(err)
	}
	if again := launch(t, allow("192.0.2.0/24", "198.51.100.0/24"), leaseOf("pr-1", 1)); again.ID != m.ID {
		t.Fatalf("the second Launch is %s, want %s", again.ID, m.ID)
	}
	want := "443 192.0.2.0/24, 443 198.51.100.0/24, 80 192.0.2.0/24, 80 198.51.100.0/24, 80 203.0.113.0/24"
	if got := strings.Join(letIn(t, a, "pr-1"), ", "); got != want {
		t.Errorf("it lets in %s, want %s", got, want)
	}
}

// TestSweep_LeavesSSHThatIsNeeded: who is connected says so again, and after an hour without that it is closed.
func TestSweep_LeavesSSHThatIsNeeded(t *testing.T) {
	a := awslab.Start(t)
	now := time.Now()
	c := cloudOf(t, a.Environ(), func(o *host.Options) { o.Now = func() time.Time { return now } })
	l := leaseOf("pr-1", 1)
	l.Expires = now.Add(24 * time.Hour)
	m := launch(t, c, l)
	const ssh = "22 127.0.0.1/32"
	for _, minutes := range []int{0, 50} { // said again at 50 minutes
		now = now.Add(time.Duration(minutes) * time.Minute)
		if _, err := c.LetIn(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	for _, c1 := range []struct {
		after time.Duration
		open  bool
	}{{50 * time.Minute, true}, {20 * time.Minute, false}} {
		now = now.Add(c1.after)
		if r, err := c.Sweep(t.Context(), nil); err != nil || len(r.Removed) > 0 {
			t.Fatalf("Sweep = %+v, %v, want nothing removed", r, err)
		}
		if rules := letIn(t, a, "pr-1"); slices.Contains(rules, ssh) != c1.open {
			t.Errorf("%s later it lets in %v, want SSH open: %v", c1.after, rules, c1.open)
		}
	}
}
