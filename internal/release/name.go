package release

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Name gives the images of a release a tag, such as v1.2.0. Nothing is moved: where an image of another release has it already it is a *PolicyError, before
// anything was tagged. It returns the services that did not have it; dryRun is that it only looks. Cut off and called again it goes on.
func (r *Registry) Name(ctx context.Context, e Entry, tag string, dryRun bool) (named []string, err error) {
	services := slices.Sorted(maps.Keys(e.Images))
	lacks := make([]bool, len(services))
	if err := each(ctx, services, func(ctx context.Context, i int, service string) error {
		digest, err := r.Resolve(ctx, service, tag)
		switch {
		case errors.Is(err, ErrAbsent):
			lacks[i] = true
			if _, err := r.Resolve(ctx, service, e.Images[service]); err != nil {
				return Move{Environment: e.Environment, Commit: e.Commit}.missing(service, err)
			}
			return nil
		case err != nil:
			return err
		case digest != e.Images[service]:
			return refuse("choose another name: what was named stays", "the tag %s of %s is on another image, %s", tag, service, digest)
		}
		return nil
	}); err != nil {
		return nil, err
	}
	for i, service := range services {
		if lacks[i] {
			named = append(named, service)
		}
	}
	if dryRun {
		return named, nil
	}
	return named, each(ctx, named, func(ctx context.Context, _ int, service string) error {
		err := r.Tag(ctx, service, e.Images[service], tag)
		if errors.Is(err, ErrAbsent) {
			err = fmt.Errorf("the image of %s at %s is not in the registry any more: %w", service, Short(e.Commit), err)
		}
		return err
	})
}
