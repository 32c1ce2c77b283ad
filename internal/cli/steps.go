package cli

import (
	"slices"

	"github.com/strake-dev/strake/compose"
)

// only is the plan reduced to the steps that keep holds; those that depended on a removed step depend on what that
// one depended on.
func only(plan compose.Plan, keep func(compose.Step) bool) compose.Plan {
	var kept compose.Plan
	stands := make([][]int, len(plan)) // for each old step the new ones that stand for it
	for i, step := range plan {
		var after []int
		for _, a := range step.After {
			after = append(after, stands[a]...)
		}
		slices.Sort(after)
		after = slices.Compact(after)
		if !keep(step) {
			stands[i] = after
			continue
		}
		step.After, step.IfChanged = after, 0
		stands[i] = []int{len(kept)}
		kept = append(kept, step)
	}
	return kept
}
