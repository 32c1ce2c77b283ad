package host

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/strake-dev/strake/compose"
)

// BudgetError is returned by a Launch for which the budget has no room.
type BudgetError struct {
	Budget compose.PreviewBudget
	There  []string        // the IDs of the previews that are there, those on the oldest machine first
	Sum    compose.Dollars // what these cost an hour
	More   compose.Dollars // what one more costs, by the dearest of the types; 0 if there are too many of them, whatever they cost
}

// Error says what there is and what there may be.
func (e *BudgetError) Error() string {
	if e.More == 0 {
		return fmt.Sprintf("there are %d previews, and the budget allows %d", len(e.There), e.Budget.Previews)
	}
	return fmt.Sprintf("the machines that are there cost about %s an hour, and one more about %s: the budget is %s", e.Sum, e.More, e.Budget.Hourly)
}

// Hint names what to close first.
func (e *BudgetError) Hint() string {
	setting := "x-strake.previews.budget.previews"
	if e.More != 0 {
		setting = "x-strake.previews.budget.hourly"
	}
	if len(e.There) == 0 {
		return "raise " + setting
	}
	return "run strake preview close " + e.There[0] + ", which is the oldest, or raise " + setting
}

// affords is a *BudgetError where the budget has no room for one more machine beside those of a list. A part of the budget that is 0 is not looked at.
func affords(all []Machine, budget compose.PreviewBudget, s compose.EC2Settings) error {
	e := &BudgetError{Budget: budget}
	for _, m := range slices.SortedFunc(slices.Values(all), byAge) {
		if m.Live() {
			e.There = append(e.There, m.previews()...)
			e.Sum += m.Hourly
		}
	}
	if budget.Previews > 0 && len(e.There) >= budget.Previews {
		return e
	}
	if budget.Hourly == 0 {
		return nil
	}
	for _, kind := range s.Types { // it may be any of them
		price := Hourly(kind, false, s)
		if price == 0 {
			return &compose.HintedError{Err: fmt.Errorf("there is a budget of %s an hour, and the price of %s is not known", budget.Hourly, kind), Next: "name other types in x-strake.previews.ec2.type, or take budget.hourly out"}
		}
		e.More = max(e.More, price)
	}
	if e.Sum+e.More > budget.Hourly {
		return e
	}
	return nil
}

// byAge is the order in which machines were launched, the same for whoever looks.
func byAge(a, b Machine) int {
	return cmp.Or(a.Launched.Compare(b.Launched), cmp.Compare(a.ID, b.ID))
}

// settle looks again at what there is once a machine was launched. Of two who launched at once for a preview and came to have one each, as the first
// type was out for one of them, one's is ended, and both have the other. Of those who saw the last room in the budget at once it has who came first.
func (c *Cloud) settle(ctx context.Context, m Machine) (Machine, error) {
	all, err := c.Machines(ctx)
	if err != nil {
		return m, err
	}
	first := m
	var before []Machine
	for _, other := range all {
		switch {
		case !other.Live():
		case other.Preview == m.Preview && other.Lease == m.Lease && byAge(other, first) < 0: // who was first may have looked before there was another
			first = other
		case other.Preview != m.Preview && byAge(other, m) < 0:
			before = append(before, other)
		}
	}
	if first.ID != m.ID {
		c.note("machine %s: another command has %s already", m.ID, first.ID)
		if err := c.terminate(ctx, []Thing{{Kind: KindInstance, ID: m.ID}}); err != nil {
			return m, err
		}
		return c.awake(ctx, first)
	}
	if full := affords(before, c.Budget, c.Settings); full != nil {
		c.note("machine %s: others were first, and the budget has no room for it", m.ID)
		mine := func(t Thing) bool { return t.Preview == m.Preview && t.Lease == m.Lease } // not what is remembered of its sleep
		if _, err := c.end(ctx, mine); err != nil {
			return m, fmt.Errorf("%w; end machine %s: %w", full, m.ID, err)
		}
		return Machine{}, full
	}
	return m, nil
}
