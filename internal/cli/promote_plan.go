package cli

import (
	"cmp"
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
	Before      map[string]string  `json:"before,omitempty"` // that the tags are on, by service
	Was         string             `json:"was,omitempty"`    // the commit that it ran
	Moved       bool               `json:"moved"`            // tags were moved
	Approvals   []release.Approval `json:"approvals,omitempty"`
	Checks      []release.Check    `json:"checks,omitempty"`
	Hotfix      *release.Hotfix    `json:"hotfix,omitempty"`
	Brings      []listedCommit     `json:"brings"`        // commits that what runs has not; null where that is not known
	TakesBack   []listedCommit     `json:"takesBack"`     // commits that what runs has and it has not: a rollback's, and those of a promotion that goes aside
	Settings    []settingChange    `json:"settings"`      // of the compose files that it would change; null where that is not known
	Time        time.Time          `json:"time,omitzero"` // when it was done
}

// plannedMove is a move, without what git says of it.
func plannedMove(m release.Move) moveDocument {
	return moveDocument{Environment: m.Environment, Action: m.Action, Commit: m.Commit, Images: m.Images, Before: m.Before, Approvals: m.Approvals, Checks: m.Checks, Hotfix: m.Hotfix, Was: was(m)}
}

// was is the commit that an environment runs before a move; "" for none.
func was(m release.Move) string {
	if m.Last == nil {
		return ""
	}
	return m.Last.Commit
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

// printPlan says what a move would do, and returns that with the commits that it brings and takes back, and the settings that it changes; nil where git does
// not know them.
func (r *releasing) printPlan(ctx context.Context, s Streams, o promoteOptions, m release.Move, have release.History, now map[string]string) moveDocument {
	d := plannedMove(m)
	if now != nil {
		d.Before = now
	}
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
		if d.Before[service] == m.Images[service] {
			change = "stays"
		}
		fmt.Fprintf(to, "  %-12s %s %s\n", service, change, m.Images[service])
		if was := d.Before[service]; was != m.Before[service] {
			fmt.Fprintf(to, "  %-12s is on %s, which the ledger does not say\n", "", cmp.Or(was, "no image"))
		}
	}
	if len(m.Approvals) > 0 {
		fmt.Fprintf(to, "approved by %s\n", approvedBy(m.Approvals))
	}
	if !ok {
		return d
	}
	var err error
	read := make(chan struct{})
	go func() { // while git is asked for the commits
		defer close(read)
		d.Settings, err = r.settings(ctx, s, o.Project, last.Commit, m.Commit)
	}()
	d.Brings, d.TakesBack = printChange(ctx, s, to, r.dir, last.Commit, m.Commit)
	<-read
	if err == nil || d.Brings != nil { // else it is for the same reason
		printSettings(to, d.Settings, err)
	}
	return d
}

// printChange lists the commits that one commit has and another one has not, and returns them; nil where git does not know them. What is taken back is told of
// a promotion too: it may leave a hotfix behind.
func printChange(ctx context.Context, s Streams, to io.Writer, dir, before, after string) (brings, takesBack []listedCommit) {
	brings, takesBack, err := commitsApart(ctx, s, dir, before, after)
	if err != nil {
		fmt.Fprintf(to, "which commits are between is not known: %v\n", err)
		if next := hintOf(err); next != "" {
			fmt.Fprintf(to, "  → %s\n", next)
		}
		return nil, nil
	}
	printCommits(to, "brings", brings)
	printCommits(to, "takes back", takesBack)
	return brings, takesBack
}

// printCommits lists commits; none is not said.
func printCommits(to io.Writer, verb string, commits []listedCommit) {
	if len(commits) > 0 {
		fmt.Fprintf(to, "%s %s:\n", verb, plural(len(commits), "commit"))
	}
	for _, c := range commits[:min(len(commits), mostCommits)] {
		fmt.Fprintf(to, "  %s\n", c)
	}
	if more := len(commits) - mostCommits; more > 0 {
		fmt.Fprintf(to, "  and %d more\n", more)
	}
}
