package release

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/strake-dev/strake/compose"
)

// Move puts the tag of an environment on the images of a build.
type Move struct {
	Environment string
	Tag         string
	Action      Action
	Commit      string
	Subject     string
	Images      map[string]string // digests by service, to which the tag goes
	Before      map[string]string // from which it comes: of each service that of the last move that was done and had it
	// Approvals are those that count for a promotion, as Ballot.Count says them, and those that a release had to which a rollback goes.
	Approvals []Approval
	// Checks are those that a promotion passed, and those that a release passed to which a rollback goes.
	Checks []Check
	// Hotfix is set for one, and for a rollback to one.
	Hotfix *Hotfix
	// Wish is the commit that the environment's file wants; "" where it has none.
	Wish string
	// Last is the last move that was done; nil for none.
	Last *Entry
	// Resumes is the move that was begun and not ended: the same, or another one whose tags are mixed with those before.
	Resumes *Entry

	unfinished []Entry // all that were begun since the last that was done
}

// command is what does the move.
func (m Move) command() string {
	return Entry{Environment: m.Environment, Action: m.Action, Commit: m.Commit, Hotfix: m.Hotfix}.Command()
}

// Services are those whose tag is moved, sorted.
func (m Move) Services() []string { return slices.Sorted(maps.Keys(m.Images)) }

// IsDone is whether the ledger says that it was done. Its tags may have been moved by hand since: Registry.IsOn says that.
func (m Move) IsDone() bool {
	return m.Resumes == nil && m.Last != nil && m.Last.Commit == m.Commit && maps.Equal(m.Last.Images, m.Images)
}

// ChangedError is returned for a move that is another one by now than the one that was looked at: somebody else moved the environment. It is compose.ErrHeld.
type ChangedError struct {
	Environment string
	By          *Entry // the last move that was done; nil for none
}

// Error says who.
func (e *ChangedError) Error() string {
	if e.By == nil {
		return "what " + e.Environment + " runs was changed meanwhile"
	}
	return fmt.Sprintf("%s was moved meanwhile: %s to %s by %s at %s", e.Environment, e.By.Action, Short(e.By.Commit), e.By.Actor, e.By.Time.Local().Format("15:04:05"))
}

// Unwrap is compose.ErrHeld.
func (e *ChangedError) Unwrap() error { return compose.ErrHeld }

// Hint is how to go on.
func (e *ChangedError) Hint() string {
	return "nothing was moved; look at strake status, and run it again"
}

// Check is a *ChangedError where a move, planned anew, is not the one that was confirmed before.
func (m Move) Check(confirmed Move) error {
	if m.Commit == confirmed.Commit && m.Tag == confirmed.Tag && maps.Equal(m.Images, confirmed.Images) && maps.Equal(m.Before, confirmed.Before) {
		return nil
	}
	return &ChangedError{m.Environment, m.Last}
}

// PolicyError is returned for a move that the project's policy refuses.
type PolicyError struct{ Why, Next string }

// Error says what the policy is.
func (e *PolicyError) Error() string { return e.Why }

// Hint is how to go on.
func (e *PolicyError) Hint() string { return e.Next }

func refuse(next, why string, args ...any) error {
	return &PolicyError{fmt.Sprintf(why, args...), next}
}

// Check is a *PolicyError for a build that goes to no environment.
func (b Build) Check() error {
	switch {
	case b.Dirty:
		return refuse("commit the changes, and run strake build --push", "the images of %s were built from files that are in no commit", Short(b.Commit))
	case b.Foreign:
		return refuse("push or merge it, and run strake build --push there", "the images of %s were built for pull request %d as those of another repository: no branch of this one ended there", Short(b.Commit), b.PullRequest)
	}
	return nil
}

