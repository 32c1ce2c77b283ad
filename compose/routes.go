package compose

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/strake-dev/strake/compose/regex"
)

// RouteSettings is x-strake.route of a service that is reached from outside through the gateway. The zero value leaves all to Routes.
type RouteSettings struct {
	Port  int    `strake:"port" doc:"The container's port that answers requests; without it the one that is published or exposed."`
	Host  string `strake:"host" doc:"The name at which the service is reached; without it the service's own."`
	Path  string `strake:"path" doc:"A path at which the service is reached, on the main service's origin unless host says another, such as /api."`
	Strip bool   `strake:"strip" doc:"The service does not see path at the beginning of what is asked."`
	Main  bool   `strake:"main" doc:"The service is what is reached at the stack's own address."`
}

// RouteSpec says where a service is reached through the gateway.
type RouteSpec struct {
	Service string
	// Port is the container's.
	Port int
	// Host is the label that stands before the stack's own (api in api--pr-42); "" is the stack's own address.
	Host string
	// Path is what a request's path begins with, "/" at least; it has no / at its end beside that.
	Path string
	// Strip takes Path off before the service sees the request.
	Strip bool
	// Main is whether it is the one that the stack's address stands for. At most one is.
	Main bool
}

// Routes are the routes of a project's enabled services, sorted by service; none is no error. Where any service says x-strake.route
// only those that do are routed, else those that publish a TCP port, but for ports that are known to speak no HTTP. The main one is the one
// that says so, else the one that is called web or the like, else the first by name of those without a path. A stand-in with a port is
// routed whatever others say, and is the main one where there is no other.
//
// A port that cannot be told, two main ones and two services at one place are *HintedError, all of them joined.
func Routes(p *Project) ([]RouteSpec, error) {
	var (
		all      []RouteSpec
		errs     []error
		explicit bool
	)
	for name := range p.Services {
		explicit = explicit || p.Settings.Services[name].Route != nil
	}
	for _, name := range slices.Sorted(maps.Keys(p.Services)) {
		s, says := p.Services[name], p.Settings.Services[name].Route
		if says == nil && explicit && !p.Settings.Services[name].StandIn {
			continue
		}
		r := RouteSpec{Service: name, Path: "/"}
		if says != nil {
			r.Port, r.Host, r.Path, r.Strip, r.Main = says.Port, says.Host, "/"+strings.Trim(says.Path, "/"), says.Strip, says.Main
		}
		if r.Port == 0 {
			r.Port = routedPort(s, says != nil)
		}
		if r.Port == 0 && says == nil {
			continue
		}
		if r.Port == 0 {
			errs = append(errs, &HintedError{Err: fmt.Errorf("service %s is routed, and which of its ports answers requests is not known", name),
				Next: "write x-strake: {route: {port: …}} in service " + name})
			continue
		}
		all = append(all, r)
	}
	if err := chooseMain(all, p.Settings.Services); err != nil {
		errs = append(errs, err)
	}
	errs = append(errs, placeRoutes(all)...)
	return all, errors.Join(errs...)
}

// chooseMain marks the main route where none is marked.
func chooseMain(all []RouteSpec, settings map[string]ServiceSettings) error {
	var mains []string
	best, bestRank := -1, 0
	for i, r := range all {
		if r.Main {
			mains = append(mains, r.Service)
		}
		rank := slices.Index(mainNames(), strings.ToLower(r.Service))
		if rank < 0 {
			rank = len(mainNames())
		}
		if r.Path != "/" || r.Host != "" {
			rank += 100 // it says that it is somewhere else
		}
		if settings[r.Service].StandIn {
			rank += 200
		}
		if best < 0 || rank < bestRank {
			best, bestRank = i, rank
		}
	}
	switch {
	case len(mains) > 1:
		return &HintedError{Err: fmt.Errorf("services %s are all routed as the main one", strings.Join(mains, ", ")), Next: "leave main: true in one of them"}
	case len(mains) == 0 && best >= 0:
		all[best].Main = true
	}
	return nil
}

// mainNames are what people call the service that shows the pages, the likeliest first.
func mainNames() []string {
	return []string{"web", "www", "frontend", "front", "app", "ui", "client", "site", "proxy", "nginx", "caddy", "gateway", "server"}
}

