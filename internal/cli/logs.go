package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sync/errgroup"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/engine"
)

type logsOptions struct {
	Project  projectOptions
	Services []string
	Logs     engine.LogOptions
	NoPrefix bool
	JSON     bool
	Index    int
	Makes    string // the command that makes what there are no containers of; "" is strake up
}

func newLogs() *cli.Command {
	return &cli.Command{
		Name: "logs", Usage: "Print what the services wrote.",
		ArgsUsage:   "[service ...]",
		UsageText:   "strake logs -f web\nstrake logs --tail 100 --since 10m",
		Description: "0 done, 1 failed, 2 wrong usage, 130 interrupted",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "follow", Aliases: []string{"f"}, Usage: "go on with what is written from now on, until Ctrl-C"},
			&cli.StringFlag{Name: "tail", Aliases: []string{"n"}, Usage: "the last `N` lines of each container only", DefaultText: "all"},
			&cli.StringFlag{Name: "since", Usage: "lines since `TIME`: RFC 3339 (2026-01-02T13:23:37Z) or before now (42m)"},
			&cli.StringFlag{Name: "until", Usage: "lines before `TIME`, written as for --since"},
			&cli.BoolFlag{Name: "timestamps", Aliases: []string{"t"}, Usage: "print the time of each line"},
			&cli.BoolFlag{Name: "no-log-prefix", Usage: "print the lines without the container's name"},
			&cli.IntFlag{Name: "index", Usage: "the container with number `N` of each service only"},
			&cli.BoolFlag{Name: "json", Usage: "print one JSON array of all lines by time; with --follow one JSON object a line"},
		},
		Action: func(c *cli.Context) error {
			if err := checkLogFlags(c); err != nil {
				return err
			}
			s := streamsOf(c)
			return lineDocument(s, c.Bool("json") && c.Bool("follow"), logs(c.Context, s, logsOptions{Project: projectOptionsOf(c), Services: servicesOf(c), NoPrefix: c.Bool("no-log-prefix"), JSON: c.Bool("json"),
				Index: c.Int("index"), Logs: engine.LogOptions{Follow: c.Bool("follow"), Timestamps: c.Bool("timestamps"), Tail: c.String("tail"),
					Since: c.String("since"), Until: c.String("until")}}))
		},
	}
}

// checkLogFlags refuses what the engine would refuse late, or take for something else.
func checkLogFlags(c *cli.Context) error {
	for _, name := range []string{"since", "until"} {
		if text := c.String(name); text != "" && !engine.IsLogTime(text, streamsOf(c).Now()) {
			return usagef("write a time (2026-01-02T13:23:37Z, 2026-01-02) or how long ago it was (42m, 1h30m)", "--%s is %q", name, text)
		}
	}
	if text := c.String("tail"); text != "" && text != "all" {
		if _, err := strconv.Atoi(text); err != nil {
			return usagef("write a number of lines (100), or all", "--tail is %q", text)
		}
	}
	return nil
}

// logs prints the log of each container.
func logs(ctx context.Context, s Streams, o logsOptions) error {
	stack, err := lookAt(ctx, s, o.Project, o.Services)
	if err != nil {
		return err
	}
	defer func() { _ = stack.engine.Close() }() // everything was asked and answered
	name := stack.name
	all := stack.picked
	kept := slices.DeleteFunc(slices.Clone(all), func(c compose.Container) bool { return o.Index > 0 && c.Number() != o.Index })
	if o.Index > 0 && len(kept) == 0 && len(all) > 0 {
		return noNumber(all, cmp.Or(strings.Join(o.Services, ", "), name), o.Index)
	}
	if len(kept) == 0 {
		fmt.Fprintf(s.Err, "%s has no containers whose logs could be printed; %s makes them\n", name, cmp.Or(o.Makes, "strake up"))
	}
	var print logPrinter = &textLogs{s: s, project: name, bare: o.NoPrefix}
	if o.JSON {
		o.Logs.Timestamps = true
		print = &jsonLogs{out: s.Out, atOnce: o.Logs.Follow}
	}
	return streamLogs(ctx, logSource{engine: stack.engine, project: name, services: o.Services, options: o.Logs, print: print}, kept)
}

