package seed

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/strake-dev/strake/compose"
)

// Mode is where the data of a stack that starts from a seed is.
type Mode string

// The two modes.
const (
	// Volume fills the project's own volumes from the seed when they are made: data survives `down` as the file promises.
	Volume Mode = "volume"
	// Layer has no volume at the data's path: the data is in the container, on top of the image, and goes with it.
	Layer Mode = "layer"
)

// wholes are the seeded services whose seed is their image with the data in it, sorted; others are those that seal their volumes
// alone. Whole are those whose image is not the project's own, or says by VOLUME where its data is: code that changes with each
// commit stays apart from data. A service that shares a volume with another one has its data in volumes.
func wholes(p *compose.Project, have compose.State) (whole, others []string) {
	own := map[string]bool{}
	for _, s := range p.Services {
		if s.Build != nil {
			own[compose.ImageName(p, s)] = true
		}
	}
	for _, name := range Services(p) {
		ref := compose.ImageName(p, p.Services[name])
		if (!own[ref] || len(have.Images[ref].Volumes) > 0) && !shares(p, name) {
			whole = append(whole, name)
		} else {
			others = append(others, name)
		}
	}
	return whole, others
}

// shares is whether another service mounts a volume of the service.
func shares(p *compose.Project, name string) bool {
	keys := volumesOf(p.Services[name])
	for other, s := range p.Services {
		if other != name && slices.ContainsFunc(s.Volumes, func(v compose.ServiceVolume) bool { return v.Type == "volume" && slices.Contains(keys, v.Source) }) {
			return true
		}
	}
	return false
}