// placeRoutes gives each route that is neither the main one nor on a path a host of its own, and refuses two at one place.
func placeRoutes(all []RouteSpec) []error {
	var errs []error
	taken := map[string]string{}
	for i, r := range all {
		if r.Host == "" && !r.Main && r.Path == "/" {
			all[i].Host = labelOf(r.Service)
		}
		at := all[i].Host + r.Path
		if other, ok := taken[at]; ok {
			errs = append(errs, &HintedError{Err: fmt.Errorf("services %s and %s are both routed at host %s and path %s", other, r.Service, cmp.Or(all[i].Host, "(the stack's own)"), r.Path),
				Next: "give one of them another host or path in x-strake.route"})
		}
		taken[at] = r.Service
	}
	return errs
}

// labelOf is a service's name as a label of a hostname.
func labelOf(service string) string {
	label := strings.Trim(notInLabels.ReplaceAllString(strings.ToLower(service), "-"), "-")
	return cmp.Or(strings.Trim(label[:min(len(label), 40)], "-"), "service")
}

var notInLabels = regex.New(`[^a-z0-9]+`)

// routedPort is the port of a service that answers requests, 0 if it cannot be told: of those that it publishes, else, where it is known
// to be routed, of those that it exposes, the only one, else a usual one.
func routedPort(s Service, isRouted bool) int {
	var ports []int
	add := func(port int) {
		if port > 0 && !slices.Contains(ports, port) && (isRouted || !slices.Contains(notHTTP(), port)) {
			ports = append(ports, port)
		}
	}
	for _, p := range s.Ports {
		if p.AppProtocol == "http" && p.Protocol != "udp" {
			return int(p.Target)
		}
		if p.Protocol == "" || p.Protocol == "tcp" {
			add(int(p.Target))
		}
	}
	if len(s.Ports) == 0 && isRouted {
		for _, e := range s.Expose {
			port, protocol, _ := strings.Cut(e, "/")
			if n, err := strconv.Atoi(port); err == nil && (protocol == "" || protocol == "tcp") {
				add(n)
			}
		}
	}
	if len(ports) == 1 {
		return ports[0]
	}
	for _, usual := range []int{80, 8080, 3000, 8000, 5173, 4200, 5000, 8081, 8888, 9000} {
		if slices.Contains(ports, usual) {
			return usual
		}
	}
	if len(ports) == 0 || isRouted {
		return 0
	}
	return slices.Min(ports)
}

// notHTTP are ports of databases, queues and mail servers, which people publish to reach them from their machine. Source: IANA, Service
// Name and Transport Protocol Port Number Registry; 1025 is what test mail servers listen on; 443 wants a certificate that a preview has not.
func notHTTP() []int {
	return []int{21, 22, 25, 443, 465, 587, 1025, 1433, 1521, 1883, 2181, 3306, 4222, 5432, 5433, 5671, 5672, 6379, 9042, 9092, 11211, 26257, 27017, 33060}
}

// checkRoute refuses what x-strake.route of a service cannot mean.
func (d *settingsDecoder) checkRoute(service string, r RouteSettings) {
	wrong := func(key, says, next string) {
		path := []string{"services", service, settingsKey, "route", key}
		d.wrong = append(d.wrong, wrongSetting{path, false, settingPath(path) + " is " + says, next})
	}
	if r.Port < 0 || r.Port > 65535 {
		wrong("port", strconv.Itoa(r.Port), "write a port from 1 to 65535")
	}
	if r.Host != "" && (!hostLabel.MatchString(r.Host) || strings.Contains(r.Host, "--") || len(r.Host) > 40) {
		wrong("host", fmt.Sprintf("%q", r.Host), "write one name of at most 40 lower-case letters, digits and single -, such as api; the stack's name is added to it")
	}
	if r.Path != "" && !routePath.MatchString(r.Path) {
		wrong("path", fmt.Sprintf("%q", r.Path), "write a path such as /api, of letters, digits, / . _ ~ and -")
	}
	if r.Strip && strings.Trim(r.Path, "/") == "" {
		wrong("strip", "true, and there is no path to strip", "write path, or leave strip out")
	}
}

// routePath has no . or .. as a part, no empty part and nothing that would have to be escaped.
var routePath = regex.New(`^/([A-Za-z0-9_~-]+[A-Za-z0-9_~.-]*(/[A-Za-z0-9_~-]+[A-Za-z0-9_~.-]*)*)?/?$`)
