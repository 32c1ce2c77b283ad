package offline

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/strake-dev/strake/compose"
)

// Labels of what Isolate makes, beside LabelRole and LabelFor.
const (
	// LabelOf is the project that a container, network or volume of an isolated stack was made of: what has it not is none of it.
	LabelOf = "dev.strake.offline.of"
	// LabelMade is, on the sink, what was made, as JSON: the files may say something else by now.
	LabelMade = "dev.strake.offline.made"
)

// Made says what an isolated stack consists of.
type Made struct {
	Services []string `json:"services"` // those that are to be ready
	// Steps are those of Services that a seed does instead: they may be absent.
	Steps    []string            `json:"steps,omitempty"`
	Networks []string            `json:"networks"`           // names
	Breaches []Breach            `json:"breaches,omitempty"` // what is not contained
	Shared   map[string][]string `json:"shared,omitempty"`   // by service, those that use its network too
	// Uncounted says of what services attempts are not seen, or not all of them.
	Uncounted []Breach `json:"uncounted,omitempty"`
}

// MadeOf is what was made of the stack that is observed; false where there is no sink that says so.
func MadeOf(have compose.State) (m Made, ok bool) {
	for _, c := range have.Containers {
		if c.Labels[LabelRole] == RoleSink && json.Unmarshal([]byte(c.Labels[LabelMade]), &m) == nil {
			return m, true
		}
	}
	return m, false
}

// Foreign names what is observed under the name of an isolated stack and was not made of the project; "" where all of it was.
func Foreign(project string, have compose.State) string {
	for _, c := range have.Containers {
		if c.Labels[compose.LabelProject] == have.Project && c.Labels[LabelOf] != project {
			return "container " + c.Name
		}
	}
	for _, n := range have.Networks {
		if n.Labels[compose.LabelProject] == have.Project && n.Labels[LabelOf] != project {
			return "network " + n.Name
		}
	}
	for _, v := range have.Volumes {
		if v.Labels[compose.LabelProject] == have.Project && v.Labels[LabelOf] != project {
			return "volume " + v.Name
		}
	}
	return ""
}

// IsOf is whether anything that is observed was made of the project.
func IsOf(project string, have compose.State) bool {
	of := func(labels map[string]string) bool { return labels[LabelOf] == project }
	return slices.ContainsFunc(have.Containers, func(c compose.Container) bool { return of(c.Labels) }) ||
		slices.ContainsFunc(have.Networks, func(n compose.Network) bool { return of(n.Labels) }) ||
		slices.ContainsFunc(have.Volumes, func(v compose.Volume) bool { return of(v.Labels) })
}

// made is what the isolation made.
func (v *isolation) made() string {
	m := Made{Services: []string{}, Networks: []string{}, Breaches: v.Breaches, Shared: map[string][]string{}}
	for name, s := range v.out.Services {
		if replicas(v.in.Services[name]) > 0 || s.Labels[LabelRole] != "" {
			m.Services = append(m.Services, name)
		}
		if owner, held := v.in.NetworkOwner(name); held && owner != name {
			m.Shared[owner] = append(m.Shared[owner], name)
		}
		was := v.in.Services[name]
		if was.NetworkMode == "none" {
			m.Uncounted = append(m.Uncounted, Breach{name, "it has no network (network_mode: none), and what it tries comes to nobody"})
		}
		if slices.ContainsFunc(was.CapAdd, func(c string) bool {
			c = strings.TrimPrefix(strings.ToUpper(c), "CAP_")
			return c == "NET_ADMIN" || c == "ALL"
		}) {
			m.Uncounted = append(m.Uncounted, Breach{name, "it may undo the counting (cap_add)"})
		}
		if seed := v.in.Settings.Services[name].Seed; seed != nil {
			m.Steps = append(m.Steps, seed.With...)
		}
	}
	m.Services = append(m.Services, SinkService)
	for _, n := range v.out.Networks {
		m.Networks = append(m.Networks, n.Name)
	}
	slices.Sort(m.Services)
	slices.Sort(m.Steps)
	m.Steps = slices.Compact(m.Steps)
	slices.SortFunc(m.Uncounted, func(a, b Breach) int { return strings.Compare(a.Service+a.Why, b.Service+b.Why) })
	slices.Sort(m.Networks)
	for _, shared := range m.Shared {
		slices.Sort(shared)
	}
	text, _ := json.Marshal(m) // of texts alone
	return string(text)
}

// of are the labels of a thing of the stack, and those that it has.
func (v *isolation) of(labels map[string]string) map[string]string {
	all := map[string]string{LabelOf: v.in.Name}
	for name, value := range labels {
		all[name] = value
	}
	return all
}
