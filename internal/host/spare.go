package host

import (
	"context"
	"errors"
	"slices"
)

// spare takes out of what a Sweep found those machines, with what belongs to them, to which somebody came meanwhile: shared ones that are empty, and those
// whose open was interrupted. It says that it is about to end them, and looks again when that is seen. Who comes says so first, and looks then, so that one
// of the two sees the other. Those go that are seen to have to: not one that is not shown, or of which somebody else wrote another phase.
func (c *Cloud) spare(ctx context.Context, leftover []Thing, machines []Machine) ([]Thing, error) {
	leftover, err := c.spareGroups(ctx, leftover)
	if err != nil {
		return nil, err
	}
	before := map[string]string{}
	for _, m := range machines {
		before[m.ID] = m.Phase
	}
	said := looseIn(leftover)
	for _, id := range said {
		if err := c.Mark(ctx, Machine{ID: id}, map[string]string{TagState: emptying}); err != nil {
			return nil, err
		}
	}
	if len(said) == 0 {
		return leftover, nil
	}
	again, err := c.seen(ctx, said, func(m Machine) bool { return m.Phase == emptying || m.Phase != before[m.ID] })
	if err != nil && !errors.Is(err, errUnheard) {
		return nil, err
	}
	for _, m := range again {
		if c.goes(m) || m.Phase != emptying {
			continue
		}
		phase := "ready"
		if !m.Shared() {
			phase = "opening"
		}
		if err := c.Mark(ctx, m, map[string]string{TagState: phase}); err != nil {
			return nil, err
		}
	}
	return c.without(leftover, said, again), nil
}

// unclaimed is what a Sweep removes without those machines, and what belongs to them, to which somebody came since spare looked, who waited for it in vain:
// until its names are forgotten minutes may pass.
func (c *Cloud) unclaimed(ctx context.Context, all []Thing) ([]Thing, error) {
	ids := looseIn(all)
	if len(ids) == 0 {
		return all, nil
	}
	again, err := c.machines(ctx, filterOf("instance-id", ids...))
	if err != nil {
		return nil, err
	}
	return c.without(all, ids, again), nil
}

// looseIn are the IDs of the machines in a list that go only if nobody comes to them meanwhile.
func looseIn(all []Thing) (ids []string) {
	for _, t := range all {
		if t.Kind == KindInstance && t.loose {
			ids = append(ids, t.ID)
		}
	}
	return ids
}

// goes is whether a machine that a Sweep is about to end is one to which nobody came.
func (c *Cloud) goes(m Machine) bool {
	return !m.Live() || m.Phase == emptying && (m.Shared() && len(m.Shares) == 0 || !m.Shared() && c.isDead(m.owner))
}

// without takes out of a list the leases of those machines of which a look does not show that they go.
func (c *Cloud) without(all []Thing, ids []string, look []Machine) []Thing {
	kept := map[string]bool{}
	for _, t := range all {
		if t.Kind == KindInstance && slices.Contains(ids, t.ID) && !slices.ContainsFunc(look, func(m Machine) bool { return m.ID == t.ID && c.goes(m) }) {
			kept[leaseOf(t.Preview, t.Lease)] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(t Thing) bool { return kept[leaseOf(t.Preview, t.Lease)] })
}

// spareGroups is spare for groups of which no machine came: who opens their preview takes them up. One that others removed meanwhile is kept in the list.
// Source: Amazon EC2 API, CreateTags, DescribeSecurityGroups.
func (c *Cloud) spareGroups(ctx context.Context, leftover []Thing) ([]Thing, error) {
	var said []string
	for _, t := range leftover {
		if t.Kind == KindGroup && t.Why == noMachine {
			said = append(said, t.ID)
			if err := c.tagGroup(ctx, t.ID, map[string]string{TagState: emptying}); err != nil && codeOf(err) != unknownGroup {
				return nil, err
			}
		}
	}
	kept := map[string]bool{}
	for some := range slices.Chunk(said, 100) {
		again, err := c.seenGroups(ctx, some, func(t Thing) bool { return t.phase == emptying })
		if err != nil && !errors.Is(err, errUnheard) {
			return nil, err
		}
		for _, t := range again {
			if t.phase == emptying && c.isLeft(t) {
				continue
			}
			kept[leaseOf(t.Preview, t.Lease)] = true
			if err := c.tagGroup(ctx, t.ID, map[string]string{TagState: "opening"}); err != nil && codeOf(err) != unknownGroup {
				return nil, err
			}
		}
	}
	return slices.DeleteFunc(slices.Clone(leftover), func(t Thing) bool { return kept[leaseOf(t.Preview, t.Lease)] }), nil
}

// second are the IDs of machines beside those that have their previews: of two that were launched at once and saw nothing of each other one stays so. Who has a
// preview is said by Holding, and stays. They have to be those of whom it is known that nobody is at them, or old enough for nobody to be. Where that which has
// the preview goes itself, there are none; goes are the IDs of those that do.
func (c *Cloud) second(machines []Machine, goes map[string]bool) map[string]bool {
	all := map[string]bool{}
	for _, m := range machines {
		first, ok := Holding(machines, m.Preview)
		if !ok || first.ID == m.ID || first.Preview != m.Preview || goes[first.ID] {
			continue
		}
		if m.Live() && !m.Shared() && (c.isDead(m.owner) || c.Now().Sub(m.Launched) > youngest) {
			all[m.ID] = true
		}
	}
	return all
}
