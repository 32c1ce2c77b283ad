package previews

import (
	"errors"
	"net/netip"
	"slices"
	"testing"
)

func TestFreeSubnet_AvoidsWhatIsUsed(t *testing.T) {
	var used []netip.Prefix
	for range 1 << (27 - 16) {
		one, err := freeSubnet(&used, "saas-pr-1")
		if err != nil || !netip.MustParsePrefix(poolPrefix).Contains(one.Addr()) {
			t.Fatalf("freeSubnet with %d used = %s, %v, want one of %s", len(used), one, err, poolPrefix)
		}
	}
	for i, one := range used {
		if slices.ContainsFunc(used[i+1:], one.Overlaps) {
			t.Errorf("freeSubnet gave %s twice, or what overlaps with it", one)
		}
	}
	var none, others []netip.Prefix
	one, _ := freeSubnet(&none, "saas-pr-1")
	if other, err := freeSubnet(&others, "saas-pr-2"); err != nil || one == other {
		t.Errorf("freeSubnet of another name = %s, %v, want another than %s", other, err, one)
	}
	for _, taken := range []string{"10.0.0.0/8", "0.0.0.0/0", poolPrefix} {
		used := []netip.Prefix{netip.MustParsePrefix(taken)}
		if got, err := freeSubnet(&used, "x"); !errors.Is(err, errNoSubnet) {
			t.Errorf("freeSubnet with %s used = %s, %v, want errNoSubnet", taken, got, err)
		}
	}
}
