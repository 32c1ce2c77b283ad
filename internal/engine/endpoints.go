package engine

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/docker/docker/api/types/network"

	"github.com/strake-dev/strake/compose"
)

// ifname is the driver option that names a container's network interface. Source: moby, API 1.49 release notes.
const ifname = "com.docker.network.endpoint.ifname"

// attachments are the network mode of a container and the networks that it takes part in, the main one first.
func attachments(spec compose.ContainerSpec, in surroundings) (mode string, out []attachment) {
	s := spec.Service
	if s.NetworkMode != "" {
		return s.NetworkMode, nil
	}
	if len(spec.Project.Networks) == 0 {
		return "none", nil
	}
	keys := s.NetworksByPriority()
	if len(keys) == 0 {
		keys = []string{"default"}
	}
	for i, key := range keys {
		a := attachment{network: spec.Project.Networks[key].Name, endpoint: endpointOf(spec, key, in)}
		if i == 0 && a.endpoint.MacAddress == "" && !olderAPI(in.api, "1.44") {
			a.endpoint.MacAddress = s.MacAddress
		}
		out = append(out, a)
	}
	return out[0].network, out
}

// endpointOf is how a container takes part in the network of that key.
func endpointOf(spec compose.ContainerSpec, key string, in surroundings) *network.EndpointSettings {
	s := spec.Service
	n := s.Networks[key]
	aliases := []string{containerName(spec, in.name)}
	if !spec.OneOff {
		aliases = append(aliases, serviceAliases(s, n)...)
	}
	return endpointSettings(n, aliases, in.links)
}

// serviceAliases are the names that each container of a service answers to on a network, beside its own.
func serviceAliases(s compose.Service, n *compose.ServiceNetwork) []string {
	var aliases []string
	if n.ServiceNameAliasEnabled() {
		aliases = append(aliases, s.Name)
	}
	if n != nil {
		aliases = append(aliases, n.Aliases...)
	}
	return aliases
}

// endpointSettings is a service's attachment in the engine's words; n may be nil.
func endpointSettings(n *compose.ServiceNetwork, aliases, links []string) *network.EndpointSettings {
	out := &network.EndpointSettings{Aliases: aliases, Links: links}
	if n == nil {
		return out
	}
	out.IPAMConfig = &network.EndpointIPAMConfig{IPv4Address: n.Ipv4Address, IPv6Address: n.Ipv6Address, LinkLocalIPs: n.LinkLocalIPs}
	out.MacAddress = n.MacAddress
	out.DriverOpts = n.DriverOpts
	out.GwPriority = n.GatewayPriority
	if n.InterfaceName != "" {
		out.DriverOpts = maps.Clone(out.DriverOpts)
		if out.DriverOpts == nil {
			out.DriverOpts = map[string]string{}
		}
		out.DriverOpts[ifname] = n.InterfaceName
	}
	return out
}

// containerMAC is the container-wide MAC address, which engines before API 1.44 take instead of one per network.
func containerMAC(s compose.Service, api string) (string, error) {
	keys := s.NetworksByPriority()
	var with []string
	for _, k := range keys {
		if n := s.Networks[k]; n != nil && n.MacAddress != "" {
			with = append(with, k)
		}
	}
	main := ""
	if len(keys) > 0 && slices.Contains(with, keys[0]) {
		main = s.Networks[keys[0]].MacAddress
	}
	if s.MacAddress != "" && main != "" && s.MacAddress != main {
		return "", hint("give both the same value, or take one out", "service %s: mac_address differs from the one of its main network %s", s.Name, keys[0])
	}
	if !olderAPI(api, "1.44") {
		return "", nil
	}
	if len(with) > 1 {
		return "", hint("keep one of them, or upgrade the engine to 25 or newer",
			"service %s: a mac_address on several networks (%s) needs Engine API 1.44, the engine has %s", s.Name, strings.Join(with, ", "), api)
	}
	if main != "" {
		return main, nil
	}
	return s.MacAddress, nil
}

// linksOf resolves links and external_links to "container:alias" as the engine takes them. containers are the project's.
// Each container of a linked service answers to the alias, to <service>-<n> and to <project>-<service>-<n>, where n is the
// number of the container that links.
func linksOf(spec compose.ContainerSpec, containers []compose.Container) []string {
	s := spec.Service
	var out []string
	for _, raw := range s.Links {
		service, alias, ok := strings.Cut(raw, ":")
		if !ok {
			alias = service
		}
		for _, c := range containers {
			if c.Service() != service || c.IsOneOff() {
				continue
			}
			n := fmt.Sprint(spec.Number)
			out = append(out, c.Name+":"+alias, c.Name+":"+service+"-"+n, c.Name+":"+spec.Project.Name+"-"+service+"-"+n)
		}
	}
	for _, raw := range s.ExternalLinks {
		name, alias, ok := strings.Cut(raw, ":")
		if !ok {
			alias = name
		}
		out = append(out, name+":"+alias)
	}
	return out
}
