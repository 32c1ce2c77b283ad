package compose

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
)

// Stop is the plan that stops what runs of the services (nil: all), dependents first. want may be nil.
func Stop(want *Project, have State, services []string, grace *time.Duration) (Plan, error) {
	t := newTeardown(want, have)
	if err := t.check(services); err != nil {
		return nil, err
	}
	t.stops(func(c Container) bool { return picked(c, services) }, "asked for", grace)
	return t.plan, nil
}

// Start is the plan that starts what exists of the services (nil: all) and stands still, in the order of the
// dependencies, each after what it depends on is ready; a one-shot that completed stays as it is where x-strake.once says so. want may be nil: then
// labels say what depends on what.
func Start(want *Project, have State, services []string) (Plan, error) {
	t := newTeardown(want, have)
	if err := t.check(services); err != nil {
		return nil, err
	}
	t.eachInOrder(services, func(c Container, after []int) int {
		if c.Status == Running || c.Status == Paused || c.Status == Restarting || want != nil && want.isDone(c) {
			return 0
		}
		return t.add(Step{Op: StartContainer, Name: c.Name, Why: "asked for", Service: c.Service(), Target: c.ID}, after...)
	})
	return t.plan, nil
}

// Restart is the plan that restarts what exists of the services (nil: all), and, unless noDeps, what says `restart: true`
// of one of them. want may be nil.
func Restart(want *Project, have State, services []string, grace *time.Duration, noDeps bool) (Plan, error) {
	t := newTeardown(want, have)
	if err := t.check(services); err != nil {
		return nil, err
	}
	if want != nil && !noDeps && len(services) > 0 {
		services = withRestarted(want, services)
	}
	t.eachInOrder(services, func(c Container, after []int) int {
		return t.add(Step{Op: RestartContainer, Name: c.Name, Why: "asked for", Service: c.Service(), Target: c.ID, Grace: grace}, after...)
	})
	return t.plan, nil
}

// withRestarted adds the services that are restarted with one of services.
func withRestarted(want *Project, services []string) []string {
	all := slices.Clone(services)
	for i := 0; i < len(all); i++ {
		for _, name := range slices.Sorted(maps.Keys(want.Services)) {
			d, ok := want.Services[name].DependsOn[all[i]]
			shares := slices.Contains(namespaceOwners(want.Services[name]), all[i]) // its namespace ends
			if (ok && d.Restart || shares) && !slices.Contains(all, name) {
				all = append(all, name)
			}
		}
	}
	return all
}

// eachInOrder calls plan for each picked container, dependencies first; after are the steps (numbers) of what it depends on.
func (t *teardown) eachInOrder(services []string, plan func(c Container, after []int) int) {
	steps := map[string]int{}
	var visit func(c Container, path []string) int
	visit = func(c Container, path []string) int {
		if n, ok := steps[c.ID]; ok || slices.Contains(path, c.ID) {
			return n
		}
		var after []int
		for _, d := range t.containers {
			if picked(d, services) && slices.Contains(t.dependsOn(c), d.Service()) {
				n := visit(d, append(path, c.ID))
				after = append(after, t.readyAfter(c, d, n))
			}
		}
		steps[c.ID] = plan(c, after)
		return steps[c.ID]
	}
	for _, c := range t.containers {
		if picked(c, services) {
			visit(c, nil)
		}
	}
}

// readyAfter is the step after which dependency d, begun by step n, is as c needs it.
func (t *teardown) readyAfter(c, d Container, n int) int {
	if n == 0 {
		return n
	}
	dep := Dependency{Condition: conditionOf(c, d.Service()), Required: true}
	if t.want != nil {
		dep = t.want.Services[c.Service()].DependsOn[d.Service()]
	}
	switch dep.Condition {
	case types.ServiceConditionHealthy:
		return t.wait(d.Service(), live{name: d.Name, start: n, was: d}, UntilHealthy, !dep.Required)
	case types.ServiceConditionCompletedSuccessfully:
		return t.wait(d.Service(), live{name: d.Name, start: n, was: d}, UntilCompleted, !dep.Required)
	}
	return n
}

// picked is whether a command on the services (nil: all) is about the container; one-offs never are.
func picked(c Container, services []string) bool {
	return !c.IsOneOff() && (len(services) == 0 || slices.Contains(services, c.Service()))
}

