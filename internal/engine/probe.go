package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"

	"github.com/strake-dev/strake/compose"
)

// What the engine takes where a healthcheck says nothing. Source: moby, daemon/health.go.
const (
	probeTimeout = 30 * time.Second
	probeOutput  = 4 << 10 // bytes that are kept
)

// check is a container's effective healthcheck: its own, or else its image's.
type check struct {
	command []string // nil: it has none
	timeout time.Duration
}

// probe does Probe: three calls, and one more the first time for a container.
func (e *Engine) probe(ctx context.Context, target string) error {
	c, err := e.checks.of(ctx, target, func(ctx context.Context) (check, error) { return e.askCheck(ctx, target) })
	if err != nil {
		return notRunning(err)
	}
	if c.command == nil {
		return compose.ErrNoHealthcheck
	}
	limited, cancel := context.WithTimeoutCause(ctx, c.timeout, errProbeTimeout)
	defer cancel()
	out := &tail{limit: probeOutput}
	code, err := e.execOnce(limited, target, container.ExecOptions{Cmd: c.command, AttachStdout: true, AttachStderr: true}, out)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(context.Cause(limited), errProbeTimeout):
		return &compose.ProbeError{TimedOut: true, Output: out.String()}
	case err != nil:
		return notRunning(err)
	case code != 0:
		return &compose.ProbeError{ExitCode: code, Output: out.String()}
	}
	return nil
}

var errProbeTimeout = errors.New("the healthcheck ran longer than its timeout")

// askCheck reads a container's healthcheck as the engine runs it.
func (e *Engine) askCheck(ctx context.Context, target string) (check, error) {
	c, err := e.api.ContainerInspect(ctx, target)
	if err != nil {
		return check{}, err
	}
	h := c.Config.Healthcheck
	if h == nil || len(h.Test) == 0 || h.Test[0] == "NONE" {
		return check{}, nil
	}
	out := check{timeout: h.Timeout}
	if out.timeout <= 0 {
		out.timeout = probeTimeout
	}
	switch h.Test[0] {
	case "CMD":
		out.command = h.Test[1:]
	case "CMD-SHELL":
		shell := c.Config.Shell
		if len(shell) == 0 {
			shell = []string{"/bin/sh", "-c"}
		}
		out.command = append(append([]string{}, shell...), h.Test[1:]...)
	default:
		return check{}, fmt.Errorf("healthcheck of container %s is of unknown kind %q", target, h.Test[0])
	}
	return out, nil
}

// execOnce runs a command in a container, copies what it prints and returns its exit code.
// Source: Docker Engine API 1.41, POST /containers/{id}/exec, POST /exec/{id}/start, GET /exec/{id}/json.
func (e *Engine) execOnce(ctx context.Context, target string, o container.ExecOptions, out *tail) (int, error) {
	created, err := e.api.ContainerExecCreate(ctx, target, o)
	if err != nil {
		return 0, err
	}
	conn, err := e.api.ContainerExecAttach(ctx, created.ID, container.ExecStartOptions{})
	if err != nil {
		if has(err.Error(), "exec failed", "executable file not found", "no such file or directory") {
			fmt.Fprint(out, err)
			return 127, nil
		}
		return 0, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, conn.Close)
	defer stop()
	if _, err := stdcopy.StdCopy(out, out, conn.Reader); err != nil {
		return 0, fmt.Errorf("read what the command prints: %w", err)
	}
	done, err := e.api.ContainerExecInspect(ctx, created.ID)
	if err != nil {
		return 0, err
	}
	if done.Running {
		return 0, errors.New("the connection to the command was lost")
	}
	return done.ExitCode, nil
}

// notRunning is compose.ErrNotRunning where the engine's error says that the container does not run, or is not there.
func notRunning(err error) error {
	if errdefs.IsNotFound(err) || errdefs.IsConflict(err) || has(err.Error(), "is not running", "is paused", "is restarting") {
		return compose.ErrNotRunning
	}
	return err
}

// tail keeps the last bytes that were written to it.
type tail struct {
	b     bytes.Buffer
	limit int
}

func (t *tail) Write(p []byte) (int, error) {
	t.b.Write(p)
	if over := t.b.Len() - t.limit; over > 0 {
		t.b.Next(over)
	}
	return len(p), nil
}

func (t *tail) String() string { return t.b.String() }
