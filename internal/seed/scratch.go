package seed

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/compose/regex"
)

// scratch is the project in which a seed is built: the seeded services and the steps, with all that they need, under a name of
// its own and apart from everything outside: own networks, own volumes, no published ports, and files of the host to be read only.
// All that it makes carries LabelProject.
func scratch(p *compose.Project, whole []string) *compose.Project {
	out := copied(p)
	name := ScratchName(p.Name)
	out.Name = name
	out.DisabledServices = nil
	keep := closure(p, append(Services(p), Steps(p)...))
	maps.DeleteFunc(out.Services, func(n string, _ compose.Service) bool { return !slices.Contains(keep, n) })
	for n, s := range out.Services {
		s.Image, s.Build, s.PullPolicy = compose.ImageName(p, s), nil, "never"
		alias, one := compose.ContainerName(p, s, 1), 1
		// One of each, also of a step that `up` is kept from by scale: 0. The name is none that a container of the project has: that of
		// its service seed-db would be the one of db here.
		s.Ports, s.Restart, s.Scale, s.ContainerName = nil, "", &one, name+"_"+n+"_1"
		s.CustomLabels = maps.Clone(s.CustomLabels)
		s.CustomLabels[compose.LabelProject], s.CustomLabels[LabelProject] = name, p.Name
		s.Volumes = readOnly(s.Volumes)
		if p.Settings.Services[n].StandIn {
			s.Volumes = nil // what steps put into it is not the stack's: it begins empty, and ends with the scratch stack
		}
		if slices.Contains(whole, n) {
			s.Image, s.Volumes = bareRef(p.Name, n), withoutData(s)
		}
		s.Networks = apart(s.Networks, alias)
		out.Services[n] = s
	}
	for key, n := range out.Networks {
		out.Networks[key] = compose.NetworkSpec{Name: name + "_" + key, Internal: n.Internal, CustomLabels: map[string]string{LabelProject: p.Name}}
	}
	for key := range out.Volumes {
		out.Volumes[key] = compose.VolumeSpec{Name: name + "_" + key, CustomLabels: map[string]string{LabelProject: p.Name}}
	}
	for _, step := range Steps(p) {
		s := out.Settings.Services[step]
		s.Once = true
		out.Settings.Services[step] = s
	}
	return out
}

// apart are a service's networks without fixed addresses. There too it answers to the name that its container has in the stack.
func apart(networks map[string]*compose.ServiceNetwork, alias string) map[string]*compose.ServiceNetwork {
	out := map[string]*compose.ServiceNetwork{}
	for key, at := range networks {
		one := compose.ServiceNetwork{}
		if at != nil {
			one = *at
		}
		one.Ipv4Address, one.Ipv6Address, one.MacAddress = "", "", ""
		one.Aliases = append(slices.Clone(one.Aliases), alias)
		out[key] = &one
	}
	return out
}

// readOnly are mounts of which those of the host's files cannot be written to.
func readOnly(mounts []compose.ServiceVolume) []compose.ServiceVolume {
	out := slices.Clone(mounts)
	for i := range out {
		if out[i].Type == "bind" {
			out[i].ReadOnly = true
		}
	}
	return out
}

// checkApart refuses services whose data a seed could not hold, or that would reach out of the scratch stack.
func checkApart(p *compose.Project, have compose.State) error {
	var errs []error
	refuse := func(service, what, next string) {
		errs = append(errs, &compose.HintedError{Err: fmt.Errorf("service %s cannot take part in a seed: %s", service, what), Next: next})
	}
	for _, name := range closure(p, append(Services(p), Steps(p)...)) {
		s := p.Services[name]
		for _, mode := range []string{"network_mode: " + s.NetworkMode, "pid: " + s.Pid, "ipc: " + s.Ipc} {
			if strings.HasSuffix(mode, ": host") || strings.Contains(mode, ": container:") {
				refuse(name, mode+" reaches out of the stack in which the seed is built", "take it from the service, or the service from the seed")
			}
		}
		for _, from := range s.VolumesFrom {
			if strings.HasPrefix(from, "container:") {
				refuse(name, "volumes_from "+from+" is not of this project", "mount a volume of the project")
			}
		}
	}
	for _, name := range Services(p) {
		s := p.Services[name]
		if !imageName.MatchString(Ref(p.Name, name, "latest")) {
			refuse(name, "its name does not fit into the name of an image", "use lower-case letters and digits, with single ., _ or - between them")
		}
		paths := dataPaths(s, have.Images[compose.ImageName(p, s)])
		for _, v := range s.Volumes {
			switch {
			case v.Type == "bind" && !v.ReadOnly && len(paths) == 0:
				refuse(name, "nothing says where it keeps its data, which may be the folder "+v.Source+" of this machine", "mount a named volume where its data is")
			case v.Type == "bind" && slices.ContainsFunc(paths, func(path string) bool { return isBelow(v.Target, path) || isBelow(path, v.Target) && v.Target != "/" }):
				refuse(name, "its data at "+v.Target+" is the folder "+v.Source+" of this machine", "mount a named volume there")
			case v.Type == "volume" && v.Volume != nil && v.Volume.Subpath != "":
				refuse(name, "its volume "+v.Source+" is mounted with a subpath", "mount the whole volume")
			case v.Type == "volume" && v.Source != "" && !v.ReadOnly && (len(p.Volumes[v.Source].DriverOpts) > 0 || p.Volumes[v.Source].Driver != "" && p.Volumes[v.Source].Driver != "local"):
				refuse(name, "its volume "+v.Source+" has a driver or options of its own, so that nobody knows whether it begins empty", "mount a plain volume, or take the seed from the service")
			case v.Type == "volume" && v.Source != "" && bool(p.Volumes[v.Source].External) && !v.ReadOnly:
				refuse(name, "its volume "+v.Source+" is external, and what is in it is not the project's", "take external from the volume, or the service from the seed")
			}
		}
	}
	return errors.Join(errs...)
}

// imageName is what an engine takes for an image's name here. Source: distribution/reference, path-component.
var imageName = regex.New(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*:latest$`)

// isBelow is whether a path is a folder or in it.
func isBelow(path, folder string) bool {
	return path == folder || strings.HasPrefix(path, strings.TrimSuffix(folder, "/")+"/")
}

// running are the seeded services that run while a seed is built, sorted: those that are sealed whole, that a dump is restored into, and
// that a step needs.
func running(p *compose.Project, have compose.State) []string {
	whole, others := wholes(p, have)
	names := slices.Clone(whole)
	needed := closure(p, Steps(p))
	for _, name := range others {
		if slices.Contains(needed, name) || p.Settings.Services[name].Seed.From != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
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
	inner.DisabledServices = maps.Clone(inner.DisabledServices)
	if inner.DisabledServices == nil {
		inner.DisabledServices = map[string]compose.Service{}
	}
	out.Fills = map[string]compose.VolumeFill{}
	return &out
}

// bareRef is the service's image without VOLUME, sealedRef what was committed of it: only while a seed is built.
func bareRef(project, service string) string { return Ref(project, service, "building") }
