package previews

import (
	"fmt"
	"maps"
	"slices"

	"github.com/strake-dev/strake/compose"
)

// mtuOption is the one option of a network that says nothing about the machine beside it.
// Source: Docker Engine, bridge network driver, default bridge options.
const mtuOption = "com.docker.network.driver.mtu"

// attach is a service with addresses of the preview: none that are fixed, and its container_name as an alias.
func (v *overlay) attach(s compose.Service) compose.Service {
	if s.NetworkMode == "bridge" || s.NetworkMode == "default" {
		v.warn("service %s: network_mode %s is the network of all stacks of the engine: the preview has a network of its own instead", s.Name, s.NetworkMode)
		s.NetworkMode = ""
	}
	s.MacAddress, s.Hostname, s.DomainName = "", "", "" // an engine answers for a hostname on all networks, the gateway's too
	name := s.ContainerName
	s.ContainerName = ""
	if s.NetworkMode != "" {
		return s
	}
	networks := map[string]*compose.ServiceNetwork{}
	for key, n := range s.Networks {
		at := compose.ServiceNetwork{}
		if n != nil {
			at = compose.ServiceNetwork{Aliases: slices.Clone(n.Aliases), Priority: n.Priority, GatewayPriority: n.GatewayPriority, UseServiceNameAlias: n.UseServiceNameAlias}
		}
		networks[key] = &at
	}
	if len(networks) == 0 {
		networks["default"] = &compose.ServiceNetwork{}
		v.needsDefault = true
	}
	for _, at := range networks {
		if name != "" && name != s.Name && !slices.Contains(at.Aliases, name) {
			at.Aliases = append(at.Aliases, name)
		}
	}
	s.Networks = networks
	return s
}

// networks makes all networks the preview's own.
func (v *overlay) networks() error {
	if _, ok := v.out.Networks["default"]; !ok && v.needsDefault { // network_mode bridge became a network that the file may not have
		v.out.Networks["default"] = compose.NetworkSpec{}
	}
	if len(v.routes) > 0 {
		v.out.Networks[EdgeNetwork] = compose.NetworkSpec{Internal: true}
	}
	for _, key := range slices.Sorted(maps.Keys(v.out.Networks)) {
		was := v.out.Networks[key]
		n := compose.NetworkSpec{Name: v.Name + "_" + key, Internal: was.Internal, Labels: was.Labels, CustomLabels: v.with(was.CustomLabels)}
		if bool(was.External) {
			v.warn("network %s is external: the preview has one of its own", key)
		}
		for option, value := range was.DriverOpts {
			if option == mtuOption {
				n.DriverOpts = map[string]string{option: value}
			}
		}
		if v.Subnet != nil {
			subnet, err := v.Subnet(n.Name)
			if err != nil {
				return fmt.Errorf("addresses of network %s: %w", n.Name, err)
			}
			n.Ipam.Config = []*compose.AddressPool{{Subnet: subnet.String()}}
		}
		v.out.Networks[key] = n
	}
	return nil
}

// edge puts each routed service, or the one whose network it uses, on the gateway's network, where it answers to its alias alone: a name of
// the file's choosing there could be another stack's.
func (v *overlay) edge() {
	for _, r := range v.routes {
		owner, ok := v.out.NetworkOwner(r.Service)
		if !ok {
			v.refuse("service "+r.Service+" is routed and has no network", "take network_mode or the route out")
			continue
		}
		s := v.out.Services[owner]
		s.Networks = maps.Clone(s.Networks)
		at := s.Networks[EdgeNetwork]
		if at == nil {
			no := false
			at = &compose.ServiceNetwork{UseServiceNameAlias: &no, Priority: lowest(s) - 1}
			s.Networks[EdgeNetwork] = at
		}
		at.Aliases = append(at.Aliases, EdgeAlias(r.Service, v.Stack, v.Generation))
		v.out.Services[owner] = s
	}
}

// lowest is the least priority of a service's networks. The gateway's network comes after all of them: the first one is where a container's way out is.
func lowest(s compose.Service) int {
	least := 0
	for _, n := range s.Networks {
		if n != nil {
			least = min(least, n.Priority)
		}
	}
	return least
}
