package compose

import (
	"slices"
)

// sharers are the services that are not selected but run in a namespace of one that is made anew, which ends with it. One whose owner is
// stopped for a network comes after that owner.
func (p *planner) sharers() []string {
	var names []string
	add := func(name string) {
		if !p.isSelected[name] && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for _, name := range slices.Sorted(slices.Values(p.want.ServiceNames())) {
		runs := slices.ContainsFunc(p.containers[name], func(c Container) bool { return c.Status == Running || c.Status == Restarting || c.Status == Paused })
		if !runs || p.isSelected[name] {
			continue
		}
		for _, owner := range namespaceOwners(p.want.Services[name]) {
			if p.isStoppedForNetwork(owner) {
				add(owner)
			}
			if p.replaced[owner] > 0 || p.isStoppedForNetwork(owner) {
				add(name)
			}
		}
	}
	return names
}

// isStoppedForNetwork is whether a container of the service is stopped, and started again, because a network changes: its namespaces
// are new ones then.
func (p *planner) isStoppedForNetwork(service string) bool {
	return slices.ContainsFunc(p.containers[service], func(c Container) bool {
		n := p.detached[c.ID]
		return n > 0 && p.plan[n-1].Op == Disconnect
	})
}

// with is j where the container that it shares a namespace with is recreated, if the step before number ifChanged changes something
// (0: in any case). Two conditions are none.
func (j judged) with(ifChanged int) judged {
	if j.why == "" {
		return judged{c: j.c, why: "the container that it shares a namespace with is recreated", ifChanged: ifChanged}
	}
	if j.ifChanged != ifChanged {
		j.ifChanged = 0
	}
	return j
}
