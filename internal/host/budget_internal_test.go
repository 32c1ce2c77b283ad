package host

import (
	"errors"
	"testing"
	"time"

	"github.com/strake-dev/strake/compose"
)

func TestAffords_IsBudget(t *testing.T) {
	at := func(minute int, preview, state string) Machine {
		return Machine{ID: "i-" + preview, Preview: preview, State: state, Hourly: 0.1, Launched: time.Date(2026, 1, 1, 0, minute, 0, 0, time.UTC)}
	}
	two := []Machine{at(2, "pr-2", "running"), at(1, "pr-1", "stopped"), at(0, "pr-0", "terminated")}
	for _, c := range []struct {
		name   string
		budget compose.PreviewBudget
		types  []string
		full   bool   // a BudgetError
		says   string // "" is room
	}{
		{"no budget", compose.PreviewBudget{}, []string{"t3.large"}, false, ""},
		{"room for one", compose.PreviewBudget{Previews: 3, Hourly: 1}, []string{"t3.large"}, false, ""},
		{"as many as may be", compose.PreviewBudget{Previews: 2, Hourly: 1}, []string{"t3.large"}, true, "there are 2 previews, and the budget allows 2"},
		{"the dearest type is too dear", compose.PreviewBudget{Previews: 3, Hourly: 0.35}, []string{"t3.large", "t3.xlarge"}, true,
			"the machines that are there cost about 0.20 USD an hour, and one more about 0.17 USD: the budget is 0.35 USD"},
		{"a price that is not known", compose.PreviewBudget{Hourly: 1}, []string{"x9.huge"}, false, "there is a budget of 1.00 USD an hour, and the price of x9.huge is not known"},
		{"a price that nobody asks for", compose.PreviewBudget{Previews: 3}, []string{"x9.huge"}, false, ""},
	} {
		err := affords(two, c.budget, compose.EC2Settings{Types: c.types, Address: compose.AddressPrivate})
		var full *BudgetError
		said := ""
		if err != nil {
			said = err.Error()
		}
		if errors.As(err, &full) != c.full || said != c.says {
			t.Errorf("%s: affords = %q, want %q", c.name, said, c.says)
		}
		if full != nil && full.There[0] != "pr-1" {
			t.Errorf("%s: the first to close is %s, want the oldest, pr-1", c.name, full.There[0])
		}
	}
}
