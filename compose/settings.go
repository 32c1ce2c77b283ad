package compose

import (
	"maps"
	"slices"

	"github.com/compose-spec/compose-go/v2/types"
)

// settingsKey is where strake's settings stand in a compose file.
const settingsKey = "x-strake"

// Settings is the top-level x-strake of a compose file. Its tags are what the decoder, the nearest-key hints and the JSON
// Schema are made from: strake names the key, enum its values, doc says what it does.
type Settings struct {
	// Ports says what happens when a published host port is taken: PortsFixed (the zero value) makes it
	// an error, PortsAuto takes a free one.
	Ports PortMode `strake:"ports" enum:"fixed,auto" doc:"What happens when a published host port is taken: fixed makes it an error, auto takes a free port."`
	// Services holds each service's own x-strake, by name; services without one are absent.
	Services map[string]ServiceSettings `strake:"-"`
}

// ServiceSettings is a service's x-strake.
type ServiceSettings struct {
	// Once leaves a one-shot alone that completed and did not change, instead of running it at every up.
	Once bool `strake:"once" doc:"A one-shot that completed and did not change is not run again by up and start."`
}

// PortMode is the value of x-strake.ports.
type PortMode string

// Values of x-strake.ports.
const (
	PortsFixed PortMode = "fixed"
	PortsAuto  PortMode = "auto"
)

// settings decodes x-strake of the project and of each of its services, enabled or not. Its error lists all that is wrong,
// each with file, line and column.
func (src *sources) settings(p *types.Project) (Settings, error) {
	d := &settingsDecoder{}
	s := Settings{Services: map[string]ServiceSettings{}}
	if x, ok := p.Extensions[settingsKey]; ok {
		d.decode(x, &s, settingsKey)
	}
	all := p.AllServices()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if x, ok := all[name].Extensions[settingsKey]; ok {
			var one ServiceSettings
			d.decode(x, &one, "services", name, settingsKey)
			s.Services[name] = one
		}
	}
	return s, src.settingErrors(d.wrong)
}
