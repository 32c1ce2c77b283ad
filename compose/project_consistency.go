package compose

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
)

// consistency finds what does not fit together in a project. compose-go refuses the same with the first that it comes
// across, in no order and without its place.
// Source: compose-go, loader/validate.go, checkConsistency.
type consistency struct {
	src      *sources
	p        *types.Project
	problems []problem
}

// inconsistent is everything that does not fit together in a project, nil if that is nothing.
func (src *sources) inconsistent(p *types.Project) error {
	c := &consistency{src: src, p: p}
	for _, name := range slices.Sorted(maps.Keys(p.Services)) {
		s := p.Services[name]
		s.Name = name
		c.service(s)
		c.references(s)
		c.build(s)
		c.twice(s)
		c.mounts(s)
	}
	for _, name := range slices.Sorted(maps.Keys(p.Secrets)) {
		if o := p.Secrets[name]; !bool(o.External) && o.File == "" && o.Environment == "" {
			c.problems = append(c.problems, problem{src.at([]string{"secrets", name}, true), "secret " + name + " has neither file nor environment", "write one of them"})
		}
	}
	return joined(c.problems)
}

// add notes a problem at a path below a service, a key.
func (c *consistency) add(s Service, path, next, format string, args ...any) {
	at := c.src.at(append([]string{"services", s.Name}, strings.FieldsFunc(path, func(r rune) bool { return r == '.' })...), true)
	c.problems = append(c.problems, problem{at, fmt.Sprintf(format, args...), next})
}

// service is about attributes that exclude each other, and counts.
func (c *consistency) service(s Service) {
	if s.Build == nil && s.Image == "" && s.Provider == nil {
		c.add(s, "", "add image: or build:", "service %s has neither image nor build", s.Name)
	}
	if s.NetworkMode != "" && len(s.Networks) > 0 {
		c.add(s, "network_mode", "take one of the two out: with network_mode a container is on no network of the project", "service %s has both network_mode and networks", s.Name)
	}
	if h := s.HealthCheck; h != nil && len(h.Test) > 0 && !slices.Contains([]string{"CMD", "CMD-SHELL", "NONE"}, h.Test[0]) {
		c.add(s, "healthcheck.test", "write [CMD, "+strings.Join(h.Test, ", ")+"], or one text for the shell",
			"services.%s.healthcheck.test begins with %q, and must begin with CMD, CMD-SHELL or NONE", s.Name, h.Test[0])
	}
	for path, n := range map[string]*int{"scale": s.Scale, "deploy.replicas": replicas(s)} {
		if n != nil && *n < 0 {
			c.add(s, path, "correct the number", "services.%s.%s is %d, and must be at least 0", s.Name, path, *n)
		}
	}
	if s.GetScale() > 1 && s.ContainerName != "" {
		c.add(s, "container_name", "take container_name out, or have one container", "service %s: %d containers cannot all be called %s", s.Name, s.GetScale(), s.ContainerName)
	}
	for i, w := range watched(s) {
		if w.Target == "" && w.Action != types.WatchActionRebuild && w.Action != types.WatchActionRestart {
			c.add(s, fmt.Sprintf("develop.watch.%d", i), "add target:, the path in the container", "services.%s.develop.watch.%d has no target, which %s needs", s.Name, i, w.Action)
		}
	}
}

func replicas(s Service) *int {
	if s.Deploy == nil {
		return nil
	}
	return s.Deploy.Replicas
}

func watched(s Service) []types.Trigger {
	if s.Develop == nil {
		return nil
	}
	return s.Develop.Watch
}

// references is about names that nothing is called by.
func (c *consistency) references(s Service) {
	refers := func(kind, section, name string, defined bool) {
		if defined {
			return
		}
		next := "add it to " + section + ": at the top level"
		if near := Nearest(name, c.src.names(section)); near != "" {
			next = "did you mean " + near + "? if not, " + next
		}
		path := []string{"services", s.Name, section}
		if kind == "build secret" {
			path = []string{"services", s.Name, "build", section}
		}
		at := c.src.at(append(path, name), false)
		if at.file == "" {
			at = c.src.at(c.src.entryPath(path, func(v any) bool {
				m, _ := v.(map[string]any)
				source, _ := m["source"].(string)
				return m != nil && source == name
			}), false)
		}
		c.problems = append(c.problems, problem{at, fmt.Sprintf("service %s uses the %s %s, which is not defined", s.Name, kind, cmp.Or(name, `""`)), next})
	}
	for name := range s.Networks {
		_, ok := c.p.Networks[name]
		refers("network", "networks", name, ok || s.NetworkMode != "")
	}
	for _, v := range s.Volumes {
		_, ok := c.p.Volumes[v.Source]
		refers("volume", "volumes", v.Source, ok || v.Source == "" || v.Type != types.VolumeTypeVolume)
	}
	for _, r := range s.Configs {
		_, ok := c.p.Configs[r.Source]
		refers("config", "configs", r.Source, ok)
	}
	for _, r := range s.Secrets {
		_, ok := c.p.Secrets[r.Source]
		refers("secret", "secrets", r.Source, ok)
	}
	if s.Build != nil {
		for _, r := range s.Build.Secrets {
			_, ok := c.p.Secrets[r.Source]
			refers("build secret", "secrets", r.Source, ok)
		}
	}
	for name := range s.Models {
		_, ok := c.p.Models[name]
		refers("model", "models", name, ok)
	}
	for name, d := range s.DependsOn {
		if _, enabled := c.p.Services[name]; enabled {
			continue
		}
		c.dependency(s, name, d.Required)
	}
}

