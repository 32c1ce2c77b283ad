package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/seed"
)

// lossError is a plan that was not begun, because with containers of it data goes that nobody agreed to lose.
type lossError struct{ containers []string }

func (e *lossError) Error() string {
	return strings.Join(e.containers, ", ") + " would be made anew, with the data in it"
}

// sparing is the change's plan; where it loses data that nobody agreed to lose, a *lossError. It looks at what is about to be done, so
// that what was agreed to is what goes.
func (c change) sparing(have compose.State) (compose.Plan, error) {
	plan, err := c.plan(have)
	if err != nil || !c.asks {
		return plan, err
	}
	var lost []string
	for _, one := range seed.Lost(c.scope.Project, have, plan) {
		if !slices.Contains(c.agreed, one.Name) {
			lost = append(lost, one.Name)
		}
	}
	if len(lost) > 0 {
		return nil, &lossError{slices.Concat(c.agreed, lost)}
	}
	return plan, nil
}

// ask asks whether the data may go; without a terminal it is a *usageError.
func (e *lossError) ask(ctx context.Context, s Streams, command string) error {
	names, keep := strings.Join(e.containers, ", "), "strake seed save NAME keeps the data"
	if !s.isInteractive() {
		return usagef(keep+"; strake "+command+" --yes goes on without it",
			"%s throws away what %s hold: the data is in the containers, which have to be made anew, and there is no terminal to ask on", command, names)
	}
	return confirm(ctx, s, fmt.Sprintf("This throws away what %s hold: the data is in the containers, which have to be made anew. %s.", names, keep), "nothing was changed")
}
