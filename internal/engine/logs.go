package engine

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	timetypes "github.com/docker/docker/api/types/time"
	"github.com/docker/docker/pkg/stdcopy"
)

// LogOptions select log lines.
type LogOptions struct {
	Follow, Timestamps bool
	Tail               string // a number or "all"; "" is all
	Since, Until       string // RFC 3339 or a Go duration before now; "" is no bound
	TTY                bool   // the container has a terminal; see IsTTY
}

// IsLogTime is whether LogOptions take a text for a time.
func IsLogTime(text string, now time.Time) bool {
	at, err := timetypes.GetTimestamp(text, now)
	if err == nil {
		_, _, err = timetypes.ParseTimestamps(at, 0)
	}
	return err == nil
}

// IsTTY is whether a container has a terminal, so that its log is one stream.
func (e *Engine) IsTTY(ctx context.Context, id string) (bool, error) {
	c, err := e.api.ContainerInspect(ctx, id)
	if err != nil {
		return false, e.explainCall(ctx, err)
	}
	return c.Config.Tty, nil
}

// Logs copies the container's log. With Follow it returns when the container stops or is removed, or ctx ends; then its error is
// the cause. It asks whether the container has a terminal unless the options say so.
// Source: Docker Engine API 1.41, GET /containers/{id}/logs.
func (e *Engine) Logs(ctx context.Context, id string, o LogOptions, out, errs io.Writer) error {
	tty := o.TTY
	if !tty {
		var err error
		if tty, err = e.IsTTY(ctx, id); err != nil {
			return err
		}
	}
	r, err := e.api.ContainerLogs(ctx, id, container.LogsOptions{ShowStdout: true, ShowStderr: true, Follow: o.Follow,
		Timestamps: o.Timestamps, Tail: o.Tail, Since: o.Since, Until: o.Until})
	if err != nil {
		return e.explainCall(ctx, err)
	}
	defer r.Close() // it was only read
	if tty {
		_, err = io.Copy(orDiscard(out), r)
	} else {
		_, err = stdcopy.StdCopy(orDiscard(out), orDiscard(errs), r)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("read log of container %s: %w", id, err)
	}
	return nil
}

// CopyTo unpacks a tar archive into folder dir of the container, which must be there; it may be stopped. Owners in the archive are kept.
// Source: Docker Engine API 1.41, PUT /containers/{id}/archive.
func (e *Engine) CopyTo(ctx context.Context, id, dir string, archive io.Reader) error {
	err := e.api.CopyToContainer(ctx, id, dir, archive, container.CopyToContainerOptions{AllowOverwriteDirWithFile: true})
	if err != nil {
		return fmt.Errorf("copy into %s of container %s: %w", dir, id, e.explainCall(ctx, err))
	}
	return nil
}

// CopyFrom packs a path of the container, a file or a folder, as a tar archive. The caller closes it. Of a path that is not there
// the error is an fs.ErrNotExist, and of a container that is gone or being removed.
// Source: Docker Engine API 1.41, GET /containers/{id}/archive.
func (e *Engine) CopyFrom(ctx context.Context, id, path string) (io.ReadCloser, error) {
	r, _, err := e.api.CopyFromContainer(ctx, id, path)
	if err != nil && (errdefs.IsNotFound(err) || e.leaves(ctx, id)) {
		return nil, fmt.Errorf("copy %s of container %s: %w", path, id, fs.ErrNotExist)
	}
	if err != nil {
		return nil, fmt.Errorf("copy %s of container %s: %w", path, id, e.explainCall(ctx, err))
	}
	return r, nil
}

// leaves is whether a container is gone, or being removed, when the engine says of its files what it comes upon.
func (e *Engine) leaves(ctx context.Context, id string) bool {
	c, err := e.api.ContainerInspect(ctx, id)
	if err != nil {
		return errdefs.IsNotFound(err)
	}
	return c.State.Dead || c.State.Status == container.StateRemoving || c.State.Status == container.StateDead
}
