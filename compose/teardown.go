package compose

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
)

// DownOptions say what Down removes beside containers and networks.
type DownOptions struct {
	Services      []string // nil: everything
	Volumes       bool     // -v: named volumes of the file that are not external, and anonymous ones
	Images        string   // --rmi: "" none, "local" those without an image: of their own, "all"
	RemoveOrphans bool
	Grace         *time.Duration // -t; nil: each container's own
}

// Down is the plan that removes a stack: containers in the reverse order of their dependencies, then networks, and
// volumes and images where asked. want may be nil: then the labels say all that is known, and everything with the
// project's label goes. What is still in use by something else stays, with a warning.
func Down(want *Project, have State, o DownOptions) (Plan, error) {
	t := newTeardown(want, have)
	if err := t.check(o.Services); err != nil {
		return nil, err
	}
	var removed []int
	anonymous := map[string]bool{}
	kept := map[string]bool{}
	stops := t.stops(func(c Container) bool { return t.goes(c, o) }, "it goes", o.Grace)
	for _, c := range t.containers {
		if !t.goes(c, o) {
			for n := range c.Networks {
				kept[n] = true
			}
			continue
		}
		for _, m := range c.Mounts {
			if m.Type == "volume" && isAnonymous(m.Name) {
				anonymous[m.Name] = true
			}
		}
		removed = append(removed, t.add(Step{Op: RemoveContainer, Name: c.Name, Service: c.Service(), Target: c.ID, Volumes: o.Volumes}, stops[c.ID]))
	}
	if o.Volumes {
		for _, name := range slices.Sorted(maps.Keys(anonymous)) {
			t.add(Step{Op: RemoveVolume, Name: name, Target: name, Optional: true}, removed...)
		}
	}
	if len(o.Services) > 0 {
		return t.plan, nil
	}
	t.removeNetworks(kept, removed)
	if o.Volumes {
		t.removeVolumes(removed)
	}
	t.removeImages(o.Images, removed)
	return t.plan, nil
}

// isAnonymous is whether a volume's name is one that the engine made up. A container that took such a volume over names
// it, so that the engine does not remove it together with the container.
func isAnonymous(name string) bool {
	return len(name) == 64 && strings.Trim(name, "0123456789abcdef") == ""
}

// removeNetworks plans the removal of the project's networks but for those that containers which stay are attached to.
func (t *teardown) removeNetworks(kept map[string]bool, removed []int) {
	for _, n := range t.have.Networks {
		if n.Labels[LabelProject] != t.project || n.Labels[LabelNetwork] == "" {
			continue
		}
		if kept[n.Name] {
			t.add(Step{Op: Warn, Name: "network " + n.Name, Why: "is still in use by containers that are not in the file; --remove-orphans removes them"})
			continue
		}
		t.add(Step{Op: RemoveNetwork, Name: n.Name, Target: n.ID, Optional: true}, removed...)
	}
}

// teardown plans changes to containers that exist.
type teardown struct {
	planner
	project    string
	containers []Container
}

func newTeardown(want *Project, have State) *teardown {
	t := &teardown{project: have.Project}
	if want != nil {
		t.project = want.Name
	}
	t.planner = planner{want: want, have: have, waits: map[waitKey]int{}}
	for _, c := range have.Containers {
		if c.Labels[LabelProject] == t.project && t.project != "" && c.Service() != "" {
			t.containers = append(t.containers, c)
		}
	}
	return t
}

// check refuses names that are neither in the file nor on the host.
func (t *teardown) check(services []string) error {
	for _, name := range services {
		known := slices.ContainsFunc(t.containers, func(c Container) bool { return c.Service() == name })
		if t.want != nil {
			_, enabled := t.want.Services[name]
			_, disabled := t.want.DisabledServices[name]
			known = known || enabled || disabled
		}
		if !known {
			if t.want == nil {
				return unknownService(&Project{Project: &types.Project{}}, name, "")
			}
			return unknownService(t.want, name, "")
		}
	}
	return nil
}

// goes is whether Down removes the container.
func (t *teardown) goes(c Container, o DownOptions) bool {
	if t.have.isFilling(c) {
		return false // it goes with the volume
	}
	if len(o.Services) > 0 {
		return slices.Contains(o.Services, c.Service())
	}
	if t.want == nil || o.RemoveOrphans || c.IsOneOff() {
		return true
	}
	_, enabled := t.want.Services[c.Service()]
	_, disabled := t.want.DisabledServices[c.Service()]
	return enabled || disabled
}

// dependsOn are the services that a container's service depends on, from the file or else from its label.
func (t *teardown) dependsOn(c Container) []string {
	if t.want != nil {
		if s, ok := t.want.Services[c.Service()]; ok {
			return slices.Sorted(maps.Keys(s.DependsOn))
		}
	}
	return dependenciesOf(c)
}

// stops plans the stop of the containers that pick chooses, dependents first, and returns each one's step.
func (t *teardown) stops(pick func(Container) bool, why string, grace *time.Duration) map[string]int {
	steps := map[string]int{}
	var visit func(c Container, path []string) int
	visit = func(c Container, path []string) int {
		if n, ok := steps[c.ID]; ok || slices.Contains(path, c.ID) {
			return n
		}
		path = append(path, c.ID)
		var after []int
		for _, d := range t.containers {
			if pick(d) && slices.Contains(t.dependsOn(d), c.Service()) {
				after = append(after, visit(d, path))
			}
		}
		t.o.Grace = grace
		s := Service{Name: c.Service()}
		if t.want != nil {
			if known, ok := t.want.Services[c.Service()]; ok {
				s = known
			}
		}
		n := t.planner.stop(s, c, why, 0, after...)
		if n == 0 {
			for _, a := range after { // it stands still: what depends on it bounds those that it depends on
				n = max(n, a)
			}
		}
		steps[c.ID] = n
		return n
	}
	for _, c := range t.containers {
		if pick(c) {
			visit(c, nil)
		}
	}
	return steps
}

// removeVolumes plans the removal of the project's own volumes: those of the file, or without one all that carry its label. One
// that was taken out of the file keeps its data.
func (t *teardown) removeVolumes(after []int) {
	half := halfFilled(t.have, t.project)
	for _, name := range half {
		t.add(removeHalf(name), after...)
	}
	for _, v := range t.have.Volumes {
		if v.Labels[LabelProject] != t.project || slices.Contains(half, v.Name) {
			continue
		}
		if t.want != nil {
			spec, ok := t.want.allVolumes()[v.Labels[LabelVolume]]
			if !ok || bool(spec.External) || spec.Name != v.Name {
				continue
			}
		}
		t.add(Step{Op: RemoveVolume, Name: v.Name, Target: v.Name, Optional: true}, after...)
	}
}

// removeImages plans the removal of the services' images.
func (t *teardown) removeImages(which string, after []int) {
	if which == "" || t.want == nil {
		return
	}
	done := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(t.want.Services)) {
		s := t.want.Services[name]
		ref := ImageName(t.want, s)
		if _, present := t.have.Images[ref]; done[ref] || !present || which == "local" && (s.Image != "" || s.Build == nil) {
			continue
		}
		done[ref] = true
		t.add(Step{Op: RemoveImage, Name: ref, Target: ref, Optional: true}, after...)
	}
}