// OneOff is the plan of `run`: what the service depends on is made ready as by Diff (unless o.NoDeps), then a container
// of its own is created, whose name is returned; the caller attaches to it and starts it. s is the service as it shall
// run, slug the random part of the name, of which the first 12 characters are used.
func OneOff(want *Project, have State, s Service, o DiffOptions, slug string) (Plan, string, error) {
	o.Services, o.NoWait = nil, true
	if !o.NoDeps {
		o.Services = slices.Sorted(maps.Keys(s.DependsOn))
	}
	p, _, err := planned(want, have, o, []string{s.Name})
	if err != nil {
		return nil, "", err
	}
	if o.RemoveOrphans {
		p.orphans()
	}
	name := s.ContainerName
	if name == "" || name == want.Services[s.Name].ContainerName {
		name = want.Name + "-" + s.Name + "-run-" + slug[:min(len(slug), 12)]
	}
	s.ContainerName = name // Docker Compose hashes it with the made-up name
	hash, err := ConfigHash(s)
	s.ContainerName = ""
	if err != nil {
		return nil, "", err
	}
	spec, after := p.spec(s, 0, hash)
	spec.OneOff = true
	spec.Labels = containerLabels(s, 0, true, hash, o.Version)
	spec.Labels[LabelSlug] = slug
	p.add(Step{Op: CreateContainer, Name: name, Why: "asked for", Service: s.Name, Container: spec}, append(after, p.dependencies(s)...)...)
	p.tellOfCopies()
	p.imagesFirst()
	plan, err := p.whole()
	return plan, name, err
}

// ScopeOf is what has to be observed for any plan of the project: its own things by label, and by name whatever it
// refers to. refs are of BuildRefs.
func ScopeOf(want *Project, refs []BuildRef) Scope {
	s := Scope{Project: want.Name}
	images := map[ImageRef]bool{}
	for _, services := range []types.Services{want.Services, want.DisabledServices} {
		for _, svc := range services {
			images[ImageRef{Ref: ImageName(want, svc), Platform: svc.Platform}] = true
			for _, ref := range sideImages(svc) {
				images[ImageRef{Ref: ref}] = true
			}
		}
	}
	for _, r := range refs {
		images[r.ImageRef] = true
	}
	s.Images = sortedRefs(images)
	for _, n := range want.Networks {
		s.Networks = append(s.Networks, n.Name)
	}
	for _, v := range want.Volumes {
		s.Volumes = append(s.Volumes, v.Name)
	}
	for name, svc := range want.Services {
		if texts := injected(want, svc); len(texts) > 0 {
			if s.Files == nil {
				s.Files = map[string][]string{}
			}
			s.Files[name] = slices.Sorted(maps.Keys(texts))
		}
		if copies := copiesOf(want, svc); len(copies) > 0 {
			if s.Copies == nil {
				s.Copies = map[string][]Copy{}
			}
			s.Copies[name] = copies
		}
	}
	slices.Sort(s.Networks)
	slices.Sort(s.Volumes)
	return s
}

func sortedRefs(images map[ImageRef]bool) []ImageRef {
	return slices.SortedFunc(maps.Keys(images), func(a, b ImageRef) int {
		return cmp.Or(cmp.Compare(a.Ref, b.Ref), cmp.Compare(a.Platform, b.Platform))
	})
}

// scopeOfModel is ScopeOf for a file that is read and not decoded yet, as far as it says so outright.
func scopeOfModel(model map[string]any) Scope {
	var s Scope
	images := map[ImageRef]bool{}
	texts := func(section, key string, each func(text string, entry map[string]any)) {
		entries, _ := model[section].(map[string]any)
		for _, v := range entries {
			entry, _ := v.(map[string]any)
			if text, ok := entry[key].(string); ok {
				each(text, entry)
			}
		}
	}
	texts("networks", "name", func(name string, _ map[string]any) { s.Networks = append(s.Networks, name) })
	texts("volumes", "name", func(name string, _ map[string]any) { s.Volumes = append(s.Volumes, name) })
	texts("services", "image", func(image string, svc map[string]any) {
		platform, _ := svc["platform"].(string)
		images[ImageRef{Ref: image, Platform: platform}] = true
	})
	slices.Sort(s.Networks)
	slices.Sort(s.Volumes)
	s.Images = sortedRefs(images)
	return s
}
