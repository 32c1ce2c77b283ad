package compose

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/distribution/reference"
	"github.com/mattn/go-shellwords"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"

	"github.com/strake-dev/strake/compose/regex"
)

// healthcheck finds a healthcheck that asks somebody else.
func (c *checker) healthcheck(s Service) {
	h := s.HealthCheck
	if h == nil || h.Disable || len(h.Test) == 0 || h.Test[0] == "NONE" {
		return
	}
	text := strings.Join(h.Test[1:], " ")
	hosts := addressed(text)
	if words, err := shellwords.Parse(text); err == nil && len(words) > 1 && slices.Contains([]string{"ping", "nslookup", "dig"}, words[0]) {
		for _, w := range words[1:] {
			if domain.MatchString(w) || isPublic(w) {
				hosts = append(hosts, w)
			}
		}
	}
	for _, host := range hosts {
		if c.kindOf(host) == outsideHost {
			c.add("healthcheck-outside", s.Name, c.places.of("services", s.Name, "healthcheck", "test"), "the healthcheck asks "+host)
		}
	}
}

// commands finds what a container fetches when it starts.
func (c *checker) commands(s Service) {
	isOurs := func(host string) bool { return c.kindOf(host) != outsideHost }
	found := func(args []string, what string, path ...string) {
		if programs := fetchedBy(args, isOurs); len(programs) > 0 {
			c.add("fetching-command", s.Name, c.places.of(append([]string{"services", s.Name}, path...)...), what+" fetches with "+strings.Join(programs, ", "))
		}
	}
	switch {
	case len(s.Entrypoint) > 0:
		found(slices.Concat(s.Entrypoint, s.Command), "entrypoint", "entrypoint")
	default:
		found(s.Command, "command", "command")
	}
	for _, h := range s.PostStart {
		found(h.Command, "a command of post_start", "post_start")
	}
	for _, h := range s.PreStart {
		found(h.Command, "a command of pre_start", "pre_start")
	}
}

// containment finds what leads out of a container.
func (c *checker) containment(s Service) {
	of := func(key string) place { return c.places.of("services", s.Name, key) }
	if s.NetworkMode == "host" || strings.HasPrefix(s.NetworkMode, "container:") {
		c.add("host-network", s.Name, of("network_mode"), "network_mode is "+s.NetworkMode)
	}
	if s.Privileged {
		c.add("privileged", s.Name, of("privileged"), "privileged is true")
	}
	for _, m := range s.Volumes {
		if m.Type == "bind" && HoldsEngineSocket(m.Source) {
			c.add("engine-socket", s.Name, c.places.entry(m.Target, "services", s.Name, "volumes"), "the mount at "+m.Target+" has the engine's socket")
		}
	}
}

// engineSockets are where engines listen. Source: the manuals of Docker, Podman, containerd, BuildKit and CRI-O.
var engineSockets = []string{"/var/run/docker.sock", "/run/docker.sock", "/run/podman/podman.sock", "/var/run/podman/podman.sock", "/run/containerd/containerd.sock",
	"/var/run/containerd/containerd.sock", "/run/buildkit/buildkitd.sock", "/run/crio/crio.sock", "/var/run/crio/crio.sock"}

// HoldsEngineSocket is whether a path of a machine is a container engine's socket or a folder that may hold one. It looks at the path alone.
func HoldsEngineSocket(path string) bool {
	path = filepath.Clean(path)
	if base := filepath.Base(path); base == "docker.sock" || base == "podman.sock" {
		return true // of an engine without root
	}
	return slices.ContainsFunc(engineSockets, func(s string) bool { return path == s || strings.HasPrefix(s, strings.TrimSuffix(path, "/")+"/") })
}

// networks finds networks that are made elsewhere.
func (c *checker) networks() {
	for _, key := range slices.Sorted(maps.Keys(c.p.Networks)) {
		if bool(c.p.Networks[key].External) {
			c.add("external-network", "", c.places.of("networks", key), "network "+key+" is external")
		}
	}
}

// dependencies finds what a service waits for and never comes.
func (c *checker) dependencies(s Service) {
	for _, name := range slices.Sorted(maps.Keys(s.DependsOn)) {
		other, ok := c.p.Services[name]
		if !ok || s.DependsOn[name].Condition != "service_healthy" {
			continue
		}
		h := other.HealthCheck
		at := c.places.of("services", s.Name, "depends_on", name)
		switch {
		case h != nil && (h.Disable || len(h.Test) > 0 && h.Test[0] == "NONE"):
			c.add("no-healthcheck", s.Name, at, s.Name+" waits for "+name+" to be healthy, whose healthcheck is off")
		case (h == nil || len(h.Test) == 0) && c.hasNoCheck(other):
			c.add("no-healthcheck", s.Name, at, s.Name+" waits for "+name+" to be healthy, which has no healthcheck")
		}
	}
}

// hasNoCheck is whether the image of a service is known to have no healthcheck: it is one of those of isWithoutCheck, or one that the project
// builds on such a one, or on nothing, without saying HEALTHCHECK.
func (c *checker) hasNoCheck(s Service) bool {
	if s.Build == nil {
		return !c.built[familiar(s.Image)] && isWithoutCheck(s.Image)
	}
	src, err := ReadBuild(c.p, s.Name)
	if err != nil || src.Text == nil {
		return false
	}
	r, err := readDockerfile(src)
	if err != nil || r.seen == nil {
		return false
	}
	for _, command := range r.commands() {
		if _, ok := command.(*instructions.HealthCheckCommand); ok {
			return false
		}
	}
	return !slices.ContainsFunc(r.refs, func(ref BuildRef) bool { return c.built[familiar(ref.Ref)] || !isWithoutCheck(ref.Ref) }) && len(s.Build.AdditionalContexts) == 0
}

// isWithoutCheck is whether an image is an official one of which it is known that it has no healthcheck; most have none.
// Source: docker-library/faq, "Healthcheck", and the Dockerfiles of these.
func isWithoutCheck(ref string) bool {
	named, err := reference.ParseNormalizedNamed(ref)
	return err == nil && reference.Domain(named) == "docker.io" && withoutCheck.MatchString(reference.Path(named))
}

var withoutCheck = regex.New(`^library/(postgres|mysql|mariadb|mongo|redis|valkey|memcached|rabbitmq|nginx|httpd|caddy|haproxy|traefik|debian|ubuntu|alpine|busybox|` +
	`python|node|golang|ruby|php|eclipse-temurin|openjdk|rust|perl)$`)

// seeds finds steps of a service's seed that do not say what they depend on.
func (c *checker) seeds(s Service) {
	seed := c.p.Settings.Services[s.Name].Seed
	if seed == nil {
		return
	}
	steps := slices.Clone(seed.With)
	if m := c.p.Settings.Migrate.Service; m != "" {
		steps = append(steps, m)
	}
	for _, step := range steps {
		if c.p.Settings.Services[step].Inputs == nil {
			c.add("seed-inputs", step, c.places.of("services", step), "step "+step+" of a seed has no inputs")
		}
	}
}
