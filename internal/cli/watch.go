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
	Up             upOptions
	NoUp, Prune    bool
	Quiet, Offline bool
}

func newWatch() *cli.Command {
	return &cli.Command{
		Name: "watch", Usage: "Start the project, then carry changed files into it as develop.watch says.",
		ArgsUsage: "[service ...]", UsageText: "strake watch\nstrake watch --no-up web", Description: "1 failed, 2 wrong usage, 3 something did not get ready in time, 130 interrupted (its ordinary end)",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "no-up", Usage: "do not start the project first"},
			&cli.BoolFlag{Name: "prune", Usage: "remove the image that a rebuild replaced", Value: true},
			&cli.BoolFlag{Name: "quiet", Usage: "do not print what builds print"},
			offlineFlag(), noWaitFlag(),
		},
		Action: func(c *cli.Context) error {
			up, err := upOptionsOf(c)
			if err != nil {
				return err
			}
			return watch(c.Context, streamsOf(c), watchOptions{Up: up, NoUp: c.Bool("no-up"), Prune: c.Bool("prune"), Quiet: c.Bool("quiet")})
		},
	}
}

// settle is how long files have to be left alone before a change is carried over: editors write in several steps.
const settle = 100 * time.Millisecond

// watch carries changes over until ctx ends.
func watch(ctx context.Context, s Streams, o watchOptions) error {
	p, e, err := begin(ctx, s, o.Up.Project)
	if err != nil {
		return err
	}
	defer func() { _ = e.Close() }() // everything was asked and answered
	if p, err = p.Select(o.Up.Diff.Services, false); err != nil {
		return err
	}
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
		if err := up(ctx, s, o.Up); err != nil {
			return err
		}
	}
	w := &watcher{streams: s, engine: e, project: p, rules: rules, options: o}
	if err := w.first(ctx); err != nil {
		return err
	}
	var names []string
	for _, r := range rules {
		names = append(names, r.Service)
	}
	names = slices.Compact(names)
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
