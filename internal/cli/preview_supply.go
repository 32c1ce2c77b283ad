package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/distribution/reference"
	"github.com/docker/go-units"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/offline"
	"github.com/strake-dev/strake/internal/seed"
	"github.com/strake-dev/strake/previews"
)

// Supply has what was published of the commit be there, and brings to the engine of a machine the images that a preview needs, that engine has not, and no
// registry has: what this machine's engine has of them, and only the layers that are missing there. What a registry has the machine's engine pulls,
// with the credentials of who opens the preview in the call.
func (v *previewSources) Supply(ctx context.Context, commit string, p *compose.Project) (brought string, err error) {
	published, err := v.published(ctx, commit, p)
	if err != nil {
		return "", err
	}
	brought, err = v.bringMissing(ctx, p)
	if published != "" && brought != "" {
		published += ", "
	}
	return published + brought, err
}

// bringMissing brings what only this machine has to the engine of a machine.
func (v *previewSources) bringMissing(ctx context.Context, p *compose.Project) (brought string, err error) {
	if v.here == nil {
		return "", nil
	}
	refs, err := compose.BuildRefs(ctx, p, nil)
	if err != nil {
		return "", err
	}
	var scope compose.Scope
	for _, r := range refs {
		scope.Images = append(scope.Images, r.ImageRef)
	}
	for _, name := range p.ServiceNames() {
		if service := p.Services[name]; service.Build == nil && service.Image != "" { // what is built is built there
			scope.Images = append(scope.Images, compose.ImageRef{Ref: service.Image, Platform: service.Platform})
		}
	}
	bring, err := v.missing(ctx, scope, func(ref string, image compose.Image) (bool, error) {
		if v.pulled(ctx, ref, image) {
			return false, nil
		}
		may, err := v.mayBring(ctx, ref)
		if err == nil && !may {
			v.warn(fmt.Sprintf("image %s is on this machine and not brought to the preview's: the default branch does not name it", ref))
		}
		return may, err
	})
	if len(bring) == 0 || err != nil {
		return "", err
	}
	what := plural(len(bring), "image")
	sent, err := v.bring(ctx, what, bring)
	if err != nil {
		return "", fmt.Errorf("bring images that no registry has: %w", err)
	}
	return fmt.Sprintf("%s that no registry has: %s", what, units.HumanSize(float64(sent))), nil
}

// missing are the images of a scope that this machine has, that run on the previews' engine, and that are not there. Those that may does not want
// are left out; nil wants all.
func (v *previewSources) missing(ctx context.Context, scope compose.Scope, may func(ref string, image compose.Image) (bool, error)) ([]string, error) {
	there, err := v.engine.Observe(ctx, scope)
	if err != nil {
		return nil, err
	}
	here, err := v.here.Observe(ctx, scope)
	if err != nil {
		return nil, err
	}
	var bring []string
	for _, one := range scope.Images {
		image, ok := here.Images[one.Ref]
		if _, has := there.Images[one.Ref]; !ok || has {
			continue
		}
		if on := there.Engine.OS + "/" + there.Engine.Arch; image.Platform != on {
			v.say(fmt.Sprintf("image %s is on this machine for %s alone, and not brought to the preview's, which is %s", one.Ref, image.Platform, on))
			continue
		}
		if may != nil {
			if ok, err := may(one.Ref, image); err != nil || !ok {
				if err != nil {
					return nil, err
				}
				continue
			}
		}
		bring = append(bring, one.Ref)
	}
	slices.Sort(bring)
	return slices.Compact(bring), nil
}

// bring sends images to the engine of the machine, says so as it goes on, and returns how many bytes it sent.
func (v *previewSources) bring(ctx context.Context, what string, refs []string) (sent int64, err error) {
	said := v.streams.Now()
	sent, err = v.here.StreamTo(ctx, v.engine, refs, func(done int64) {
		if now := v.streams.Now(); now.Sub(said) > progressEvery {
			said = now
			v.say(fmt.Sprintf("bringing %s: %s", what, units.HumanSize(float64(done))))
		}
	})
	if err == nil {
		v.say(fmt.Sprintf("brought %s: %s", what, units.HumanSize(float64(sent))))
	}
	return sent, err
}

// bringSeed brings the seed of a key that this machine has to the previews' engine, and says how; nil where there is none that runs there. What has the
// key is made of nothing but what it says: it is what would be built there.
func (v *previewSources) bringSeed(ctx context.Context, p *compose.Project, key string) (*seed.Seed, string, error) {
	if v.here == nil {
		return nil, "", nil
	}
	mine, err := seed.Find(ctx, v.here, p, key)
	if err != nil || mine == nil {
		return nil, "", err
	}
	var scope compose.Scope
	for _, name := range seed.Services(p) {
		scope.Images = append(scope.Images, compose.ImageRef{Ref: mine.Sealed[name].Ref})
	}
	bring, err := v.missing(ctx, scope, nil)
	if len(bring) == 0 || err != nil {
		return nil, "", err
	}
	sent, err := v.bring(ctx, "seed "+key, bring)
	if err != nil {
		return nil, "", fmt.Errorf("bring the seed that this machine has: %w", err)
	}
	there, err := seed.Find(ctx, v.engine, p, key)
	return there, "brought from this machine: " + units.HumanSize(float64(sent)), err
}

// pulled pulls an image there by the digest that it has here, and says whether its registry had it.
func (v *previewSources) pulled(ctx context.Context, ref string, image compose.Image) bool {
	digest := offline.DigestOf(ref, image)
	named, err := reference.ParseNormalizedNamed(ref)
	if digest == "" || err != nil {
		return false
	}
	exactly := reference.TrimNamed(named).Name() + "@" + digest
	if err := v.engine.Fetch(ctx, exactly, func(compose.Event) {}); err != nil {
		return false // it is brought from here
	}
	return v.engine.Tag(ctx, exactly, ref) == nil
}

// mayBring is whether an image of this machine may be brought to another: the project of the default branch names it too. A pull request that
// names one of another project would read what is in it.
func (v *previewSources) mayBring(ctx context.Context, ref string) (bool, error) {
	if v.named == nil {
		named, err := v.namedByDefault(ctx)
		if err != nil {
			return false, fmt.Errorf("read which images the default branch names: %w", err)
		}
		v.named = named
	}
	return v.named[ref], nil
}

// namedByDefault are the images that the project of the default branch names, those that its builds are made of too.
func (v *previewSources) namedByDefault(ctx context.Context) (named map[string]bool, err error) {
	at, err := v.source.DefaultBranch(ctx)
	if err != nil {
		return nil, err
	}
	scratch, err := previews.Scratch("strake-default-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, previews.Remove(scratch)) }()
	root := filepath.Join(scratch, filepath.Base(v.dir)) // which is there not yet
	if _, err := v.source.Extract(ctx, at.ID, root, nil); err != nil {
		return nil, err
	}
	prefix, err := v.source.Prefix(ctx)
	if err != nil {
		return nil, err
	}
	p, err := compose.Load(ctx, previews.LoadOptions(root, filepath.Join(root, filepath.FromSlash(prefix)), v.policy.Project, v.policy.Settings.Previews, v.streams.Environ))
	if err != nil {
		return nil, err
	}
	refs, err := compose.BuildRefs(ctx, p, nil)
	if err != nil {
		return nil, err
	}
	named = map[string]bool{}
	for _, r := range refs {
		named[r.Ref] = true
	}
	for _, name := range p.ServiceNames() {
		named[p.Services[name].Image] = true
	}
	return named, nil
}
