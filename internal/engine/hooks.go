package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"

	"github.com/strake-dev/strake/compose"
)

// runHook does RunHook. A container of this name is what an earlier, killed run left: it goes first.
func (e *Engine) runHook(ctx context.Context, s compose.Step, note func(compose.Event)) (err error) {
	_, c, err := e.prepare(ctx, s)
	if err != nil {
		return err
	}
	id, err := e.make(ctx, s.Name, c, note)
	if errdefs.IsConflict(err) {
		if err := e.removeOurs(ctx, s.Name, s.Container.Labels); err != nil {
			return err
		}
		id, err = e.make(ctx, s.Name, c, note)
	}
	if err != nil {
		return err
	}
	defer func() {
		undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		defer cancel()
		err = errors.Join(err, e.remove(undo, id, true))
	}()
	out := &lines{say: func(l string) { note(compose.Event{Kind: compose.StepOutput, Text: l}) }}
	wait, err := e.Attach(ctx, id, c.config.Tty, Streams{Out: out, Err: out})
	if err != nil {
		return err
	}
	if err := e.api.ContainerStart(ctx, id, container.StartOptions{}); err != nil {
		return err
	}
	code, err := wait()
	out.flush()
	if err != nil {
		return err
	}
	if code != 0 {
		return fmt.Errorf("pre_start hook of service %s exited with code %d", s.Service, code)
	}
	return nil
}

// removeOurs removes the container of that name if it is the same service's of the same project.
func (e *Engine) removeOurs(ctx context.Context, name string, labels map[string]string) error {
	old, err := e.api.ContainerInspect(ctx, name)
	if err != nil {
		return absentIsFine(err)
	}
	for _, l := range []string{compose.LabelProject, compose.LabelService} {
		if old.Config.Labels[l] != labels[l] {
			return nameTaken(name, old.Config.Labels)
		}
	}
	return e.remove(ctx, old.ID, true)
}

// execHook does ExecHook. What the command prints is told line by line.
func (e *Engine) execHook(ctx context.Context, s compose.Step, note func(compose.Event)) error {
	h := s.Hook
	out := &lines{say: func(l string) { note(compose.Event{Kind: compose.StepOutput, Text: l}) }}
	code, err := e.Exec(ctx, s.Target, ExecOptions{Command: h.Command, User: h.User, WorkingDir: h.WorkingDir, Privileged: h.Privileged,
		Env: environment(nil, h.Environment)}, Streams{Out: out, Err: out})
	out.flush()
	if err != nil {
		return notRunning(err)
	}
	if code != 0 {
		what := h.Command[0] // the rest may hold what nobody else shall read
		if len(h.Command) > 1 {
			what += " …"
		}
		return fmt.Errorf("hook `%s` exited with code %d", what, code)
	}
	return nil
}

// lines cuts what is written to it into lines.
type lines struct {
	say  func(string)
	rest bytes.Buffer
}

var _ io.Writer = (*lines)(nil)

func (l *lines) Write(p []byte) (int, error) {
	l.rest.Write(p)
	for {
		line, after, ok := bytes.Cut(l.rest.Bytes(), []byte("\n"))
		if !ok {
			return len(p), nil
		}
		l.say(strings.TrimSuffix(string(line), "\r"))
		l.rest.Next(l.rest.Len() - len(after))
	}
}

// flush says what stands after the last line break.
func (l *lines) flush() {
	if l.rest.Len() > 0 {
		l.say(l.rest.String())
		l.rest.Reset()
	}
}
