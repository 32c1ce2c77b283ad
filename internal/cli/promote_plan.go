package cli

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/strake-dev/strake/internal/release"
)

// moveDocument is a move as --json prints it. Its names are stable.
type moveDocument struct {
	Environment string             `json:"environment"`
	Action      release.Action     `json:"action"`
	Commit      string             `json:"commit"`
	Images      map[string]string  `json:"images"`
	Before      map[string]string  `json:"before,omitempty"`
	Approvals   []release.Approval `json:"approvals,omitempty"`
	Hotfix      *release.Hotfix    `json:"hotfix,omitempty"`
	Commits     []string           `json:"commits"`       // that a move would bring or take back; null where that is not known
	Settings    []settingChange    `json:"settings"`      // of the compose files that it would change; null where that is not known
	Time        time.Time          `json:"time,omitzero"` // when it was done
}

// printMove says what came of a move.
func (r *releasing) printMove(s Streams, o promoteOptions, d moveDocument, text string) error {
	if o.JSON {
		return printJSON(s.Out, d)
	}
	_, err := fmt.Fprintln(s.Out, text)
	return err
}

// mostCommits is how many commits a plan lists.
const mostCommits = 20

// printPlan says what a move would do, and returns the commits that it brings or takes back, and the settings that it changes; nil where git does not know them.
func (r *releasing) printPlan(ctx context.Context, s Streams, o promoteOptions, m release.Move, have release.History) (commits []string, settings []settingChange) {
	to := s.Out
	if o.JSON || !o.DryRun {
		to = s.Err
	}
	was := "nothing"
	last, ok := have.Last()
	if ok {
		was = release.Short(last.Commit)
	}
	fmt.Fprintf(to, "%s (tag %s): %s → %s %s\n", m.Environment, m.Tag, was, release.Short(m.Commit), harmless(m.Subject))
	if m.Resumes != nil {
		fmt.Fprintf(to, "%s of %s to %s was begun by %s and is not done\n", m.Resumes.Action, m.Environment, release.Short(m.Resumes.Commit), m.Resumes.Actor)
	}
	for _, service := range m.Services() {
		change := "moves"
		if m.Before[service] == m.Images[service] {
			change = "stays"
		}
		fmt.Fprintf(to, "  %-12s %s %s\n", service, change, m.Images[service])
	}
	if len(m.Approvals) > 0 {
		fmt.Fprintf(to, "approved by %s\n", approvedBy(m.Approvals))
	}
	switch {
	case !ok:
		return nil, nil
	case m.Action == release.RolledBack:
		commits = printCommits(ctx, s, to, r.dir, "takes back", m.Commit, last.Commit)
	default:
		commits = printCommits(ctx, s, to, r.dir, "brings", last.Commit, m.Commit)
	}
	settings, err := r.settings(ctx, s, o.Project, last.Commit, m.Commit)
	printSettings(to, settings, err)
	return commits, settings
}

// printCommits lists the commits that one has and another one has not, and returns them; nil where git does not know them.
func printCommits(ctx context.Context, s Streams, to io.Writer, dir, verb, before, after string) []string {
	commits, err := commitsBetween(ctx, s, dir, before, after)
	switch {
	case err != nil:
		fmt.Fprintf(to, "%s ? commits: %v\n", verb, err)
	case len(commits) > 0:
		fmt.Fprintf(to, "%s %s:\n", verb, plural(len(commits), "commit"))
	}
	for _, c := range commits[:min(len(commits), mostCommits)] {
		fmt.Fprintf(to, "  %s\n", harmless(c))
	}
	if more := len(commits) - mostCommits; more > 0 {
		fmt.Fprintf(to, "  and %d more\n", more)
	}
	return commits
}