// Promotion is the move of an environment to a build. It is pure. from is the history of the environment that it is promoted from, nil for the first one.
// What the policy refuses is a *PolicyError.
func Promotion(name string, e compose.EnvironmentSettings, have, from History, b Build, now time.Time) (Move, error) {
	m := Move{Environment: name, Tag: e.Tag, Action: Promoted, Commit: b.Commit, Subject: b.Subject, Images: b.Images}
	m.begin(have)
	if err := b.Check(); err != nil {
		return m, err
	}
	if b := m.Resumes; e.From == "" || b != nil && b.Action == Promoted && b.Commit == m.Commit && maps.Equal(b.Images, m.Images) { // which was let in when it was begun
		return m, nil
	}
	runs, ok := from.Current()
	ran := now.Sub(runs.Time)
	if e.Branch != "" || e.Remote != "" || e.File != "" { // what git says stays while what it comes from goes on
		if r, span, is := from.ran(b, now); is {
			runs, ran, ok = r, span, true
		}
	}
	if !ok {
		next := "run strake promote " + e.From + " first"
		if begun, is := from.Begun(); is {
			return m, refuse(next, "%s of %s to %s was begun and is not done", begun.Action, e.From, Short(begun.Commit))
		}
		return m, refuse(next, "%s takes what %s runs, which has no release yet", name, e.From)
	}
	if runs.Commit != b.Commit && IsHotfix(e, b.Branch) {
		return m, refuse("run strake promote "+name+" --hotfix "+Short(b.Commit)+", which takes it past "+e.From,
			"%s takes what %s runs, which is %s and not %s", name, e.From, Short(runs.Commit), Short(b.Commit))
	}
	if runs.Commit != b.Commit && (e.Branch != "" || e.Remote != "" || e.File != "") {
		return m, refuse("run strake promote "+e.From+" "+Short(b.Commit)+" first",
			"%s takes what %s has run and not taken back, and %s is none of that", name, e.From, Short(b.Commit))
	}
	if runs.Commit != b.Commit {
		return m, refuse(fmt.Sprintf("run strake promote %s, which takes %s, or strake promote %s %s first", name, Short(runs.Commit), e.From, Short(b.Commit)),
			"%s takes what %s runs, which is %s and not %s", name, e.From, Short(runs.Commit), Short(b.Commit))
	}
	if !maps.Equal(runs.Images, b.Images) {
		return m, refuse("run strake promote "+e.From+" "+Short(b.Commit)+" again", "%s runs other images of %s than those that were built last", e.From, Short(b.Commit))
	}
	if ran < e.Soak {
		next := "run strake promote " + e.From + " " + Short(b.Commit) + " first, and let it run there"
		if current, is := from.Current(); is && current.Commit == runs.Commit {
			next = "it may be promoted at " + now.Add(e.Soak-ran).Local().Format("2006-01-02 15:04")
		}
		return m, refuse(next, "%s has run for %s in %s, and %s wants %s", Short(b.Commit), ran.Round(time.Minute), e.From, name, e.Soak)
	}
	return m, nil
}

// ran is the last release of a build's images, if it was not rolled back since, and for how long it ran until another one came.
func (h History) ran(b Build, now time.Time) (e Entry, span time.Duration, ok bool) {
	isOn := slices.ContainsFunc(h.Line(), func(l Entry) bool { return l.Commit == b.Commit })
	end := now
	for _, e := range h.Releases() {
		if e.Commit == b.Commit {
			return e, end.Sub(e.Time), isOn && maps.Equal(e.Images, b.Images)
		}
		end = e.Time
	}
	return e, 0, false
}

// Next is the commit of a promotion for which none was named: offered, which is what it comes from runs, unless a move was begun. One to the same is
// completed, also a rollback that git says; where another commit is offered meanwhile it is a *PolicyError, which names both. It is pure.
func Next(have History, offered string) (string, error) {
	begun, is := have.Begun()
	if !is || begun.Commit == offered {
		return offered, nil
	}
	if begun.Action == RolledBack {
		return "", refuse("run "+begun.Command()+", which goes on with that; strake promote "+begun.Environment+" "+Short(offered)+" goes forward all the same",
			"rollback of %s to %s was begun and is not done", begun.Environment, Short(begun.Commit))
	}
	other := begun
	other.Commit = offered
	next := "run " + other.Command() + ", which goes on with that"
	if last, ok := have.Last(); ok {
		last.Action = RolledBack
		next += ", or " + last.Command() + ", which takes it back"
	}
	return "", refuse(next, "promote of %s to %s was begun and is not done, and what it would take by now is %s", begun.Environment, Short(begun.Commit), Short(offered))
}

