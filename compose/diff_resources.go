package compose

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// checkExternals names each external network and volume in use that is not there.
func (p *planner) checkExternals(names []string) error {
	var errs []error
	for _, key := range p.networkKeys(names) {
		if n := p.want.Networks[key]; bool(n.External) && !p.hasNetwork(n.Name) {
			errs = append(errs, &HintedError{Err: fmt.Errorf("network %s is external and not there", n.Name), Next: "run docker network create " + Word(n.Name)})
		}
	}
	for _, key := range p.volumeKeys(names) {
		if v := p.want.Volumes[key]; bool(v.External) && !p.hasVolume(v.Name) {
			errs = append(errs, &HintedError{Err: fmt.Errorf("volume %s is external and not there", v.Name), Next: "run docker volume create " + Word(v.Name)})
		}
	}
	return errors.Join(errs...)
}

func (p *planner) hasNetwork(name string) bool {
	return slices.ContainsFunc(p.have.Networks, func(n Network) bool { return n.Name == name })
}

func (p *planner) hasVolume(name string) bool {
	return slices.ContainsFunc(p.have.Volumes, func(v Volume) bool { return v.Name == name })
}

// networkKeys are the networks that the named services are attached to, sorted.
func (p *planner) networkKeys(names []string) []string {
	keys := map[string]bool{}
	for _, name := range names {
		for key := range p.want.Services[name].Networks {
			keys[key] = true
		}
	}
	return slices.Sorted(maps.Keys(keys))
}

