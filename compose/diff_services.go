package compose

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
)

// service plans one service's containers: those that are too many go, those that differ are recreated, those
// that stand still are started, those that are missing are made.
func (p *planner) service(name string) error {
	s := p.want.Services[name]
	hash, parent, err := p.hash(s)
	if err != nil {
		return err
	}
	var kept []judged
	for _, c := range p.containers[name] {
		j := p.judge(s, c, hash)
		switch {
		case p.o.Recreate == "never":
		case parent > 0:
			j = j.with(p.plan[parent-1].IfChanged)
		case slices.ContainsFunc(namespaceOwners(s), p.isStoppedForNetwork):
			j = j.with(0)
		}
		kept = append(kept, j)
	}
	kept = p.scaleDown(s, kept)
	next := 1
	for _, j := range kept {
		next = max(next, j.c.Number()+1)
		if j.why == "" {
			p.keep(s, j.c)
		} else {
			p.recreate(s, j, hash)
		}
	}
	for range p.scale(s) - len(kept) {
		p.create(s, next, hash)
		next++
	}
	return nil
}

// judged is a container and why it must be recreated; "" when it need not be.
type judged struct {
	c         Container
	why       string
	ifChanged int // as in Step
}

// judge compares a container with its service.
// Source: docker/compose, mustRecreate.
func (p *planner) judge(s Service, c Container, hash string) judged {
	direct := len(p.o.Services) == 0 || slices.Contains(p.o.Services, s.Name) || p.o.AlwaysRecreateDeps
	switch {
	case c.Status == Dead || c.Status == Removing:
		return judged{c: c, why: "it is " + string(c.Status)}
	case p.o.Recreate == "force" && direct:
		return judged{c: c, why: "asked for"}
	case c.Status == Created && p.lacksFiles(s, c):
		return judged{c: c, why: "it was not finished"}
	case p.o.Recreate == "never":
		return judged{c: c}
	case c.Labels[LabelConfigHash] != hash && hash != "":
		return judged{c: c, why: "its configuration changed"}
	}
	if n := p.image[s.Name]; n > 0 {
		if p.plan[n-1].Image.Present {
			return judged{c: c, why: "its image may change", ifChanged: n}
		}
		return judged{c: c, why: "its image is new"}
	}
	image, ok := p.have.Images[ImageName(p.want, s)]
	if was := c.Labels[LabelImage]; ok && was != "" && was != image.ID {
		return judged{c: c, why: "its image is new"}
	}
	why := p.networkDiffers(s, c)
	if why == "" {
		why = p.volumeDiffers(s, c)
	}
	if why == "" {
		why = p.filesDiffer(s, c)
	}
	if why == "" {
		why = p.copiesDiffer(s, c)
	}
	if why == "" && c.Status == Created && p.want.Settings.Ports == PortsAuto && len(s.Ports) > 0 {
		why = "it was not finished"
	}
	return judged{c: c, why: why}
}

// networkDiffers says which network a container should be attached to and is not. One that stands still finds a network that
// was made anew by its name.
func (p *planner) networkDiffers(s Service, c Container) string {
	for _, key := range slices.Sorted(maps.Keys(s.Networks)) {
		name := p.want.Networks[key].Name
		id, attached := c.Networks[name]
		i := slices.IndexFunc(p.have.Networks, func(n Network) bool { return n.Name == name })
		switch {
		case !attached:
			return "it is not attached to network " + name
		case p.networkWas[key] || c.Status != Running && c.Status != Created:
		case i >= 0 && id != "" && id != p.have.Networks[i].ID, p.network[key] > 0:
			return "network " + name + " is another one"
		}
	}
	return ""
}

// volumeDiffers says which volume a container should have mounted and has not.
func (p *planner) volumeDiffers(s Service, c Container) string {
	for _, v := range s.Volumes {
		spec, ok := p.want.Volumes[v.Source]
		if v.Type != types.VolumeTypeVolume || !ok {
			continue
		}
		if !slices.ContainsFunc(c.Mounts, func(m Mount) bool { return m.Name == spec.Name && m.Target == v.Target }) {
			return "volume " + spec.Name + " is not what it has at " + v.Target
		}
	}
	return ""
}

// hash is the service's config hash. Where it refers to the container of another service, parent is the step that makes
// that container, 0 if it is there and stays.
func (p *planner) hash(s Service) (hash string, parent int, err error) {
	errAnew := errors.New("made anew")
	resolved, changed, err := resolveReferences(s, func(other string) (string, error) {
		if p.replaced[other] == 0 {
			for _, c := range p.containers[other] {
				return c.ID, nil
			}
		}
		parent = max(p.replaced[other], parent)
		return "", errAnew
	})
	switch {
	case errors.Is(err, errAnew):
		return "", parent, nil
	case err != nil:
		return "", 0, err
	case !changed:
		resolved = s
	}
	if !changed {
		hash, err = ConfigHash(resolved)
	} else {
		hash, err = resolvedHash(resolved)
	}
	return hash, 0, err
}

