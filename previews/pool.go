package previews

import (
	"errors"
	"fmt"
	"hash/fnv"
	"net/netip"

	"github.com/strake-dev/strake/compose"
)

// The networks of previews are small, and from a pool of their own: the engine's own pools have room for some thirty networks. A subnet
// that anything uses is left out, so that where the pool is is no matter.
const (
	poolPrefix  = "10.222.0.0/16"
	subnetBits  = 27 // 30 addresses
	poolSubnets = 1 << (subnetBits - 16)
)

// errNoSubnet is returned where every subnet of the pool is taken.
var errNoSubnet = &compose.HintedError{Err: errors.New("no subnet of " + poolPrefix + " is free for another preview"), Next: "close a preview: strake preview list --all"}

// freeSubnet is a subnet of the pool that overlaps with none of used, to which it is added. name is of what it is for: different names begin to
// look at different places, so that two who choose at once seldom choose the same.
func freeSubnet(used *[]netip.Prefix, name string) (netip.Prefix, error) {
	base := netip.MustParsePrefix(poolPrefix).Addr().As4()
	h := fnv.New32a()
	fmt.Fprint(h, name)
	begin := h.Sum32()
	for i := range uint32(poolSubnets) {
		at := (begin + i) % poolSubnets << (32 - subnetBits)
		one := netip.PrefixFrom(netip.AddrFrom4([4]byte{base[0], base[1], byte(at >> 8), byte(at)}), subnetBits)
		if !overlaps(one, *used) {
			*used = append(*used, one)
			return one, nil
		}
	}
	return netip.Prefix{}, errNoSubnet
}

func overlaps(one netip.Prefix, used []netip.Prefix) bool {
	for _, u := range used {
		if one.Overlaps(u) {
			return true
		}
	}
	return false
}
