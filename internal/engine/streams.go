package engine

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"
	"github.com/moby/term"
)

// Streams are what a command inside a container reads and writes. A nil In is no input; a nil Out or Err is dropped.
// Err is not used with a terminal.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
	// Size, when not nil, is the terminal's size now (columns, rows), sent again at each value of Resized.
	Size    func() (cols, rows uint)
	Resized <-chan struct{}
}

// ExecOptions say what runs in a container.
type ExecOptions struct {
	Command          []string
	User, WorkingDir string
	Env              []string
	TTY, Privileged  bool
	Detach           bool   // start it and return; the code is 0
	DetachKeys       string // such as "ctrl-p,ctrl-q", the default
	Service          string // where it is not "", a command that the engine cannot run is a *RefusedError that says so of the service
}

// ErrDetached is returned by Exec and Attach's wait when the person pressed the detach keys: the command runs on.
var ErrDetached = errors.New("detached")

// Exec runs a command in a running container and returns its exit code. When ctx ends, the connection is closed and the
// command runs on. Of a command that cannot be run the engine writes why, as if the command had; see ExecOptions.Service.
// Source: Docker Engine API 1.41, POST /containers/{id}/exec.
func (e *Engine) Exec(ctx context.Context, id string, o ExecOptions, s Streams) (int, error) {
	options := container.ExecOptions{Cmd: o.Command, User: o.User, WorkingDir: o.WorkingDir, Env: o.Env, Tty: o.TTY, Privileged: o.Privileged,
		DetachKeys: o.DetachKeys, Detach: o.Detach, AttachStdin: s.In != nil && !o.Detach, AttachStdout: !o.Detach, AttachStderr: !o.Detach}
	if o.TTY && s.Size != nil {
		if cols, rows := s.Size(); cols > 0 && rows > 0 {
			options.ConsoleSize = &[2]uint{rows, cols}
		}
	}
	created, err := e.api.ContainerExecCreate(ctx, id, options)
	if err != nil {
		return 0, e.explainExec(ctx, o.Service, err)
	}
	start := container.ExecStartOptions{Detach: o.Detach, Tty: o.TTY, ConsoleSize: options.ConsoleSize}
	if o.Detach {
		return 0, e.explainExec(ctx, o.Service, e.api.ContainerExecStart(ctx, created.ID, start))
	}
	conn, err := e.api.ContainerExecAttach(ctx, created.ID, start)
	if err != nil {
		return 0, e.explainExec(ctx, o.Service, err)
	}
	resize := func(ctx context.Context, r container.ResizeOptions) error {
		return e.api.ContainerExecResize(ctx, created.ID, r)
	}
	out := &refusal{to: orDiscard(s.Out), kept: &bytes.Buffer{}}
	if o.Service != "" {
		s.Out = out
	}
	if err := e.pump(ctx, conn, terminal{o.TTY, o.DetachKeys, resize}, s); err != nil {
		return 0, err
	}
	done, err := e.api.ContainerExecInspect(ctx, created.ID)
	if err != nil {
		return 0, e.explainCall(ctx, err)
	}
	if done.Running {
		return 0, ErrDetached
	}
	return done.ExitCode, out.refused(o.Service, done.ExitCode)
}

// Attach connects to a created container before it is started; wait blocks until it exits and returns its code. wait must be
// called, or ctx be ended.
func (e *Engine) Attach(ctx context.Context, id string, tty bool, s Streams) (wait func() (int, error), err error) {
	conn, err := e.api.ContainerAttach(ctx, id, container.AttachOptions{Stream: true, Stdin: s.In != nil, Stdout: true, Stderr: true})
	if err != nil {
		return nil, e.explainCall(ctx, err)
	}
	exited, errs := e.api.ContainerWait(ctx, id, container.WaitConditionNextExit)
	ended := make(chan error, 1)
	go func() { // ends with the connection, which pump closes when ctx ends
		resize := func(ctx context.Context, r container.ResizeOptions) error { return e.api.ContainerResize(ctx, id, r) }
		ended <- e.pump(ctx, conn, terminal{tty: tty, resize: resize}, s)
	}()
	return func() (int, error) {
		if err := <-ended; err != nil {
			return 0, err
		}
		select {
		case r := <-exited:
			if r.Error != nil {
				return 0, errors.New(r.Error.Message)
			}
			return int(r.StatusCode), nil
		case err := <-errs:
			return 0, e.explainCall(ctx, err)
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}, nil
}

// terminal is what a hijacked connection has for one, if it has one.
type terminal struct {
	tty    bool
	keys   string // that detach; "" is the user's own, or ctrl-p,ctrl-q
	resize func(context.Context, container.ResizeOptions) error
}

// pump carries the streams of a hijacked connection until the other side closes it, the person detaches, or ctx ends. What is
// still being read from In then is not waited for: a terminal's read cannot be interrupted.
func (e *Engine) pump(ctx context.Context, conn types.HijackedResponse, t terminal, s Streams) error {
	inner, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(inner, conn.Close)
	defer stop()
	defer conn.Close()
	if s.In != nil {
		in, err := e.escapable(s.In, t)
		if err != nil {
			return err
		}
		go func() {
			_, err := io.Copy(conn.Conn, in)
			var escape term.EscapeError
			if errors.As(err, &escape) {
				cancel(ErrDetached)
			} else if err == nil {
				_ = conn.CloseWrite() // the other side may be gone already
			}
		}()
	}
	sized := make(chan struct{})
	go func() {
		defer close(sized)
		if t.tty && s.Size != nil {
			follow(inner, s, t.resize)
		}
	}()
	out, errs := orDiscard(s.Out), orDiscard(s.Err)
	var err error
	if t.tty {
		_, err = io.Copy(out, conn.Reader)
	} else {
		_, err = stdcopy.StdCopy(out, errs, conn.Reader)
	}
	why := context.Cause(inner)
	cancel(nil)
	<-sized
	if why != nil {
		return why
	}
	if err != nil {
		return fmt.Errorf("read what the command prints: %w", err)
	}
	return nil
}

// escapable is the input with an eye on the detach keys, for terminals.
func (e *Engine) escapable(in io.Reader, t terminal) (io.Reader, error) {
	if !t.tty {
		return in, nil
	}
	keys, err := term.ToBytes(cmp.Or(t.keys, e.config.DetachKeys, "ctrl-p,ctrl-q"))
	if err != nil {
		return nil, fmt.Errorf("read detach keys: %w", err)
	}
	return term.NewEscapeProxy(in, keys), nil
}

// follow tells the terminal's size now and at each change. A refusal is no failure: the command may have ended.
func follow(ctx context.Context, s Streams, resize func(context.Context, container.ResizeOptions) error) {
	for {
		if cols, rows := s.Size(); cols > 0 && rows > 0 {
			_ = resize(ctx, container.ResizeOptions{Width: cols, Height: rows}) // see above
		}
		select {
		case <-ctx.Done():
			return
		case _, ok := <-s.Resized:
			if !ok {
				return
			}
		}
	}
}

func orDiscard(w io.Writer) io.Writer {
	if w == nil {
		return io.Discard
	}
	return w
}
