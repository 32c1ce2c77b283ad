//go:build lab

package host_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/fixtures/lab/awslab"
	"github.com/strake-dev/strake/internal/host"
)

// TestLaunch_OfWhatOneListLacks: a machine that one list shows and the next one does not is not gone.
func TestLaunch_OfWhatOneListLacks(t *testing.T) {
	a := awslab.Start(t)
	c := cloudOf(t, a.Environ(), nil)
	a.LagAlternately(t, 100)
	m := launch(t, c, leaseOf("pr-1", 1))
	for len(machinesOf(t, c)) > 0 { // so that the next list shows it
	}
	again := launch(t, c, leaseOf("pr-1", 2))
	a.Lag(t, 0)
	if all := machinesOf(t, c); again.ID != m.ID || len(all) != 1 {
		t.Errorf("the second Launch is %s, and there are %s, want %s alone", again.ID, idsOf(all), m.ID)
	}
}

// tagger writes tags of a machine as another command would; "" takes one away.
func tagger(t *testing.T, a *awslab.Cloud, id string) func(key, value string) {
	api := ec2.NewFromConfig(a.Config())
	return func(key, value string) {
		ctx := context.WithoutCancel(t.Context())
		_, err := api.CreateTags(ctx, &ec2.CreateTagsInput{Resources: []string{id}, Tags: []types.Tag{{Key: &key, Value: &value}}})
		if value == "" {
			_, err = api.DeleteTags(ctx, &ec2.DeleteTagsInput{Resources: []string{id}, Tags: []types.Tag{{Key: &key}}})
		}
		if err != nil {
			t.Errorf("tag %s with %s=%s: %v", id, key, value, err)
		}
	}
}

// interrupted is the machine of an open that is known to be interrupted.
func interrupted(t *testing.T, c *host.Cloud, preview string) host.Machine {
	t.Helper()
	return launch(t, c, leaseOf(preview, deadPID))
}

// TestSweep_SparesWhatSomebodyComesTo: at whichever moment, and what others say of one machine keeps none of the rest.
func TestSweep_SparesWhatSomebodyComesTo(t *testing.T) {
	a := awslab.Start(t)
	alive := host.OwnerText(leaseOf("pr-1", 1).Owner)
	for _, c := range []struct {
		name string
		come func(f *awslab.Faults, tag func(key, value string))
	}{
		{"and the second look lacks it", func(f *awslab.Faults, tag func(key, value string)) {
			f.Add(awslab.Fault{Action: "CreateTags", After: func() { tag(host.TagOwner, alive); tag(host.TagProject, "") }}) // as if it were not listed
			f.Add(awslab.Fault{Action: "DescribeInstances", Call: 3, Before: func() { tag(host.TagProject, project) }})
		}},
		{"having waited for the Sweep", func(f *awslab.Faults, tag func(key, value string)) {
			f.Add(awslab.Fault{Action: "DescribeInstances", Call: 3, Before: func() { tag(host.TagOwner, alive); tag(host.TagState, "opening") }})
		}},
		{"and says what it is by now", func(f *awslab.Faults, tag func(key, value string)) {
			f.Add(awslab.Fault{Action: "CreateTags", After: func() { tag(host.TagState, "ready") }})
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			defer a.Reset(t)
			f := a.Faults(t)
			calm, sweeper := cloudOf(t, a.Environ(), nil), cloudOf(t, f.Environ(), nil)
			m, other := interrupted(t, calm, "pr-1"), interrupted(t, calm, "pr-2")
			c.come(f, tagger(t, a, m.ID))
			r, err := sweeper.Sweep(t.Context(), nil)
			f.Clear()
			if all := idsOf(machinesOf(t, calm)); err != nil || all != m.ID {
				t.Errorf("after Sweep = %+v, %v there are %s, want %s, and not %s", r, err, all, m.ID, other.ID)
			}
		})
	}
}

// TestWake_OfWhatASweepEnds goes on after it waited for the Sweep, and not where it could not look.
func TestWake_OfWhatASweepEnds(t *testing.T) {
	a := awslab.Start(t)
	f := a.Faults(t)
	c := cloudOf(t, f.Environ(), nil)
	m := interrupted(t, c, "pr-1")
	tagger(t, a, m.ID)(host.TagState, "emptying")
	f.Add(awslab.Fault{Action: "DescribeInstances", Call: 2, Code: "UnauthorizedOperation"})
	if _, err := c.Wake(t.Context(), m, leaseOf("pr-1", 1).Owner); err == nil {
		t.Error("Wake that may not look = nil, want an error")
	}
	if all := machinesOf(t, c); len(all) != 1 || all[0].Phase != "emptying" {
		t.Errorf("Machines = %+v, want it as the Sweep left it", all)
	}
}

// TestEnd_OfWhatIsUnknownForAMoment: a server that has not heard of a machine does not end it.
func TestEnd_OfWhatIsUnknownForAMoment(t *testing.T) {
	a := awslab.Start(t)
	f := a.Faults(t)
	c := cloudOf(t, f.Environ(), nil)
	launch(t, c, leaseOf("pr-1", 1))
	f.Add(awslab.Fault{Action: "TerminateInstances", Times: 3, Code: "InvalidInstanceID.NotFound"})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if r, err := c.End(ctx, "pr-1"); err != nil {
		t.Errorf("End = %+v, %v", r, err)
	}
	isEmpty(t, c)
}

