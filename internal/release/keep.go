package release

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// mostKept is how many releases of an environment have tags of their own, so that what cleans up a registry leaves them.
const mostKept = 5

// keep gives what the tags were on, and what they go to, tags of their own.
func (r *Registry) keep(ctx context.Context, m Move, shifts []shift) error {
	return each(ctx, m.Services(), func(ctx context.Context, i int, service string) error {
		if shifts[i].keep != nil {
			if err := r.write(ctx, service, tagBefore(m.Tag), *shifts[i].keep); err != nil {
				return err
			}
		}
		if shifts[i].kept {
			return nil
		}
		err := r.write(ctx, service, tagKept(m.Environment, m.Commit), shifts[i].to)
		if errors.Is(err, ErrWritten) { // on another image, which was said, and was to be gone past
			err = nil
		}
		return err
	})
}

// isKept is whether an image has the tag that keeps it for a release. That is written once: where it is on another image somebody moved it, which is a
// *DriftError but with force.
func (r *Registry) isKept(ctx context.Context, m Move, service, digest string, force bool) (bool, error) {
	tag := tagKept(m.Environment, m.Commit)
	there, err := r.Resolve(ctx, service, tag)
	switch {
	case err != nil && !errors.Is(err, ErrAbsent):
		return false, err
	case there != "" && there != digest && !force:
		return false, &DriftError{m.Environment, service, tag, there, digest, m.command()}
	}
	return there == digest, nil
}

// keptBegun are the commits of which there may be tags once a move is begun, the newest first, and those of which some were left before.
func keptBegun(h History, commit string) (kept, left []string) {
	if len(h) == 0 {
		return []string{commit}, nil
	}
	return front(commit, h[0].Kept), h[0].Left
}

// keptDone are the commits of which tags are left when a move to commit is done: of the last releases alone. Another move that was begun and given up may have taken
// away those of the oldest before it was cut off.
func keptDone(h History, commit string) []string {
	last, _ := h.Last()
	had := last.Kept
	if begun, is := h.Begun(); is && begun.Commit != commit {
		had = had[:min(len(had), mostKept-1)]
	}
	kept := front(commit, had)
	return kept[:min(len(kept), mostKept)]
}

// front is a list with one value before all others, and in no other place.
func front(first string, list []string) []string {
	rest := slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s == first })
	return append([]string{first}, rest...)
}

// mostRetried is of how many old releases tags that are left are tried again.
const mostRetried = 10

// forget takes away the tags of releases of an environment that need not be kept any more, also of services that it had before. It returns the commits of
// which some may be left, to try again: a registry that takes no tags away leaves all, and is asked no more. It warns once.
func (r *Registry) forget(ctx context.Context, m Move, commits []string, warn func(string)) (left []string) {
	all := maps.Clone(m.Before)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, m.Images)
	services := slices.Sorted(maps.Keys(all))
	var why error
	for i, commit := range commits {
		err := each(ctx, services, func(ctx context.Context, _ int, service string) error {
			return r.store.remove(ctx, service, tagKept(m.Environment, commit), "")
		})
		if errors.Is(err, errNoUntag) {
			warn(fmt.Sprintf("%s of old releases are left: %v; only the last %d are needed", tagKept(m.Environment, "*"), errNoUntag, mostKept))
			return nil
		}
		if err == nil {
			continue
		}
		why, left = cmp.Or(why, err), append(left, commit)
		if errors.Is(err, errMayNotUntag) { // nor will they those of the others
			left = append(left, commits[i+1:]...)
			break
		}
	}
	if why != nil {
		warn(fmt.Sprintf("%s of %d old releases may be left, the next move tries those of %d at most again: %v", tagKept(m.Environment, "*"), len(left), mostRetried, why))
	}
	return left[:min(len(left), mostRetried)]
}

// tagCommit gives what an environment goes to the commit's tag where it has a registry of its own, in which nothing else may have it: a registry that removes
// an image with its last tag would take it with the one that keeps it. A tag that is written once stays.
func (r *Registry) tagCommit(ctx context.Context, m Move, shifts []shift) error {
	return each(ctx, m.Services(), func(ctx context.Context, i int, service string) error {
		if err := r.write(ctx, service, m.Commit, shifts[i].to); !errors.Is(err, ErrWritten) {
			return err
		}
		return nil
	})
}
