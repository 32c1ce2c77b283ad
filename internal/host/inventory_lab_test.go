//go:build lab

package host_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/strake-dev/strake/fixtures/lab/awslab"
	"github.com/strake-dev/strake/internal/host"
)

func TestInventory_SaysWhatLeasesCover(t *testing.T) {
	a := awslab.Start(t)
	c := cloudOf(t, a.Environ(), nil)
	live, interrupted := launch(t, c, leaseOf("pr-1", 1)), launch(t, c, leaseOf("pr-2", deadPID))
	launch(t, c.Of("blog"), leaseOf("pr-7", 1))
	all, err := c.Inventory(t.Context(), nil)
	if err != nil || len(all) != 6 {
		t.Fatalf("Inventory = %+v, %v, want two machines, each with a group and a parameter", all, err)
	}
	for _, thing := range all {
		if covered := thing.Preview == "pr-1"; thing.Covered != covered || (thing.Why == "") != covered || covered && thing.Until.IsZero() {
			t.Errorf("%s of %s is covered: %v until %s, why it goes: %q", thing, thing.Preview, thing.Covered, thing.Until, thing.Why)
		}
		if thing.Kind == host.KindInstance && thing.Hourly == 0 {
			t.Errorf("%s costs nothing, want an estimate", thing)
		}
	}
	if names, err := c.Projects(t.Context()); err != nil || strings.Join(names, " ") != "blog shop" {
		t.Errorf("Projects = %v, %v, want blog and shop", names, err)
	}
	machine := slices.DeleteFunc(slices.Clone(all), func(t host.Thing) bool { return t.ID != interrupted.ID })
	r, err := c.Remove(t.Context(), machine)
	if err != nil || len(r.Removed) != 3 || len(r.Left) != 0 {
		t.Errorf("Remove = %+v, %v, want the machine with its group and its parameter", r, err)
	}
	isEmpty(t, c, "pr-1")
	if left, err := c.Machines(t.Context()); err != nil || !slices.ContainsFunc(left, func(m host.Machine) bool { return m.ID == live.ID && m.Live() }) {
		t.Errorf("Machines = %+v, %v, want %s as it was", left, err, live.ID)
	}
	if others, _, err := c.Of("blog").Things(t.Context()); err != nil || len(others) != 3 {
		t.Errorf("another project has %+v, %v, want what it had", others, err)
	}
}