// Rollback is the move of an environment back to a release that it had: so many back on its line, or the last one of a commit, in short or in full, where that
// is not "". A rollback that was begun and not ended is gone on with where no commit is named. It is pure. Where there is no such release it is a
// *PolicyError, which lists those that there are.
func Rollback(name string, e compose.EnvironmentSettings, have History, steps int, commit string) (Move, error) {
	m := Move{Environment: name, Tag: e.Tag, Action: RolledBack}
	m.begin(have)
	if m.Last == nil {
		return m, refuse("strake releases "+name+" lists what it had", "%s has no earlier release to go back to", name)
	}
	if b := m.Resumes; b != nil && b.Action == RolledBack && commit == "" {
		m.goesTo(*b)
		return m, nil
	}
	past := have.Line()
	if m.Resumes == nil && len(past) > 0 { // what was begun never was a release, and the one before it is one back
		past = past[1:]
	}
	var names []string
	for _, r := range past[:min(len(past), mostNames)] {
		names = append(names, Short(r.Commit))
	}
	next := "strake releases " + name + " lists what it had"
	if len(names) > 0 {
		next = "it can go back to " + strings.Join(names, ", ") + "; strake releases " + name + " lists all that it had"
	}
	all := past
	if commit != "" {
		var err error
		if all, err = releasesOf(have, commit, next); err != nil {
			return m, err
		}
		steps = 1
	}
	switch {
	case len(all) >= steps:
		m.goesTo(all[steps-1])
		return m, nil
	case commit != "":
		return m, refuse(next, "%s had no release of commit %s", name, commit)
	case len(past) == 0:
		return m, refuse(next, "%s has no earlier release to go back to", name)
	}
	return m, refuse(next, "%s cannot go back %d releases: there are %d", name, steps, len(past))
}

// EnoughFor is whether a history, as far as it was read, is enough for what plans a move by it.
func EnoughFor(plan func(History) (Move, error)) func(History) bool {
	return func(h History) bool {
		m, err := plan(h)
		return err == nil && h.Tells(m.Services())
	}
}

// mostNames is how many releases a hint names.
const mostNames = 10

// releasesOf are the releases of the one commit that somebody means who writes text, the newest first.
func releasesOf(h History, text, next string) ([]Entry, error) {
	if len(text) < shortest {
		return nil, refuse(next, "%s may be several commits: write at least %d digits", text, shortest)
	}
	of := slices.DeleteFunc(h.Releases(), func(r Entry) bool { return !strings.HasPrefix(r.Commit, strings.ToLower(text)) })
	for _, r := range of {
		if r.Commit != of[0].Commit {
			return nil, refuse("write more digits: "+of[0].Commit+" or "+r.Commit, "%s is more than one commit", text)
		}
	}
	return of, nil
}

// begin says from where a move comes.
func (m *Move) begin(have History) {
	m.Before, m.unfinished = have.images(), have.unfinished()
	if last, ok := have.Last(); ok {
		m.Last = &last
	}
	if begun, ok := have.Begun(); ok {
		m.Resumes = &begun
	}
}

// goesTo says that a move goes to a release that the environment had.
func (m *Move) goesTo(e Entry) {
	m.Commit, m.Subject, m.Images, m.Approvals, m.Checks, m.Hotfix = e.Commit, e.Subject, e.Images, e.Approvals, e.Checks, e.Hotfix
}

// DriftError is returned where an environment's tag is on an image that its ledger does not know: somebody moved it by hand. Nothing was moved.
type DriftError struct {
	Environment, Service, Tag, Has, Expected string
	Command                                  string // that was refused
}

// Error says what is there.
func (e *DriftError) Error() string {
	return fmt.Sprintf("the tag %s of %s is on %s, and the ledger of %s says %s", e.Tag, e.Service, cmp.Or(e.Has, "none"), e.Environment, cmp.Or(e.Expected, "none"))
}

// Hint is how to go on.
func (e *DriftError) Hint() string {
	return "somebody moved it by hand: find out who; " + e.Command + " --force moves it all the same"
}

// UnfinishedError is returned where a move was begun and is not done: the ledger says so to everybody, and the same move again goes on.
type UnfinishedError struct {
	Begun Entry
	None  bool     // no tag was moved yet
	Left  []string // services whose tag may not be moved yet
	Err   error
}

// Error says what is left.
func (e *UnfinishedError) Error() string {
	switch {
	case e.None:
		return fmt.Sprintf("%s of %s was begun, and no tag was moved: %v", e.Begun.Action, e.Begun.Environment, e.Err)
	case len(e.Left) == 0:
		return fmt.Sprintf("every tag of %s was moved, and the ledger could not be written: %v", e.Begun.Environment, e.Err)
	}
	return fmt.Sprintf("%s is between two releases, %s may not be moved: %v", e.Begun.Environment, strings.Join(e.Left, ", "), e.Err)
}

// Unwrap is why.
func (e *UnfinishedError) Unwrap() error { return e.Err }

// Hint is how to go on: with what was in the way first.
func (e *UnfinishedError) Hint() string {
	next := "run " + e.Begun.Command() + ", which goes on where it was"
	var why compose.Hinted
	if errors.As(e.Err, &why) && why.Hint() != "" {
		next = why.Hint() + "\n" + next
	}
	return next
}
