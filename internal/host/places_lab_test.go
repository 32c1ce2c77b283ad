//go:build lab

package host_test

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/fixtures/lab/awslab"
	"github.com/strake-dev/strake/internal/host"
)

// TestLaunch_BootsAnImageOfItsArchitecture: types of another one than this machine's, and none for which strake has nothing to run there.
func TestLaunch_BootsAnImageOfItsArchitecture(t *testing.T) {
	a := awslab.Start(t)
	api := ec2.NewFromConfig(a.Config())
	var asked []string
	of := func(runs error, kinds ...string) *host.Cloud {
		return cloudOf(t, a.Environ(), func(o *host.Options) {
			o.Settings.Types = kinds
			o.Runs = func(arch string) error { asked = append(asked, arch); return runs }
		})
	}
	c := of(nil, "t4g.large")
	m := launch(t, c, leaseOf("pr-1", 1))
	out, err := api.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{InstanceIds: []string{m.ID}})
	if err != nil || aws.ToString(out.Reservations[0].Instances[0].ImageId) != string(awslab.AmazonLinuxARM) || strings.Join(asked, " ") != "arm64" {
		t.Errorf("a machine of t4g boots %+v, %v, and asked was for %v; want the image of arm64", out, err, asked)
	}
	if m.Hourly == 0 {
		t.Errorf("Launch = %+v, want its price", m)
	}
	none := errors.New("there is no strake for it")
	if _, err := of(none, "t3.large", "t4g.large").Launch(t.Context(), leaseOf("pr-2", 1)); !errors.Is(err, none) || !strings.Contains(err.Error(), "machines of type t3.large are amd64") {
		t.Errorf("Launch of what does not run = %v, want why", err)
	}
	if _, err := c.End(t.Context(), "pr-1"); err != nil {
		t.Error(err)
	}
	isEmpty(t, c)
}

// TestLaunch_IsPrivate: without an address outside, reached under the one inside, with nothing asked of from where this machine comes.
func TestLaunch_IsPrivate(t *testing.T) {
	a := awslab.Start(t)
	a.Boot(t)
	c := cloudOf(t, a.Environ(), func(o *host.Options) {
		o.Settings.Address = compose.AddressPrivate
		o.From = func(context.Context) (netip.Addr, error) { return netip.Addr{}, errors.New("nobody asks") }
	})
	m := launch(t, c, leaseOf("pr-1", 1))
	api := ec2.NewFromConfig(a.Config())
	out, err := api.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{InstanceIds: []string{m.ID}})
	if err != nil {
		t.Fatal(err)
	}
	if i := out.Reservations[0].Instances[0]; aws.ToString(i.PublicIpAddress) != "" || m.Address != aws.ToString(i.PrivateIpAddress) {
		t.Errorf("its addresses are %q and %q, and it is reached at %s; want none outside", aws.ToString(i.PublicIpAddress), aws.ToString(i.PrivateIpAddress), m.Address)
	}
	rules := func() (text string) {
		t.Helper()
		groups, err := api.DescribeSecurityGroups(t.Context(), &ec2.DescribeSecurityGroupsInput{Filters: []types.Filter{{Name: aws.String("tag:" + host.TagPreview), Values: []string{"pr-1"}}}})
		if err != nil || len(groups.SecurityGroups) != 1 {
			t.Fatalf("its security groups are %+v, %v", groups, err)
		}
		for _, p := range groups.SecurityGroups[0].IpPermissions {
			for _, r := range p.IpRanges {
				text += " " + aws.ToString(r.CidrIp)
			}
		}
		return text
	}
	before := rules()
	w, err := c.Reach(t.Context(), m)
	if err != nil {
		t.Fatalf("Reach = %v", err)
	}
	if now := rules(); now != before || strings.Contains(now, "127.0.0.1") {
		t.Errorf("while it is reached SSH and visitors are let in from%s, before from%s; want the same", now, before)
	}
	if err := w.Close(t.Context()); err != nil {
		t.Errorf("Close = %v", err)
	}
	if _, err := c.End(t.Context(), "pr-1"); err != nil {
		t.Error(err)
	}
	isEmpty(t, c)
}
