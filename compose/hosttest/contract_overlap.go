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
