package previews

import (
	"errors"
	"net/netip"

	"github.com/strake-dev/strake/compose"
)

// poolPrefix is where the networks of previews are: they are small, and from a pool of their own, as the engine's own pools have room for
// some thirty networks. A subnet that anything uses is left out, so that where the pool is is no matter.
const poolPrefix = "10.222.0.0/16"

// errNoSubnet is returned where every subnet of the pool is taken.
var errNoSubnet = &compose.HintedError{Err: errors.New("no subnet of " + poolPrefix + " is free for another preview"), Next: "close a preview: strake preview list --all"}

// freeSubnet is a subnet of 30 addresses of the pool that overlaps with none of used, to which it is added. name is of what it is for.
func freeSubnet(used *[]netip.Prefix, name string) (netip.Prefix, error) {
	one, ok := compose.Pool{Prefix: netip.MustParsePrefix(poolPrefix), Bits: 27}.Free(used, name)
	if !ok {
		return one, errNoSubnet
	}
	return one, nil
}
