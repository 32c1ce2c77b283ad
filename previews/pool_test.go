package previews

import (
	"errors"
	"net/netip"
	"slices"
	"testing"
)

func TestFreeSubnets_AvoidWhatIsUsed(t *testing.T) {
	first, err := freeSubnets(nil, "saas-pr-1", 3)
	if err != nil {
		t.Fatal(err)
	}
	again, err := freeSubnets(first, "saas-pr-1", 3)
	if err != nil {
		t.Fatal(err)
	}
	all := slices.Concat(first, again)
	for i, a := range all {
		if overlaps(a, all[i+1:]) {
			t.Errorf("freeSubnets gave %s twice, or what overlaps with it: %s", a, all)
		}
		if !netip.MustParsePrefix(poolPrefix).Contains(a.Addr()) {
			t.Errorf("freeSubnets gave %s, which is not in %s", a, poolPrefix)
		}
	}
	other, err := freeSubnets(nil, "saas-pr-2", 3)
	if err != nil || slices.Equal(first, other) {
		t.Errorf("freeSubnets of another name = %s, %v, want others than %s", other, err, first)
	}
	for _, used := range []string{"10.0.0.0/8", "0.0.0.0/0", poolPrefix} {
		if got, err := freeSubnets([]netip.Prefix{netip.MustParsePrefix(used)}, "x", 1); !errors.Is(err, errNoSubnet) {
			t.Errorf("freeSubnets with %s used = %s, %v, want errNoSubnet", used, got, err)
		}
	}
	all, err = freeSubnets(nil, "x", poolSubnets)
	if err != nil || len(all) != poolSubnets {
		t.Errorf("freeSubnets of the whole pool = %d, %v, want %d", len(all), err, poolSubnets)
	}
}
