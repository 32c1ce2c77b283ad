//go:build lab

package host_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/route53/types"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/fixtures/lab/awslab"
	"github.com/strake-dev/strake/internal/host"
)

// TestRecords_AreOfOneRegion: names are of the account, and whoever sweeps, closes or opens in another region sees no machines of this one.
func TestRecords_AreOfOneRegion(t *testing.T) {
	a := awslab.Start(t)
	zone := zoneOf(t, a, "example.com", false)
	here := cloudOf(t, a.Environ(), inDomain)
	point(t, here, launch(t, here, leaseOf("pr-1", 1)), "pr-1."+domain)
	before := recordsIn(t, a, zone)
	there := cloudOf(t, a.Environ(), func(o *host.Options) {
		o.Domain, o.Settings.Region = domain, "us-west-2"
		o.Now = func() time.Time { return time.Now().Add(2 * time.Hour) }
	})
	if r, err := there.Sweep(t.Context(), nil); err != nil || len(r.Removed) > 0 {
		t.Errorf("Sweep in another region = %+v, %v, want nothing removed", r, err)
	}
	if r, err := there.End(t.Context(), "pr-1"); err != nil || len(r.Removed) > 0 {
		t.Errorf("End in another region = %+v, %v, want nothing removed", r, err)
	}
	wanted := leaseOf("pr-1", 1)
	wanted.Hosts = []string{"pr-1." + domain}
	var taken *host.TakenError
	if _, err := there.Launch(t.Context(), wanted); !errors.As(err, &taken) || !strings.Contains(err.Error(), "in region us-east-1") {
		t.Errorf("Launch in another region = %v, want that the name is taken in us-east-1", err)
	}
	if said := recordsIn(t, a, zone); !slices.Equal(said, before) {
		t.Errorf("afterwards the zone has %q, want %q", said, before)
	}
	const old = "_strake.pr-2." + domain // of before marks said their region
	write(t, a, zone, types.ChangeActionCreate, old, types.RRTypeTxt, `"strake/1 project=shop preview=pr-2 lease=1 since=2026-01-01T00:00:00Z"`)
	if r, err := here.Sweep(t.Context(), nil); err != nil || len(r.Removed) != 1 || r.Removed[0].ID != "pr-2."+domain {
		t.Errorf("Sweep of a name that does not say its region = %+v, %v, want it removed", r, err)
	}
}

// TestSweep_KeepsOnlyWhatANameThatStaysIsOf: the machines of other leases go.
func TestSweep_KeepsOnlyWhatANameThatStaysIsOf(t *testing.T) {
	a := awslab.Start(t)
	f := a.Faults(t)
	zone := zoneOf(t, a, "example.com", false)
	c := cloudOf(t, f.Environ(), inDomain)
	var ids []string
	for _, preview := range []string{"pr-1", "pr-2"} {
		m := launch(t, c, leaseOf(preview, deadPID))
		point(t, c, m, preview+"."+domain)
		ids = append(ids, m.ID)
	}
	f.Add(awslab.Fault{Service: "route53", Action: "ChangeResourceRecordSets", Code: "AccessDenied"})
	r, err := c.Sweep(t.Context(), nil)
	if err == nil || !strings.Contains(err.Error(), "remove record pr-1."+domain) {
		t.Errorf("Sweep without one name = %v, want which stays", err)
	}
	for _, some := range [][]host.Thing{r.Removed, r.Left} {
		if len(some) < 4 || slices.ContainsFunc(some, func(t host.Thing) bool { return t.Preview != some[0].Preview }) {
			t.Errorf("Sweep = %+v, want all of pr-2 removed and all of pr-1 left", r)
		}
	}
	if there := idsOf(machinesOf(t, c)); there != ids[0] {
		t.Errorf("there are %s, want %s, whose name stays", there, ids[0])
	}
	if said := recordsIn(t, a, zone); len(said) != 2 || !strings.HasPrefix(said[1], "pr-1.") {
		t.Errorf("the zone has %q, want the name of pr-1", said)
	}
	if _, err := c.Sweep(t.Context(), nil); err != nil {
		t.Errorf("the next Sweep = %v", err)
	}
	isEmpty(t, c)
}

