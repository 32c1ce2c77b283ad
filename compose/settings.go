package compose

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/strake-dev/strake/compose/regex"
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
	// Registry is where images of this project are published: a registry and a path below it, such as ghcr.io/acme; "" is nowhere.
	Registry string `strake:"registry" doc:"Where images of this project, such as its seeds, are published: a registry and a path below it, such as ghcr.io/acme."`
	// Environments are where releases run, by name.
	Environments map[string]EnvironmentSettings `strake:"environments" doc:"Where releases run, by name; they are read from the default branch only."`
	// Gateway has the local stack reached behind the gateway of previews too, at <project>.localhost.
	Gateway bool `strake:"gateway" doc:"The local stack is reached behind the gateway that previews use too, at http://<project>.localhost:7080."`
	// Previews is the policy of previews; only the default branch's counts.
	Previews PreviewSettings `strake:"previews" doc:"The policy of previews; it is read from the default branch only."`
	// Check is what the audit of Check leaves out.
	Check CheckSettings `strake:"check" doc:"What strake check leaves out."`
	// Offline is what may ask the internet all the same.
	Offline OfflineSettings `strake:"offline" doc:"What of the internet may be asked for all the same."`
	// StandIns are services in place of a cloud's.
	StandIns StandInSettings `strake:"standins" doc:"Services that strake adds to the local stack in place of a cloud's."`
	// Services holds each service's own x-strake, by name; services without one are absent.
	Services map[string]ServiceSettings `strake:"-"`
}

// MigrateSettings is x-strake.migrate. The zero value is a project without migrations.
type MigrateSettings struct {
	Service string `strake:"service" doc:"The one-shot service that migrates."`
}

// OfflineSettings is x-strake.offline. The zero value allows nothing.
type OfflineSettings struct {
	// Allow are hosts, or *.example.com for all below one: what is asked of them does not count against a stack.
	Allow []string `strake:"allow" doc:"Hosts that may be asked, such as telemetry.example.com or *.example.com; strake offline does not count them."`
}

// SeedSettings is x-strake.seed of a service whose data is sealed in an image. The zero value starts from what the service
// makes of an empty folder.
type SeedSettings struct {
	From string   `strake:"from" doc:"A dump that is restored first: SQL, pg_dump's custom format or an .rdb file, each also as .gz or .zst; a path or s3://bucket/path."`
	With []string `strake:"with" doc:"One-shot services that write data, run in this order after the migrations."`
}

// ServiceSettings is a service's x-strake.
type ServiceSettings struct {
	// Seed is not nil where the service's data is sealed in an image.
	Seed *SeedSettings `strake:"seed" doc:"Seal this service's data in an image, from which stacks start."`
	// Inputs are globs below the project's folder; of a service that makes data they are all that its result depends on. nil:
	// all that its image is built from.
	Inputs []string `strake:"inputs" doc:"Globs of the files that this step's result depends on, such as migrations/**; without them it is all that its image is built from."`
	// Route is not nil where the file says how the service is reached through the gateway; see Routes.
	Route *RouteSettings `strake:"route" doc:"How the service is reached through the gateway; where any service says it, only those that do are."`
	// Once leaves a one-shot alone that completed and did not change, instead of running it at every up.
	Once bool `strake:"once" doc:"A one-shot that completed and did not change is not run again by up and start."`
	// Uses are the stand-ins that the service uses.
	Uses []string `strake:"uses" doc:"The stand-ins that the service uses, s3 and mail: it starts after them, with the variables that say where they are; a variable of its own wins."`
	// StandIn is that the service is a stand-in, which With added.
	StandIn bool `strake:"-"`
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
	if s.Registry != "" && !IsRegistry(s.Registry) {
		path := []string{settingsKey, "registry"}
		d.wrong = append(d.wrong, wrongSetting{path, false, fmt.Sprintf("%s is %q", settingPath(path), s.Registry),
			"write a host and a path in lower case such as ghcr.io/acme, without https:// and without a tag"})
	}
	s.Environments = withTags(s.Environments)
	d.checkEnvironments(s)
	names := slices.Sorted(maps.Keys(all))
	d.checkSteps(s, p.Extensions[settingsKey], all)
	d.checkPreviews(s.Previews, names)
	d.checkIgnores(s.Check.Ignore, names)
	d.checkAllow(s.Offline.Allow)
	d.checkStandIns(s, all, p.WorkingDir)
	for _, name := range names {
		if r := s.Services[name].Route; r != nil {
			d.checkRoute(name, *r)
		}
	}
	return s, src.settingErrors(d.wrong)
}

// restartOf is a service's restart policy, in the words of its attribute restart; deploy's comes before that.
func restartOf(s types.ServiceConfig) string {
	switch {
	case s.Deploy == nil || s.Deploy.RestartPolicy == nil:
		return s.Restart
	case s.Deploy.RestartPolicy.Condition == "any":
		return types.RestartPolicyAlways
	}
	return s.Deploy.RestartPolicy.Condition
}

// IsRegistry is whether a text names a registry, or a place in one, to which the name of an image can be added.
// Source: distribution/reference, the grammar in its package comment.
func IsRegistry(text string) bool { return registryName.MatchString(text) }

var registryName = regex.New(`^([a-zA-Z0-9]([a-zA-Z0-9.-]*[a-zA-Z0-9])?|\[[0-9a-fA-F:]+\])(:[0-9]+)?(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)

// checkSteps refuses steps that are no services, and those that do not end: whose own data is sealed, and that are always restarted.
// project is x-strake of the top level as the file has it.
func (d *settingsDecoder) checkSteps(s Settings, project any, all types.Services) {
	names := slices.Sorted(maps.Keys(all))
	check := func(name string, path ...string) {
		d.checkService(name, names, path...)
		if s.Services[name].Seed != nil {
			d.wrong = append(d.wrong, wrongSetting{path, false, fmt.Sprintf("%s is %q, whose own data is sealed", settingPath(path), name),
				"name a one-shot service that runs to its end, or take x-strake.seed from " + name})
		}
		if policy := restartOf(all[name]); policy == types.RestartPolicyAlways || policy == types.RestartPolicyUnlessStopped {
			d.wrong = append(d.wrong, wrongSetting{path, false, fmt.Sprintf("%s is %q, which never ends: its restart is %s", settingPath(path), name, policy),
				"a step is a one-shot that runs to its end: name one, or take restart from " + name})
		}
	}
	top, _ := project.(map[string]any)
	if m, ok := top["migrate"].(map[string]any); ok && len(m) == 0 { // an empty name, as a variable leaves it, is no migrations
		path := []string{settingsKey, "migrate"}
		d.wrong = append(d.wrong, wrongSetting{path, false, settingPath(path) + " names no service",
			"write migrate: {service: NAME}, or leave it out; the services are " + strings.Join(names, ", ")})
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

// checkService refuses a name at a path that is none of the services.
func (d *settingsDecoder) checkService(name string, services []string, path ...string) {
	if slices.Contains(services, name) {
		return
	}
	next := "the services are " + strings.Join(services, ", ")
	if n := Nearest(name, services); n != "" {
		next = "did you mean " + n + "? " + next
	}
	d.wrong = append(d.wrong, wrongSetting{path, false, fmt.Sprintf("%s is %q, and no service is called that", settingPath(path), name), next})
}
