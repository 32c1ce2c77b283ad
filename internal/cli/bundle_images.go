package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/containerd/platforms"
	"golang.org/x/sync/errgroup"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/engine"
	"github.com/strake-dev/strake/internal/offline/bundle"
	"github.com/strake-dev/strake/internal/seed"
)

// bundled says what belongs into the bundle of a project, and of which files the images of strake itself are, by reference. What is
// not here, or out of date, is an error with what makes it.
func bundled(ctx context.Context, s Streams, p *compose.Project, e *engine.Engine, o bundleOptions) (about bundle.About, programs map[string]string, err error) {
	about = bundle.About{Project: p.Name, Strake: buildVersion(), Created: s.Now().UTC().Truncate(time.Second)}
	wanted, err := platformsOf(o.Platforms)
	if err != nil {
		return about, nil, err
	}
	services, err := withBuild(p, nil, false)
	if err != nil {
		return about, nil, err
	}
	seeds := len(seed.Services(p)) > 0 && !o.NoSeed
	var k seeding
	var state compose.State
	g, gctx := errgroup.WithContext(ctx)
	if seeds {
		g.Go(func() (err error) { k, err = seedFacts(gctx, s, p, e, o.Project); return err })
	}
	g.Go(func() (err error) { state, err = isCurrent(gctx, s, p, e, services); return err })
	if err := g.Wait(); err != nil {
		return about, nil, err
	}
	own := state.Engine.OS + "/" + state.Engine.Arch
	if about.Platforms = wanted; len(wanted) == 0 {
		about.Platforms = []string{own}
	}
	if commits, clean := commitsOf(ctx, s, p.WorkingDir); clean {
		about.Commit = commits[0]
	}
	programs = map[string]string{}
	for _, platform := range about.Platforms {
		images, err := imagesOn(ctx, p, services, platform, own, !o.NoBases)
		if err != nil {
			return about, nil, err
		}
		if platform == own && seeds {
			if err := images.addSeed(ctx, p, e, k.facts.Key()); err != nil {
				return about, nil, err
			}
		}
		all, err := images.described(ctx, e)
		if err != nil {
			return about, nil, err
		}
		ref, file, err := programOf(s, platform)
		if err == nil {
			programs[ref] = file
		} else if platform == own {
			ref, _, err = programFor(ctx, s, e)
		}
		if err != nil {
			return about, nil, err
		}
		about.Images = append(append(about.Images, all...), bundle.Image{Ref: ref, For: strakeItself, Platform: platform})
	}
	slices.SortStableFunc(about.Images, func(a, b bundle.Image) int { return strings.Compare(a.Ref, b.Ref) })
	if others := slices.DeleteFunc(slices.Clone(about.Platforms), func(p string) bool { return p == own }); len(others) > 0 && seeds {
		printWarnings(s, []string{fmt.Sprintf("a seed is of the platform that it is made on: there is none in it for %s, where strake seed build makes it", strings.Join(others, ", "))})
	}
	return about, programs, nil
}

// platformsOf are the platforms that somebody wrote, each once.
func platformsOf(texts []string) (all []string, err error) {
	for _, text := range texts {
		p, err := platforms.Parse(text)
		if err != nil {
			return nil, usagef("write it as linux/arm64", "--platform is %q", text)
		}
		if one := platforms.Format(platforms.Normalize(p)); !slices.Contains(all, one) {
			all = append(all, one)
		}
	}
	return all, nil
}

// neededImages are images that an engine of one platform needs, and what for.
type neededImages struct {
	platform string
	own      bool // it is the platform of the engine that has them
	whys     map[compose.ImageRef]string
}

func (n neededImages) add(ref compose.ImageRef, why string) {
	if n.whys[ref] == "" {
		n.whys[ref] = why
	}
}

// imagesOn are the images of a project, and those that its builds are made of, that an engine of a platform needs. On the platform of the engine
// here that is what it has, whatever that is for.
func imagesOn(ctx context.Context, p *compose.Project, services []string, platform, own string, bases bool) (neededImages, error) {
	n := neededImages{platform, platform == own, map[compose.ImageRef]string{}}
	if !n.own {
		p = p.Copy()
		for name, service := range p.Services {
			service.Platform = cmp.Or(service.Platform, platform)
			p.Services[name] = service
		}
	}
	for _, name := range p.ServiceNames() {
		one := p.Copy()
		one.Services = map[string]compose.Service{name: p.Services[name]}
		one.DisabledServices = map[string]compose.Service{}
		for _, ref := range compose.ScopeOf(one, nil).Images {
			n.add(ref, "service "+name)
		}
	}
	if !bases || len(services) == 0 {
		return n, nil
	}
	refs, err := compose.BuildRefs(ctx, p, services)
	for _, r := range refs {
		if !n.own && (r.Platform == "" || r.Platform == own) { // what runs while it is built runs there
			r.Platform = platform
		}
		n.add(r.ImageRef, fmt.Sprintf("%s of %s (%s:%d)", r.Kind, r.Service, r.File, r.Line))
	}
	return n, err
}

