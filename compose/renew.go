package compose

import (
	"errors"
	"fmt"
	"slices"
)

// Renew is the plan that takes the data of some services away and makes them anew, as Diff makes what is missing: their containers,
// the project's volumes that they mount, and the containers of the project that mount those too. They are killed: what
// they hold goes. completed are one-shots that shall run again.
//
// An external volume is a *HintedError: its data is not the project's.
func Renew(want *Project, have State, services, completed []string, o DiffOptions) (Plan, error) {
	volumes, err := volumesToRenew(want, have, services)
	if err != nil {
		return nil, err
	}
	why := func(c Container) string { // it goes; "" that it stays
		switch {
		case c.Labels[LabelProject] != want.Name || have.isFilling(c): // Diff has a volume that is not whole removed, with what says so
		case slices.Contains(services, c.Service()) && !c.IsOneOff():
			return "its data goes"
		case slices.ContainsFunc(c.Mounts, func(m Mount) bool { return m.Type == "volume" && slices.Contains(volumes, m.Name) }):
			return "it mounts data that goes"
		case slices.Contains(completed, c.Service()) && !c.IsOneOff():
			return "it shall run again"
		}
		return ""
	}
	var plan Plan
	var all []int
	half := halfFilled(have, want.Name)
	rest := have
	rest.Containers, rest.Volumes = nil, nil
	for _, c := range have.Containers {
		if why(c) == "" {
			rest.Containers = append(rest.Containers, c)
			continue
		}
		all = append(all, len(plan))
		plan = append(plan, Step{Op: RemoveContainer, Name: c.Name, Why: why(c), Service: c.Service(), Target: c.ID, Volumes: true})
	}
	containers := slices.Clone(all)
	for _, v := range have.Volumes {
		if !slices.Contains(volumes, v.Name) || slices.Contains(half, v.Name) {
			rest.Volumes = append(rest.Volumes, v)
			continue
		}
		all = append(all, len(plan))
		plan = append(plan, Step{Op: RemoveVolume, Name: v.Name, Why: "its data goes", Target: v.Name, After: containers})
	}
	next, err := Diff(want, rest, o)
	return plan.then(next, all), err
}

// volumesToRenew are the names of the project's volumes that hold the data of services: those that the file says, and those that their
// containers have mounted.
func volumesToRenew(want *Project, have State, services []string) ([]string, error) {
	var names []string
	var errs []error
	own := func(name string) bool {
		return slices.ContainsFunc(have.Volumes, func(v Volume) bool { return v.Name == name && v.Labels[LabelProject] == want.Name })
	}
	for _, service := range services {
		for _, m := range want.Services[service].Volumes {
			spec, ok := want.Volumes[m.Source]
			if m.Type != "volume" || !ok || m.ReadOnly {
				continue
			}
			if spec.External {
				errs = append(errs, &HintedError{Err: fmt.Errorf("volume %s of service %s is external: its data is not the project's", spec.Name, service),
					Next: "reset the other services by name, or empty the volume yourself"})
				continue
			}
			switch {
			case own(spec.Name):
				names = append(names, spec.Name)
			case slices.ContainsFunc(have.Volumes, func(v Volume) bool { return v.Name == spec.Name }):
				errs = append(errs, &HintedError{Err: fmt.Errorf("volume %s of service %s was not made by this project: its data is not the project's", spec.Name, service),
					Next: "give the volume another name in the file, or empty it yourself"})
			}
		}
	}
	for _, c := range have.Containers {
		for _, m := range c.Mounts {
			if slices.Contains(services, c.Service()) && c.Labels[LabelProject] == want.Name && m.Type == "volume" && own(m.Name) {
				names = append(names, m.Name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names), errors.Join(errs...)
}

// then is p and after it next, whose first steps wait for the steps after of p.
func (p Plan) then(next Plan, after []int) Plan {
	shift := len(p)
	for _, s := range next {
		deps := slices.Clone(after)
		for _, a := range s.After {
			deps = append(deps, a+shift)
		}
		if len(s.After) > 0 {
			deps = deps[len(after):]
		}
		s.After = deps
		if s.IfChanged > 0 {
			s.IfChanged += shift
		}
		p = append(p, s)
	}
	return p
}
