package release

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

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
	Before      map[string]string // from which it comes: those of the last move that was done
	// Resumes is the move that was begun and not ended: the same, or another one whose tags are mixed with those before.
	Resumes *Entry
}

// Services are those whose tag is moved, sorted.
func (m Move) Services() []string { return slices.Sorted(maps.Keys(m.Images)) }

// IsDone is whether there is nothing to move.
func (m Move) IsDone() bool { return m.Resumes == nil && maps.Equal(m.Images, m.Before) }

// PolicyError is returned for a move that the project's policy refuses.
type PolicyError struct{ Why, Next string }

// Error says what the policy is.
func (e *PolicyError) Error() string { return e.Why }

// Hint is how to go on.
func (e *PolicyError) Hint() string { return e.Next }

func refuse(next, why string, args ...any) error {
	return &PolicyError{fmt.Sprintf(why, args...), next}
}

// Promotion is the move of an environment to a build. It is pure. from is the history of the environment that it is promoted from, nil for the first one.
// What the policy refuses is a *PolicyError.
func Promotion(name string, e compose.EnvironmentSettings, have, from History, b Build, now time.Time) (Move, error) {
	m := Move{Environment: name, Tag: e.Tag, Action: Promoted, Commit: b.Commit, Subject: b.Subject, Images: b.Images}
	m.begin(have)
	if b.Dirty {
		return m, refuse("commit the changes, and run strake build --push", "the images of %s were built from files that are in no commit", Short(b.Commit))
	}
	if e.From == "" {
		return m, nil
	}
	runs, ok := from.Current()
	if !ok {
		next := "run strake promote " + e.From + " first"
		if begun, is := from.Begun(); is {
			return m, refuse(next, "%s of %s to %s was begun and is not done", begun.Action, e.From, Short(begun.Commit))
		}
		return m, refuse(next, "%s takes what %s runs, which has no release yet", name, e.From)
	}
	if runs.Commit != b.Commit {
		return m, refuse(fmt.Sprintf("run strake promote %s, which takes %s, or strake promote %s %s first", name, Short(runs.Commit), e.From, Short(b.Commit)),
			"%s takes what %s runs, which is %s and not %s", name, e.From, Short(runs.Commit), Short(b.Commit))
	}
	if !maps.Equal(runs.Images, b.Images) {
		return m, refuse("run strake promote "+e.From+" "+Short(b.Commit)+" again", "%s runs other images of %s than those that were built last", e.From, Short(b.Commit))
	}
	if since := now.Sub(runs.Time); since < e.Soak {
		return m, refuse(fmt.Sprintf("it may be promoted at %s", runs.Time.Add(e.Soak).Local().Format("2006-01-02 15:04")),
			"%s has run for %s in %s, and %s wants %s", Short(b.Commit), since.Round(time.Minute), e.From, name, e.Soak)
	}
	return m, nil
}

// Rollback is the move of an environment back to a release that it had: so many back on its line, or the last one of a commit, in short or in full, where that
// is not "". It is pure. Where there is no such release it is a *PolicyError, which lists those that there are.
func Rollback(name string, e compose.EnvironmentSettings, have History, steps int, commit string) (Move, error) {
	m := Move{Environment: name, Tag: e.Tag, Action: RolledBack}
	m.begin(have)
	past := have.Line()
	if m.Resumes == nil && len(past) > 0 { // what was begun never was a release, and the one before it is one back
		past = past[1:]
	}
	all := past
	if commit != "" {
		all, steps = have.Releases(), 1
		all = slices.DeleteFunc(all, func(r Entry) bool { return !isCommit(r.Commit, commit) })
	}
	if len(all) >= steps {
		r := all[steps-1]
		m.Commit, m.Subject, m.Images = r.Commit, r.Subject, r.Images
		return m, nil
	}
	var names []string
	for _, r := range past {
		names = append(names, Short(r.Commit))
	}
	next := "it can go back to " + strings.Join(names, ", ") + "; strake releases " + name + " lists all that it had"
	switch {
	case commit != "":
		return m, refuse(next, "%s had no release of commit %s", name, commit)
	case len(past) == 0:
		return m, refuse("strake releases "+name+" lists what it had", "%s has no earlier release to go back to", name)
	}
	return m, refuse(next, "%s cannot go back %d releases: there are %d", name, steps, len(past))
}

// begin says from where a move comes.
func (m *Move) begin(have History) {
	if last, ok := have.Last(); ok {
		m.Before = last.Images
	}
	if begun, ok := have.Begun(); ok {
		m.Resumes = &begun
	}
}

// DriftError is returned where an environment's tag is on an image that its ledger does not know: somebody moved it by hand. Nothing was moved.
type DriftError struct{ Environment, Service, Tag, Has, Expected string }

// Error says what is there.
func (e *DriftError) Error() string {
	expected := "none"
	if e.Expected != "" {
		expected = e.Expected
	}
	return fmt.Sprintf("the tag %s of %s is on %s, and the ledger of %s says %s", e.Tag, e.Service, e.Has, e.Environment, expected)
}

// Hint is how to go on.
func (e *DriftError) Hint() string {
	return "somebody moved it by hand: find out who, and move it all the same with --force"
}

