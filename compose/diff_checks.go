package compose

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// cannot notes something of the files that keeps the plan from working, at the place of a path in them. Diff tells of all of it.
func (p *planner) cannot(path []string, next, format string, args ...any) {
	p.wrong = append(p.wrong, problem{p.want.sources.at(path, false), fmt.Sprintf(format, args...), next})
}

// checkTexts notes secrets and configs of a service that a container is made for and that are not there.
func (p *planner) checkTexts(s Service) {
	check := func(kind, name string, o FileObject) {
		path := []string{kind + "s", name}
		_, isSet := p.want.Environment[o.Environment]
		switch {
		case bool(o.External) || o.Content != "":
		case o.Environment != "" && !isSet:
			p.cannot(append(path, "environment"), "set "+o.Environment+" in the environment or in .env", "%s %s of service %s is in the environment variable %s, which is not set", kind, name, s.Name, o.Environment)
		case o.Environment == "" && p.want.absent[o.File] && !p.have.Engine.Remote: // there copied says it
			next := "create it, or correct the path"
			if near := nearestName(filepath.Dir(o.File), filepath.Base(o.File), false); near != "" {
				next = "did you mean " + near + "? if not, create it"
			}
			p.cannot(append(path, "file"), next, "%s %s of service %s: there is no file %s", kind, name, s.Name, o.File)
		}
	}
	for _, r := range s.Secrets {
		check("secret", r.Source, FileObject(p.want.Secrets[r.Source]))
	}
	for _, r := range s.Configs {
		check("config", r.Source, FileObject(p.want.Configs[r.Source]))
	}
}

// checkHealth notes that a service waits for the health of one that is known to have no healthcheck.
func (p *planner) checkHealth(s Service, name string) {
	other := p.want.Services[name]
	if p.readyWhen(other) != UntilRunning {
		return
	}
	why := "has no healthcheck, nor has its image " + ImageName(p.want, other)
	if other.HealthCheck != nil {
		why = "has its healthcheck disabled"
	}
	p.cannot([]string{"services", s.Name, "depends_on", name, "condition"}, "add healthcheck: to "+name+", or write condition: service_started",
		"service %s waits until %s is healthy, and %s %s", s.Name, name, name, why)
}

// fixedPort is a port of the host that can be published once.
type fixedPort struct {
	ip, protocol string
	port         int
}

// checkPorts notes host ports that more than one container would publish. Not so one-shots that others wait for: their port is
// free again when the next one starts.
func (p *planner) checkPorts(names []string) {
	if p.want.Settings.Ports == PortsAuto {
		return
	}
	owner := map[fixedPort]string{}
	for _, name := range names {
		s := p.want.Services[name]
		wanted := p.scale(s)
		if wanted < 1 || p.want.IsOneShot(name) {
			continue
		}
		for _, port := range s.Ports {
			first, count := publishedRange(port.Published)
			if count == 0 {
				continue
			}
			if count < wanted {
				p.cannot(p.want.sources.portPath(name, port.Published),
					fmt.Sprintf("give it %d ports (%d-%d:%d) or none (%d), or let strake choose them: x-strake: {ports: auto}", wanted, first, first+wanted-1, port.Target, port.Target),
					"service %s: host port %s holds %s, and %d are wanted", name, port.Published, containers(count), wanted)
				continue
			}
			key := fixedPort{strings.TrimPrefix(port.HostIP, "0.0.0.0"), cmp.Or(port.Protocol, "tcp"), first}
			if count > 1 {
				continue
			}
			switch other := owner[key]; other {
			case "":
				owner[key] = name
			case name:
				p.cannot(p.want.sources.portPath(name, port.Published), "give one of them another host port", "service %s publishes host port %s twice", name, port.Published)
			default:
				p.cannot(p.want.sources.portPath(name, port.Published), "give one of them another host port or none, or let strake choose them: x-strake: {ports: auto}",
					"services %s and %s both publish host port %s", other, name, port.Published)
			}
		}
	}
}

// containers counts some.
func containers(n int) string {
	if n == 1 {
		return "one container"
	}
	return strconv.Itoa(n) + " containers"
}

// publishedRange is the first of the host ports that an entry publishes and how many they are; none where the engine chooses.
func publishedRange(published string) (first, count int) {
	from, to, isRange := strings.Cut(published, "-")
	first, err := strconv.Atoi(from)
	if err != nil || first < 1 {
		return 0, 0
	}
	if !isRange {
		return first, 1
	}
	last, err := strconv.Atoi(to)
	if err != nil || last < first {
		return 0, 0
	}
	return first, last - first + 1
}

// portPath is the path of the entry of a service's ports that publishes a host port, or of its ports.
func (src *sources) portPath(service, published string) []string {
	return src.entryPath([]string{"services", service, "ports"}, func(v any) bool {
		if m, ok := v.(map[string]any); ok {
			return fmt.Sprint(m["published"]) == published
		}
		return slices.Contains(strings.FieldsFunc(fmt.Sprint(v), func(r rune) bool { return strings.ContainsRune(":/]", r) }), published)
	})
}
