package hosttest

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/strake-dev/strake/compose"
)

// Do implements compose.Host.
func (m *Memory) Do(ctx context.Context, s compose.Step, note func(compose.Event)) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if note == nil {
		note = func(compose.Event) {}
	}
	if s.Op == compose.Probe {
		return m.doProbe(s)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if s.Op.Changes() && m.Before != nil {
		m.steps++
		if err := m.Before(m.steps, s); err != nil {
			return err
		}
	}
	m.done = append(m.done, s)
	switch s.Op {
	case compose.PullImage, compose.BuildImage, compose.RemoveImage:
		return m.doImage(s, note)
	case compose.CreateNetwork, compose.RemoveNetwork, compose.Connect, compose.Disconnect:
		return m.doNetwork(s)
	case compose.CreateVolume, compose.RemoveVolume:
		return m.doVolume(s)
	case compose.TakeClaim, compose.HoldClaim, compose.DropClaim:
		return m.doClaim(s, note)
	case compose.CreateMark, compose.DropMark:
		return m.doMark(s)
	}
	return m.doContainer(s)
}

// doProbe probes without the lock, since Pass may take its time.
func (m *Memory) doProbe(s compose.Step) error {
	m.mu.Lock()
	c, err := m.find(s.Target)
	if err != nil {
		m.mu.Unlock()
		return compose.ErrNotRunning
	}
	name, status, h := c.Name, c.Status, c.spec.Service.HealthCheck
	m.mu.Unlock()
	switch {
	case h == nil || h.Disable || len(h.Test) == 0:
		return compose.ErrNoHealthcheck
	case status != compose.Running:
		return compose.ErrNotRunning
	case m.Pass != nil:
		return m.Pass(name)
	case h.Test[len(h.Test)-1] == "true":
		return nil
	}
	return &compose.ProbeError{ExitCode: 1, Output: strings.Join(h.Test[1:], " ")}
}

func (m *Memory) doImage(s compose.Step, note func(compose.Event)) error {
	if s.Op == compose.RemoveImage {
		delete(m.images, s.Target)
		return nil
	}
	was, ok := m.images[s.Image.Ref]
	image := compose.Image{ID: m.id("sha256:"), Platform: "linux/amd64", Labels: map[string]string{}}
	if s.Op == compose.PullImage {
		if !ok {
			return fmt.Errorf("pull image %s: there is none", s.Image.Ref)
		}
		image = was
	}
	if s.Op == compose.BuildImage && m.Build != nil {
		var err error
		if image, err = m.Build(s); err != nil {
			return err
		}
	}
	if s.Image.Inputs != "" {
		image.Labels = maps.Clone(image.Labels)
		image.Labels[compose.LabelInputs] = s.Image.Inputs
	}
	m.images[s.Image.Ref] = image
	note(compose.Event{Unchanged: ok && was.ID == image.ID})
	return nil
}

// attach connects a container to a network by name.
func (m *Memory) attach(c *memoryContainer, name string) error {
	for _, n := range m.networks {
		if n.Name == name {
			c.Networks[name] = n.ID
			return nil
		}
	}
	return fmt.Errorf("network %s not found", name)
}

func (m *Memory) doVolume(s compose.Step) error {
	if s.Op == compose.CreateVolume {
		if _, ok := m.volumes[s.Name]; !ok {
			m.volumes[s.Name] = compose.Volume{Name: s.Name, Driver: "local", Labels: maps.Clone(s.Labels)}
		}
		return nil
	}
	for _, c := range m.containers {
		if slices.ContainsFunc(c.Mounts, func(mount compose.Mount) bool { return mount.Name == s.Target }) {
			return fmt.Errorf("volume %s: %w", s.Target, compose.ErrInUse)
		}
	}
	delete(m.volumes, s.Target)
	return nil
}

