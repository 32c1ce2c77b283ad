//go:build lab

package host_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/strake-dev/strake/fixtures/lab/awslab"
	"github.com/strake-dev/strake/internal/host"
)

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
