package cli

import (
	"context"
	"io"

	"github.com/strake-dev/strake/internal/engine"
	"github.com/strake-dev/strake/internal/seed"
)

// seedEngine is an engine as seeds need it.
type seedEngine struct{ *engine.Engine }

var _ seed.Engine = seedEngine{}

// Exec runs a command in a running container.
func (e seedEngine) Exec(ctx context.Context, container string, command []string, in io.Reader, out io.Writer) (int, error) {
	return e.Engine.Exec(ctx, container, engine.ExecOptions{Command: command}, engine.Streams{In: in, Out: out, Err: out})
}

// Log is the last lines that a container printed; "" where there are none to be had.
func (e seedEngine) Log(ctx context.Context, container string) string {
	return lastLines(ctx, e.Engine, container)
}

// Images are the images that carry a label.
func (e seedEngine) Images(ctx context.Context, label string) ([]seed.Image, error) {
	list, err := e.ImagesWith(ctx, label)
	var all []seed.Image
	for _, i := range list {
		all = append(all, seed.Image(i))
	}
	return all, err
}
