package compose

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

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
	// Migrate is the step that brings a database's schema to what the project's commit wants.
	Migrate MigrateSettings `strake:"migrate" doc:"The step that brings a database's schema to what this commit wants."`
	// Services holds each service's own x-strake, by name; services without one are absent.
	Services map[string]ServiceSettings `strake:"-"`
}

// MigrateSettings is x-strake.migrate. The zero value is a project without migrations.
type MigrateSettings struct {
	Service string `strake:"service" doc:"The one-shot service that migrates."`
}

// SeedSettings is x-strake.seed of a service whose data is sealed in an image. The zero value starts from what the service
// makes of an empty folder.
type SeedSettings struct {
	From string   `strake:"from" doc:"A dump that is restored first: SQL (plain, .gz or .zst) or pg_dump's custom format, a path or s3://bucket/key."`
	With []string `strake:"with" doc:"One-shot services that write data, run in this order after the migrations."`
}

// ServiceSettings is a service's x-strake.
type ServiceSettings struct {
	// Seed is not nil where the service's data is sealed in an image.
	Seed *SeedSettings `strake:"seed" doc:"Seal this service's data in an image, from which stacks start."`
	// Inputs are globs below the project's folder; of a service that makes data they are all that its result depends on. nil:
	// all that its image is built from.
	Inputs []string `strake:"inputs" doc:"Globs of the files that this step's result depends on, such as migrations/**; without them it is all that its image is built from."`
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
	d.checkSteps(s, all)
	return s, src.settingErrors(d.wrong)
}

// checkSteps refuses steps that are no services.
func (d *settingsDecoder) checkSteps(s Settings, all types.Services) {
	names := slices.Sorted(maps.Keys(all))
	check := func(name string, path ...string) {
		if _, ok := all[name]; ok {
			return
		}
		next := "the services are " + strings.Join(names, ", ")
		if n := Nearest(name, names); n != "" {
			next = "did you mean " + n + "? " + next
		}
		d.wrong = append(d.wrong, wrongSetting{path, false, fmt.Sprintf("%s is %q, and no service is called that", settingPath(path), name), next})
	}
	if s.Migrate.Service != "" {
		check(s.Migrate.Service, settingsKey, "migrate", "service")
	}
	for _, service := range slices.Sorted(maps.Keys(s.Services)) {
		if seed := s.Services[service].Seed; seed != nil {
			for i, name := range seed.With {
				check(name, "services", service, settingsKey, "seed", "with", strconv.Itoa(i))
			}
		}
	}
}