// addSeed adds the seed of a key.
func (n neededImages) addSeed(ctx context.Context, p *compose.Project, e *engine.Engine, key string) error {
	found, err := seed.Find(ctx, e, p, key)
	if err == nil && found == nil {
		err = &compose.HintedError{Err: fmt.Errorf("the seed %s of what the files say now is not here", key), Next: "strake seed build makes it; --no-seed leaves it out"}
	}
	if err != nil {
		return err
	}
	for service, sealed := range found.Sealed {
		n.add(compose.ImageRef{Ref: sealed.Ref}, "seed "+found.Key+" of "+service)
	}
	return nil
}

// described are images as a bundle lists them, by reference. Those that are not here are an error that names all of them.
func (n neededImages) described(ctx context.Context, e *engine.Engine) ([]bundle.Image, error) {
	byPlatform := map[string][]string{}
	for ref := range n.whys {
		byPlatform[ref.Platform] = append(byPlatform[ref.Platform], ref.Ref)
	}
	var all []bundle.Image
	var errs []error
	for platform, refs := range byPlatform {
		var scope compose.Scope
		for _, ref := range refs {
			scope.Images = append(scope.Images, compose.ImageRef{Ref: ref, Platform: platform})
		}
		state, err := e.Observe(ctx, scope)
		if err != nil {
			return nil, err
		}
		here, err := n.here(ctx, e, refs)
		if err != nil {
			return nil, err
		}
		for _, ref := range scope.Images {
			image, ok := state.Images[ref.Ref]
			if !ok {
				errs = append(errs, n.absent(ref))
				continue
			}
			if own, ok := here[ref.Ref]; ok && own.Labels[compose.LabelInputs] != image.Labels[compose.LabelInputs] {
				errs = append(errs, &compose.HintedError{Err: fmt.Errorf("image %s (%s) is for %s not that of the files as they are now", ref.Ref, n.whys[ref], ref.Platform),
					Next: "run strake build, and save again"})
				continue
			}
			one := bundle.Image{Ref: ref.Ref, For: n.whys[ref], Platform: image.Platform, Content: image.Content}
			if image.Platform != n.platform {
				one.On = n.platform
			}
			all = append(all, one)
		}
	}
	slices.SortFunc(all, func(a, b bundle.Image) int { return strings.Compare(a.Ref, b.Ref) })
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return all, errors.Join(errs...)
}

// here are the images of this engine's own platform, which are those of the files as they are now, where others are asked for.
func (n neededImages) here(ctx context.Context, e *engine.Engine, refs []string) (map[string]compose.Image, error) {
	if n.own {
		return nil, nil
	}
	var scope compose.Scope
	for _, ref := range refs {
		scope.Images = append(scope.Images, compose.ImageRef{Ref: ref})
	}
	state, err := e.Observe(ctx, scope)
	return state.Images, err
}

// absent is that an image is not here.
func (n neededImages) absent(ref compose.ImageRef) error {
	if n.own {
		return &compose.HintedError{Err: fmt.Errorf("image %s (%s) is not here", ref.Ref, n.whys[ref]), Next: "run strake pull --policy missing, and save again"}
	}
	return &compose.HintedError{Err: fmt.Errorf("image %s (%s) is not here for %s", ref.Ref, n.whys[ref], ref.Platform),
		Next: fmt.Sprintf("pull it with docker pull --platform %s, or build it with build.platforms, on an engine that keeps images in containerd: others have an image for one platform", ref.Platform)}
}

// isCurrent refuses images that are not those of the files as they are now, and returns what the engine has.
func isCurrent(ctx context.Context, s Streams, p *compose.Project, e *engine.Engine, services []string) (compose.State, error) {
	inputs, refs, err := buildState(ctx, s, p, services)
	if err != nil {
		return compose.State{}, err
	}
	state, err := e.Observe(ctx, compose.ScopeOf(p, refs))
	if err != nil {
		return state, err
	}
	plan, err := compose.Diff(p, state, compose.DiffOptions{ImagesOnly: true, Offline: true, Inputs: inputs, Refs: refs, Now: s.Now(), Version: buildVersion()})
	if err != nil {
		return state, err
	}
	var stale []string
	for _, step := range plan {
		if step.Op == compose.BuildImage {
			stale = append(stale, step.Service)
		}
	}
	if len(stale) > 0 {
		return state, &compose.HintedError{Err: fmt.Errorf("the images of %s are not those of the files as they are now", strings.Join(stale, ", ")), Next: "run strake build, and save again"}
	}
	return state, nil
}
