package cli

import (
	"context"
	"fmt"
	"slices"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/engine"
	"github.com/strake-dev/strake/internal/seed"
)

// refusing has a change refuse the data of a seed that a reset did not finish, for services (nil: all) of the project p, which may be nil. It looks
// before the claim is taken and under it: a reset that is under way is waited for, and may die meanwhile. A change of all services starts what a save
// had stopped, and removes its mark.
func (c *change) refusing(p *compose.Project, services []string) {
	project, plan := c.scope.Project, c.plan
	c.scope.Containers = append(c.scope.Containers, seed.Marks(project)...)
	c.plan = func(have compose.State) (compose.Plan, error) {
		if goal := unfinishedOf(project, have); goal != nil && goal.Concerns(p, services) {
			return nil, goal.Refused(project)
		}
		steps, err := plan(have)
		if err == nil && len(services) == 0 {
			steps = seed.Forgotten(project, have, steps, false)
		}
		return steps, err
	}
}

// unfinishedOf is the reset of a project that did not come to its end and that nobody is at work on; nil for none.
func unfinishedOf(project string, have compose.State) *seed.Goal {
	if by := seed.Claimant(project, have); by != nil && isAlive(*by) {
		return nil
	}
	return seed.Unfinished(project, have)
}

// unfinished is what commands about seeds left of a stack that did not come to their end, of which nobody is at work; the zero value is nothing.
type unfinished struct {
	project string
	reset   *seed.Goal
	stopped []string // services that a save stopped
}

// unfinishedIn looks for what did not come to its end; have must have been observed with seed.MarksOf.
func unfinishedIn(ctx context.Context, e *engine.Engine, project string, have compose.State) (unfinished, error) {
	u := unfinished{project: project}
	if by := seed.Claimant(project, have); by != nil && isAlive(*by) {
		return u, nil
	}
	u.reset = seed.Unfinished(project, have)
	var err error
	u.stopped, err = seed.Stopped(ctx, seedEngine{e}, project, have)
	return u, err
}

// warn says what is unfinished and how to go on.
func (u unfinished) warn(s Streams) {
	if u.reset != nil {
		err := &seed.UnfinishedError{Project: u.project, Goal: *u.reset}
		fmt.Fprintf(s.Err, "warning: %v\n  → %s\n", err, err.Hint())
	}
	if len(u.stopped) > 0 {
		fmt.Fprintf(s.Err, "warning: strake seed save of %s did not come to its end: it stopped what it did not start again\n  → %s starts them again\n", u.project, seed.StartAgain(u.project, u.stopped))
	}
}

// of is the command that finishes what is left of a service; "" where nothing is.
func (u unfinished) of(p *compose.Project, service string) string {
	switch {
	case u.reset != nil && u.reset.Concerns(p, []string{service}):
		return u.reset.Finish(u.project)
	case slices.Contains(u.stopped, service):
		return seed.StartAgain(u.project, u.stopped)
	}
	return ""
}