func (m *Memory) doClaim(s compose.Step, note func(compose.Event)) error {
	switch s.Op {
	case compose.TakeClaim:
		if held, ok := m.claims[s.Name]; ok {
			e := &compose.HeldError{Project: held.labels[compose.LabelClaim], ID: held.id}
			return withOwner(e, held.labels[compose.LabelOwner])
		}
		id := m.id("")
		m.claims[s.Name] = memoryClaim{id: id, labels: maps.Clone(s.Labels)}
		note(compose.Event{Text: id})
	case compose.HoldClaim:
		if m.claims[s.Name].id != s.Target {
			return compose.ErrClaimLost
		}
	case compose.DropClaim:
		if m.claims[s.Name].id == s.Target {
			delete(m.claims, s.Name)
		}
	}
	return nil
}

// doMark makes and removes what is a claim that nobody holds.
func (m *Memory) doMark(s compose.Step) error {
	if s.Op == compose.DropMark {
		delete(m.claims, s.Target)
		return nil
	}
	if there, ok := m.claims[s.Name]; ok && !maps.Equal(there.labels, s.Labels) {
		return fmt.Errorf("container %s is there and says something else", s.Name)
	}
	m.claims[s.Name] = memoryClaim{id: m.id(""), labels: maps.Clone(s.Labels)}
	return nil
}

// withOwner reads the owner into the error; one that cannot be read stays zero.
func withOwner(e *compose.HeldError, label string) error {
	if err := json.Unmarshal([]byte(label), &e.Owner); err != nil {
		e.Owner = compose.Owner{}
	}
	return e
}

func (m *Memory) doContainer(s compose.Step) error {
	if s.Op == compose.CreateContainer {
		return m.create(s)
	}
	if s.Op == compose.RunHook {
		if len(s.Container.Service.Command) == 2 && s.Container.Service.Command[0] == "exit" {
			return fmt.Errorf("exited with code %s", s.Container.Service.Command[1])
		}
		return nil
	}
	c, err := m.find(s.Target)
	if err != nil {
		switch s.Op {
		case compose.StopContainer, compose.RemoveContainer:
			return nil
		case compose.RenameContainer:
			if _, err := m.find(s.Name); err == nil {
				return nil
			}
		}
		return err
	}
	switch s.Op {
	case compose.StartContainer:
		if c.Status != compose.Running {
			if name := firstNetwork(c.spec); name != "" && !m.hasNetwork(name) {
				return fmt.Errorf("network %s, with which %s was made, is gone", name, c.Name)
			}
			m.program(c)
		}
	case compose.StopContainer, compose.KillContainer:
		if c.Status == compose.Running || c.Status == compose.Paused {
			m.exit(c, 0)
		}
	case compose.RestartContainer:
		if c.Status == compose.Running {
			m.exit(c, 0)
		}
		m.program(c)
	case compose.PauseContainer:
		c.Status = compose.Paused
	case compose.UnpauseContainer:
		c.Status = compose.Running
	case compose.RemoveContainer:
		m.removeContainer(c, s.Volumes)
	case compose.RenameContainer:
		if other, err := m.find(s.Name); err == nil && other != c {
			return fmt.Errorf("the name %s is taken", s.Name)
		}
		c.Name = s.Name
		m.tell(c, compose.Renamed)
	case compose.ExecHook:
		if c.Status != compose.Running {
			return compose.ErrNotRunning
		}
		if len(s.Hook.Command) > 0 && s.Hook.Command[0] == "false" {
			return fmt.Errorf("exited with code 1")
		}
	default:
		return fmt.Errorf("%s is not an operation of a host", s.Op)
	}
	return nil
}

// create makes a container; one of this name and config hash is success.
func (m *Memory) create(s compose.Step) error {
	if c, err := m.find(s.Name); err == nil {
		if c.Labels[compose.LabelConfigHash] == s.Container.Labels[compose.LabelConfigHash] && c.Labels[compose.LabelProject] == s.Container.Labels[compose.LabelProject] {
			return nil
		}
		return fmt.Errorf("the name %s is taken", s.Name)
	}
	spec := *s.Container
	if err := spec.Resolve(m.firstOf(spec.Project.Name)); err != nil {
		return err
	}
	image, ok := m.images[spec.Image]
	if !ok {
		return fmt.Errorf("no such image: %s", spec.Image)
	}
	c := &memoryContainer{spec: &spec, Container: compose.Container{ID: m.id(""), Name: s.Name, Image: image.ID, ImageRef: spec.Image,
		Labels: maps.Clone(spec.Labels), Status: compose.Created, Created: now, Networks: map[string]string{}, NetworkMode: spec.Service.NetworkMode}}
	c.Labels[compose.LabelImage] = image.ID
	c.texts = texts(spec)
	for key := range spec.Service.Networks {
		if err := m.attach(c, spec.Project.Networks[key].Name); err != nil {
			return err
		}
	}
	m.mount(c, spec, image)
	m.containers[c.ID] = c
	return nil
}

