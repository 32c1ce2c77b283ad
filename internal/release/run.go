package release

import (
	"cmp"
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

// inParallel is how many services are moved at a time.
const inParallel = 8

// MoveOptions are what a Run needs beside the move.
type MoveOptions struct {
	Actor string
	Force bool // move tags that were moved by hand
	// Images is the registry that has the environment's images and tags, by their digests already; nil is that of the ledger.
	Images *Registry
	Now    func() time.Time
	// Still, where it is not nil, is asked before tags are moved and before it is written that they are: its error ends the move.
	Still func(context.Context) error
	// Warn, where it is not nil, is told what did not come out as it should and harms no release.
	Warn func(string)
}

// Run carries out a move: it writes to the ledger that it begins, keeps what the tag was on and what it goes to under tags of their own, moves the tag of
// each service, and writes that it is done. An image that is missing, a tag that was moved by hand and another move at the same time end it before
// anything is moved; after that *UnfinishedError is returned, and Run of the same move goes on.
//
// It asks three requests for each service beside the three that keep images.
func (r *Registry) Run(ctx context.Context, have History, m Move, o MoveOptions) (Entry, error) {
	e := Entry{Environment: m.Environment, Action: m.Action, Commit: m.Commit, Subject: m.Subject, Images: m.Images, Approvals: m.Approvals, Checks: m.Checks, Hotfix: m.Hotfix, Wish: m.Wish, Actor: o.Actor, Time: o.Now().UTC().Truncate(time.Second)}
	if why := wrongImages(m.Commit, m.Images); why != "" {
		return e, errors.New(why)
	}
	at := cmp.Or(o.Images, r)
	shifts := make([]shift, len(m.Images))
	if err := each(ctx, m.Services(), func(ctx context.Context, i int, service string) (err error) {
		shifts[i], err = at.look(ctx, m, service, o.Force)
		return err
	}); err != nil {
		return e, r.Instead(ctx, at, have, m, err)
	}
	h := have
	if b := m.Resumes; b == nil || b.Commit != m.Commit || b.Action != m.Action || !maps.Equal(b.Images, m.Images) {
		var err error
		e.Kept, e.Left = keptBegun(have, m.Commit)
		if h, err = r.append(ctx, have, e); err != nil {
			return e, err
		}
	}
	left, none := m.Services(), true
	err := at.keep(ctx, m, shifts)
	if err == nil && at.Path != r.Path {
		err = at.tagCommit(ctx, m, shifts)
	}
	if err == nil {
		err = r.still(ctx, h, o)
	}
	if err == nil {
		none = false
		left, err = at.shift(ctx, m, shifts)
	}
	if err == nil {
		err = r.still(ctx, h, o)
	}
	if err == nil {
		e.Done, e.Time = true, o.Now().UTC().Truncate(time.Second)
		e.Kept = keptDone(have, m.Commit)
		old := slices.DeleteFunc(slices.Concat(h[0].Kept, h[0].Left), func(commit string) bool { return slices.Contains(e.Kept, commit) })
		e.Left = at.forget(ctx, m, old, o.warn)
		_, err = r.append(ctx, h, e)
	}
	if err != nil {
		return e, &UnfinishedError{e, none, left, err}
	}
	return e, nil
}

// warn tells Warn.
func (o MoveOptions) warn(text string) {
	if o.Warn != nil {
		o.Warn(text)
	}
}

// still looks that nobody else moves the environment meanwhile.
func (r *Registry) still(ctx context.Context, h History, o MoveOptions) error {
	if o.Still != nil {
		if err := o.Still(ctx); err != nil {
			return err
		}
	}
	return r.holds(ctx, h)
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
	keep *manifest // which goes under the tag of what was before; nil where there was none
	to   manifest
	kept bool // to has the tag that keeps it
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
	keep := m.Before[service]
	if err := m.checkTag(service, now.digest, s.to.digest); err != nil {
		if !force {
			return s, err
		}
		if m.Resumes == nil { // what was moved by hand is what was there; what a move left that was cut off is not
			keep = now.digest
		}
	}
	if keep == now.digest {
		s.keep = &now
	} else if keep != "" {
		was, err := r.read(ctx, service, keep)
		if err != nil && !errors.Is(err, ErrAbsent) { // what was cleaned up cannot be kept
			return s, err
		}
		if err == nil {
			s.keep = &was
		}
	}
	if s.keep != nil && s.keep.digest == "" {
		s.keep = nil
	}
	s.kept, err = r.isKept(ctx, m, service, s.to.digest, force)
	return s, err
}

// Look is an error where Run would move nothing, as far as that can be told before the images are where they go: an image that r does not have any more, a tag of
// at that was moved by hand. now are the digests that the tags are on, by service, "" for none.
func (r *Registry) Look(ctx context.Context, at *Registry, have History, m Move, force bool) (now map[string]string, err error) {
	on := make([]string, len(m.Images))
	err = each(ctx, m.Services(), func(ctx context.Context, i int, service string) (err error) {
		if on[i], err = at.Resolve(ctx, service, m.Tag); err != nil && !errors.Is(err, ErrAbsent) {
			return err
		}
		if at.Path == r.Path {
			_, err := at.look(ctx, m, service, force)
			return err
		}
		_, err = at.Resolve(ctx, service, m.Images[service])
		if errors.Is(err, ErrAbsent) { // it is brought there
			_, err = r.Resolve(ctx, service, m.Images[service])
		}
		if err != nil {
			return m.missing(service, err)
		}
		if !force {
			if err := m.checkTag(service, on[i], m.Images[service]); err != nil {
				return err
			}
		}
		_, err = at.isKept(ctx, m, service, m.Images[service], force)
		return err
	})
	now = map[string]string{}
	for i, service := range m.Services() {
		now[service] = on[i]
	}
	return now, r.Instead(ctx, at, have, m, err)
}

// checkTag is a *DriftError where the tag of a service is on what neither its ledger nor a move that was cut off put it on. "" is that it is nowhere: what cleaned
// an image up took its tags with it.
func (m Move) checkTag(service, now, to string) error {
	if before := m.Before[service]; now != "" && now != before && now != to && !m.isMixed(service, now) {
		return &DriftError{m.Environment, service, m.Tag, now, before, m.command()}
	}
	return nil
}

// isMixed is whether a move that was cut off may have put the tag of a service on an image. It kept what there was before it moved any.
func (m Move) isMixed(service, digest string) bool {
	return digest != "" && slices.ContainsFunc(m.unfinished, func(e Entry) bool { return e.Images[service] == digest })
}

// IsOn is whether the tags are where the move puts them.
func (r *Registry) IsOn(ctx context.Context, m Move) (bool, error) {
	moved, gone, err := r.Moved(ctx, m.Tag, m.Images)
	return len(moved)+len(gone) == 0, err
}

// Moved are the services, sorted, whose tag is on another image than it should be, "" is on none, and those that have no such tag, though they should.
func (r *Registry) Moved(ctx context.Context, tag string, want map[string]string) (moved, gone []string, err error) {
	services := slices.Sorted(maps.Keys(want))
	on := make([]string, len(services))
	if err := each(ctx, services, func(ctx context.Context, i int, service string) (err error) {
		if on[i], err = r.Resolve(ctx, service, tag); errors.Is(err, ErrAbsent) {
			err = nil
		}
		return err
	}); err != nil {
		return nil, nil, err
	}
	for i, service := range services {
		switch {
		case on[i] == want[service]:
		case on[i] == "":
			gone = append(gone, service)
		default:
			moved = append(moved, service)
		}
	}
	return moved, gone, nil
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

// Instead says of a rollback to an image that is gone which earlier releases at has.
func (r *Registry) Instead(ctx context.Context, at *Registry, have History, m Move, err error) error {
	if m.Action != RolledBack || !errors.Is(err, ErrAbsent) {
		return err
	}
	if all, allErr := r.History(ctx, m.Environment, nil); allErr == nil { // else what was read of it does
		have = all
	}
	line := have.Line()
	tried, there := []string{m.Commit}, []string(nil)
	for _, e := range line[min(len(line), 1):] {
		if slices.Contains(tried, e.Commit) || len(tried) > mostNames {
			continue
		}
		if tried = append(tried, e.Commit); at.has(ctx, e.Images) {
			there = append(there, Short(e.Commit))
		}
	}
	if len(there) == 0 {
		return err
	}
	return &compose.HintedError{Err: err, Next: "it can go back to " + strings.Join(there, ", ") + ", whose images are there"}
}

// has is whether images of services are there, as far as the registry says.
func (r *Registry) has(ctx context.Context, images map[string]string) bool {
	return each(ctx, slices.Sorted(maps.Keys(images)), func(ctx context.Context, _ int, service string) error {
		_, err := r.Resolve(ctx, service, images[service])
		return err
	}) == nil
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
