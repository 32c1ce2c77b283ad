//go:build lab

package host_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/fixtures/lab"
	"github.com/strake-dev/strake/fixtures/lab/awslab"
	"github.com/strake-dev/strake/internal/host"
)

// lags are after how many calls of EC2 what was made is seen.
func lags() []int { return []int{1, 8, 3, 2, 5, 13, 21}[:lab.Count(2, 7)] }

// TestSweep_TakesNothingThatWasJustMade: between any two calls of an open, whose things AWS shows late; and after its close nothing is left.
func TestSweep_TakesNothingThatWasJustMade(t *testing.T) {
	a := awslab.Start(t)
	f := a.Faults(t)
	calm, opener := cloudOf(t, a.Environ(), nil), cloudOf(t, f.Environ(), nil)
	for i, lag := range lags() {
		preview := fmt.Sprintf("pr-%d", i+1)
		a.Lag(t, lag)
		swept := 0
		f.Add(awslab.Fault{Times: -1, After: func() {
			swept++
			if r, err := calm.Sweep(context.WithoutCancel(t.Context()), nil); err != nil || len(r.Removed)+len(r.Left) > 0 {
				t.Errorf("%d calls late: Sweep after call %d = %+v, %v, want nothing", lag, swept, r, err)
			}
		}})
		m := launch(t, opener, leaseOf(preview, 1))
		f.Clear()
		if err := calm.Mark(t.Context(), m, map[string]string{host.TagState: "ready"}); err != nil {
			t.Errorf("%d calls late: Mark = %v", lag, err)
		}
		r, err := calm.End(t.Context(), preview)
		if err != nil || !strings.Contains(kindsOf(r), host.KindInstance) {
			t.Errorf("%d calls late: End = %s, %v, want its machine gone", lag, kindsOf(r), err)
		}
		a.Lag(t, 0)
		isEmpty(t, calm)
		t.Logf("%d calls late: %d sweeps between the calls of an open", lag, swept)
	}
}

// TestSweep_ForgetsNothing of an open that was interrupted after any of its calls, whose things AWS shows late.
func TestSweep_ForgetsNothing(t *testing.T) {
	a := awslab.Start(t)
	f := a.Faults(t)
	c := cloudOf(t, f.Environ(), nil)
	launch(t, c, leaseOf("other", 1)) // which makes the project's key
	f.Clear()
	launch(t, c, leaseOf("other-too", 1))
	var changes []awslab.Call
	for _, call := range f.Calls() {
		if !strings.HasPrefix(call.Action, "Describe") && !strings.HasPrefix(call.Action, "Get") {
			changes = append(changes, call)
		}
	}
	for i := range changes {
		late := []int{lags()[i%len(lags())]}
		if lab.Count(0, 1) > 0 {
			late = lags()
		}
		for _, lag := range late {
			preview := fmt.Sprintf("pr-%d-%d", i+1, lag)
			ctx, cancel := context.WithCancel(t.Context())
			a.Lag(t, lag)
			f.Clear()
			f.Add(faultAt(changes, i, awslab.Fault{Cut: awslab.After, After: cancel}))
			if _, err := c.Launch(ctx, leaseOf(preview, deadPID)); err == nil {
				t.Errorf("the open that ends after %s = nil, want an error", changes[i].Action)
			}
			f.Clear()
			for range 3 {
				if _, err := c.Sweep(t.Context(), nil); err != nil {
					t.Errorf("%d calls late: the Sweep after %s = %v", lag, changes[i].Action, err)
				}
			}
			a.Lag(t, 0)
			isEmpty(t, c, "other", "other-too")
		}
	}
	t.Logf("interrupted after %d calls that change something", len(changes))
}

// TestSweep_LeavesWhatAnotherTookUp: what an interrupted open left, while the next open of that preview is at it.
func TestSweep_LeavesWhatAnotherTookUp(t *testing.T) {
	a := awslab.Start(t)
	for _, action := range []string{"CreateSecurityGroup", "RunInstances"} { // after which the first one is interrupted
		for _, lag := range append([]int{0}, lags()...) {
			t.Run(fmt.Sprintf("%s, %d calls late", action, lag), func(t *testing.T) {
				f := a.Faults(t)
				calm, c := cloudOf(t, a.Environ(), nil), cloudOf(t, f.Environ(), nil)
				ctx, cancel := context.WithCancel(t.Context())
				f.Add(awslab.Fault{Action: action, Cut: awslab.After, After: cancel})
				if _, err := c.Launch(ctx, leaseOf("pr-1", deadPID)); err == nil {
					t.Fatal("the open that is interrupted = nil, want an error")
				}
				f.Clear()
				a.Lag(t, lag)
				taken := false // since which nothing may be taken away
				f.Add(awslab.Fault{Action: "CreateTags", After: func() { taken = true }})
				f.Add(awslab.Fault{Times: -1, After: func() {
					if !taken {
						return
					}
					if r, err := calm.Sweep(context.WithoutCancel(t.Context()), nil); err != nil || len(r.Removed) > 0 {
						t.Errorf("Sweep while it is taken up = %+v, %v, want nothing", r, err)
					}
				}})
				m := launch(t, c, leaseOf("pr-1", 1))
				f.Clear()
				a.Lag(t, 0)
				if now, ok := host.Holding(machinesOf(t, calm), "pr-1"); !ok || now.ID != m.ID || now.Phase != "opening" {
					t.Errorf("its machine is %+v, want %s", now, m.ID)
				}
				if _, err := calm.End(t.Context(), "pr-1"); err != nil {
					t.Error(err)
				}
				isEmpty(t, calm)
			})
			a.Reset(t)
		}
	}
}