// volumeKeys are the volumes that the named services mount, sorted.
func (p *planner) volumeKeys(names []string) []string {
	keys := map[string]bool{}
	for _, name := range names {
		for _, v := range p.want.Services[name].Volumes {
			if _, ok := p.want.Volumes[v.Source]; ok && v.Type == "volume" {
				keys[v.Source] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(keys))
}

// networks plans the networks that are missing, and those whose definition changed.
func (p *planner) networks(names []string) error {
	for _, key := range p.networkKeys(names) {
		spec := p.want.Networks[key]
		if spec.External {
			continue
		}
		hash, err := networkHash(spec)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(p.have.Networks, func(n Network) bool { return n.Name == spec.Name })
		create := Step{Op: CreateNetwork, Name: spec.Name, Why: "there is none", Network: &NetworkStep{Key: key, Spec: spec}, Labels: p.resourceLabels(spec.Labels, spec.CustomLabels, LabelNetwork, key, hash)}
		if i < 0 {
			p.network[key] = p.add(create)
			continue
		}
		was := p.have.Networks[i]
		if err := p.checkOwnNetwork(was, key); err != nil {
			return err
		}
		if h := was.Labels[LabelConfigHash]; h != "" && h != hash {
			create.Why = "its definition changed"
			p.replaceNetwork(was, create)
		}
	}
	return nil
}

// reattach plans that containers which are nobody's turn in this plan (of services that are not selected, one-offs, orphans that
// stay) take part again in the networks that are made anew, and run again if they ran.
func (p *planner) reattach() {
	for _, c := range p.have.Containers {
		if p.isSelected[c.Service()] && !c.IsOneOff() || p.goesAsOrphan(c) {
			continue
		}
		service, known := serviceNamed(p.want, c.Service())
		var after []int
		for _, key := range slices.Sorted(maps.Keys(p.networkWas)) {
			spec := p.want.Networks[key]
			if _, attached := c.Networks[spec.Name]; !attached {
				continue
			}
			step := Step{Op: Connect, Name: c.Name, Why: "network " + spec.Name + " is made anew", Service: c.Service(), Target: c.ID, Network: &NetworkStep{Key: key, Spec: spec}}
			if known && !c.IsOneOff() {
				step.Network.Service = &service
			}
			after = append(after, p.add(step, p.network[key], p.detached[c.ID]))
		}
		if len(after) > 0 && (c.Status == Running || c.Status == Restarting) {
			p.add(Step{Op: StartContainer, Name: c.Name, Why: "it was stopped for a change", Service: c.Service(), Target: c.ID}, after...)
		}
	}
}

// checkOwnNetwork refuses a network of the wanted name that something else made.
func (p *planner) checkOwnNetwork(n Network, key string) error {
	if n.Labels[LabelProject] == p.want.Name && n.Labels[LabelNetwork] == key {
		return nil
	}
	by := "not by this project"
	if other := n.Labels[LabelProject]; other != "" {
		by = "by project " + other
	}
	return &HintedError{Err: fmt.Errorf("network %s is there but was made %s", n.Name, by),
		Next: "set external: true on network " + key + " to use it, or give the network another name"}
}

// replaceNetwork plans what a changed network takes: its users are stopped and disconnected, it is removed and made anew.
// They are connected again, or recreated, by their services.
func (p *planner) replaceNetwork(was Network, create Step) {
	var free []int
	for _, c := range p.have.Containers {
		if _, attached := c.Networks[was.Name]; !attached {
			continue
		}
		service, _ := serviceNamed(p.want, c.Service()) // an orphan has no hooks
		stop := p.stop(service, c, "its network changes", 0)
		p.detached[c.ID] = p.add(Step{Op: Disconnect, Name: c.Name, Why: "network " + was.Name + " changes", Service: c.Service(), Target: c.ID, Network: create.Network}, stop, p.detached[c.ID])
		free = append(free, p.detached[c.ID])
	}
	remove := p.add(Step{Op: RemoveNetwork, Name: was.Name, Why: create.Why, Target: was.ID}, free...)
	p.network[create.Network.Key] = p.add(create, remove)
	p.networkWas[create.Network.Key] = true
}

// volumes plans the volumes that are missing. One whose definition changed keeps its data, and a warning says so.
func (p *planner) volumes(names []string) error {
	for _, key := range p.volumeKeys(names) {
		spec := p.want.Volumes[key]
		if spec.External {
			continue
		}
		hash, err := volumeHash(spec)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(p.have.Volumes, func(v Volume) bool { return v.Name == spec.Name })
		cleared := 0
		if slices.Contains(halfFilled(p.have, p.want.Name), spec.Name) {
			if user := p.userOf(spec.Name); user != "" {
				return &HintedError{Err: fmt.Errorf("volume %s was half filled when a run was interrupted, and container %s uses it", spec.Name, user),
					Next: "look at what is in it: if it is of no use, run strake down -v; if it is, run docker rm " + FillMark(spec.Name)}
			}
			cleared = p.add(removeHalf(spec.Name))
		}
		if i < 0 || cleared > 0 {
			step := Step{Op: CreateVolume, Name: spec.Name, Why: "there is none", Volume: &spec, Labels: p.resourceLabels(spec.Labels, spec.CustomLabels, LabelVolume, key, hash)}
			if fill, ok := p.want.Fills[key]; ok {
				step.Why, step.Fill = "there is none; it begins with the data of "+fill.Image, &fill
			}
			p.volume[key] = p.add(step, cleared)
			continue
		}
		was := p.have.Volumes[i]
		switch project := was.Labels[LabelProject]; {
		case project == "":
			p.warn("volume "+spec.Name, "was not made by this project; set external: true on it to say that this is meant")
		case project != p.want.Name:
			p.warn("volume "+spec.Name, "was made by project "+project+"; set external: true on it to say that this is meant")
		case was.Labels[LabelConfigHash] != "" && was.Labels[LabelConfigHash] != hash:
			p.warn("volume "+spec.Name, "its definition changed; the volume and its data are kept as they are. To have it made anew, remove it first: docker volume rm "+spec.Name)
		}
	}
	return nil
}

// halfFilled are the volumes of a project that an interrupted run was filling, sorted.
func halfFilled(have State, project string) []string {
	var names []string
	for _, c := range have.Containers {
		if c.IsFillMark() && c.Labels[LabelProject] == project {
			names = append(names, c.Labels[LabelFilling])
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// userOf is a container of the project that has a volume mounted, "" if there is none.
func (p *planner) userOf(volume string) string {
	for _, c := range p.have.Containers {
		if slices.ContainsFunc(c.Mounts, func(m Mount) bool { return m.Type == "volume" && m.Name == volume }) && c.Labels[LabelFilling] == "" {
			return c.Name
		}
	}
	return ""
}

// removeHalf is the step that removes a volume which is not whole.
func removeHalf(volume string) Step {
	return Step{Op: RemoveVolume, Name: volume, Why: "an interrupted run left it half filled", Target: volume, Fill: &VolumeFill{}}
}

// resourceLabels are the labels of a network or volume.
func (p *planner) resourceLabels(own, custom map[string]string, kind, key, hash string) map[string]string {
	l := map[string]string{}
	maps.Copy(l, own)
	maps.Copy(l, custom)
	l[LabelProject], l[kind], l[LabelConfigHash], l[LabelVersion] = p.want.Name, key, hash, p.o.Version
	return l
}

// checkEngine names each attribute in use that the engine is too old for.
func (p *planner) checkEngine(names []string) error {
	var errs []error
	for _, n := range Needs(p.want, names) {
		if isOlder(p.have.Engine.APIVersion, n.API) {
			errs = append(errs, fmt.Errorf("%s needs Engine API %s, this engine has %s", n.Path, n.API, p.have.Engine.APIVersion))
		}
	}
	if len(errs) == 0 {
		return p.checkStartIntervals(names)
	}
	return &HintedError{Err: errors.Join(errs...), Next: "remove it from the file, or use a newer Docker Engine"}
}

// checkStartIntervals refuses, as Docker Compose does, a start_interval that would never count.
func (p *planner) checkStartIntervals(names []string) error {
	var errs []error
	for _, name := range names {
		if h := p.want.Services[name].HealthCheck; h != nil && h.StartInterval != nil && h.StartPeriod == nil {
			errs = append(errs, &HintedError{Err: fmt.Errorf("services.%s.healthcheck.start_interval has no effect without start_period", name),
				Next: "set healthcheck.start_period too"})
		}
	}
	return errors.Join(errs...)
}

// isOlder is whether API version a ("1.41") is before b; an unknown one is not.
func isOlder(a, b string) bool {
	var x, y [2]int
	for i, v := range []string{a, b} {
		if _, err := fmt.Sscanf(v, "%d.%d", &[]*[2]int{&x, &y}[i][0], &[]*[2]int{&x, &y}[i][1]); err != nil {
			return false
		}
	}
	return cmp.Or(cmp.Compare(x[0], y[0]), cmp.Compare(x[1], y[1])) < 0
}
