package compose

import (
	"maps"

	"github.com/compose-spec/compose-go/v2/types"
)

// Additions are what With adds to a project.
type Additions struct {
	Services []Service
	Networks map[string]NetworkSpec // those that the file does not have itself
	Volumes  map[string]VolumeSpec
}

// With is a project as it was loaded, with services of strake's own and with what edit makes of each of the file's, enabled or not. Select
// and all else then take them for the file's own. p is not changed, nor may edit change what a service points to.
func (p *Project) With(a Additions, edit func(Service) Service) (*Project, error) {
	whole := p.whole
	if whole == nil {
		whole = p.Project
	}
	inner := *whole
	inner.Services, inner.DisabledServices = edited(inner.Services, edit), edited(inner.DisabledServices, edit)
	inner.Networks, inner.Volumes = types.Networks{}, types.Volumes{}
	maps.Copy(inner.Networks, a.Networks)
	maps.Copy(inner.Networks, whole.Networks)
	maps.Copy(inner.Volumes, whole.Volumes)
	maps.Copy(inner.Volumes, a.Volumes)
	other := *p
	other.Settings.Services = maps.Clone(other.Settings.Services)
	if other.Settings.Services == nil {
		other.Settings.Services = map[string]ServiceSettings{}
	}
	for _, s := range a.Services {
		s.CustomLabels = serviceLabels(&inner, s.Name, p.EnvFiles)
		inner.Services[s.Name] = s
		other.Settings.Services[s.Name] = ServiceSettings{StandIn: true}
	}
	other.whole = &inner
	return other.narrowed(&inner, p.findings)
}

// edited is what edit makes of each service.
func edited(all types.Services, edit func(Service) Service) types.Services {
	out := types.Services{}
	for name, s := range all {
		out[name] = edit(s)
	}
	return out
}

// AllNetworks are the file's networks, those that no enabled service uses too.
func (p *Project) AllNetworks() map[string]NetworkSpec {
	if p.whole != nil {
		return p.whole.Networks
	}
	return p.Networks
}
