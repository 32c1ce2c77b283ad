package previews

import (
	"cmp"
	"slices"
	"strings"

	"github.com/strake-dev/strake/compose"
)

// shortestHidden is the length from which a value is hidden: of a shorter one as good as every text has parts that are the same.
const shortestHidden = 6

// hiddenOf are the values that the policy gives a preview and that are in no file of the project: secrets, and variables of whoever opens it.
// A pull request chooses where they turn up, and so could have them printed in what visitors read. The longest come first.
func hiddenOf(policy Policy, p *compose.Project) []string {
	var all []string
	add := func(value string) {
		for line := range strings.Lines(value) { // logs are lines
			if line = strings.TrimSpace(line); len(line) >= shortestHidden && !slices.Contains(all, line) {
				all = append(all, line)
			}
		}
	}
	for _, value := range policy.Secrets {
		add(value)
	}
	for name, value := range policy.Settings.Previews.Environment {
		if value == nil {
			add(p.Environment[name])
		}
	}
	slices.SortFunc(all, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b)) })
	return all
}

// hide is a text without values.
func hide(text string, values []string) string {
	for _, v := range values {
		text = strings.ReplaceAll(text, v, "(hidden)")
	}
	return text
}

// hidingError is an error whose text has no value that is hidden.
type hidingError struct {
	error
	hidden []string
}

// Error is the text without the values.
func (e *hidingError) Error() string { return hide(e.error.Error(), e.hidden) }

// Unwrap is the error as it was.
func (e *hidingError) Unwrap() error { return e.error }

// Parts are the errors that it joins, none where it is one: each without the values.
func (e *hidingError) Parts() []error {
	joined, ok := e.error.(interface{ Unwrap() []error })
	if !ok {
		return nil
	}
	var all []error
	for _, one := range joined.Unwrap() {
		all = append(all, &hidingError{one, e.hidden})
	}
	return all
}
