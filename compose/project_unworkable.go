package compose

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/strake-dev/strake/compose/regex"
)

// unworkable is everything in a project that compose-go takes and no engine does, nil if that is nothing.
func (src *sources) unworkable(p *types.Project) error {
	var all []problem
	add := func(value, next string, path ...string) {
		all = append(all, problem{src.at(path, false), fmt.Sprintf("%s is %q, which no engine takes", settingPath(path), value), next})
	}
	for _, name := range slices.Sorted(maps.Keys(p.Services)) {
		s := p.Services[name]
		if !restartPolicy.MatchString(s.Restart) {
			add(s.Restart, nearOr(s.Restart, restartPolicies(), "write "+choice(restartPolicies())+" or on-failure:3"), "services", name, "restart")
		}
		if _, err := net.ParseMAC(s.MacAddress); s.MacAddress != "" && err != nil {
			add(s.MacAddress, "write six pairs of digits, such as 02:42:ac:11:00:02", "services", name, "mac_address")
		}
		for _, port := range s.Ports {
			if !isPublishable(port.Published) {
				add(port.Published, "write a port from 1 to 65535 or a range, such as 8080-8081", append(src.portPath(name, port.Published), "published")...)
			}
		}
		for _, key := range slices.Sorted(maps.Keys(s.Networks)) {
			n := s.Networks[key]
			if n == nil {
				continue
			}
			for attribute, address := range map[string]string{"ipv4_address": n.Ipv4Address, "ipv6_address": n.Ipv6Address} {
				if _, err := netip.ParseAddr(address); address != "" && err != nil {
					add(address, "write an address of the network's subnet", "services", name, "networks", key, attribute)
				}
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(p.Networks)) {
		for i, pool := range p.Networks[key].Ipam.Config {
			path := []string{"networks", key, "ipam", "config", strconv.Itoa(i)}
			for attribute, subnet := range map[string]string{"subnet": pool.Subnet, "ip_range": pool.IPRange} {
				if _, err := netip.ParsePrefix(subnet); subnet != "" && err != nil {
					add(subnet, "write an address and a length, such as 172.28.0.0/16", append(path[:5:5], attribute)...)
				}
			}
			if _, err := netip.ParseAddr(pool.Gateway); pool.Gateway != "" && err != nil {
				add(pool.Gateway, "write an address of the subnet", append(path[:5:5], "gateway")...)
			}
		}
	}
	return joined(all)
}

// restartPolicy is what a service's restart may be. What follows on-failure: and is no number counts as none, as in Docker Compose.
var restartPolicy = regex.New(`^(|no|always|unless-stopped|on-failure(:.*)?)$`)

func restartPolicies() []string { return []string{"no", "always", "unless-stopped", "on-failure"} }

// isPublishable is whether an entry of ports may say so of the host's: a port, a range of them, or nothing.
func isPublishable(published string) bool {
	if published == "" || published == "0" {
		return true
	}
	first, count := publishedRange(published)
	return count > 0 && first+count-1 <= 65535 && !strings.ContainsAny(published, "+ ")
}
