package cli

import (
	"context"
	"fmt"
	"slices"

	"github.com/distribution/reference"
	"github.com/docker/go-units"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/offline"
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
	scope := compose.Scope{Images: compose.ScopeOf(p, refs).Images}
	for _, r := range refs {
		scope.Images = append(scope.Images, r.ImageRef)
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
		if _, has := there.Images[one.Ref]; !ok || has || v.pulled(ctx, one.Ref, image) {
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
