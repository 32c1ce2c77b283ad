package offline

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/strake-dev/strake/compose"
)

// program is a container of strake's: what all that Isolate adds has in common.
func (v *isolation) program(name, role string, command ...string) compose.Service {
	s := compose.Service{Name: name}
	s.Image, s.PullPolicy, s.Entrypoint, s.Command = v.Program, "never", []string{"/strake", "offline"}, append([]string{role}, command...)
	s.CapDrop, s.CapAdd, s.SecurityOpt = []string{"ALL"}, []string{"NET_ADMIN"}, []string{"no-new-privileges:true"}
	s.Logging = &compose.Logging{Driver: "json-file", Options: map[string]string{"max-size": "1g", "max-file": "1"}} // what it counted is read from there: all of it, whatever the engine usually keeps
	s.Labels = map[string]string{LabelRole: role}
	s.CustomLabels = map[string]string{LabelOf: v.in.Name, compose.LabelProject: v.out.Name, compose.LabelService: name, compose.LabelOneOff: "False",
		compose.LabelWorkingDir: v.in.WorkingDir, compose.LabelConfigFiles: strings.Join(v.in.ComposeFiles, ",")}
	interval := compose.Duration(time.Minute) // it is asked when it begins, and each time costs the start of a program
	s.HealthCheck = &compose.HealthCheck{Test: []string{"CMD", "/strake", "offline", "ready"}, Interval: &interval}
	return s
}

// service puts a service of the project into the network of its holder.
func (v *isolation) service(s compose.Service) {
	was := s
	if s.Build != nil { // that of the project, so that it is not built once more
		s.Image = compose.ImageName(v.in, s)
	}
	s.CustomLabels = v.of(s.CustomLabels)
	s.CustomLabels[compose.LabelProject] = v.out.Name
	if n := replicas(s); n > 1 {
		v.warn("service %s: the isolated stack has one container of it, not %d", s.Name, n)
		s.Scale = nil
	}
	if s.Deploy != nil && replicas(s) > 1 {
		deploy := *s.Deploy
		deploy.Replicas = nil
		s.Deploy = &deploy
	}
	s.ContainerName, s.Ports, s.Develop = "", nil, nil
	if l := s.Logging; l != nil && !slices.Contains([]string{"", "json-file", "local", "none", "journald"}, l.Driver) {
		v.warn("service %s: logging driver %s is left out: it may send what is logged somewhere else", s.Name, l.Driver)
		s.Logging = nil
	}
	s.Volumes = v.mounts(s)
	s.VolumesFrom = slices.Clone(s.VolumesFrom)
	for i, from := range s.VolumesFrom {
		if strings.HasPrefix(from, "container:") && !strings.HasSuffix(from, ":ro") {
			s.VolumesFrom[i] = strings.TrimSuffix(from, ":rw") + ":ro"
			v.warn("service %s: volumes_from %s is read-only in the isolated stack", s.Name, from)
		}
	}
	owner, held := v.in.NetworkOwner(s.Name)
	if held {
		s = inNetworkOf(s, HolderOf(owner))
		s.DependsOn = maps.Clone(s.DependsOn)
		if s.DependsOn == nil {
			s.DependsOn = map[string]compose.Dependency{}
		}
		s.DependsOn[HolderOf(owner)] = compose.Dependency{Condition: "service_healthy", Required: true}
	}
	s.PreStart = slices.Clone(s.PreStart)
	for i, h := range s.PreStart {
		hook := compose.Service{Name: s.Name}
		hook.ContainerSpec = h.ContainerSpec
		if held && (compose.HasNetworks(hook) || strings.HasPrefix(hook.NetworkMode, "service:")) {
			hook = inNetworkOf(hook, HolderOf(owner))
		}
		hook.Volumes = v.mounts(hook)
		s.PreStart[i].ContainerSpec = hook.ContainerSpec
	}
	v.out.Services[s.Name] = s
	if owner == s.Name {
		v.out.Services[HolderOf(s.Name)] = v.holder(was)
	}
}

// mounts are what a service has mounted. Where a container that runs has mounted a path, or one around or in it, it is only read here.
func (v *isolation) mounts(s compose.Service) []compose.ServiceVolume {
	all := slices.Clone(s.Volumes)
	for i, m := range all {
		if m.Type == "bind" && !m.ReadOnly && slices.ContainsFunc(v.Busy, func(busy string) bool { return isIn(busy, m.Source) || isIn(m.Source, busy) }) {
			all[i].ReadOnly = true
			v.warn("service %s: %s is read-only in the isolated stack: what runs already has it mounted", s.Name, m.Source)
		}
	}
	return all
}

// isIn is whether a path is a folder or in it.
func isIn(folder, path string) bool {
	rel, err := filepath.Rel(folder, path)
	return err == nil && filepath.IsLocal(rel)
}

// replicas is how many containers a service has.
func replicas(s compose.Service) int {
	switch {
	case s.Scale != nil:
		return *s.Scale
	case s.Deploy != nil && s.Deploy.Replicas != nil:
		return *s.Deploy.Replicas
	}
	return 1
}