// scaleDown removes what is more than the service's scale, what must be recreated first, then the highest numbers.
func (p *planner) scaleDown(s Service, have []judged) []judged {
	extra := len(have) - max(p.scale(s), 0)
	if extra <= 0 {
		return have
	}
	order := slices.Clone(have)
	slices.SortStableFunc(order, func(a, b judged) int {
		if stale := func(j judged) bool { return j.why != "" && j.ifChanged == 0 }; stale(a) != stale(b) {
			if stale(a) {
				return -1
			}
			return 1
		}
		return b.c.Number() - a.c.Number()
	})
	for _, j := range order[:extra] {
		p.remove(s, j.c, fmt.Sprintf("%s is scaled to %d", s.Name, p.scale(s)))
	}
	return slices.DeleteFunc(have, func(j judged) bool {
		return slices.ContainsFunc(order[:extra], func(r judged) bool { return r.c.ID == j.c.ID })
	})
}

// remove plans the end of one container: hooks, stop, removal. Its anonymous volumes stay, as with Compose.
func (p *planner) remove(s Service, c Container, why string, after ...int) int {
	stop := p.stop(s, c, why, 0, after...)
	return p.add(Step{Op: RemoveContainer, Name: c.Name, Why: why, Service: c.Service(), Target: c.ID}, append(after, stop, p.detached[c.ID])...)
}

// stop plans a container's pre_stop hooks and its stop; 0 if it does not run. A stop that is planned already is enough, but
// not on another condition than this one.
func (p *planner) stop(s Service, c Container, why string, ifChanged int, after ...int) int {
	before := p.detached[c.ID]
	if c.Status != Running && c.Status != Paused && c.Status != Restarting {
		return before
	}
	stop := Step{Op: StopContainer, Name: c.Name, Why: why, Service: c.Service(), Target: c.ID, Grace: p.o.Grace, IfChanged: ifChanged}
	if before > 0 {
		was := p.plan[before-1].IfChanged
		switch {
		case was == 0 || was == ifChanged:
		case ifChanged == 0:
			p.stopAnyway(c, before)
		default:
			return p.add(stop, append(after, before)...)
		}
		return before
	}
	hook := 0
	for i := range s.PreStop {
		if c.Status == Running {
			hook = p.add(Step{Op: ExecHook, Name: c.Name, Why: "pre_stop", Service: s.Name, Target: c.ID, Hook: &s.PreStop[i], IfChanged: ifChanged}, append(after, hook)...)
		}
	}
	return p.add(stop, append(after, hook)...)
}

// stopAnyway takes the condition from a planned stop, step number stop, and its hooks.
func (p *planner) stopAnyway(c Container, stop int) {
	for i := range p.plan[:stop] {
		if step := &p.plan[i]; step.Target == c.ID && (step.Op == StopContainer || step.Op == ExecHook) {
			step.IfChanged = 0
		}
	}
}

// spec is what a container of the service is made from, and the steps that must have happened before.
func (p *planner) spec(s Service, number int, hash string) (*ContainerSpec, []int) {
	p.checkTexts(s)
	after := []int{p.image[s.Name]}
	for _, key := range slices.Sorted(maps.Keys(s.Networks)) {
		after = append(after, p.network[key])
	}
	for _, v := range s.Volumes {
		after = append(after, p.volume[v.Source])
		if v.Type == types.VolumeTypeImage {
			after = append(after, p.image[p.builder[v.Source]], p.pulls[ImageRef{Ref: v.Source}])
		}
	}
	for _, other := range namespaceServices(s) {
		after = append(after, p.started[other]...)
	}
	labels := containerLabels(s, number, false, hash, p.o.Version)
	p.copied(s, labels)
	return &ContainerSpec{Project: p.want, Service: s, Number: number, Image: ImageName(p.want, s), Labels: labels, AutoPorts: p.want.Settings.Ports == PortsAuto}, after
}

// namespaceOwners are the services whose namespaces a service's containers live in.
func namespaceOwners(s Service) []string {
	var names []string
	for _, mode := range []string{s.NetworkMode, s.Ipc, s.Pid} {
		if other, ok := strings.CutPrefix(mode, types.ServicePrefix); ok {
			names = append(names, other)
		}
	}
	return names
}

// namespaceServices are the services whose containers must exist before a container of s can be created.
func namespaceServices(s Service) []string {
	names := namespaceOwners(s)
	for _, from := range append(slices.Clone(s.VolumesFrom), s.Links...) {
		if name, _, _ := strings.Cut(from, ":"); name != "container" {
			names = append(names, name)
		}
	}
	return names
}

// create plans a new container.
func (p *planner) create(s Service, number int, hash string) {
	name := ContainerName(p.want, s, number)
	spec, after := p.spec(s, number, hash)
	n := p.add(Step{Op: CreateContainer, Name: name, Why: "there is none", Service: s.Name, Container: spec}, append(after, p.leftover[s.Name]...)...)
	p.replaced[s.Name] = n
	p.start(s, Container{Name: name}, "it is new", n)
}

