package cli

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/engine"
)

// watcher carries changed files into containers.
type watcher struct {
	streams Streams
	engine  *engine.Engine
	project *compose.Project
	rules   []compose.WatchRule
	options watchOptions
	events  io.Writer // of --json; nil: nobody reads them
}

// tell prints an event where --json asks for it.
func (w *watcher) tell(e watchEvent) {
	if w.events == nil {
		return
	}
	e.Time = w.streams.Now().UTC()
	if line, err := jsonLine(e); err == nil { // it always is: an event is text and numbers
		fmt.Fprintln(w.events, line)
	}
}

// work is what has to be done for one service.
type work struct {
	rebuild, restart bool
	files            map[string]string // path here → path in the container
	hooks            []compose.ServiceHook
}

// first carries over what initial_sync asks for.
func (w *watcher) first(ctx context.Context) error {
	todo := map[string]*work{}
	for _, r := range w.rules {
		if !r.InitialSync || r.Target == "" {
			continue
		}
		err := filepath.WalkDir(r.Path, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if d.IsDir() {
				if r.Skips(path) {
					return fs.SkipDir
				}
				return nil
			}
			if target, ok := r.Match(path); ok {
				workOf(todo, r.Service).files[path] = target
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("read %s: %w", r.Path, err)
		}
	}
	return w.do(ctx, todo)
}

// event is what was done for a service, or not, as --json tells it.
func (x *work) event(service string) watchEvent {
	e := watchEvent{Event: "carried", Services: []string{service}, Actions: []string{"rebuild"}}
	if x.rebuild {
		return e
	}
	e.Actions, e.Files = nil, slices.Sorted(maps.Keys(x.files))
	for _, a := range []struct {
		name string
		done bool
	}{{"sync", len(x.files) > 0}, {"exec", len(x.hooks) > 0}, {"restart", x.restart}} {
		if a.done {
			e.Actions = append(e.Actions, a.name)
		}
	}
	return e
}

func workOf(todo map[string]*work, service string) *work {
	if todo[service] == nil {
		todo[service] = &work{files: map[string]string{}}
	}
	return todo[service]
}

// carry does what the rules say of the changed paths. An error is told and does not end the watching.
func (w *watcher) carry(ctx context.Context, paths map[string]bool) {
	todo := map[string]*work{}
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		for _, r := range w.rules {
			target, ok := r.Match(path)
			if !ok {
				continue
			}
			x := workOf(todo, r.Service)
			switch r.Action {
			case compose.WatchRebuild:
				x.rebuild = true
			case compose.WatchRestart:
				x.restart = true
			default:
				x.files[path] = target
				x.restart = x.restart || r.Action == compose.WatchSyncRestart
				if r.Action == compose.WatchSyncExec && !slices.ContainsFunc(x.hooks, func(h compose.ServiceHook) bool { return slices.Equal(h.Command, r.Exec.Command) }) {
					x.hooks = append(x.hooks, r.Exec)
				}
			}
		}
	}
	if err := w.do(ctx, todo); err != nil && ctx.Err() == nil {
		printError(w.streams.Err, err)
	}
}

// do does the work of each service, one after the other by name; one that fails does not keep the others from theirs.
func (w *watcher) do(ctx context.Context, todo map[string]*work) error {
	var errs []error
	for _, service := range slices.Sorted(maps.Keys(todo)) {
		began := w.streams.Now()
		what, err := w.doService(ctx, service, todo[service])
		e := todo[service].event(service)
		e.Seconds = w.streams.Now().Sub(began).Seconds()
		if err != nil {
			e.Event, e.Error, e.Hint = "failed", err.Error(), hintOf(err)
			errs = append(errs, err)
		}
		w.tell(e)
		if err != nil {
			continue
		}
		fmt.Fprintf(w.streams.Err, "%s: %s (%s)\n", service, what, span(w.streams.Now().Sub(began)))
	}
	return errors.Join(errs...)
}

func (w *watcher) doService(ctx context.Context, service string, x *work) (string, error) {
	if x.rebuild {
		return "rebuilt", w.rebuild(ctx, service)
	}
	all, err := observeStack(ctx, w.engine, w.project.Name)
	if err != nil {
		return "", err
	}
	containers, err := pick(w.project, w.project.Name, all, []string{service})
	if err != nil {
		return "", err
	}
	containers = slices.DeleteFunc(containers, func(c compose.Container) bool { return c.Status != compose.Running })
	var said []string
	for _, c := range containers {
		if err := w.sync(ctx, c, x.files); err != nil {
			return "", err
		}
		for _, hook := range x.hooks {
			step := compose.Step{Op: compose.ExecHook, Name: c.Name, Target: c.ID, Service: service, Hook: &hook}
			if err := w.engine.Do(ctx, step, func(ev compose.Event) {
				if ev.Kind == compose.StepOutput {
					fmt.Fprintf(w.streams.Err, "%s | %s\n", service, ev.Text)
				}
			}); err != nil {
				return "", err
			}
		}
	}
	if len(x.files) > 0 {
		said = append(said, "synced "+plural(len(x.files), "file"))
	}
	for _, h := range x.hooks {
		said = append(said, "ran "+strings.Join(h.Command, " "))
	}
	if x.restart {
		if err := w.change(ctx, func(have compose.State) (compose.Plan, error) {
			return compose.Restart(w.project, have, []string{service}, nil, false)
		}); err != nil {
			return "", err
		}
		said = append(said, "restarted")
	}
	return strings.Join(said, ", "), nil
}