// inNetworkOf is a service in the network of another one, without what that one has to say for both.
func inNetworkOf(s compose.Service, holder string) compose.Service {
	s.NetworkMode, s.Networks = "service:"+holder, nil
	s.Hostname, s.DomainName, s.MacAddress = "", "", ""
	s.DNS, s.DNSOpts, s.DNSSearch, s.ExtraHosts, s.Links, s.ExternalLinks = nil, nil, nil, nil, nil, nil
	s.Sysctls = maps.Clone(s.Sysctls)
	maps.DeleteFunc(s.Sysctls, func(name, _ string) bool { return ofNetwork(name) })
	return s
}

// ofNetwork is whether a kernel parameter belongs to a network.
func ofNetwork(sysctl string) bool { return strings.HasPrefix(sysctl, "net.") }

// holder holds the network of a service: it has its names, addresses and what else belongs to a network.
func (v *isolation) holder(was compose.Service) compose.Service {
	name := HolderOf(was.Name)
	var allow []string
	networks := map[string]*compose.ServiceNetwork{}
	for _, key := range v.networksOf(was.Name) {
		at := v.attachment(was, key)
		networks[key] = &at
		allow = append(allow, "--allow", v.subnets[key].String())
	}
	if v.Beside.IsValid() {
		allow = append(allow, "--beside", v.Beside.String())
	}
	h := v.program(name, RoleHolder, allow...)
	h.Labels[LabelFor] = was.Name
	h.Networks, h.DNS = networks, []string{v.sinkAddress(was.Name)}
	h.Hostname, h.DomainName, h.DNSOpts, h.DNSSearch, h.ExtraHosts = was.Hostname, was.DomainName, was.DNSOpts, was.DNSSearch, was.ExtraHosts
	if len(h.DNSSearch) == 0 {
		h.DNSSearch = []string{"."} // not those of the machine, which would make outside names of single labels
	}
	for sysctl, value := range was.Sysctls {
		if ofNetwork(sysctl) {
			if h.Sysctls == nil {
				h.Sysctls = map[string]string{}
			}
			h.Sysctls[sysctl] = value
		}
	}
	if len(was.DNS) > 0 {
		v.warn("service %s: dns is left out: the isolated stack has one resolver", was.Name)
	}
	if len(was.ExternalLinks) > 0 {
		v.warn("service %s: external_links are left out: those containers are not isolated", was.Name)
	}
	h.DependsOn = map[string]compose.Dependency{SinkService: {Condition: "service_healthy", Required: true}}
	return h
}

// attachment is how the holder of a service is on a network.
func (v *isolation) attachment(was compose.Service, key string) compose.ServiceNetwork {
	on := compose.ServiceNetwork{Ipv4Address: at(v.subnets[key], firstHolderAt+slices.Index(v.order, was.Name)).String()}
	if n := was.Networks[key]; n != nil {
		on.Aliases, on.Priority, on.GatewayPriority = slices.Clone(n.Aliases), n.Priority, n.GatewayPriority
	}
	for _, alias := range []string{was.Name, was.ContainerName} {
		if alias != "" && !slices.Contains(on.Aliases, alias) {
			on.Aliases = append(on.Aliases, alias)
		}
	}
	return on
}

// linkAll makes the names that links give services aliases of those.
func (v *isolation) linkAll() {
	for _, name := range v.order {
		for _, link := range v.in.Services[name].Links {
			target, alias, ok := strings.Cut(link, ":")
			h, there := v.out.Services[HolderOf(target)]
			if !ok || !there {
				continue
			}
			for _, n := range h.Networks {
				if !slices.Contains(n.Aliases, alias) {
					n.Aliases = append(n.Aliases, alias)
				}
			}
		}
	}
}

// sinkAddress is where the sink is for a service.
func (v *isolation) sinkAddress(service string) string {
	return at(v.subnets[v.networksOf(service)[0]], sinkAt).String()
}

// sink adds what answers for the outside. It is on all networks, and knows which address is whose.
func (v *isolation) sink() {
	if len(v.order) == 0 {
		return
	}
	var command []string
	networks := map[string]*compose.ServiceNetwork{}
	for _, key := range slices.Sorted(maps.Keys(v.subnets)) {
		networks[key] = &compose.ServiceNetwork{Ipv4Address: at(v.subnets[key], sinkAt).String()}
		command = append(command, "--listen", at(v.subnets[key], sinkAt).String(), "--gateway", at(v.subnets[key], 1).String())
	}
	for _, name := range v.order {
		for _, key := range v.networksOf(name) {
			command = append(command, "--at", at(v.subnets[key], firstHolderAt+slices.Index(v.order, name)).String()+"="+name)
		}
	}
	s := v.program(SinkService, RoleSink)
	if v.Beside.IsValid() {
		command = append(command, "--beside", v.Beside.String())
	}
	s.Labels[LabelMade] = v.made()
	s.Command = append(s.Command, command...)
	s.Networks = networks
	s.DNSSearch = []string{"."}
	s.DNS = []string{at(v.subnets[slices.Min(slices.Collect(maps.Keys(v.subnets)))], sinkAt).String()}
	v.out.Services[SinkService] = s
}
