package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/distribution/reference"
	"github.com/docker/go-units"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/offline"
	"github.com/strake-dev/strake/previews"
)

// supply brings to the engine of a machine the images that a preview needs, that engine has not, and no registry has: what this machine's engine
// has of them, and only the layers that are missing there. What a registry has the machine's engine pulls, with the credentials of who opens the
// preview in the call.
func (v *previewSources) supply(ctx context.Context, p *compose.Project) error {
	if v.here == nil {
		return nil
	}
	refs, err := compose.BuildRefs(ctx, p, nil)
	if err != nil {
		return err
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
	there, err := v.engine.Observe(ctx, scope)
	if err != nil {
		return err
	}
	here, err := v.here.Observe(ctx, scope)
	if err != nil {
		return err
	}
	var bring []string
	for _, one := range scope.Images {
		image, ok := here.Images[one.Ref]
		if _, has := there.Images[one.Ref]; !ok || has || image.Platform != there.Engine.OS+"/"+there.Engine.Arch || v.pulled(ctx, one.Ref, image) {
			continue
		}
		may, err := v.mayBring(ctx, one.Ref)
		if err != nil {
			return err
		}
		if !may {
			v.warn(fmt.Sprintf("image %s is on this machine and not brought to the preview's: the default branch does not name it", one.Ref))
			continue
		}
		bring = append(bring, one.Ref)
	}
	slices.Sort(bring)
	if bring = slices.Compact(bring); len(bring) == 0 {
		return nil
	}
	said := v.streams.Now()
	sent, err := v.here.StreamTo(ctx, v.engine, bring, func(done int64) {
		if now := v.streams.Now(); now.Sub(said) > progressEvery {
			said = now
			v.say(fmt.Sprintf("bringing %s: %s", plural(len(bring), "image"), units.HumanSize(float64(done))))
		}
	})
	if err != nil {
		return fmt.Errorf("bring images that no registry has: %w", err)
	}
	v.say(fmt.Sprintf("brought %s that no registry has: %s", plural(len(bring), "image"), units.HumanSize(float64(sent))))
	return nil
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
	scratch, err := os.MkdirTemp("", "strake-default-")
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
