//go:build lab

package host_test

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/fixtures/lab/awslab"
	"github.com/strake-dev/strake/internal/host"
)

// project is the name of the tests' project.
const project = "shop"

// cloudOf is the project's part of the cloud behind an API.
func cloudOf(t *testing.T, environ []string, change func(*host.Options)) *host.Cloud {
	t.Helper()
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		t.Setenv(name, value)
	}
	o := options()
	o.Note = func(text string) { t.Log(text) }
	if change != nil {
		change(&o)
	}
	c, err := host.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// options are those of the tests' project.
func options() host.Options {
	return host.Options{Project: project, Settings: compose.EC2Settings{}.WithDefaults(), Now: time.Now,
		From:  func(context.Context) (netip.Addr, error) { return netip.MustParseAddr("127.0.0.1"), nil },
		Alive: func(o compose.Owner) bool { return o.PID != deadPID }}
}

// deadPID is the number of an owner who is known to be gone.
const deadPID = 4242

func leaseOf(preview string, pid int) host.Lease {
	now := time.Now()
	return host.Lease{Preview: preview, Commit: strings.Repeat("a", 40), Owner: compose.Owner{Machine: "m", Boot: "b", PID: pid, Start: "1", Host: "laptop"}, Expires: now.Add(time.Hour), Ends: now.Add(24 * time.Hour)}
}

func launch(t *testing.T, c *host.Cloud, l host.Lease) host.Machine {
	t.Helper()
	m, err := c.Launch(t.Context(), l)
	if err != nil {
		t.Fatalf("Launch = %v", err)
	}
	return m
}

// isEmpty fails where something of the project's previews is left, but for those named.
func isEmpty(t *testing.T, c *host.Cloud, but ...string) {
	t.Helper()
	all, _, err := c.Things(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, thing := range all {
		if !strings.Contains(strings.Join(but, " "), thing.Preview) {
			t.Errorf("%s of %s is left", thing, thing.Preview)
		}
	}
}

func TestLaunch_IsForOneLeaseAndGoes(t *testing.T) {
	a := awslab.Start(t)
	c := cloudOf(t, a.Environ(), nil)
	m := launch(t, c, leaseOf("pr-1", 1))
	api := ec2.NewFromConfig(a.Config())
	out, err := api.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{InstanceIds: []string{m.ID}})
	if err != nil {
		t.Fatal(err)
	}
	i := out.Reservations[0].Instances[0]
	if i.MetadataOptions == nil || i.MetadataOptions.HttpTokens != types.HttpTokensStateRequired || aws.ToInt32(i.MetadataOptions.HttpPutResponseHopLimit) != 1 {
		t.Errorf("its metadata service is %+v, want one that asks for tokens and goes one hop", i.MetadataOptions)
	}
	volumes, err := api.DescribeVolumes(t.Context(), &ec2.DescribeVolumesInput{Filters: []types.Filter{{Name: aws.String("attachment.instance-id"), Values: []string{m.ID}}}})
	if err != nil || len(volumes.Volumes) != 1 || !aws.ToBool(volumes.Volumes[0].Encrypted) || volumes.Volumes[0].VolumeType != types.VolumeTypeGp3 || aws.ToInt32(volumes.Volumes[0].Size) != 30 {
		t.Errorf("its volumes are %+v, %v, want one of 30 GiB, encrypted, gp3", volumes.Volumes, err)
	}
	behaviour, err := api.DescribeInstanceAttribute(t.Context(), &ec2.DescribeInstanceAttributeInput{InstanceId: &m.ID, Attribute: types.InstanceAttributeNameInstanceInitiatedShutdownBehavior})
	if err != nil || aws.ToString(behaviour.InstanceInitiatedShutdownBehavior.Value) != "terminate" {
		t.Errorf("at its shutdown it will %+v, %v, want terminate", behaviour.InstanceInitiatedShutdownBehavior, err)
	}
	if m.Type != "t3.large" || m.Address == "" || m.Phase != "opening" || m.Lease != 1 || m.Hourly == 0 || m.Expires.IsZero() {
		t.Errorf("Launch = %+v", m)
	}
	if again := launch(t, c, leaseOf("pr-1", 1)); again.ID != m.ID {
		t.Errorf("the second Launch is %s, want %s", again.ID, m.ID)
	}
	if err := c.Mark(t.Context(), m, map[string]string{host.TagState: "ready", host.TagURL: "http://pr-1.example.org"}); err != nil {
		t.Fatal(err)
	}
	all, err := c.Machines(t.Context())
	if err != nil || len(all) != 1 || all[0].URL != "http://pr-1.example.org" || all[0].Phase != "ready" {
		t.Errorf("Machines = %+v, %v, want the one that is ready", all, err)
	}
	r, err := c.End(t.Context(), "pr-1")
	if err != nil || len(r.Removed) < 3 {
		t.Errorf("End = %+v, %v, want the instance, its group and its parameter", r, err)
	}
	isEmpty(t, c)
	if m := launch(t, c, leaseOf("pr-1", 1)); m.Lease != 2 {
		t.Errorf("the next lease is %d, want 2", m.Lease)
	}
}

