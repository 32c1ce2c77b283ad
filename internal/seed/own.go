package seed

import (
	"context"
	"errors"
	"slices"

	"github.com/strake-dev/strake/compose"
)

// Drop removes the images of seeds that were made for one preview alone, but for those of a key. gone are the references that are removed,
// left those that something runs on; h is who holds the claim of that preview.
func Drop(ctx context.Context, e Engine, h compose.Host, stack, but string) (gone, left []string, err error) {
	images, err := e.Images(ctx, LabelFor)
	if err != nil {
		return nil, nil, err
	}
	for _, i := range images {
		ref := Ref(i.Labels[LabelProject], i.Labels[LabelService], i.Labels[LabelKey])
		if i.Labels[LabelFor] != stack || i.Labels[LabelKey] == but || !slices.Contains(i.Tags, ref) {
			continue
		}
		err := h.Do(ctx, compose.Step{Op: compose.RemoveImage, Name: ref, Target: ref}, nil)
		switch {
		case errors.Is(err, compose.ErrInUse):
			left = append(left, ref)
		case err != nil:
			return gone, left, err
		default:
			gone = append(gone, ref)
		}
	}
	slices.Sort(gone)
	if len(gone) > 0 {
		err = e.Forget(ctx)
	}
	return gone, left, err
}