// UnfinishedError is returned where some tags were moved and others not. The ledger says so to everybody; the same move again goes on.
type UnfinishedError struct {
	Environment string
	Left        []string // services whose tag may not be moved yet
	Err         error
}

// Error says what is left.
func (e *UnfinishedError) Error() string {
	return fmt.Sprintf("%s is between two releases, %s may not be moved: %v", e.Environment, strings.Join(e.Left, ", "), e.Err)
}

// Unwrap is why.
func (e *UnfinishedError) Unwrap() error { return e.Err }

// Hint is how to go on.
func (e *UnfinishedError) Hint() string { return "run it again: it goes on where it was" }

// inParallel is how many services are moved at a time.
const inParallel = 8

// MoveOptions are what a Run needs beside the move.
type MoveOptions struct {
	Actor string
	Force bool // move tags that were moved by hand
	Now   func() time.Time
}

// Run carries out a move: it writes to the ledger that it begins, keeps what the tag was on and what it goes to under tags of their own, moves the tag of
// each service, and writes that it is done. An image that is missing, a tag that was moved by hand and another move at the same time end it before
// anything is moved; after that *UnfinishedError is returned, and Run of the same move goes on.
//
// It asks three requests for each service beside those that keep the image.
func (r *Registry) Run(ctx context.Context, have History, m Move, o MoveOptions) (Entry, error) {
	e := Entry{Environment: m.Environment, Action: m.Action, Commit: m.Commit, Subject: m.Subject, Images: m.Images, Actor: o.Actor, Time: o.Now().UTC().Truncate(time.Second)}
	shifts := make([]shift, len(m.Images))
	if err := each(ctx, m.Services(), func(ctx context.Context, i int, service string) (err error) {
		shifts[i], err = r.look(ctx, m, service, o.Force)
		return err
	}); err != nil {
		return e, err
	}
	h := have
	if b := m.Resumes; b == nil || b.Commit != m.Commit || b.Action != m.Action || !maps.Equal(b.Images, m.Images) {
		var err error
		if h, err = r.append(ctx, have, e); err != nil {
			return e, err
		}
	}
	left := m.Services()
	err := each(ctx, m.Services(), func(ctx context.Context, i int, service string) error {
		if shifts[i].keep != nil {
			if err := r.write(ctx, service, tagBefore(m.Tag), *shifts[i].keep); err != nil {
				return err
			}
		}
		return r.write(ctx, service, tagKept(m.Environment, m.Commit), shifts[i].to)
	})
	if err == nil {
		left, err = r.shift(ctx, m, shifts)
	}
	if err == nil {
		e.Done, e.Time = true, o.Now().UTC().Truncate(time.Second)
		_, err = r.append(ctx, h, e)
	}
	if err != nil {
		return e, &UnfinishedError{m.Environment, left, err}
	}
	return e, nil
}

// shift moves the tags, and returns the services whose tag may not be moved.
func (r *Registry) shift(ctx context.Context, m Move, shifts []shift) (left []string, err error) {
	moved := make([]bool, len(shifts))
	err = each(ctx, m.Services(), func(ctx context.Context, i int, service string) error {
		err := r.write(ctx, service, m.Tag, shifts[i].to)
		moved[i] = err == nil
		return err
	})
	for i, service := range m.Services() {
		if !moved[i] {
			left = append(left, service)
		}
	}
	return left, err
}

// shift is what is to be done for one service.
type shift struct {
	keep *manifest // which goes under the tag of what was before; nil where that was done, or there was none
	to   manifest
}

// look reads what a service's tag is on and what it goes to.
func (r *Registry) look(ctx context.Context, m Move, service string, force bool) (s shift, err error) {
	if s.to, err = r.read(ctx, service, m.Images[service]); err != nil {
		return s, m.missing(service, err)
	}
	now, err := r.read(ctx, service, m.Tag)
	if err != nil && !errors.Is(err, ErrAbsent) {
		return s, err
	}
	before := m.Before[service]
	switch {
	case now.digest == before && before != "":
		s.keep = &now
	case now.digest == before, now.digest == s.to.digest, force: // there was none, or it was moved already
	case m.Resumes != nil && m.Resumes.Images[service] == now.digest: // by a move that was cut off, which kept what there was before it moved any
	default:
		return s, &DriftError{m.Environment, service, m.Tag, now.digest, before}
	}
	return s, nil
}

// missing says of an image that the registry does not have what it is of.
func (m Move) missing(service string, err error) error {
	if !errors.Is(err, ErrAbsent) {
		return err
	}
	next := "run strake build --push at that commit"
	if m.Action == RolledBack {
		next = "strake releases " + m.Environment + " lists the others"
	}
	return &compose.HintedError{Err: fmt.Errorf("the image of %s at %s is not in the registry any more: %w", service, Short(m.Commit), err), Next: next}
}

// each calls do for all services, some at a time, and returns all that failed in their order: one that fails stops none that was begun.
func each(ctx context.Context, services []string, do func(ctx context.Context, i int, service string) error) error {
	errs := make([]error, len(services))
	var all errgroup.Group
	all.SetLimit(inParallel)
	for i, service := range services {
		all.Go(func() error {
			if errs[i] = ctx.Err(); errs[i] == nil {
				errs[i] = do(ctx, i, service)
			}
			return nil
		})
	}
	_ = all.Wait() // errs has them
	return errors.Join(errs...)
}
