//go:build lab

package host_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/aws/aws-sdk-go-v2/service/route53/types"

	"github.com/strake-dev/strake/fixtures/lab/awslab"
	"github.com/strake-dev/strake/internal/host"
)

// domain is that of the tests' previews, in a zone of their own.
const domain = "preview.example.com"

// zoneOf makes a zone, and returns its id.
func zoneOf(t *testing.T, a *awslab.Cloud, name string, private bool) string {
	t.Helper()
	api := route53.NewFromConfig(a.Config())
	in := &route53.CreateHostedZoneInput{Name: &name, CallerReference: aws.String(name + time.Now().String())}
	if private {
		in.HostedZoneConfig = &types.HostedZoneConfig{PrivateZone: true}
		in.VPC = &types.VPC{VPCId: aws.String("vpc-1"), VPCRegion: types.VPCRegionUsEast1}
	}
	out, err := api.CreateHostedZone(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return *out.HostedZone.Id
}

// recordsIn are the records of a zone but for those that every zone has, as "name type value".
func recordsIn(t *testing.T, a *awslab.Cloud, zone string) (all []string) {
	t.Helper()
	out, err := route53.NewFromConfig(a.Config()).ListResourceRecordSets(t.Context(), &route53.ListResourceRecordSetsInput{HostedZoneId: &zone})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range out.ResourceRecordSets {
		if s.Type == types.RRTypeNs || s.Type == types.RRTypeSoa {
			continue
		}
		for _, v := range s.ResourceRecords {
			all = append(all, strings.TrimSuffix(*s.Name, ".")+" "+string(s.Type)+" "+*v.Value)
		}
	}
	slices.Sort(all)
	return all
}

// write does something to a record.
func write(t *testing.T, a *awslab.Cloud, zone string, action types.ChangeAction, name string, kind types.RRType, value string) {
	t.Helper()
	_, err := route53.NewFromConfig(a.Config()).ChangeResourceRecordSets(t.Context(), &route53.ChangeResourceRecordSetsInput{HostedZoneId: &zone, ChangeBatch: &types.ChangeBatch{Changes: []types.Change{
		{Action: action, ResourceRecordSet: &types.ResourceRecordSet{Name: &name, Type: kind, TTL: aws.Int64(300), ResourceRecords: []types.ResourceRecord{{Value: &value}}}}}}})
	if err != nil {
		t.Fatal(err)
	}
}

func inDomain(o *host.Options) { o.Domain = domain }

// point has names lead to a machine, and waits until they do.
func point(t *testing.T, c *host.Cloud, m host.Machine, hosts ...string) {
	t.Helper()
	change, err := c.Point(t.Context(), m, m.Preview, hosts)
	if err == nil {
		err = c.Spread(t.Context(), m, change)
	}
	if err != nil {
		t.Fatalf("Point(%v) = %v", hosts, err)
	}
}

func TestPoint_WritesWhoseANameIsAndGoesWithIt(t *testing.T) {
	a := awslab.Start(t)
	zoneOf(t, a, "example.com", false)
	zoneOf(t, a, domain, true) // nearer, and asked by nobody outside
	zone := zoneOf(t, a, domain, false)
	f := a.Faults(t)
	c := cloudOf(t, f.Environ(), inDomain)
	write(t, a, zone, types.ChangeActionCreate, "other."+domain, types.RRTypeA, "192.0.2.1")
	m := launch(t, c, leaseOf("pr-1", 1))
	main, api := "pr-1."+domain, "api--pr-1."+domain
	point(t, c, m, main, api)
	said := recordsIn(t, a, zone)
	if len(said) != 5 || !slices.Contains(said, main+" A "+m.Address) || !slices.Contains(said, api+" A "+m.Address) ||
		!slices.ContainsFunc(said, func(s string) bool {
			return strings.HasPrefix(s, "_strake."+main+` TXT "strake/1 project=shop preview=pr-1 lease=1 since=`)
		}) {
		t.Errorf("after Point the zone has %q, want both names and whose they are", said)
	}
	m, _ = host.Holding(machinesOf(t, c), "pr-1")
	if change, err := c.Point(t.Context(), m, m.Preview, []string{main, api}); err != nil || change != (host.Change{}) {
		t.Errorf("the same Point again = %v, %v, want nothing changed", change, err)
	}
	f.Clear()
	r, err := c.End(t.Context(), "pr-1")
	order := ""
	for _, call := range f.Calls() {
		order += call.Action + " "
	}
	if forgotten, ended := strings.LastIndex(order, "GetChange"), strings.Index(order, "TerminateInstances"); forgotten < 0 || ended < forgotten {
		t.Errorf("End called %s, want the machine ended when its names are forgotten", order)
	}
	if err != nil || len(r.Removed) < 5 || r.Removed[0].Kind != host.KindRecord || r.Removed[1].Kind != host.KindRecord {
		t.Errorf("End = %+v, %v, want the names first", r, err)
	}
	if said := recordsIn(t, a, zone); !slices.Equal(said, []string{"other." + domain + " A 192.0.2.1"}) {
		t.Errorf("after End the zone has %q, want what was there before", said)
	}
}

func machinesOf(t *testing.T, c *host.Cloud) []host.Machine {
	t.Helper()
	all, err := c.Machines(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestPoint_LeavesWhatIsNotOurs: records of strangers, of another project and of another preview, and one that a stranger put beside ours.
func TestPoint_LeavesWhatIsNotOurs(t *testing.T) {
	a := awslab.Start(t)
	zone := zoneOf(t, a, "example.com", false)
	c := cloudOf(t, a.Environ(), inDomain)
	m := launch(t, c, leaseOf("pr-1", 1))
	foreign := `"strake/1 project=other preview=pr-1 lease=1 since=2026-01-01T00:00:00Z"`
	for _, one := range []struct {
		name  string
		kind  types.RRType
		value string
	}{{"a." + domain, types.RRTypeA, "192.0.2.1"}, {"b." + domain, types.RRTypeCname, "elsewhere.example.org."}, {"c." + domain, types.RRTypeAaaa, "2001:db8::1"},
		{"_strake.d." + domain, types.RRTypeTxt, foreign}, {"_strake.e." + domain, types.RRTypeTxt, `"not strake"`}} {
		write(t, a, zone, types.ChangeActionCreate, one.name, one.kind, one.value)
	}
	before := recordsIn(t, a, zone)
	for _, label := range []string{"a", "b", "c", "d", "e"} {
		var taken *host.TakenError
		if _, err := c.Point(t.Context(), m, m.Preview, []string{label + "." + domain, "free." + domain}); !errors.As(err, &taken) || taken.Host != label+"."+domain {
			t.Errorf("Point(%s) = %v, want that it is taken", label, err)
		}
	}
	if said := recordsIn(t, a, zone); !slices.Equal(said, before) {
		t.Errorf("afterwards the zone has %q, want %q", said, before)
	}
	point(t, c, m, "pr-1."+domain)
	write(t, a, zone, types.ChangeActionCreate, "pr-1."+domain, types.RRTypeAaaa, "2001:db8::2")
	if _, err := c.End(t.Context(), "pr-1"); err != nil {
		t.Errorf("End = %v", err)
	}
	if said, want := recordsIn(t, a, zone), append(before, "pr-1."+domain+" AAAA 2001:db8::2"); !slices.Equal(said, slices.Sorted(slices.Values(want))) {
		t.Errorf("after End the zone has %q, want %q", said, want)
	}
	wanted := leaseOf("pr-3", 1)
	wanted.Hosts = []string{"a." + domain}
	var taken *host.TakenError
	if _, err := c.Launch(t.Context(), wanted); !errors.As(err, &taken) {
		t.Errorf("Launch for a name that is taken = %v", err)
	}
	none := cloudOf(t, a.Environ(), func(o *host.Options) { o.Domain = "example.net" })
	if _, err := none.Launch(t.Context(), leaseOf("pr-2", 1)); err == nil || !strings.Contains(err.Error(), "no public zone") {
		t.Errorf("Launch in a domain without a zone = %v", err)
	}
	isEmpty(t, c)
}

func TestFollow_LeadsToTheAddressThatTheMachineHasNow(t *testing.T) {
	a := awslab.Start(t)
	zone := zoneOf(t, a, "example.com", false)
	c := cloudOf(t, a.Environ(), inDomain)
	m := launch(t, c, leaseOf("pr-1", 1))
	name := "pr-1." + domain
	before := m
	before.Address = "192.0.2.9"
	point(t, c, before, name)
	m, _ = host.Holding(machinesOf(t, c), "pr-1")
	if err := c.Follow(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if said := recordsIn(t, a, zone); len(said) != 2 || said[1] != name+" A "+m.Address {
		t.Errorf("after Follow the zone has %q, want %s", said, m.Address)
	}
	if err := c.Unpoint(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if said := recordsIn(t, a, zone); len(said) != 1 || !strings.HasPrefix(said[0], "_strake."+name) {
		t.Errorf("after Unpoint the zone has %q, want whose the name is and no address", said)
	}
	m, _ = host.Holding(machinesOf(t, c), "pr-1")
	if err := c.Follow(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if said := recordsIn(t, a, zone); len(said) != 2 || said[1] != name+" A "+m.Address {
		t.Errorf("after Unpoint and Follow the zone has %q, want %s", said, m.Address)
	}
}

// TestSweep_RemovesNamesOfMachinesThatAreGone, whatever the settings say by then, and none where the zone cannot be read.
func TestSweep_RemovesNamesOfMachinesThatAreGone(t *testing.T) {
	a := awslab.Start(t)
	f := a.Faults(t)
	zone := zoneOf(t, a, "example.com", false)
	c := cloudOf(t, f.Environ(), inDomain)
	gone, there := launch(t, c, leaseOf("pr-1", 1)), launch(t, c, leaseOf("pr-2", 1))
	point(t, c, gone, "pr-1."+domain)
	point(t, c, there, "pr-2."+domain)
	if err := c.Mark(t.Context(), there, map[string]string{host.TagState: "ready"}); err != nil {
		t.Fatal(err)
	}
	if _, err := ec2.NewFromConfig(a.Config()).TerminateInstances(t.Context(), &ec2.TerminateInstancesInput{InstanceIds: []string{gone.ID}}); err != nil {
		t.Fatal(err)
	}
	for _, action := range []string{"ListHostedZones", "ListResourceRecordSets"} {
		f.Add(awslab.Fault{Service: "route53", Action: action, Code: "InternalError", Times: 3})
		if r, err := c.Sweep(t.Context(), nil); err == nil || len(r.Removed) > 0 {
			t.Errorf("Sweep without an answer of %s = %+v, %v, want nothing removed and an error", action, r, err)
		}
		f.Clear()
	}
	moved := cloudOf(t, f.Environ(), nil) // the setting is gone
	if _, err := moved.Sweep(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	said := recordsIn(t, a, zone)
	if len(said) != 2 || said[1] != "pr-2."+domain+" A "+there.Address {
		t.Errorf("after Sweep the zone has %q, want the name of pr-2", said)
	}
}