// TestLaunch_OfSeveralIsOneThatIsSeenLate: of those who open one preview at once, and of previews that share machines.
func TestLaunch_OfSeveralIsOneThatIsSeenLate(t *testing.T) {
	a := awslab.Start(t)
	for _, lag := range lags() {
		a.Lag(t, lag)
		c := cloudOf(t, a.Environ(), nil)
		var all sync.WaitGroup
		ids := make([]string, 3)
		for i := range ids {
			all.Go(func() {
				m, err := c.Launch(t.Context(), leaseOf("pr-1", i+1))
				if err != nil {
					t.Errorf("%d calls late: Launch = %v", lag, err)
				}
				ids[i] = m.ID
				launchShared(t, c, fmt.Sprintf("pr-1%d", i), i+10)
			})
		}
		all.Wait()
		a.Lag(t, 0)
		shares := 0
		for _, m := range machinesOf(t, c) {
			if shares += len(m.Shares); len(m.Shares) > 2 {
				t.Errorf("%d calls late: on %s are %+v, want two at most", lag, m.ID, m.Shares)
			}
		}
		if ids[0] != ids[1] || ids[0] != ids[2] || shares != 3 {
			t.Errorf("%d calls late: they launched %v, and %d share machines; want one machine, and 3", lag, ids, shares)
		}
		a.Reset(t)
	}
}

func TestSleep_OfWhatIsSeenLate(t *testing.T) {
	a := awslab.Start(t)
	c := sleepy(t, a, a.Environ(), 0)
	for i, lag := range lags() {
		a.Lag(t, lag)
		preview := fmt.Sprintf("pr-%d", i+1)
		m := sleep(t, c, launchReady(t, c, preview))
		if _, err := c.Sweep(t.Context(), nil); err != nil {
			t.Errorf("%d calls late: Sweep = %v", lag, err)
		}
		m, err := c.Wake(t.Context(), m, compose.Owner{Machine: "m", Boot: "b", PID: i + 10, Start: "1", Host: "laptop"})
		if err != nil || m.State != "running" {
			t.Errorf("%d calls late: Wake = %+v, %v, want it to run", lag, m, err)
		}
		if _, err := c.End(t.Context(), preview); err != nil {
			t.Errorf("%d calls late: End = %v", lag, err)
		}
		a.Lag(t, 0)
		isEmpty(t, c)
	}
}

// TestLaunch_WithoutASubnet: one that was removed is passed over, wherever that is seen; where all were it is said.
func TestLaunch_WithoutASubnet(t *testing.T) {
	a := awslab.Start(t)
	f := a.Faults(t)
	api := ec2.NewFromConfig(a.Config())
	there, err := api.DescribeSubnets(t.Context(), &ec2.DescribeSubnetsInput{})
	if err != nil {
		t.Fatal(err)
	}
	const gone = "subnet-00000000000000000"
	in := func(subnets ...string) *host.Cloud {
		return cloudOf(t, f.Environ(), func(o *host.Options) { o.Settings.Subnets = subnets })
	}
	first, second := *there.Subnets[0].SubnetId, *there.Subnets[1].SubnetId
	launch(t, in(gone, first), leaseOf("pr-1", 1))
	f.Add(awslab.Fault{Action: "RunInstances", Code: "InvalidSubnetID.NotFound"})
	m := launch(t, in(first, second), leaseOf("pr-2", 1))
	out, err := api.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{InstanceIds: []string{m.ID}})
	if err != nil || *out.Reservations[0].Instances[0].SubnetId != second {
		t.Errorf("it is in %+v, %v, want %s, as the first is not there", out, err, second)
	}
	var hint *compose.HintedError
	if _, err := in(gone).Launch(t.Context(), leaseOf("pr-3", 1)); !errors.As(err, &hint) || !strings.Contains(err.Error(), gone) || !strings.Contains(hint.Next, "subnets") {
		t.Errorf("Launch in a subnet that is gone = %v, want that it is not there", err)
	}
}

// TestLaunch_AfterItsMachineIsForgotten: AWS still knows the token of a machine that it lists no more.
func TestLaunch_AfterItsMachineIsForgotten(t *testing.T) {
	a := awslab.Start(t)
	c := cloudOf(t, a.Environ(), nil)
	l := leaseOf("pr-1", 1)
	m := launch(t, c, l)
	api := ec2.NewFromConfig(a.Config())
	if _, err := api.TerminateInstances(t.Context(), &ec2.TerminateInstancesInput{InstanceIds: []string{m.ID}}); err != nil {
		t.Fatal(err)
	}
	tag := host.TagProject
	if _, err := api.DeleteTags(t.Context(), &ec2.DeleteTagsInput{Resources: []string{m.ID}, Tags: []types.Tag{{Key: &tag}}}); err != nil { // as if it were not listed
		t.Fatal(err)
	}
	again, err := c.Launch(t.Context(), l) // with all as it was, as by a command that is tried again
	if err != nil || again.ID == m.ID || again.Lease != 2 {
		t.Errorf("Launch = %+v, %v, want another machine, of lease 2", again, err)
	}
	if _, err := c.End(t.Context(), "pr-1"); err != nil {
		t.Error(err)
	}
	isEmpty(t, c)
}
