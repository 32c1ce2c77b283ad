package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/strake-dev/strake/compose"
)

type watchOptions struct {
	Up          upOptions
	NoUp, Prune bool
	Quiet, JSON bool
}

func newWatch() *cli.Command {
	return &cli.Command{
		Name: "watch", Usage: "Start the project, then carry changed files into it as develop.watch says.",
		ArgsUsage: "[service ...]", UsageText: "strake watch\nstrake watch --no-up web\nstrake watch --json      # for programs", Description: "1 failed, 2 wrong usage, 3 something did not get ready in time, 130 interrupted (its ordinary end)",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "no-up", Usage: "do not start the project first"},
			&cli.BoolFlag{Name: "prune", Usage: "remove the image that a rebuild replaced", Value: true},
			&cli.BoolFlag{Name: "quiet", Usage: "do not print what builds print"},
			offlineFlag(), noWaitFlag(),
			&cli.BoolFlag{Name: "json", Usage: "print one JSON object a line for all that happens"},
		},
		Action: func(c *cli.Context) error {
			up, err := upOptionsOf(c)
			if err != nil {
				return err
			}
			o := watchOptions{Up: up, NoUp: c.Bool("no-up"), Prune: c.Bool("prune"), Quiet: c.Bool("quiet"), JSON: up.JSON}
			return watch(c.Context, streamsOf(c), o)
		},
	}
}

// settle is how long files have to be left alone before a change is carried over: editors write in several steps.
const settle = 100 * time.Millisecond

// watchEvent is something that happened, as --json tells it.
type watchEvent struct {
	Time     time.Time `json:"time"`
	Event    string    `json:"event"`              // up, watching, carried, failed, warning, ended
	Services []string  `json:"services,omitempty"` // of up and watching all, of carried and failed one
	Actions  []string  `json:"actions,omitempty"`  // of carried and failed: rebuild, sync, exec, restart
	Files    []string  `json:"files,omitempty"`    // that were synced, as they are called here
	Seconds  float64   `json:"seconds,omitempty"`
	Text     string    `json:"text,omitempty"` // of a warning
	Error    string    `json:"error,omitempty"`
	Hint     string    `json:"hint,omitempty"`
}

// watch carries changes over until ctx ends.
func watch(ctx context.Context, s Streams, o watchOptions) error {
	w := &watcher{streams: s, options: o}
	if o.JSON {
		w.events = &lockedWriter{w: s.Out}
	}
	err := w.watch(ctx)
	if !o.JSON || err == nil {
		return err
	}
	w.tell(watchEvent{Event: "ended", Error: err.Error(), Hint: hintOf(err)})
	return documentedError{err}
}

// watch starts the project and watches.
func (w *watcher) watch(ctx context.Context) error {
	s, o := w.streams, w.options
	p, e, err := beginWith(ctx, s, o.Up.Project, o.Up.Diff.Services, false)
	if err != nil {
		return err
	}
	defer func() { _ = e.Close() }() // everything was asked and answered
	rules, err := compose.WatchRules(p, o.Up.Diff.Services)
	if err != nil {
		return err
	}
	if len(rules) == 0 {
		return &compose.HintedError{Err: errors.New("no service has develop.watch"), Next: "add it to the service that you work on: what to watch (path), what to do (action: sync, rebuild, restart) and where to (target)"}
	}
	tree, err := watchTree(rules)
	if err != nil {
		return err
	}
	defer tree.close()
	if !o.NoUp {
		began := s.Now()
		if o.JSON {
			s.Out, o.Up.JSON = s.Err, false // what up says to people; the event follows
		}
		if err := up(ctx, s, o.Up); err != nil {
			return err
		}
		w.tell(watchEvent{Event: "up", Services: p.ServiceNames(), Seconds: s.Now().Sub(began).Seconds()})
	}
	w.engine, w.project, w.rules = e, p, rules
	if err := w.first(ctx); err != nil {
		return err
	}
	var names []string
	for _, r := range rules {
		names = append(names, r.Service)
	}
	names = slices.Compact(names)
	w.tell(watchEvent{Event: "watching", Services: names})
	fmt.Fprintf(s.Err, "watching for %s; Ctrl-C ends it, the stack goes on\n", strings.Join(names, ", "))
	return w.loop(ctx, tree)
}

// loop gathers changed paths and carries them over once they are left alone. What changes meanwhile is next.
func (w *watcher) loop(ctx context.Context, tree *fileTree) error {
	pending := map[string]bool{}
	quiet := time.NewTimer(settle)
	quiet.Stop()
	done := make(chan struct{}, 1)
	busy := false
	defer func() {
		if busy {
			<-done // who starts a goroutine waits for it
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case err := <-tree.errors():
			fmt.Fprintf(w.streams.Err, "warning: watching files: %v\n", err)
			w.tell(watchEvent{Event: "warning", Text: "watching files: " + err.Error()})
		case event := <-tree.events():
			for _, path := range tree.changed(event) {
				pending[path] = true
			}
			if len(pending) > 0 && !busy {
				quiet.Reset(settle)
			}
		case <-quiet.C:
			batch := pending
			pending, busy = map[string]bool{}, true
			go func() {
				w.carry(ctx, batch)
				done <- struct{}{}
			}()
		case <-done:
			busy = false
			if len(pending) > 0 {
				quiet.Reset(settle)
			}
		}
	}
}