// Apply is the project as it starts from a seed: in mode Volume new volumes begin with its data and carry its key as LabelKey, in
// mode Layer, and where not all data is in volumes of the file, the seeded services run on the seed's images. The steps that wrote the data are disabled, as they count as
// completed, but for those that asked names; the migrations stay.
func Apply(p *compose.Project, from *Seed, mode Mode, asked []string) *compose.Project {
	out := copied(p)
	done := slices.DeleteFunc(writers(p), func(name string) bool { return slices.Contains(asked, name) })
	for name, s := range out.Services {
		s.DependsOn = maps.Clone(s.DependsOn)
		maps.DeleteFunc(s.DependsOn, func(d string, _ compose.Dependency) bool { return slices.Contains(done, d) })
		out.Services[name] = s
	}
	for _, name := range done {
		if s, ok := out.Services[name]; ok {
			out.DisabledServices[name] = s
			delete(out.Services, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(from.Sealed)) {
		s, enabled := out.Services[name]
		if !enabled {
			continue
		}
		sealed := from.Sealed[name]
		if sealed.Volumes == nil && mode == Layer {
			s.Volumes = withoutData(s)
		}
		if sealed.Volumes == nil && mode == Layer || sealed.inContainer(s) {
			s.Image, s.Build, s.PullPolicy = sealed.Ref, nil, "never"
			out.Services[name] = s
		}
		for i, v := range sealed.Volumes {
			fill(out, v, compose.VolumeFill{Image: sealed.Ref, Dir: dirOf(i)}, from.Key)
		}
		if sealed.Volumes == nil {
			for _, v := range volumesOf(s) {
				fill(out, v, compose.VolumeFill{Image: sealed.Ref, Dir: targetOf(s, v)}, from.Key)
			}
		}
	}
	return out
}

// fill has a volume of the project begin with data of a seed.
func fill(p *compose.Project, volume string, with compose.VolumeFill, key string) {
	spec, ok := p.Volumes[volume]
	if !ok {
		return
	}
	spec.CustomLabels = maps.Clone(spec.CustomLabels)
	if spec.CustomLabels == nil {
		spec.CustomLabels = map[string]string{}
	}
	spec.CustomLabels[LabelKey] = key
	p.Volumes[volume], p.Fills[volume] = spec, with
}

// ScopeOf is what has to be observed for Plan and Reset.
func ScopeOf(p *compose.Project, from *Seed, asked []string, refs []compose.BuildRef) compose.Scope {
	scope := compose.ScopeOf(Apply(p, from, Volume, asked), refs)
	for _, name := range slices.Sorted(maps.Keys(from.Sealed)) {
		scope.Images = append(scope.Images, compose.ImageRef{Ref: from.Sealed[name].Ref})
	}
	scope.Containers = append(scope.Containers, Marks(p.Name)...)
	return scope
}

// Plan is the plan of a stack that starts from a seed. Mode "" is the one in which it runs already, Volume if it does not. Volumes that
// are there keep their data; where that is not the seed's a warning in the plan says so.
func Plan(p *compose.Project, have compose.State, from *Seed, mode Mode, o compose.DiffOptions) (compose.Plan, error) {
	if mode == "" {
		_, mode = Running(p, have)
	}
	want := Apply(p, from, mode, o.Services)
	plan, err := compose.Diff(want, have, o)
	if err != nil {
		return nil, err
	}
	for _, c := range Lost(p.Name, have, plan) {
		plan = append(plan, compose.Step{Op: compose.Warn, Name: "container " + c.Name, Why: "holds its data itself and is made anew: what was written since seed " + c.Labels[LabelKey] + " goes with it"})
	}
	for _, key := range slices.Sorted(maps.Keys(want.Fills)) {
		name := want.Volumes[key].Name
		i := slices.IndexFunc(have.Volumes, func(v compose.Volume) bool { return v.Name == name })
		made := slices.ContainsFunc(plan, func(s compose.Step) bool { return s.Op == compose.CreateVolume && s.Name == name })
		if i >= 0 && !made && have.Volumes[i].Labels[LabelKey] != from.Key {
			plan = append(plan, compose.Step{Op: compose.Warn, Name: "volume " + name, Why: "keeps its data, which is not from seed " + from.Key + "; strake seed reset starts from the seed"})
		}
	}
	return plan, nil
}

// Lost are the containers of a project that hold data of their seed themselves, and that a plan removes: what was written since is gone
// with them.
func Lost(project string, have compose.State, plan compose.Plan) []compose.Container {
	var all []compose.Container
	for _, c := range have.Containers {
		seeded := c.Labels[LabelKey] != "" && c.ImageRef == Ref(project, c.Service(), c.Labels[LabelKey]) // the label alone may come with any image
		written := c.Status != compose.Created                                                            // one that never ran holds nothing but the seed
		if seeded && written && slices.ContainsFunc(plan, func(s compose.Step) bool { return s.Op == compose.RemoveContainer && s.Target == c.ID }) {
			all = append(all, c)
		}
	}
	return all
}

// Reset is the plan that takes a stack's services (nil: all seeded ones) back to a seed, in the mode in which it runs (Running). Unless exact, that
// the seed is the one of the project as it is, the migrations run again. From before its first step until all data is there the project has a
// mark (Unfinished); to reset less than an earlier one that did not come to its end is an *UnfinishedError.
func Reset(p *compose.Project, have compose.State, from *Seed, mode Mode, exact bool, services []string, o compose.DiffOptions) (compose.Plan, error) {
	if err := checkApart(p, have); err != nil {
		return nil, err
	}
	asked := services
	if len(services) == 0 {
		services = Services(p)
	}
	for _, name := range services {
		if _, ok := from.Sealed[name]; !ok {
			return nil, &compose.HintedError{Err: fmt.Errorf("service %s is not seeded", name), Next: "the seeded services are " + strings.Join(Services(p), ", ")}
		}
	}
	want := Apply(p, from, mode, nil)
	var again []string
	if m := p.Settings.Migrate.Service; m != "" && !exact {
		again = []string{m}
	}
	var running []string
	for _, c := range have.Containers {
		_, wanted := want.Services[c.Service()]
		if wanted && c.Labels[compose.LabelProject] == p.Name && !c.IsOneOff() && (!exact || c.Service() != p.Settings.Migrate.Service) {
			running = append(running, c.Service())
		}
	}
	if len(running) > 0 { // of a stack that is down all comes up
		o.NoDeps, o.Services = true, slices.Compact(slices.Sorted(slices.Values(slices.Concat(services, again, running))))
	}
	o.Recreate, o.Build = "never", compose.BuildNever
	plan, err := compose.Renew(want, have, services, again, o)
	if err != nil {
		return nil, err
	}
	return Goal{Key: from.Key, Mode: mode, Services: asked}.marked(p, have, plan)
}

// withoutData are a service's mounts but for its volumes.
func withoutData(s compose.Service) []compose.ServiceVolume {
	return slices.DeleteFunc(slices.Clone(s.Volumes), func(v compose.ServiceVolume) bool { return v.Type == "volume" && !v.ReadOnly })
}

// volumesOf are the keys of the named volumes that a service mounts to write, in the order of their paths.
func volumesOf(s compose.Service) []string {
	var keys []string
	mounts := slices.Clone(s.Volumes)
	slices.SortFunc(mounts, func(a, b compose.ServiceVolume) int {
		if a.Target < b.Target {
			return -1
		}
		return 1
	})
	for _, v := range mounts {
		if v.Type == "volume" && v.Source != "" && !v.ReadOnly && !slices.Contains(keys, v.Source) {
			keys = append(keys, v.Source)
		}
	}
	return keys
}

func sealedRef(project, service string) string { return Ref(project, service, "sealing") }
