package compose

import (
	"fmt"
	"hash/fnv"
	"net/netip"
)

// Pool is a range of IPv4 addresses that networks take their subnets from, each with that many bits of prefix. The zero value has none.
type Pool struct {
	Prefix netip.Prefix
	Bits   int
}

// Free is a subnet of the pool that overlaps with none of used, to which it is added; false where every one is taken. name is of what it is
// for: different names begin to look at different places, so that two who choose at once seldom choose the same.
func (p Pool) Free(used *[]netip.Prefix, name string) (netip.Prefix, bool) {
	first, subnets := number(p.Prefix.Masked().Addr()), uint32(1)<<(p.Bits-p.Prefix.Bits())
	taken := make([]bool, subnets)
	for _, u := range *used {
		if !u.Addr().Is4() || !u.Overlaps(p.Prefix) {
			continue
		}
		from, to := uint32(0), subnets-1
		if u.Bits() > p.Prefix.Bits() { // in the pool
			from = (number(u.Masked().Addr()) - first) >> (32 - p.Bits)
			to = from
			if u.Bits() < p.Bits {
				to = from + 1<<(p.Bits-u.Bits()) - 1
			}
		}
		for n := from; n <= to; n++ {
			taken[n] = true
		}
	}
	h := fnv.New32a()
	fmt.Fprint(h, name)
	begin := h.Sum32()
	for i := range subnets {
		n := (begin + i) % subnets
		if taken[n] {
			continue
		}
		at := first + n<<(32-p.Bits)
		one := netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(at >> 24), byte(at >> 16), byte(at >> 8), byte(at)}), p.Bits)
		*used = append(*used, one)
		return one, true
	}
	return netip.Prefix{}, false
}

// number is an IPv4 address as a number.
func number(a netip.Addr) uint32 {
	b := a.As4()
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}
