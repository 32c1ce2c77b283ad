package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/release"
)

// publishedPatience is how long a registry may take to say what it has of a commit: without it the preview builds.
const publishedPatience = 10 * time.Second

// published has the images that strake build --push published of a preview's commit be those that it runs, so that what is seen in the preview is what is
// promoted later. What was published from other inputs, and what the registry does not give, is built.
func (v *previewSources) published(ctx context.Context, commit string, p *compose.Project) (brought string, err error) {
	if v.policy == nil || v.policy.Settings.Registry == "" || v.options.Offline {
		return "", nil
	}
	registry, err := release.OpenRegistry(v.policy.Settings.Registry, release.RegistryOptions{Endpoint: awsEndpoint(v.streams)})
	if err != nil {
		return "", err
	}
	asked, cancel := context.WithTimeoutCause(ctx, publishedPatience, fmt.Errorf("%s took more than %s", registry.Path, publishedPatience))
	defer cancel()
	b, err := registry.Build(asked, commit)
	if errors.Is(err, release.ErrAbsent) {
		return "", nil
	}
	if err != nil {
		v.warn(fmt.Sprintf("images that were published of the commit are not had, so that they are built: %v", err))
		return "", ctx.Err()
	}
	inputs, err := compose.Inputs(ctx, p, slices.Collect(maps.Keys(b.Images)), compose.InputOptions{CacheDir: cacheDir(v.streams)})
	if err != nil {
		return "", err
	}
	facts, err := v.engine.Facts(ctx)
	if err != nil {
		return "", err
	}
	logIn(v.engine, registry)
	had := 0
	for _, service := range slices.Sorted(maps.Keys(inputs)) {
		from, platform, _ := strings.Cut(b.Inputs[service], " ")
		if from != inputs[service] || platform != "" && platform != facts.OS+"/"+facts.Arch {
			continue
		}
		if err := v.fetch(ctx, registry.Path+"/"+service+"@"+b.Images[service], compose.ImageName(p, p.Services[service])); err != nil {
			if ctx.Err() != nil {
				return "", context.Cause(ctx)
			}
			v.warn(fmt.Sprintf("the published image of %s is not had, so that it is built: %v", service, err))
			continue
		}
		had++
	}
	if had == 0 {
		return "", nil
	}
	return plural(had, "image") + " that was published of the commit", nil
}

// fetch pulls an image by its digest and gives it the one name by which the preview removes it again.
func (v *previewSources) fetch(ctx context.Context, exactly, name string) error {
	if err := v.engine.Fetch(ctx, exactly, func(compose.Event) {}); err != nil {
		return err
	}
	err := v.engine.Tag(ctx, exactly, name)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	return errors.Join(err, v.engine.Do(ctx, compose.Step{Op: compose.RemoveImage, Name: exactly, Target: exactly}, nil))
}