// firstNetwork is the one that an engine makes a container with: it does not start any more when that is gone, also where it was taken
// out of it. "" where it was made with none.
func firstNetwork(spec *compose.ContainerSpec) string {
	if spec == nil || len(spec.Service.Networks) == 0 {
		return ""
	}
	return spec.Project.Networks[slices.Min(slices.Collect(maps.Keys(spec.Service.Networks)))].Name
}

func (m *Memory) hasNetwork(name string) bool {
	for _, n := range m.networks {
		if n.Name == name {
			return true
		}
	}
	return false
}

// firstOf answers with the id of the first container of a service.
func (m *Memory) firstOf(project string) func(string) (string, error) {
	return func(service string) (string, error) {
		var best *memoryContainer
		for _, c := range m.containers {
			if c.Labels[compose.LabelProject] == project && c.Service() == service && !c.IsOneOff() && (best == nil || c.Number() < best.Number()) {
				best = c
			}
		}
		if best == nil {
			return "", fmt.Errorf("service %s has no container", service)
		}
		return best.ID, nil
	}
}

// mount gives a container its volumes: named ones, and anonymous ones, which are taken over from Inherit where it has them.
func (m *Memory) mount(c *memoryContainer, spec compose.ContainerSpec, image compose.Image) {
	inherited := map[string]string{}
	if old, ok := m.containers[spec.Inherit]; ok {
		for _, mount := range old.Mounts {
			inherited[mount.Target] = mount.Name
		}
	}
	anonymous := slices.Clone(image.Volumes)
	for _, v := range spec.Service.Volumes {
		anonymous = slices.DeleteFunc(anonymous, func(target string) bool { return target == v.Target })
		switch {
		case v.Type == "volume" && v.Source == "":
			anonymous = append(anonymous, v.Target)
		case v.Type == "volume":
			c.Mounts = append(c.Mounts, compose.Mount{Type: "volume", Name: spec.Project.Volumes[v.Source].Name, Target: v.Target})
		default:
			c.Mounts = append(c.Mounts, compose.Mount{Type: v.Type, Source: v.Source, Target: v.Target})
		}
	}
	for _, target := range anonymous {
		name := inherited[target]
		if name == "" {
			name = m.id("")
			m.volumes[name] = compose.Volume{Name: name, Driver: "local"}
		}
		c.Mounts = append(c.Mounts, compose.Mount{Type: "volume", Name: name, Target: target})
	}
}

func (m *Memory) removeContainer(c *memoryContainer, volumes bool) {
	if c.Status == compose.Running {
		m.exit(c, 137)
	}
	delete(m.containers, c.ID)
	m.tell(c, compose.Destroyed)
	if !volumes {
		return
	}
	for _, mount := range c.Mounts {
		if v, ok := m.volumes[mount.Name]; ok && len(v.Labels) == 0 && !strings.Contains(v.Name, "_") {
			delete(m.volumes, mount.Name)
		}
	}
}

// texts are what is put into a container between its create and its start, by path.
func texts(spec compose.ContainerSpec) map[string]string {
	all := map[string]string{}
	for _, r := range spec.Service.Secrets {
		o := spec.Project.Secrets[r.Source]
		all[compose.SecretTarget(compose.FileReference(r))] = cmp.Or(o.Content, spec.Project.Environment[o.Environment])
	}
	for _, r := range spec.Service.Configs {
		o := spec.Project.Configs[r.Source]
		all[compose.ConfigTarget(compose.FileReference(r))] = cmp.Or(o.Content, spec.Project.Environment[o.Environment])
	}
	return all
}
