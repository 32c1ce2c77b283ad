package compose

import (
	"fmt"
	"hash/fnv"
	"net/netip"
	"slices"
)

// Pool is a range of IPv4 addresses that networks take their subnets from, each with that many bits of prefix. The zero value has none.
type Pool struct {
	Prefix netip.Prefix
	Bits   int
}

// Free is a subnet of the pool that overlaps with none of used, to which it is added; false where every one is taken. name is of what it is
// for: different names begin to look at different places, so that two who choose at once seldom choose the same.
func (p Pool) Free(used *[]netip.Prefix, name string) (netip.Prefix, bool) {
	base := p.Prefix.Masked().Addr().As4()
	first := uint32(base[0])<<24 | uint32(base[1])<<16 | uint32(base[2])<<8 | uint32(base[3])
	h := fnv.New32a()
	fmt.Fprint(h, name)
	begin, subnets := h.Sum32(), uint32(1)<<(p.Bits-p.Prefix.Bits())
	for i := range subnets {
		at := first | (begin+i)%subnets<<(32-p.Bits)
		one := netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(at >> 24), byte(at >> 16), byte(at >> 8), byte(at)}), p.Bits)
		if !slices.ContainsFunc(*used, one.Overlaps) {
			*used = append(*used, one)
			return one, true
		}
	}
	return netip.Prefix{}, false
}