// logSource says whose log lines are streamed, and how.
type logSource struct {
	engine   *engine.Engine
	project  string
	services []string // nil: all
	options  engine.LogOptions
	print    logPrinter
}

// logScope is whose log lines followLogs streams.
type logScope struct {
	services []string  // nil: all
	since    time.Time // by the engine's clock
}

// followLogs streams what was written since a moment, and from now on, until ctx ends.
func followLogs(ctx context.Context, s Streams, e *engine.Engine, p *compose.Project, o logScope) error {
	containers, err := observeStack(ctx, e, p.Name)
	if err != nil {
		return err
	}
	kept, err := pick(p, p.Name, containers, o.services)
	if err != nil {
		return err
	}
	options := engine.LogOptions{Follow: true, Tail: "all", Since: o.since.Format(time.RFC3339Nano)}
	src := logSource{engine: e, project: p.Name, services: o.services, options: options, print: &textLogs{s: s, project: p.Name}}
	return streamLogs(ctx, src, kept)
}

// streamLogs copies the logs of the containers to the printer. With Follow it goes on with containers that are started
// later, until ctx ends or nothing of the project is left.
func streamLogs(ctx context.Context, src logSource, containers []compose.Container) error {
	if text, ok := src.print.(*textLogs); ok {
		text.out, text.errs = &lockedWriter{w: text.s.Out}, &lockedWriter{w: text.s.Err}
		for _, c := range containers {
			text.width = max(text.width, len(shortName(c.Name, src.project)))
		}
	}
	all, finish := context.WithCancel(ctx)
	defer finish()
	g, gctx := errgroup.WithContext(all)
	var open atomic.Int32 // logs that are being copied; at 0 nothing is left to follow
	stream := func(c compose.Container, o engine.LogOptions) {
		out, errs := src.print.lines(c)
		open.Add(1)
		g.Go(func() error {
			defer func() {
				if open.Add(-1) == 0 {
					finish()
				}
			}()
			err := src.copy(gctx, c, o, out, errs)
			if gctx.Err() != nil {
				err = nil // the follower was told to stop
			}
			return errors.Join(err, out.flush(), errs.flush())
		})
	}
	followed := map[string]bool{}
	var changes <-chan compose.Change
	if src.options.Follow {
		var err error
		if changes, err = src.engine.Watch(gctx, src.project); err != nil {
			return err
		}
	}
	open.Add(1) // until all are under way
	for _, c := range containers {
		followed[c.ID] = true
		stream(c, src.options)
	}
	if changes != nil && len(containers) > 0 {
		g.Go(func() error { return src.newcomers(gctx, changes, followed, stream) })
	}
	if open.Add(-1) == 0 {
		finish()
	}
	if err := g.Wait(); err != nil && ctx.Err() == nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return src.print.close()
}

// newcomers streams containers that are started while others are followed. It returns when the subscription ends.
func (src logSource) newcomers(ctx context.Context, changes <-chan compose.Change, followed map[string]bool, stream func(compose.Container, engine.LogOptions)) error {
	for ch := range changes {
		if ch.Kind == compose.Destroyed {
			delete(followed, ch.ID)
		}
		if ch.Kind != compose.Started || followed[ch.ID] {
			continue
		}
		all, err := observeStack(ctx, src.engine, src.project)
		if err != nil {
			continue // the next change looks again
		}
		for _, c := range all {
			if c.ID == ch.ID && !c.IsOneOff() && (len(src.services) == 0 || slices.Contains(src.services, c.Service())) {
				followed[c.ID] = true
				stream(c, engine.LogOptions{Follow: true, Timestamps: src.options.Timestamps})
			}
		}
	}
	return nil
}

// shortName is a container's name without the project's before it.
func shortName(name, project string) string {
	if rest := len(project) + 1; len(name) > rest && name[:rest] == project+"-" {
		return name[rest:]
	}
	return name
}