// TestSweep_LeavesWhatIsExtendedAtTheLastMoment, as the end of a lease that moved is seen late.
func TestSweep_LeavesWhatIsExtendedAtTheLastMoment(t *testing.T) {
	a := awslab.Start(t)
	now := time.Now()
	c := cloudOf(t, a.Environ(), func(o *host.Options) { o.Now = func() time.Time { return now } })
	m := launch(t, c, leaseOf("pr-1", 1))
	for _, c1 := range []struct {
		after time.Duration
		there bool
	}{{30 * time.Second, true}, {2 * time.Minute, false}} {
		now = m.Expires.Add(c1.after)
		if _, err := c.Sweep(t.Context(), nil); err != nil || (idsOf(machinesOf(t, c)) != "") != c1.there {
			t.Errorf("%s after its end, Sweep = %v, and it is there: %v, want %v", c1.after, err, !c1.there, c1.there)
		}
	}
}

// TestLaunch_ShutsWhatWasOpenInside: SSH for all of a VPC, once machines are not private any more.
func TestLaunch_ShutsWhatWasOpenInside(t *testing.T) {
	a := awslab.Start(t)
	f := a.Faults(t)
	at := func(address compose.EC2Address) *host.Cloud {
		return cloudOf(t, f.Environ(), func(o *host.Options) { o.Settings.Address = address })
	}
	f.Add(awslab.Fault{Action: "RunInstances", Code: "UnauthorizedOperation"})
	if _, err := at(compose.AddressPrivate).Launch(t.Context(), leaseOf("pr-1", 1)); err == nil || !slices.Contains(letIn(t, a, "pr-1"), "22 0.0.0.0/0") {
		t.Fatalf("Launch = %v, and it lets in %v, want an error, and SSH from everywhere", err, letIn(t, a, "pr-1"))
	}
	launch(t, at(compose.EC2Settings{}.WithDefaults().Address), leaseOf("pr-1", 1))
	if rules := strings.Join(letIn(t, a, "pr-1"), ", "); strings.Contains(rules, "22 ") || !strings.Contains(rules, "443 ") {
		t.Errorf("it lets in %s, want visitors alone", rules)
	}
}

// TestEnd_ForgetsAShareOfWhatAWSTookBack, and not that of the others.
func TestEnd_ForgetsAShareOfWhatAWSTookBack(t *testing.T) {
	a := awslab.Start(t)
	c := cloudOf(t, a.Environ(), nil)
	m := launchShared(t, c, "pr-1", 1)
	launchShared(t, c, "pr-2", 2)
	a.TakeBack(t, m.ID)
	if _, err := c.End(t.Context(), "pr-1"); err != nil {
		t.Error(err)
	}
	all := machinesOf(t, c)
	_, one := host.Taken(all, "pr-1")
	if _, two := host.Taken(all, "pr-2"); one != "" || two == "" {
		t.Errorf("after End of pr-1 it is %q, and pr-2 %q, want that of pr-2 alone", one, two)
	}
}

// TestLaunch_AfterASweepOfItsGroup: the one that it was about to take up was removed.
func TestLaunch_AfterASweepOfItsGroup(t *testing.T) {
	a := awslab.Start(t)
	f := a.Faults(t)
	calm, c := cloudOf(t, a.Environ(), nil), cloudOf(t, f.Environ(), nil)
	ctx, cancel := context.WithCancel(t.Context())
	f.Add(awslab.Fault{Action: "CreateSecurityGroup", Cut: awslab.After, After: cancel})
	if _, err := c.Launch(ctx, leaseOf("pr-1", deadPID)); err == nil {
		t.Fatal("the open that is interrupted = nil, want an error")
	}
	f.Clear()
	f.Add(awslab.Fault{Action: "CreateTags", Before: func() {
		if r, err := calm.Sweep(context.WithoutCancel(t.Context()), nil); err != nil || len(r.Removed) != 1 {
			t.Errorf("Sweep before it is taken up = %+v, %v, want its group removed", r, err)
		}
	}})
	m := launch(t, c, leaseOf("pr-1", 1))
	f.Clear()
	isEmpty(t, c, m.Preview)
	groupOf(t, a, "pr-1")
}

// TestSweep_EndsTheSecondOfTwo that were launched for one preview and saw nothing of each other, and takes nothing from the first.
func TestSweep_EndsTheSecondOfTwo(t *testing.T) {
	a := awslab.Start(t)
	c := cloudOf(t, a.Environ(), nil)
	first := launch(t, c, leaseOf("pr-1", 1))
	tag := tagger(t, a, first.ID)
	tag(host.TagProject, "") // as if it were not listed
	other := cloudOf(t, a.Environ(), func(o *host.Options) { o.Settings.Types = []string{"t3.xlarge"} })
	second := launch(t, other, leaseOf("pr-1", deadPID))
	tag(host.TagProject, project)
	if second.ID == first.ID || second.Lease != first.Lease {
		t.Fatalf("the second is %+v, want another one of lease %d", second, first.Lease)
	}
	r, err := c.Sweep(t.Context(), nil)
	if there := idsOf(machinesOf(t, c)); err != nil || strings.TrimSpace(kindsOf(r)) != host.KindInstance || there != first.ID {
		t.Errorf("Sweep = %s, %v, and there is %s, want %s, with all that belongs to it", kindsOf(r), err, there, first.ID)
	}
}
