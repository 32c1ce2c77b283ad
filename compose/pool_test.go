package compose_test

import (
	"net/netip"
	"testing"

	"github.com/strake-dev/strake/compose"
)

// TestPool_AvoidsWhatIsUsed: subnets that are smaller, as large, larger, around the pool, beside it and of IPv6.
func TestPool_AvoidsWhatIsUsed(t *testing.T) {
	pool := compose.Pool{Prefix: netip.MustParsePrefix("10.9.8.0/22"), Bits: 24} // four
	for used, want := range map[string]int{
		"10.9.8.0/24": 3, "10.9.9.128/25": 3, "10.9.9.7/32": 3, "10.9.10.0/23": 2, "10.9.8.0/22": 0, "10.0.0.0/8": 0, "0.0.0.0/0": 0, "10.9.12.0/24": 4, "10.9.7.0/24": 4, "fd00::/8": 4,
	} {
		all := []netip.Prefix{netip.MustParsePrefix(used)}
		got := 0
		for {
			one, ok := pool.Free(&all, "a name")
			if !ok {
				break
			}
			got++
			for _, other := range all[:len(all)-1] {
				if one.Overlaps(other) {
					t.Errorf("Free with %s used = %s, which overlaps with %s", used, one, other)
				}
			}
			if !pool.Prefix.Overlaps(one) || one.Bits() != 24 {
				t.Errorf("Free with %s used = %s, want a subnet of the pool", used, one)
			}
		}
		if got != want {
			t.Errorf("Free with %s used gave %d subnets, want %d", used, got, want)
		}
	}
}
