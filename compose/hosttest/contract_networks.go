package hosttest

import (
	"errors"
	"fmt"
	"hash/fnv"
	"net/netip"
	"testing"

	"github.com/strake-dev/strake/compose"
)

func (c *contract) overlap(t *testing.T) {
	h := fnv.New32a()
	fmt.Fprint(h, c.name)
	sum := h.Sum32()
	subnet := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 223, byte(sum >> 8), byte(sum)}), 28).Masked().String()
	create := func(name string) error {
		spec := compose.NetworkSpec{Name: name}
		spec.Ipam.Config = []*compose.AddressPool{{Subnet: subnet}}
		return c.Do(t.Context(), compose.Step{Op: compose.CreateNetwork, Name: name, Labels: map[string]string{compose.LabelProject: c.name}, Network: &compose.NetworkStep{Spec: spec}}, nil)
	}
	one, other := c.name+"_one", c.name+"_other"
	if err := create(one); err != nil {
		t.Fatalf("create a network of %s = %v, want nil", subnet, err)
	}
	defer func() {
		if err := c.Do(t.Context(), compose.Step{Op: compose.RemoveNetwork, Name: one, Target: one}, nil); err != nil {
			t.Errorf("remove network %s = %v, want nil", one, err)
		}
	}()
	if err := create(other); !errors.Is(err, compose.ErrOverlap) {
		t.Errorf("create another network of %s = %v, want %v", subnet, err, compose.ErrOverlap)
	}
}

func (c *contract) closed(t *testing.T) {
	name := c.name + "_closed"
	spec := compose.NetworkSpec{Name: name, Internal: true, DriverOpts: compose.ClosedOptions(c.observe(t).Engine)}
	labels := map[string]string{compose.LabelProject: c.name}
	if err := c.Do(t.Context(), compose.Step{Op: compose.CreateNetwork, Name: name, Labels: labels, Network: &compose.NetworkStep{Spec: spec}}, nil); err != nil {
		t.Fatalf("create a closed network = %v, want nil", err)
	}
	defer func() {
		if err := c.Do(t.Context(), compose.Step{Op: compose.RemoveNetwork, Name: name, Target: name}, nil); err != nil {
			t.Errorf("remove network %s = %v, want nil", name, err)
		}
	}()
	for _, n := range c.observe(t).Networks {
		if n.Name == name && n.Internal && n.Closed && !n.Created.IsZero() {
			return
		}
	}
	t.Errorf("Observe = %+v, want network %s internal and closed, with the time at which it was made", c.observe(t).Networks, name)
}
