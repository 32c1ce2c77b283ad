package compose

import "maps"

// Copy is the project with services, networks, volumes, secrets, configs and settings by name of its own, so that entries may be replaced
// without changing p; what an entry points to is still shared. It knows nothing but what it holds: Select takes only from its own services.
func (p *Project) Copy() *Project {
	out, inner := *p, *p.Project
	inner.Services, inner.DisabledServices = maps.Clone(inner.Services), maps.Clone(inner.DisabledServices)
	if inner.DisabledServices == nil {
		inner.DisabledServices = map[string]Service{}
	}
	inner.Networks, inner.Volumes = maps.Clone(inner.Networks), maps.Clone(inner.Volumes)
	inner.Secrets, inner.Configs = maps.Clone(inner.Secrets), maps.Clone(inner.Configs)
	out.Project, out.whole = &inner, nil
	out.Settings.Services = maps.Clone(out.Settings.Services)
	if out.Settings.Services == nil {
		out.Settings.Services = map[string]ServiceSettings{}
	}
	out.Fills = maps.Clone(out.Fills)
	if out.Fills == nil {
		out.Fills = map[string]VolumeFill{}
	}
	return &out
}
