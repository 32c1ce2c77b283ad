package compose

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"github.com/compose-spec/compose-go/v2/format"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/mattn/go-shellwords"
)

// OneOffChanges are what `run` changes of a service for its one container. The zero value changes nothing but what every
// one-off has: no restart, no published ports.
type OneOffChanges struct {
	Command    []string // nil leaves the service's own, unless Entrypoint is set
	Entrypoint *string  // words as a shell splits them
	Env        []string // KEY=VALUE
	User       string
	WorkingDir string
	Name       string   // of the container; "" is made up
	Volumes    []string // in the short form of volumes:
	Publish    []string // in the short form of ports:
	Labels     []string // KEY=VALUE
	// ServicePorts publishes the service's own ports too.
	ServicePorts bool
	TTY, Input   bool
}

// OneOffService is the service as `run` runs it: a copy with the changes made.
// Source: docker/compose 2.40.3, `docker compose run`.
func OneOffService(p *Project, name string, c OneOffChanges) (Service, error) {
	s, ok := serviceNamed(p, name)
	if !ok {
		return Service{}, fmt.Errorf("project %s has no service %s", p.Name, name)
	}
	one := 1
	s.Scale, s.Restart, s.ContainerName = &one, "", c.Name
	if s.Deploy != nil {
		d := *s.Deploy
		d.RestartPolicy, d.Replicas = nil, nil
		s.Deploy = &d
	}
	s.Tty, s.StdinOpen = c.TTY, c.Input
	if c.Entrypoint != nil {
		words, err := shellwords.Parse(*c.Entrypoint)
		if err != nil {
			return Service{}, fmt.Errorf("read entrypoint %q: %w", *c.Entrypoint, err)
		}
		s.Entrypoint, s.Command = append(types.ShellCommand{}, words...), nil
	}
	if c.Command != nil {
		s.Command = c.Command
	}
	if c.User != "" {
		s.User = c.User
	}
	if c.WorkingDir != "" {
		s.WorkingDir = c.WorkingDir
	}
	s.Environment = maps.Clone(s.Environment)
	if s.Environment == nil {
		s.Environment = types.MappingWithEquals{}
	}
	maps.Copy(s.Environment, types.NewMappingWithEquals(c.Env))
	s.Labels = maps.Clone(s.Labels)
	if s.Labels == nil {
		s.Labels = types.Labels{}
	}
	for k, v := range types.NewMappingWithEquals(c.Labels) {
		s.Labels[k] = ""
		if v != nil {
			s.Labels[k] = *v
		}
	}
	return s, addMountsAndPorts(&s, p, c)
}

// addMountsAndPorts adds the volumes and ports that the command line gives in short form.
func addMountsAndPorts(s *Service, p *Project, c OneOffChanges) error {
	s.Volumes = slices.Clone(s.Volumes)
	for _, text := range c.Volumes {
		v, err := format.ParseVolume(text)
		if err != nil {
			return fmt.Errorf("read volume %q: %w", text, err)
		}
		if v.Type == types.VolumeTypeBind && !filepath.IsAbs(v.Source) {
			v.Source = filepath.Join(p.WorkingDir, v.Source)
		}
		if v.Type == types.VolumeTypeVolume && v.Source != "" {
			if spec, ok := p.Volumes[v.Source]; !ok || spec.Name == "" {
				return &HintedError{Err: fmt.Errorf("project %s has no volume %s", p.Name, v.Source), Next: "add it to volumes:, or write a path (./" + v.Source + ")"}
			}
		}
		s.Volumes = append(slices.DeleteFunc(s.Volumes, func(o ServiceVolume) bool { return o.Target == v.Target }), v)
	}
	if !c.ServicePorts {
		s.Ports = nil
	}
	s.Ports = slices.Clone(s.Ports)
	for _, text := range c.Publish {
		ports, err := types.ParsePortConfig(text)
		if err != nil {
			return fmt.Errorf("read port %q: %w", text, err)
		}
		s.Ports = append(s.Ports, ports...)
	}
	return nil
}
