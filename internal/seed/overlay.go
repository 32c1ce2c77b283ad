package seed

import (
	"maps"
	"slices"

	"github.com/strake-dev/strake/compose"
)

// Mode is where the data of a stack that starts from a seed is.
type Mode string

// The two modes.
const (
	// Volume fills the project's own volumes from the seed when they are made: data survives `down` as the file promises.
	Volume Mode = "volume"
	// Layer has no volume at the data's path: the data is in the container, on top of the image, and goes with it.
	Layer Mode = "layer"
)

// wholes are the seeded services whose seed is their image with the data in it, sorted; others are those that seal their volumes
// alone. Whole are those whose image is not the project's own, or says by VOLUME where its data is: code that changes with each
// commit stays apart from data.
func wholes(p *compose.Project, have compose.State) (whole, others []string) {
	own := map[string]bool{}
	for _, s := range p.Services {
		if s.Build != nil {
			own[compose.ImageName(p, s)] = true
		}
	}
	for _, name := range Services(p) {
		ref := compose.ImageName(p, p.Services[name])
		if !own[ref] || len(have.Images[ref].Volumes) > 0 {
			whole = append(whole, name)
		} else {
			others = append(others, name)
		}
	}
	return whole, others
}

// Apply is the project as it starts from a seed: the seeded services on the seed's images, the steps that wrote its data left
// out, as they count as completed. have is a State with the project's images. The migrations stay.
func Apply(p *compose.Project, have compose.State, key string, mode Mode) *compose.Project {
	out := copied(p)
	done := writers(p)
	whole, others := wholes(p, have)
	for name, s := range out.Services {
		s.DependsOn = maps.Clone(s.DependsOn)
		maps.DeleteFunc(s.DependsOn, func(d string, _ compose.Dependency) bool { return slices.Contains(done, d) })
		if slices.Contains(whole, name) {
			s.Image, s.Build, s.PullPolicy = Ref(p.Name, name, key), nil, "never"
			if mode == Layer {
				s.Volumes = withoutData(s)
			}
		}
		out.Services[name] = s
	}
	for _, name := range done {
		delete(out.Services, name)
	}
	for _, name := range others {
		for i, v := range volumesOf(p.Services[name]) {
			out.Fills[v] = compose.VolumeFill{Image: Ref(p.Name, name, key), Dir: dirOf(i)}
		}
	}
	return out
}

// withoutData are a service's mounts but for its volumes.
func withoutData(s compose.Service) []compose.ServiceVolume {
	return slices.DeleteFunc(slices.Clone(s.Volumes), func(v compose.ServiceVolume) bool { return v.Type == "volume" && !v.ReadOnly })
}

// scratch is the project in which a seed is built: the seeded services and the steps, with all that they need, under a name of
// its own and apart from everything outside: own networks, own volumes, no published ports.
func scratch(p *compose.Project, whole []string) *compose.Project {
	out := copied(p)
	name := scratchName(p.Name)
	out.Name = name
	out.DisabledServices = nil
	keep := closure(p, append(Services(p), Steps(p)...))
	maps.DeleteFunc(out.Services, func(n string, _ compose.Service) bool { return !slices.Contains(keep, n) })
	for n, s := range out.Services {
		s.Image, s.Build, s.PullPolicy = compose.ImageName(p, s), nil, "never"
		s.Ports, s.ContainerName, s.Restart = nil, "", ""
		s.CustomLabels = maps.Clone(s.CustomLabels)
		s.CustomLabels[compose.LabelProject] = name
		if slices.Contains(whole, n) {
			s.Image, s.Volumes = bareRef(p.Name, n), withoutData(s)
		}
		s.Networks = maps.Clone(s.Networks)
		for key, at := range s.Networks {
			if at != nil {
				one := *at
				one.Ipv4Address, one.Ipv6Address, one.MacAddress = "", "", ""
				s.Networks[key] = &one
			}
		}
		out.Services[n] = s
	}
	for key, n := range out.Networks {
		out.Networks[key] = compose.NetworkSpec{Name: name + "_" + key, Internal: n.Internal}
	}
	for key := range out.Volumes {
		out.Volumes[key] = compose.VolumeSpec{Name: name + "_" + key}
	}
	for _, step := range Steps(p) {
		s := out.Settings.Services[step]
		s.Once = true
		out.Settings.Services[step] = s
	}
	return out
}

// closure are the services and what they depend on, as far as it is enabled, sorted.
func closure(p *compose.Project, names []string) []string {
	all := slices.Clone(names)
	for i := 0; i < len(all); i++ {
		for d := range p.Services[all[i]].DependsOn {
			if _, ok := p.Services[d]; ok && !slices.Contains(all, d) {
				all = append(all, d)
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// copied is a copy of the project whose services, networks, volumes and settings may be changed.
func copied(p *compose.Project) *compose.Project {
	out, inner := *p, *p.Project
	inner.Services, inner.Networks, inner.Volumes = maps.Clone(inner.Services), maps.Clone(inner.Networks), maps.Clone(inner.Volumes)
	out.Project = &inner
	out.Settings.Services = maps.Clone(out.Settings.Services)
	out.Fills = map[string]compose.VolumeFill{}
	return &out
}

// volumesOf are the keys of the named volumes that a service mounts to write, in the order of their paths.
func volumesOf(s compose.Service) []string {
	var keys []string
	mounts := slices.Clone(s.Volumes)
	slices.SortFunc(mounts, func(a, b compose.ServiceVolume) int {
		if a.Target < b.Target {
			return -1
		}
		return 1
	})
	for _, v := range mounts {
		if v.Type == "volume" && v.Source != "" && !v.ReadOnly && !slices.Contains(keys, v.Source) {
			keys = append(keys, v.Source)
		}
	}
	return keys
}

// bareRef is the service's image without VOLUME, sealedRef what was committed of it: only while a seed is built.
func bareRef(project, service string) string   { return Ref(project, service, "building") }
func sealedRef(project, service string) string { return Ref(project, service, "sealing") }
