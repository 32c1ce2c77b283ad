package compose

import (
	"maps"
	"slices"
	"strconv"

	"github.com/compose-spec/compose-go/v2/types"
)

// Need is an attribute of a project that only a newer engine has.
type Need struct {
	Path    string // in the file: services.web.annotations
	Service string // "" for a network
	API     string // the least Engine API: "1.43"
}

// Needs lists the attributes of the services (nil: all enabled ones), and of their networks, that have a least Engine API above 1.41 and
// that must be refused below it, sorted by service.
func Needs(p *Project, services []string) []Need {
	if len(services) == 0 {
		services = p.ServiceNames()
	}
	var needs []Need
	networks := map[string]bool{}
	for _, name := range slices.Sorted(slices.Values(services)) {
		s, ok := p.Services[name]
		if !ok {
			continue
		}
		add := func(path, api string) {
			needs = append(needs, Need{Path: "services." + name + "." + path, Service: name, API: api})
		}
		if h := s.HealthCheck; h != nil && h.StartInterval != nil {
			add("healthcheck.start_interval", "1.44")
		}
		containerNeeds(s.ContainerSpec, s.NetworksByPriority(), add)
		for i, h := range s.PreStart {
			containerNeeds(h.ContainerSpec, slices.Sorted(maps.Keys(h.Networks)), func(path, api string) {
				add("pre_start."+strconv.Itoa(i)+"."+path, api)
			})
		}
		for key := range s.Networks {
			networks[key] = true
		}
	}
	for _, key := range slices.Sorted(maps.Keys(networks)) {
		if n := p.Networks[key]; n.EnableIPv4 != nil && !*n.EnableIPv4 && !bool(n.External) {
			needs = append(needs, Need{Path: "networks." + key + ".enable_ipv4", API: "1.47"})
		}
	}
	return needs
}

// containerNeeds calls add for each need of one container; networks are its networks, the main one first. A mac_address of the main one
// can be given to any engine, for the container as a whole.
func containerNeeds(c types.ContainerSpec, networks []string, add func(path, api string)) {
	if len(c.Annotations) > 0 {
		add("annotations", "1.43")
	}
	for i, key := range networks {
		n := c.Networks[key]
		if n == nil {
			continue
		}
		if n.MacAddress != "" && i > 0 {
			add("networks."+key+".mac_address", "1.44")
		}
		if n.GatewayPriority != 0 {
			add("networks."+key+".gw_priority", "1.48")
		}
		if n.InterfaceName != "" {
			add("networks."+key+".interface_name", "1.49")
		}
	}
	for _, v := range c.Volumes {
		at := "volumes." + v.Target
		switch {
		case v.Type == types.VolumeTypeImage:
			add(at+".image", "1.48")
		case v.Volume != nil && v.Volume.Subpath != "":
			add(at+".volume.subpath", "1.45")
		case v.Bind != nil && (v.Bind.Recursive == "writable" || v.Bind.Recursive == "readonly"):
			add(at+".bind.recursive", "1.44")
		}
	}
}
