package seed

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/strake-dev/strake/compose"
)

// BuildOptions say what is built and who is told.
type BuildOptions struct {
	Facts Facts // of the project; their key names the seed
	Base  Base  // by which a seed of an ancestor is found; the zero value uses none
	// Commits are the commit of the project's files and its ancestors, the nearest first; Clean says that the files are as in the
	// first one.
	Commits []string
	Clean   bool
	State   compose.State        // with the project's images, all of them there
	Files   compose.InputOptions // by which dumps are looked at again
	Replace bool                 // lets Save take a name that a seed has
	// Claim says who builds: two builds of one project are one after the other.
	Claim   compose.ConvergeOptions
	Version string            // of strake
	Note    func(text string) // told of each phase; may be nil
}

// Build makes the seed of the project unless it is there, and returns it and whether it was made. It is safe to kill at any moment: no
// tag of an unfinished seed is left, and what else is left the next build of this project removes.
//
// What failed is in a *StepError; a claim held by another, where Claim.NoWait, in a *compose.HeldError.
func Build(ctx context.Context, e Engine, p *compose.Project, o BuildOptions) (there *Seed, built bool, err error) {
	if err := checkApart(p, o.State); err != nil {
		return nil, false, err
	}
	key := o.Facts.Key()
	there, dead, err := newBuild(e, e, p, o, key).survey(ctx)
	if err == nil && there != nil && dead {
		err = clearDead(ctx, e, p, o)
	}
	if err != nil || there != nil {
		return there, false, err
	}
	err = compose.Hold(ctx, e, ScratchName(p.Name), o.Claim, func(h compose.Host) (err error) {
		b := newBuild(e, h, p, o, key)
		return b.alone(ctx, func(ctx context.Context) error {
			if there, err = Find(ctx, e, p, key); err != nil || there != nil {
				return err // another built it meanwhile
			}
			built = true
			if b.from, err = b.findAncestor(ctx); err != nil {
				return err
			}
			if err = b.run(ctx); err == nil {
				there, err = Find(ctx, e, p, key)
			}
			return err
		})
	})
	if err == nil && there == nil {
		err = fmt.Errorf("the images of seed %s are gone: somebody else removed them", key)
	}
	return there, built && err == nil, err
}

// newSet is a LabelSet that no other build has.
func newSet() string { return strconv.FormatInt(time.Now().UnixNano(), 36) }

// build is one build under way.
type build struct {
	Engine
	h             compose.Host // changes only while the claim is held
	p, scratch    *compose.Project
	o             BuildOptions
	key, set      string
	whole, others []string
	from          *ancestor // what it is built on; nil: nothing
}

func newBuild(e Engine, h compose.Host, p *compose.Project, o BuildOptions, key string) *build {
	whole, others := wholes(p, o.State)
	return &build{Engine: e, h: h, p: p, o: o, key: key, set: newSet(), whole: whole, others: others, scratch: scratch(p, whole)}
}

func (b *build) note(format string, args ...any) {
	if b.o.Note != nil {
		b.o.Note(fmt.Sprintf(format, args...))
	}
}

// run builds; what it needs only for that stays.
func (b *build) run(ctx context.Context) error {
	steps := Steps(b.p)
	if b.from != nil {
		b.note("starting from the seed of commit %.12s: only %s has to run", b.from.commit, steps[0])
		steps = steps[:1]
		for _, name := range b.others {
			sealed := b.from.Sealed[name]
			for i, v := range sealed.Volumes {
				b.scratch.Fills[v] = compose.VolumeFill{Image: sealed.Ref, Dir: dirOf(i)}
			}
		}
	} else if err := b.checkDumps(ctx); err != nil {
		return err
	}
	servers, err := b.startServers(ctx)
	if err != nil {
		return err
	}
	for _, s := range servers {
		if b.from != nil {
			break // it has its dump
		}
		if err := b.restore(ctx, s); err != nil {
			return err
		}
	}
	for _, name := range steps {
		if err := b.runStep(ctx, name); err != nil {
			return err
		}
	}
	for _, s := range servers {
		if err := b.stop(ctx, s); err != nil {
			return err
		}
	}
	for _, name := range b.others {
		if err := b.sealVolumes(ctx, name); err != nil {
			return err
		}
	}
	for _, s := range servers {
		if !slices.Contains(b.whole, s.service) {
			continue
		}
		b.note("sealing %s", s.service)
		if err := b.commit(ctx, s.service, s.id); err != nil {
			return err
		}
	}
	return b.publishAll(ctx)
}