// keep plans a container that stays as it is: it is connected to what was made anew, and started if it stands still.
func (p *planner) keep(s Service, c Container) {
	after := []int{p.detached[c.ID]}
	for _, key := range slices.Sorted(maps.Keys(s.Networks)) {
		if name := p.want.Networks[key].Name; p.networkWas[key] && c.Networks[name] != "" {
			after = append(after, p.add(Step{Op: Connect, Name: c.Name, Why: "network " + name + " is made anew", Service: s.Name, Target: c.ID,
				Network: &NetworkStep{Key: key, Spec: p.want.Networks[key], Service: &s}}, p.network[key], p.detached[c.ID]))
		}
	}
	switch {
	case p.detached[c.ID] > 0 && c.Status != Exited:
		p.start(s, c, "it was stopped for a change", after...)
	case c.Status == Paused:
		n := p.add(Step{Op: UnpauseContainer, Name: c.Name, Why: "it is paused", Service: s.Name, Target: c.ID}, after...)
		p.live[s.Name] = append(p.live[s.Name], live{name: c.Name, start: n, was: c})
	case c.Status == Running || c.Status == Restarting || p.want.isDone(c):
		p.live[s.Name] = append(p.live[s.Name], live{name: c.Name, was: c})
	default:
		p.start(s, c, startWhy(c), after...)
	}
}

// isDone is whether the container is a one-shot's that completed and is not to be run again (x-strake.once).
func (p *Project) isDone(c Container) bool {
	return p.Settings.Services[c.Service()].Once && c.Status == Exited && c.ExitCode == 0
}

// startWhy says why a container that is there is started.
func startWhy(c Container) string {
	if c.Status == Exited {
		return fmt.Sprintf("it exited with code %d", c.ExitCode)
	}
	return "it is " + string(c.Status)
}

// recreate plans a replacement: it is created beside the old container, takes over its anonymous volumes and then its name.
func (p *planner) recreate(s Service, j judged, hash string) {
	c, number := j.c, max(j.c.Number(), 1)
	name := ContainerName(p.want, s, number)
	if j.ifChanged > 0 {
		name = c.Name // it may stay
	}
	spec, after := p.spec(s, number, hash)
	spec.Labels[LabelReplace] = strings.TrimPrefix(c.Name, p.want.Name+"-")
	if c.Name != ContainerName(p.want, Service{Name: s.Name}, c.Number()) {
		spec.Labels[LabelReplace] = c.Name
	}
	if !p.o.RenewAnonVolumes {
		spec.Inherit = c.ID
	}
	temporary := temporaryName(c, name)
	step := func(op Op, why string) Step {
		return Step{Op: op, Name: name, Why: why, Service: s.Name, IfChanged: j.ifChanged}
	}
	create := step(CreateContainer, j.why)
	create.Name, create.Container = temporary, spec
	created := p.add(create, append(append(after, p.leftover[s.Name]...), p.detached[c.ID])...)
	stops := append(p.stopDependents(s, j.ifChanged, created), created)
	stopped := p.stop(s, c, "it is replaced", j.ifChanged, stops...)
	remove := step(RemoveContainer, "it is replaced")
	remove.Name, remove.Target, remove.Volumes = c.Name, c.ID, p.o.RenewAnonVolumes
	removed := p.add(remove, append(stops, stopped)...)
	p.removeAnonymous(c, j.ifChanged, removed)
	rename := step(RenameContainer, "its predecessor is gone")
	rename.Target = temporary
	renamed := p.add(rename, removed)
	p.replaced[s.Name] = created
	now := Container{Name: name, Status: c.Status}
	if j.ifChanged == 0 || p.detached[c.ID] > 0 || c.Status != Running && !p.want.isDone(c) {
		p.start(s, now, "it is new", renamed)
		return
	}
	p.startIf(s, now, "it is new", j.ifChanged, renamed)
}

// removeAnonymous plans the removal of the anonymous volumes of a removed container whose successor has new ones.
func (p *planner) removeAnonymous(c Container, ifChanged, after int) {
	for _, m := range c.Mounts {
		if p.o.RenewAnonVolumes && m.Type == types.VolumeTypeVolume && isAnonymous(m.Name) {
			p.add(Step{Op: RemoveVolume, Name: m.Name, Target: m.Name, Why: "new ones are asked for", Service: c.Service(), IfChanged: ifChanged, Optional: true}, after)
		}
	}
}

// stopDependents plans the stop of the containers whose service says `restart: true` of s; they are started by their own services.
func (p *planner) stopDependents(s Service, ifChanged, after int) []int {
	var stops []int
	for _, name := range slices.Sorted(maps.Keys(p.want.Services)) {
		other := p.want.Services[name]
		if d, ok := other.DependsOn[s.Name]; !ok || !d.Restart || !p.isSelected[name] {
			continue
		}
		for _, c := range p.containers[name] {
			if c.Status == Running && p.detached[c.ID] == 0 {
				p.detached[c.ID] = p.stop(other, c, "it depends on "+s.Name, ifChanged, after)
			}
			stops = append(stops, p.detached[c.ID])
		}
	}
	return stops
}