// dependency notes a dependency that is no enabled service.
func (c *consistency) dependency(s Service, name string, required bool) {
	disabled, isDisabled := c.p.DisabledServices[name]
	if isDisabled && !required {
		return
	}
	var at position
	for _, path := range [][]string{{"depends_on", name}, {"links", name}, {"volumes_from", name}, {"network_mode"}, {"ipc"}, {"pid"}, {"depends_on"}} {
		if at.file == "" {
			at = c.src.at(append([]string{"services", s.Name}, path...), true)
		}
	}
	services := c.src.names("services")
	says, next := fmt.Sprintf("service %s depends on %s, which is not defined", s.Name, cmp.Or(name, `""`)), nearOr(name, services, "the services are "+strings.Join(services, ", "))
	if isDisabled {
		says = fmt.Sprintf("service %s depends on %s, whose profile is not active", s.Name, name)
		next = "add --profile " + strings.Join(disabled.Profiles, " or --profile ") + ", or write required: false"
	}
	c.problems = append(c.problems, problem{at, says, next})
}

// build is about what a build says.
func (c *consistency) build(s Service) {
	if s.Build == nil {
		return
	}
	if s.Build.DockerfileInline != "" && s.Build.Dockerfile != "" {
		c.add(s, "build.dockerfile_inline", "take one of the two out", "the build of service %s has both dockerfile and dockerfile_inline", s.Name)
	}
	if platforms := s.Build.Platforms; len(platforms) > 0 && s.Platform != "" && !slices.Contains(platforms, s.Platform) {
		c.add(s, "platform", "add "+s.Platform+" to build.platforms, or correct platform", "service %s runs on %s, and is built for %s only", s.Name, s.Platform, strings.Join(platforms, ", "))
	}
	for name, from := range s.Build.AdditionalContexts {
		target, ok := strings.CutPrefix(from, types.ServicePrefix)
		if !ok {
			continue
		}
		other, known := c.p.AllServices()[target]
		path := "build.additional_contexts." + name
		switch services := c.src.names("services"); {
		case !known:
			c.add(s, path, nearOr(target, services, "the services are "+strings.Join(services, ", ")), "the build of service %s uses the image of service %s, which is not defined", s.Name, target)
		case other.Build == nil:
			c.add(s, path, "write docker-image://"+other.Image+" instead of "+from, "the build of service %s uses the image of service %s, which is not built", s.Name, target)
		}
	}
}

// twice is about what is said at two places in two ways.
func (c *consistency) twice(s Service) {
	differ := func(a, b string, yes bool) {
		if yes {
			c.add(s, a, "take one of the two out", "service %s has %s and %s with different values", s.Name, a, b)
		}
	}
	if s.Deploy == nil {
		return
	}
	limits, reservations := s.Deploy.Resources.Limits, s.Deploy.Resources.Reservations
	differ("scale", "deploy.replicas", s.Scale != nil && s.Deploy.Replicas != nil && *s.Scale != *s.Deploy.Replicas)
	differ("cpus", "deploy.resources.limits.cpus", s.CPUS != 0 && limits != nil && limits.NanoCPUs.Value() != s.CPUS)
	differ("mem_limit", "deploy.resources.limits.memory", s.MemLimit != 0 && limits != nil && limits.MemoryBytes != s.MemLimit)
	differ("pids_limit", "deploy.resources.limits.pids", s.PidsLimit != 0 && limits != nil && limits.Pids != s.PidsLimit)
	differ("mem_reservation", "deploy.resources.reservations.memory", s.MemReservation != 0 && reservations != nil && reservations.MemoryBytes != s.MemReservation)
}

// mounts is about two things that are mounted at one path.
func (c *consistency) mounts(s Service) {
	mounted := map[string]string{}
	check := func(path, target string) {
		if first := mounted[target]; first != "" {
			c.add(s, path, "take one of the two out, or correct its target", "services.%s.%s is mounted at %s, as services.%s.%s is", s.Name, path, target, s.Name, first)
			return
		}
		mounted[target] = path
	}
	for i, t := range s.Tmpfs {
		target, _, _ := strings.Cut(t, ":")
		check("tmpfs."+strconv.Itoa(i), target)
	}
	for i, v := range s.Volumes {
		check("volumes."+strconv.Itoa(i), v.Target)
	}
}
