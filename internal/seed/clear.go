package seed

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/strake-dev/strake/compose"
)

// alone calls do with nothing of an earlier build there, and removes what it needed whatever comes of it.
func (b *build) alone(ctx context.Context, do func(context.Context) error) (err error) {
	if err := b.checkScratch(ctx); err != nil {
		return err
	}
	if err := b.clear(ctx); err != nil {
		return fmt.Errorf("remove what an earlier build left: %w", err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Minute)
		defer cancel()
		err = errors.Join(err, b.clear(ctx))
	}()
	return do(ctx)
}

// survey looks once, as an engine takes long to say what an image is: there is the seed if it is here, dead whether a build left something,
// or is under way. Tags of another project's seed are an error.
func (b *build) survey(ctx context.Context) (there *Seed, dead bool, err error) {
	scope := imagesOf(b.p, b.key)
	if len(scope.Images) == 0 {
		return nil, false, unseeded(b.p)
	}
	var needed []string
	for _, name := range Services(b.p) {
		needed = append(needed, bareRef(b.p.Name, name), sealedRef(b.p.Name, name))
	}
	for _, ref := range needed {
		scope.Images = append(scope.Images, compose.ImageRef{Ref: ref})
	}
	state, _, held, err := compose.Look(ctx, b.Engine, scope, func(state compose.State) (compose.Plan, error) {
		return nil, tagsIn(b.p, state, b.key)
	})
	if err != nil {
		return nil, false, err
	}
	dead = held != nil || len(state.Containers)+len(state.Networks)+len(state.Volumes) > 0 ||
		slices.ContainsFunc(needed, func(ref string) bool { _, there := state.Images[ref]; return there })
	return seedIn(b.p, state, b.key), dead, nil
}

// clearDead removes what a build left that was killed after it had made its seed. One that is under way is left alone.
func clearDead(ctx context.Context, e Engine, p *compose.Project, o BuildOptions) error {
	b := newBuild(e, e, p, o, "")
	o.Claim.NoWait = true
	err := compose.Hold(ctx, e, b.scratch.Name, o.Claim, func(h compose.Host) error {
		b.h = h
		return b.alone(ctx, func(context.Context) error { return nil })
	})
	if errors.Is(err, compose.ErrHeld) {
		return nil
	}
	return err
}

// checkScratch refuses to build where a project of somebody else has the name of the scratch stack.
func (b *build) checkScratch(ctx context.Context) error {
	state, err := b.observe(ctx)
	if err != nil {
		return err
	}
	theirs := func(what, name string, labels map[string]string) error {
		if labels[compose.LabelProject] != b.scratch.Name || labels[LabelProject] == b.p.Name {
			return nil
		}
		return &compose.HintedError{Err: fmt.Errorf("%s %s belongs to another project, %s, and that is where the seeds of %s are built", what, name, b.scratch.Name, b.p.Name),
			Next: "give one of the two projects another name (name: in the file, or -p)"}
	}
	var errs []error
	for _, c := range state.Containers {
		if !c.IsFillMark() {
			errs = append(errs, theirs("container", c.Name, c.Labels))
		}
	}
	for _, n := range state.Networks {
		errs = append(errs, theirs("network", n.Name, n.Labels))
	}
	for _, v := range state.Volumes {
		errs = append(errs, theirs("volume", v.Name, v.Labels))
	}
	return errors.Join(errs...)
}

// clear removes all that a build needs besides the seed.
func (b *build) clear(ctx context.Context) error {
	state, err := b.observe(ctx)
	if err != nil {
		return err
	}
	plan, err := b.clearing(state)
	if err != nil {
		return err
	}
	return compose.Run(ctx, b.h, plan, compose.RunOptions{Project: b.scratch.Name})
}

// clearing are the steps that remove what is observed of a build.
func (b *build) clearing(state compose.State) (compose.Plan, error) {
	state.Project = b.scratch.Name
	plan, err := compose.Down(nil, state, compose.DownOptions{Volumes: true, RemoveOrphans: true, Grace: new(time.Duration)})
	if err != nil {
		return nil, err
	}
	// What was sealed is a child of the image that it ran on: an engine refuses to remove a parent while its child goes.
	for _, ref := range []func(project, service string) string{sealedRef, bareRef} {
		after := make([]int, len(plan))
		for i := range after {
			after[i] = i
		}
		for _, name := range Services(b.p) {
			plan = append(plan, compose.Step{Op: compose.RemoveImage, Name: ref(b.p.Name, name), Target: ref(b.p.Name, name), After: after})
		}
	}
	return plan, nil
}