// TestPoint_OnASharedMachine: names are their preview's, whatever the machine is, and go with either.
func TestPoint_OnASharedMachine(t *testing.T) {
	a := awslab.Start(t)
	zone := zoneOf(t, a, "example.com", false)
	c := cloudOf(t, a.Environ(), inDomain)
	share := func(preview string) host.Machine {
		t.Helper()
		l := leaseOf(preview, 1)
		l.Hosts = []string{preview + "." + domain}
		m, err := c.LaunchShared(t.Context(), l, 3)
		if err != nil {
			t.Fatalf("LaunchShared of %s = %v", preview, err)
		}
		return m
	}
	pointOf := func(m host.Machine, preview string, hosts ...string) {
		t.Helper()
		change, err := c.Point(t.Context(), m, preview, hosts)
		if err == nil {
			err = c.Spread(t.Context(), m, change)
		}
		if err != nil {
			t.Fatalf("Point of %s = %v", preview, err)
		}
	}
	for _, preview := range []string{"pr-1", "pr-2", "pr-3"} {
		pointOf(share(preview), preview, preview+"."+domain)
	}
	m := share("pr-1")
	const hashed = "a-long-service-0a1b2c." + domain
	pointOf(m, "pr-1", "pr-1."+domain, hashed)
	var taken *host.TakenError
	if _, err := c.Point(t.Context(), m, "pr-2", []string{hashed}); !errors.As(err, &taken) || !strings.Contains(err.Error(), "preview pr-1") {
		t.Errorf("Point of another preview on the machine at %s = %v, want that it is pr-1's", hashed, err)
	}
	if err := c.Unname(t.Context(), m, "pr-1"); err != nil {
		t.Fatal(err)
	}
	if said := strings.Join(recordsIn(t, a, zone), "\n"); strings.Contains(said, "pr-1") || strings.Contains(said, hashed) || strings.Count(said, " machine=shared.1") != 2 ||
		!strings.Contains(said, "pr-2."+domain+` TXT "strake/1 project=shop preview=pr-2 lease=1 since=`) {
		t.Errorf("after Unname of pr-1 the zone has\n%s\nwant the names of pr-2 and pr-3", said)
	}
	if _, err := ec2.NewFromConfig(a.Config()).TerminateInstances(t.Context(), &ec2.TerminateInstancesInput{InstanceIds: []string{m.ID}}); err != nil {
		t.Fatal(err)
	}
	next := share("pr-2")
	if next.ID == m.ID || next.Lease == m.Lease && next.Preview == m.Preview {
		t.Fatalf("pr-2 is on %+v again, want another machine", next)
	}
	pointOf(next, "pr-2", "pr-2."+domain)
	if _, err := c.Sweep(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if said := recordsIn(t, a, zone); len(said) != 2 || said[1] != "pr-2."+domain+" A "+next.Address {
		t.Errorf("after its machine is gone the zone has %q, want the name of pr-2, which is open again", said)
	}
	if _, err := c.Launch(t.Context(), leaseOf("pr-2", 1)); err == nil || !strings.Contains(err.Error(), "close it first") { // of a fork by now
		t.Errorf("Launch of what is on a shared machine = %v, want that it has to be closed first", err)
	}
}

// TestPoint_WritesAgainForWhatNobodyWaited: of each name by itself.
func TestPoint_WritesAgainForWhatNobodyWaited(t *testing.T) {
	a := awslab.Start(t)
	zoneOf(t, a, "example.com", false)
	c := cloudOf(t, a.Environ(), inDomain)
	launchShared(t, c, "pr-1", 1)
	m := launchShared(t, c, "pr-2", 2)
	write := func(preview string) host.Change {
		t.Helper()
		change, err := c.Point(t.Context(), m, preview, []string{preview + "." + domain}) // m is as it was before all of them
		if err != nil {
			t.Fatal(err)
		}
		return change
	}
	if err := c.Spread(t.Context(), m, write("pr-1")); err != nil {
		t.Fatal(err)
	}
	write("pr-2") // and was killed
	if again := write("pr-1"); again != (host.Change{}) {
		t.Errorf("Point of pr-1 again = %v, want nothing changed: it is known to be everywhere", again)
	}
	again := write("pr-2")
	if again == (host.Change{}) {
		t.Fatal("Point of pr-2 again = nothing, want it written again: nobody waited")
	}
	if err := c.Spread(t.Context(), m, again); err != nil {
		t.Fatal(err)
	}
	for _, preview := range []string{"pr-1", "pr-2"} {
		if again := write(preview); again != (host.Change{}) {
			t.Errorf("Point of %s in the end = %v, want nothing changed", preview, again)
		}
	}
}

// TestFollow_WaitsBeforeItSaysSo, with the names of all who share the machine.
func TestFollow_WaitsBeforeItSaysSo(t *testing.T) {
	a := awslab.Start(t)
	f := a.Faults(t)
	zone := zoneOf(t, a, "example.com", false)
	c := cloudOf(t, f.Environ(), inDomain)
	launchShared(t, c, "pr-1", 1)
	m := launchShared(t, c, "pr-2", 2)
	before := m
	before.Address = "192.0.2.9"
	for _, preview := range []string{"pr-1", "pr-2"} {
		change, err := c.Point(t.Context(), before, preview, []string{preview + "." + domain})
		if err == nil {
			err = c.Spread(t.Context(), before, change)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	f.Clear()
	if err := c.Follow(t.Context(), machinesOf(t, c)[0]); err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, call := range f.Calls() {
		if slices.Contains([]string{"ChangeResourceRecordSets", "GetChange", "CreateTags"}, call.Action) {
			order = append(order, call.Action)
		}
	}
	if !slices.Equal(order, []string{"ChangeResourceRecordSets", "GetChange", "CreateTags"}) {
		t.Errorf("Follow called %v, want it to wait before it says where the names lead", order)
	}
	said := strings.Join(recordsIn(t, a, zone), "\n")
	for _, preview := range []string{"pr-1", "pr-2"} {
		if !strings.Contains(said, "\n"+preview+"."+domain+" A "+m.Address) || !strings.Contains(said, " preview="+preview+" ") {
			t.Errorf("after Follow the zone has\n%s\nwant %s at %s", said, preview, m.Address)
		}
	}
}

// TestLeastPolicy_LetsNamesOfTheDomainAlone, and says what is missing where the domain was taken back.
func TestLeastPolicy_LetsNamesOfTheDomainAlone(t *testing.T) {
	a := awslab.Start(t)
	zoneOf(t, a, "example.com", false)
	m := launch(t, cloudOf(t, a.Environ(), nil), leaseOf("pr-1", deadPID))
	as := func(below string, change func(*host.Options)) *host.Cloud {
		t.Helper()
		text, err := json.Marshal(host.LeastPolicy(project, compose.PreviewSettings{Domain: below, EC2: options().Settings}))
		if err != nil {
			t.Fatal(err)
		}
		a.Enforce(t, string(text))
		return cloudOf(t, a.Environ(), change)
	}
	c := as("Preview.example.com", inDomain)
	point(t, c, m, "pr-1."+domain)
	other := cloudOf(t, a.Environ(), func(o *host.Options) { o.Domain = "example.com" })
	if _, err := other.Point(t.Context(), m, "pr-1", []string{"www.example.com"}); err == nil || !strings.Contains(err.Error(), "AccessDenied") {
		t.Errorf("Point at a name that is not below the domain = %v, want that it is denied", err)
	}
	none := as("", nil)
	_, err := none.Sweep(t.Context(), nil)
	var hint compose.Hinted
	if err == nil || !strings.Contains(err.Error(), "remove record pr-1."+domain) || !errors.As(err, &hint) || !strings.Contains(hint.Hint(), "x-strake.previews.domain as it was") {
		t.Errorf("Sweep where the domain was taken back = %v, want which name stays and the setting that is missing", err)
	}
	again := as(domain, inDomain)
	if _, err := again.Sweep(t.Context(), nil); err != nil {
		t.Errorf("Sweep with the domain = %v", err)
	}
	isEmpty(t, again)
}
