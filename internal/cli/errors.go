package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/compose/regex"
	"github.com/strake-dev/strake/internal/engine"
	"github.com/strake-dev/strake/internal/host"
	"github.com/strake-dev/strake/internal/offline"
	"github.com/strake-dev/strake/internal/release"
	"github.com/strake-dev/strake/internal/seed"
	"github.com/strake-dev/strake/previews"
)

// Exit codes. Source: ARCHITECTURE of strake, the same for every command.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitNotReady    = 3
	exitHeld        = 4
	exitRefused     = 5
	exitChanges     = 10
	exitInterrupted = 130
)

// errInterrupted is the cause of a context that a signal cancelled.
var errInterrupted = errors.New("interrupted")

// errHungUp is errInterrupted where nobody is there any more: the terminal was closed.
var errHungUp = fmt.Errorf("the terminal was closed: %w", errInterrupted)

// usageError is a command line that does not say something that can be done.
type usageError struct{ what, hint string }

func (e *usageError) Error() string { return e.what }
func (e *usageError) Hint() string  { return e.hint }

func usagef(hint, format string, args ...any) error {
	return &usageError{what: fmt.Sprintf(format, args...), hint: hint}
}

// exitError ends the program with a code and says nothing more: everything was said.
type exitError struct{ code int }

func (e *exitError) Error() string { return fmt.Sprintf("exit code %d", e.code) }

// reportedError is an error with what a person needs to see beside it, in the order of printing.
type reportedError struct {
	error
	sections []section
}

// section is a titled block of text, such as the last log lines of a container.
type section struct{ title, text string }

func (e *reportedError) Unwrap() error { return e.error }

// exitCode is the code that an error ends the program with.
func exitCode(ctx context.Context, err error) int {
	var usage *usageError
	var exit *exitError
	var unready *compose.NotReadyError
	var refused *engine.RefusedError
	var step *seed.StepError
	var file *previews.RefusedError
	var budget *previews.BudgetError
	var machines *host.BudgetError
	var room *previews.RoomError
	var lock *offline.LockError
	var policy *release.PolicyError
	var drift *release.DriftError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &exit):
		return exit.code
	case errors.Is(context.Cause(ctx), errInterrupted):
		return exitInterrupted
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &refused):
		return refused.Code
	case errors.As(err, &file), errors.As(err, &budget), errors.As(err, &machines), errors.As(err, &room), errors.As(err, &lock), errors.As(err, &policy), errors.As(err, &drift),
		errors.Is(err, compose.ErrOutside), errors.Is(err, errCovered):
		return exitRefused
	case errors.Is(err, compose.ErrHeld):
		return exitHeld
	case errors.As(err, &unready) && !errors.As(err, &step): // what a seed's build waits for is no stack of the user's
		return exitNotReady
	}
	return exitFailed
}

// printErrorDocument prints an error as --json wants it, unless the command's document has it.
func printErrorDocument(w io.Writer, err error) {
	var exit *exitError
	var documented documentedError
	if errors.As(err, &exit) || errors.As(err, &documented) {
		return
	}
	_ = printJSON(w, struct {
		Error string `json:"error"`
		Hint  string `json:"hint,omitempty"`
	}{err.Error(), hintOf(err)}) // the exit code tells too
}

// printError writes what went wrong, why, what was seen and what to do next; the last comes last.
func printError(w io.Writer, err error) {
	var exit *exitError
	if errors.As(err, &exit) {
		return
	}
	var reported *reportedError
	if errors.As(err, &reported) {
		for _, s := range reported.sections {
			fmt.Fprintf(w, "%s:\n", s.title)
			for line := range strings.Lines(harmless(s.text)) {
				fmt.Fprintf(w, "  %s\n", strings.TrimRight(line, "\n"))
			}
		}
	}
	for _, one := range flatten(err) {
		fmt.Fprintf(w, "strake: %s\n", strings.TrimRight(curtailed(harmless(one.Error())), "\n"))
		for line := range strings.Lines(hintOf(one)) {
			fmt.Fprintf(w, "  → %s\n", harmless(strings.TrimRight(line, "\n")))
		}
	}
}

// harmless is text that programs wrote, without what would move the cursor, clear the screen or name the window.
func harmless(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = control.ReplaceAllString(strings.ReplaceAll(line, "\t", "    "), "")
	}
	return strings.Join(lines, "\n")
}

// How many characters a word of an error may have, one that may be a path, and any other.
const (
	longestPath = 500
	longestWord = 140
)

// curtailed is text in which words that are longer are cut: it repeats what was given, and that may be anything.
func curtailed(text string) string {
	return word.ReplaceAllStringFunc(text, func(w string) string {
		if strings.ContainsAny(w, `/\`) {
			return shortened(w, longestPath)
		}
		return shortened(w, longestWord)
	})
}

var word = regex.New(`\S+`)

// flatten takes joined errors apart. An error that wraps a join with words of its own stays whole.
func flatten(err error) []error {
	switch e := err.(type) {
	case *reportedError:
		return flatten(e.error)
	case documentedError:
		return flatten(e.error)
	}
	var parts []error
	switch e := err.(type) {
	case interface{ Unwrap() []error }:
		parts = e.Unwrap()
	case interface{ Parts() []error }:
		parts = e.Parts()
	}
	if len(parts) == 0 {
		return []error{err}
	}
	var all []error
	for _, e := range parts {
		all = append(all, flatten(e)...)
	}
	return all
}

// hintOf are the hints of an error, or of each of those that it joins, below each other; "" for none.
func hintOf(err error) string {
	var all []string
	for _, one := range flatten(err) {
		var hinted compose.Hinted
		if errors.As(one, &hinted) && hinted.Hint() != "" {
			all = append(all, hinted.Hint())
		}
	}
	return strings.Join(all, "\n")
}
