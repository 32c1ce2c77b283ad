package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/engine"
)

// attachment says when an up that follows the logs ends by itself, and with which code. It stops everything then.
type attachment struct {
	onFailure bool   // only a code other than 0 ends it
	from      string // the service whose exit code is that of strake; "" is that of the container that ended it
}

func attachmentFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "exit-code-from", Usage: "follow until a container exits, stop the others and exit with the code of `SERVICE`"},
		&cli.BoolFlag{Name: "abort-on-container-exit", Usage: "follow until a container exits that is no one-shot, stop the others and exit with its code"},
		&cli.BoolFlag{Name: "abort-on-container-failure", Usage: "the same, but only a code other than 0 counts"},
	}
}

// attachmentOf reads those flags; nil: none was given.
func attachmentOf(c *cli.Context) (*attachment, error) {
	a := &attachment{onFailure: c.Bool("abort-on-container-failure"), from: c.String("exit-code-from")}
	given := ""
	for _, name := range []string{"exit-code-from", "abort-on-container-exit", "abort-on-container-failure"} {
		if c.IsSet(name) && c.String(name) != "false" {
			given = name
		}
	}
	if given == "" {
		return nil, nil
	}
	err := conflict(c, "abort-on-container-exit", "abort-on-container-failure")
	for _, other := range []string{"detach", "wait", "no-start", "json"} {
		if c.Bool(other) {
			err = errors.Join(err, usagef("leave one of them out", "--%s and --%s exclude each other", given, other))
		}
	}
	return a, err
}

// attachedUp is a stack that is followed until a container of it exits.
type attachedUp struct {
	attachment
	streams  Streams
	engine   *engine.Engine
	project  *compose.Project
	options  upOptions
	since    time.Time         // when the up began, by the engine's clock
	services map[string]string // of the project's containers, by name, as far as they were looked at
}

// ended is a container that exited; the zero value is none.
type ended struct {
	name, service string
	code          int
}

// exitPatience is how often the engine's list of containers is looked at; it may lag so long behind what happened.
const exitPatience = time.Second

// follow streams the logs until a container exits, stops the stack and returns an *exitError unless the code is 0.
func (a *attachedUp) follow(ctx context.Context) error {
	lasting, done := context.WithCancel(context.WithoutCancel(ctx)) // the last lines are written while it stops
	defer done()
	changes, err := a.engine.Watch(lasting, a.project.Name)
	if err != nil {
		return err
	}
	followed := a.options.Diff.Services
	if len(followed) == 0 {
		followed = a.project.ServiceNames()
	}
	streamed := make(chan struct{})
	var streamErr error
	go func() {
		defer close(streamed)
		streamErr = followLogs(lasting, a.streams, a.engine, a.project, logScope{followed, a.since})
	}()
	first, err := a.untilExit(ctx, changes)
	switch {
	case err != nil && ctx.Err() != nil:
		fmt.Fprintf(a.streams.Err, "stopping %s; press Ctrl-C again to stop now\n", a.project.Name)
	case err == nil && first.name != "":
		fmt.Fprintf(a.streams.Err, "%s exited with code %d; stopping the others\n", shortName(first.name, a.project.Name), first.code)
	}
	code, stopErr := a.stop(lasting, changes, first)
	limit := time.AfterFunc(exitPatience, done) // logs that do not end with their containers
	<-streamed
	limit.Stop()
	if lasting.Err() == nil {
		stopErr = errors.Join(stopErr, streamErr)
	}
	if err = errors.Join(err, stopErr); err == nil && code != 0 {
		return &exitError{code: code}
	}
	return err
}

// untilExit returns the first container whose exit ends the up; none where all have exited without one that does. It hears of most
// exits at once, and looks for those that nobody told of: what exited before it listened, and what the engine restarts no more.
func (a *attachedUp) untilExit(ctx context.Context, changes <-chan compose.Change) (ended, error) {
	look := time.NewTimer(0)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return ended{}, context.Cause(ctx)
		case change, open := <-changes:
			if !open {
				return ended{}, errors.New("the engine's events ended: it was restarted or the connection was lost")
			}
			e := ended{change.Name, a.services[change.Name], change.ExitCode}
			if change.Kind == compose.Died && e.service != "" && !a.project.Restarts(e.service) && a.counts(e) {
				return e, nil
			}
		case <-look.C:
			e, running, err := a.look(ctx)
			if err != nil || e.name != "" || !running {
				return e, err
			}
			look.Reset(exitPatience)
		}
	}
}

// counts is whether an exit ends the up. That a one-shot did its work does not, unless its code is asked for: Docker Compose ends
// then, which ends a stack before the service that it was made ready for has begun.
func (a *attachedUp) counts(e ended) bool {
	return e.code != 0 || !a.onFailure && (e.service == a.from || !a.project.IsOneShot(e.service))
}

// look asks the engine which container has exited, and whether one runs at all.
func (a *attachedUp) look(ctx context.Context) (first ended, running bool, err error) {
	containers, err := observeStack(ctx, a.engine, a.project.Name)
	if err != nil {
		return first, false, err
	}
	a.services = map[string]string{}
	for _, c := range containers {
		if _, ok := a.project.Services[c.Service()]; !ok || c.IsOneOff() {
			continue
		}
		a.services[c.Name] = c.Service()
		e := ended{c.Name, c.Service(), c.ExitCode}
		switch {
		case c.Status != compose.Exited && c.Status != compose.Dead:
			running = true
		case a.counts(e) && (first.name == "" || first.code == 0):
			first = e
		}
	}
	return first, running, nil
}

// stop stops what up started and returns the code that strake exits with.
func (a *attachedUp) stop(ctx context.Context, changes <-chan compose.Change, first ended) (int, error) {
	ch := change{streams: a.streams, engine: a.engine, scope: compose.Scope{Project: a.project.Name}, command: "up", quiet: true,
		plan: func(have compose.State) (compose.Plan, error) {
			return compose.Stop(a.project, have, a.project.ServiceNames(), a.options.Diff.Grace)
		}}
	out, err := ch.do(ctx)
	if err != nil || a.from == "" || a.from == first.service {
		return first.code, err
	}
	for _, c := range out.state.Containers {
		if c.Service() == a.from && !c.IsOneOff() && c.Status == compose.Exited {
			return c.ExitCode, nil
		}
	}
	late := time.NewTimer(exitPatience) // the list of containers lags behind
	defer late.Stop()
	for {
		select {
		case change, open := <-changes:
			if !open {
				changes = nil // only the timer is left
			}
			if change.Kind == compose.Died && a.services[change.Name] == a.from {
				return change.ExitCode, nil
			}
		case <-late.C:
			return exitFailed, fmt.Errorf("service %s has not exited", a.from)
		}
	}
}
