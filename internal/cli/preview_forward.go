package cli

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/engine"
	"github.com/strake-dev/strake/previews"
)

// forwardFile is the project of a container that takes part in a preview's networks, and in which each connection runs a command.
const forwardFile = `
name: "%[1]s"
services:
  forward:
    image: "%[2]s"
    entrypoint: [/strake, gateway, ctl]
    command: [hold]
    init: true
    cap_drop: [ALL]
    security_opt: ["no-new-privileges:true"]
    networks: [%[3]s]
networks:
`

// labelForward is on the container of a forward: who needs it, as a claim says it.
const labelForward = "dev.strake.forward"

// previewForward reaches a port of a preview's service at a port of this machine.
func previewForward(ctx context.Context, s Streams, o previewOptions) (err error) {
	service, port, ok := strings.Cut(o.Target, ":")
	if n, err := strconv.ParseUint(port, 10, 16); !ok || err != nil || n == 0 || service == "" {
		return usagef("write it as: strake preview forward 42 db:5432", "%q is no service with a port", o.Target)
	}
	w, p, err := shownPreview(ctx, s, o, "preview forward")
	if err != nil {
		return err
	}
	defer w.close()
	c, err := runningOf(ctx, w.engine, p, service)
	if err != nil {
		return err
	}
	name := "strake-forward-" + strings.ToLower(rand.Text()[:8])
	project, err := forwardProject(ctx, s, w.engine, name, c)
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
		defer cancel()
		err = errors.Join(err, endForward(ctx, w.engine, project))
	}()
	scope := compose.ScopeOf(project, nil)
	_, _, err = compose.Converge(ctx, w.engine, scope, func(have compose.State) (compose.Plan, error) {
		return compose.Diff(project, have, compose.DiffOptions{Now: s.Now(), Version: buildVersion()})
	}, compose.ConvergeOptions{Owner: owner(s, "preview forward"), Alive: isAlive})
	if err != nil {
		return err
	}
	return forward(ctx, s, w.engine, forwarding{name + "-forward-1", o.Target, o.Local})
}

// runningOf is the running container of a preview's service.
func runningOf(ctx context.Context, e *engine.Engine, p previews.Preview, service string) (compose.Container, error) {
	state, err := e.Observe(ctx, compose.Scope{Label: previews.LabelPreview + "=" + p.Stack})
	if err != nil {
		return compose.Container{}, err
	}
	var known []string
	slices.SortStableFunc(state.Containers, func(a, b compose.Container) int { // what serves first
		of := func(c compose.Container) int {
			if c.Labels[compose.LabelProject] == p.Active {
				return 0
			}
			return 1
		}
		return of(a) - of(b)
	})
	for _, c := range state.Containers {
		if c.Service() == service && c.Status == compose.Running && previews.IsOf(p.Stack, c.Labels[compose.LabelProject]) {
			return c, nil
		}
		if c.Service() != "" {
			known = append(known, c.Service())
		}
	}
	slices.Sort(known)
	return compose.Container{}, &compose.HintedError{Err: fmt.Errorf("preview %s has no running container of service %s", p.ID, service),
		Next: "its services are " + strings.Join(slices.Compact(known), ", ") + "; strake preview wake " + p.ID + " starts them"}
}

// forwardProject is the project of the container through which connections go.
func forwardProject(ctx context.Context, s Streams, e *engine.Engine, name string, target compose.Container) (*compose.Project, error) {
	ref, err := programOn(ctx, s, e)
	if err != nil {
		return nil, err
	}
	var keys []string
	text := ""
	for network := range target.Networks {
		key := fmt.Sprint("n", len(keys))
		keys = append(keys, key)
		text += fmt.Sprintf("  %s: {name: %q, external: true}\n", key, network)
	}
	text = fmt.Sprintf(forwardFile, name, ref, strings.Join(keys, ", ")) + text
	p, err := compose.Load(ctx, compose.LoadOptions{Files: []string{"-"}, Dir: os.TempDir(), Name: name, Stdin: strings.NewReader(text)})
	if err != nil {
		return nil, err
	}
	holder, err := json.Marshal(owner(s, "preview forward"))
	if err != nil {
		return nil, err
	}
	one := p.Services["forward"]
	one.Labels = map[string]string{labelForward: string(holder)}
	p.Services["forward"] = one
	return p, nil
}

// endForward removes what a forward needed.
func endForward(ctx context.Context, e *engine.Engine, p *compose.Project) error {
	state, err := e.Observe(ctx, compose.Scope{Project: p.Name})
	if err != nil {
		return err
	}
	state.Project = p.Name
	plan, err := compose.Down(nil, state, compose.DownOptions{Grace: new(time.Duration)})
	if err != nil {
		return err
	}
	return compose.Run(ctx, e, plan, compose.RunOptions{Project: p.Name})
}

// forwarding is from where to where connections go.
type forwarding struct {
	container, target string
	local             int // port of this machine; 0 takes a free one
}

// forward takes connections until ctx ends, each of which runs a command in a container.
func forward(ctx context.Context, s Streams, e *engine.Engine, f forwarding) error {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(f.local)))
	if err != nil {
		return &compose.HintedError{Err: fmt.Errorf("take a port of this machine: %w", err), Next: "leave --local out to take a free one"}
	}
	stop := context.AfterFunc(ctx, func() { _ = ln.Close() }) // ends the loop
	defer stop()
	fmt.Fprintf(s.Out, "%s is at %s until Ctrl-C\n", f.target, ln.Addr())
	var all sync.WaitGroup
	defer all.Wait()
	for {
		conn, err := ln.Accept()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			return err
		}
		all.Go(func() {
			defer conn.Close() // what it carried is over
			end := context.AfterFunc(ctx, func() { _ = conn.Close() })
			defer end()
			code, err := e.Exec(ctx, f.container, engine.ExecOptions{Command: []string{"/strake", "gateway", "ctl", "dial", f.target}}, engine.Streams{In: conn, Out: conn, Err: s.Err})
			if err != nil && ctx.Err() == nil {
				fmt.Fprintf(s.Err, "connection to %s: %v (exit code %d)\n", f.target, err, code)
			}
		})
	}
}

// dialOut connects what is read and written to an address, until either side ends.
func dialOut(ctx context.Context, s Streams, target string) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", target)
	if err != nil {
		return err
	}
	defer conn.Close() // what it carried is over
	go func() {        // ends with the process, as a read of standard input cannot be called off
		_, _ = io.Copy(conn, s.In) // what goes wrong the other side sees
		if half, ok := conn.(*net.TCPConn); ok {
			_ = half.CloseWrite()
		}
	}()
	_, err = io.Copy(s.Out, conn)
	return err
}