func TestLaunch_OfTwoAtOnceIsOne(t *testing.T) {
	a := awslab.Start(t)
	c := cloudOf(t, a.Environ(), nil)
	var all sync.WaitGroup
	ids := make([]string, 4)
	for i := range ids {
		all.Go(func() {
			m, err := c.Launch(t.Context(), leaseOf("pr-1", i+1))
			if err != nil {
				t.Errorf("Launch %d = %v", i, err)
			}
			ids[i] = m.ID
		})
	}
	all.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Errorf("they launched %v, want one machine", ids)
		}
	}
}

func TestLaunch_TriesElsewhere(t *testing.T) {
	a := awslab.Start(t)
	f := a.Faults(t)
	c := cloudOf(t, f.Environ(), func(o *host.Options) { o.Settings.Spot = true })
	f.Add(awslab.Fault{Service: "ec2", Action: "RunInstances", Code: "InsufficientInstanceCapacity", Times: 3 * 6}) // in each of six subnets
	m := launch(t, c, leaseOf("pr-1", 1))
	if m.Spot {
		t.Errorf("Launch = %+v, want the usual market after there is no spare capacity", m)
	}
	f.Clear()
	f.Add(awslab.Fault{Service: "ec2", Action: "RunInstances", Code: "VcpuLimitExceeded", Times: -1})
	var none *host.NoMachineError
	if _, err := c.Launch(t.Context(), leaseOf("pr-2", 1)); !errors.As(err, &none) || len(none.Tried) != 2 || !strings.Contains(err.Error(), "VcpuLimitExceeded") {
		t.Errorf("Launch without quota = %v, want all that was tried", err)
	}
}

// TestSweep_LeavesWhatIsNotOurs: a stranger's machine with copied tags, a live preview, and everything where a listing fails.
func TestSweep_LeavesWhatIsNotOurs(t *testing.T) {
	a := awslab.Start(t)
	f := a.Faults(t)
	c := cloudOf(t, f.Environ(), nil)
	live, interrupted := launch(t, c, leaseOf("pr-1", 1)), launch(t, c, leaseOf("pr-2", deadPID))
	over := leaseOf("pr-3", 1)
	over.Expires = time.Now().Add(-time.Minute)
	ended := launch(t, c, over)
	api := ec2.NewFromConfig(a.Config())
	seen, err := api.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{InstanceIds: []string{ended.ID}})
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := api.RunInstances(t.Context(), &ec2.RunInstancesInput{MinCount: aws.Int32(1), MaxCount: aws.Int32(1), ImageId: aws.String(string(awslab.AmazonLinux)), InstanceType: types.InstanceTypeT3Large,
		TagSpecifications: []types.TagSpecification{{ResourceType: types.ResourceTypeInstance, Tags: seen.Reservations[0].Instances[0].Tags}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, action := range []string{"DescribeInstances", "DescribeVolumes", "DescribeNetworkInterfaces", "DescribeSecurityGroups", "GetParametersByPath"} {
		f.Add(awslab.Fault{Action: action, Code: "InternalError", Times: 3})
		if r, err := c.Sweep(t.Context(), nil); err == nil || len(r.Removed) > 0 {
			t.Errorf("Sweep without an answer of %s = %+v, %v, want nothing removed and an error", action, r, err)
		}
		f.Clear()
	}
	r, err := c.Sweep(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	gone := map[string]string{}
	for _, one := range r.Removed {
		gone[one.ID] = one.Why
	}
	if gone[live.ID] != "" || gone[*stranger.Instances[0].InstanceId] != "" || !strings.Contains(gone[interrupted.ID], "interrupted") || !strings.Contains(gone[ended.ID], "lease ended") {
		t.Errorf("Sweep removed %+v, want %s and %s", gone, interrupted.ID, ended.ID)
	}
	isEmpty(t, c, "pr-1")
	is, err := api.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{InstanceIds: []string{*stranger.Instances[0].InstanceId}})
	if err != nil || is.Reservations[0].Instances[0].State.Name == types.InstanceStateNameTerminated {
		t.Errorf("the stranger's machine is %+v, %v, want it as it was", is, err)
	}
}
