package seed

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/strake-dev/strake/compose"
)

// Transfer says which seed goes between here and a registry, and who is told.
type Transfer struct {
	Key      string
	Registry string                                // and the path below it: ghcr.io/acme
	Claim    compose.ConvergeOptions               // of Pull
	Note     func(text string)                     // told of each image
	Progress func(text string, part compose.Event) // told of bytes of it
}

// remoteRef is the name of a service's image of a seed in a registry.
func (t Transfer) remoteRef(project, service string) string {
	return t.Registry + "/" + Ref(project, service, t.Key)
}

// note says what is done with an image and returns who is told how far it is.
func (t Transfer) note(text string) func(compose.Event) {
	t.Note(text)
	return func(e compose.Event) { t.Progress(text, e) }
}

// Push sends a seed that is here, and returns false where the registry had just that. One of which only some images were sent is none to
// Pull, nor is a mixture of two.
func Push(ctx context.Context, e Engine, p *compose.Project, from *Seed, t Transfer) (isNew bool, err error) {
	for _, name := range slices.Sorted(maps.Keys(from.Sealed)) {
		remote := t.remoteRef(p.Name, name)
		before, err := e.Published(ctx, remote)
		if err != nil {
			return false, err
		}
		if err := e.Tag(ctx, from.Sealed[name].Ref, remote); err != nil {
			return false, err
		}
		after, err := e.Push(ctx, remote, t.note("pushing "+remote))
		if err := errors.Join(err, untag(ctx, e, remote)); err != nil {
			return false, err
		}
		if after == "" {
			if after, err = e.Published(ctx, remote); err != nil {
				return false, err
			}
		}
		isNew = isNew || after != before
	}
	return isNew, nil
}

// Published is whether a registry has all images of a seed, as far as their names tell.
func Published(ctx context.Context, e Engine, p *compose.Project, t Transfer) (bool, error) {
	for _, name := range Services(p) {
		if digest, err := e.Published(ctx, t.remoteRef(p.Name, name)); err != nil || digest == "" {
			return false, err
		}
	}
	return true, nil
}

// Pull fetches a seed, nil if the registry does not have all of it. An image that is not what its name says, and another seed here
// that was saved under the name, are a *compose.HintedError. Nothing is fetched before all is there, and nothing tagged here before all is fetched.
func Pull(ctx context.Context, e Engine, p *compose.Project, t Transfer) (found *Seed, err error) {
	if err := checkTags(ctx, e, p, t.Key); err != nil {
		return nil, err
	}
	t.Note("looking for seed " + t.Key + " in " + t.Registry)
	if there, err := Published(ctx, e, p, t); err != nil || !there {
		return nil, err
	}
	err = compose.Hold(ctx, e, ScratchName(p.Name), t.Claim, func(compose.Host) (err error) {
		names := Services(p)
		defer func() {
			for _, name := range names {
				err = errors.Join(err, untag(ctx, e, t.remoteRef(p.Name, name)))
			}
		}()
		scope := compose.Scope{Project: ScratchName(p.Name)}
		for _, name := range names {
			remote := t.remoteRef(p.Name, name)
			if err := e.Fetch(ctx, remote, t.note("pulling "+remote)); err != nil {
				return err
			}
			scope.Images = append(scope.Images, compose.ImageRef{Ref: remote}, compose.ImageRef{Ref: Ref(p.Name, name, t.Key)})
		}
		state, err := e.Observe(ctx, scope)
		if err != nil {
			return err
		}
		whole, err := t.areOneSeed(p, state)
		if err != nil || !whole {
			return err
		}
		if err := t.checkName(p, state); err != nil {
			return err
		}
		for _, name := range names {
			if err := e.Tag(ctx, t.remoteRef(p.Name, name), Ref(p.Name, name, t.Key)); err != nil {
				return err
			}
		}
		found, err = Find(ctx, e, p, t.Key)
		return err
	})
	return found, err
}

// areOneSeed is whether images of a registry were made together; one that is of something else is an error.
func (t Transfer) areOneSeed(p *compose.Project, have compose.State) (bool, error) {
	sets := map[string]bool{}
	for _, name := range Services(p) {
		remote := t.remoteRef(p.Name, name)
		labels := have.Images[remote].Labels
		if labels[LabelProject] != p.Name || labels[LabelService] != name || labels[LabelKey] != t.Key {
			return false, &compose.HintedError{Err: fmt.Errorf("image %s is no seed %s of service %s of project %s", remote, t.Key, name, p.Name),
				Next: "somebody else pushed under this name: remove it from the registry, and find out who may push there"}
		}
		sets[labels[LabelSet]] = true
	}
	return len(sets) == 1, nil
}

// checkName refuses to give the name of a seed that was saved here to another one. Of what has a key all are the same.
func (t Transfer) checkName(p *compose.Project, have compose.State) error {
	for _, name := range Services(p) {
		here := have.Images[Ref(p.Name, name, t.Key)].Labels[LabelSet]
		if here != "" && here != have.Images[t.remoteRef(p.Name, name)].Labels[LabelSet] && CheckName(t.Key) == nil {
			return &compose.HintedError{Err: fmt.Errorf("project %s has another seed %s here than %s", p.Name, t.Key, t.Registry),
				Next: "where the one here may go, run strake seed rm " + t.Key + " first"}
		}
	}
	return nil
}

// untag takes a name from an image, also after an interrupt.
func untag(ctx context.Context, e Engine, ref string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	return e.Do(ctx, compose.Step{Op: compose.RemoveImage, Name: ref, Target: ref}, nil)
}