// change runs a plan of the project under its claim, without progress of its own.
func (w *watcher) change(ctx context.Context, plan func(compose.State) (compose.Plan, error)) error {
	ch := change{streams: w.streams, engine: w.engine, scope: compose.ScopeOf(w.project, nil), command: "watch", quiet: true, plan: plan,
		run: compose.RunOptions{EngineHealth: w.options.Up.EngineHealth}}
	_, err := ch.do(ctx)
	return err
}

// rebuild builds the service's image and puts its containers on it.
func (w *watcher) rebuild(ctx context.Context, service string) error {
	inputs, refs, err := buildState(ctx, w.streams, w.project, []string{service})
	if err != nil {
		return err
	}
	d := compose.DiffOptions{Services: []string{service}, NoDeps: true, Build: compose.BuildAlways, Inputs: inputs, Refs: refs,
		Offline: w.options.Up.Project.Offline, Now: w.streams.Now(), Version: buildVersion()}
	svc := w.project.Services[service]
	ref := compose.ImageName(w.project, svc)
	var before string
	ch := change{streams: w.streams, engine: w.engine, scope: compose.ScopeOf(w.project, refs), command: "watch", build: !w.options.Quiet, reading: "reading the project",
		run: compose.RunOptions{EngineHealth: w.options.Up.EngineHealth},
		plan: func(have compose.State) (compose.Plan, error) {
			before = have.Images[ref].ID
			return compose.Diff(w.project, have, d)
		}}
	out, err := ch.do(ctx)
	if err != nil || !w.options.Prune || before == "" || out.state.Images[ref].ID == before {
		return err
	}
	// The image may have another name or another user, and then it stays.
	_ = w.engine.Do(ctx, compose.Step{Op: compose.RemoveImage, Name: before, Target: before}, nil)
	return nil
}

// sync copies the files that are there into the container and removes those that are gone.
func (w *watcher) sync(ctx context.Context, c compose.Container, files map[string]string) error {
	if len(files) == 0 {
		return nil
	}
	archive, gone, err := pack(files)
	if err != nil {
		return err
	}
	if archive != nil {
		if err := w.engine.CopyTo(ctx, c.ID, "/", archive); err != nil {
			return fmt.Errorf("sync to %s: %w", c.Name, err)
		}
	}
	if len(gone) == 0 {
		return nil
	}
	var said bytes.Buffer
	code, err := w.engine.Exec(ctx, c.ID, engine.ExecOptions{Command: append([]string{"rm", "-rf", "--"}, gone...), User: "0"}, engine.Streams{Out: &said, Err: &said})
	if err == nil && code != 0 {
		err = fmt.Errorf("rm exited with code %d: %s", code, strings.TrimSpace(said.String()))
	}
	if err != nil {
		return fmt.Errorf("remove from %s what was removed here: %w", c.Name, err)
	}
	return nil
}

// pack makes an archive of the files that are there, to be unpacked at the container's root; it is nil where none is.
// gone are the container's paths of the others.
func pack(files map[string]string) (archive io.Reader, gone []string, err error) {
	var b bytes.Buffer
	t := tar.NewWriter(&b)
	n := 0
	for _, path := range slices.Sorted(maps.Keys(files)) {
		info, err := os.Lstat(path)
		if errors.Is(err, fs.ErrNotExist) {
			gone = append(gone, files[path])
			continue
		}
		if err == nil {
			err = packFile(t, path, files[path], info)
		}
		if errors.Is(err, fs.ErrNotExist) {
			continue // it went meanwhile, and its own event follows
		}
		if err != nil {
			return nil, nil, fmt.Errorf("read %s: %w", path, err)
		}
		n++
	}
	if err := t.Close(); err != nil {
		return nil, nil, fmt.Errorf("pack files: %w", err)
	}
	if n == 0 {
		return nil, gone, nil
	}
	return &b, gone, nil
}

// packFile adds one file, owned by root as in an image that copied it. What is neither file nor link is left out.
func packFile(t *tar.Writer, path, target string, info fs.FileInfo) error {
	var content []byte
	var link string
	var err error
	switch {
	case info.Mode().IsRegular():
		content, err = os.ReadFile(path)
	case info.Mode()&fs.ModeSymlink != 0:
		link, err = os.Readlink(path)
	default:
		return nil
	}
	if err != nil {
		return err
	}
	h, err := tar.FileInfoHeader(info, link)
	if err != nil {
		return err
	}
	h.Name, h.Size = strings.TrimPrefix(target, "/"), int64(len(content))
	h.Uid, h.Gid, h.Uname, h.Gname = 0, 0, "", ""
	if err := t.WriteHeader(h); err != nil {
		return err
	}
	_, err = t.Write(content)
	return err
}
