package compose

import "strings"

// HasNetworks is whether a service has networks of its own, be it that which all stacks of an engine have.
func HasNetworks(s Service) bool {
	return s.NetworkMode == "" || s.NetworkMode == "bridge" || s.NetworkMode == "default"
}

// NetworkOwner is the enabled service on whose networks a service is; false where they are none of the project's.
func (p *Project) NetworkOwner(name string) (string, bool) {
	for range p.Services {
		s, ok := p.Services[name]
		if !ok {
			return "", false
		}
		if HasNetworks(s) {
			return name, true
		}
		if name, ok = strings.CutPrefix(s.NetworkMode, "service:"); !ok {
			return "", false
		}
	}
	return "", false // a circle
}
