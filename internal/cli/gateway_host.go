package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/engine"
	"github.com/strake-dev/strake/previews"
)

// The gateway of an engine is a compose project like any other, of two containers with this program: the proxy, which visitors reach and
// which knows nothing of the engine, and the controller, which has the engine's socket and no port.
const (
	gatewayProject    = "strake-gateway"
	gatewayProxy      = gatewayProject + "-proxy-1"
	gatewayController = gatewayProject + "-controller-1"
	gatewayHTTP       = 7080
	gatewayHTTPS      = 7443
)

const gatewayFile = `
name: strake-gateway
x-strake: {ports: auto}
x-program: &program
  image: "%[1]s"
  entrypoint: [/strake, gateway]
  restart: unless-stopped
  security_opt: ["no-new-privileges:true"]
  cap_drop: [ALL]
  labels: {dev.strake.gateway: "true"}
services:
  proxy:
    <<: *program
    command: [proxy]
    ports: ["%[5]s:%[3]d:7080", "%[5]s:%[4]d:7443"]
    volumes: ["run:/run/strake", "data:/data"]
    healthcheck: {test: [CMD, /strake, gateway, ctl, ready], interval: 1m}
    %[6]s
  controller:
    <<: *program
    command: [control]
    network_mode: none
    volumes: ["run:/run/strake", {type: bind, source: "%[2]s", target: /var/run/docker.sock}]
    depends_on: {proxy: {condition: service_healthy}}
    healthcheck: {test: [CMD, /strake, gateway, ctl, alive], interval: 1m}
volumes: {run: {}, data: {}}
%[7]s
`

// gatewayHost is the gateway of an engine, as commands use it: through commands that are run in its containers, so that it needs no
// port for it.
type gatewayHost struct {
	streams Streams
	engine  *engine.Engine
	owner   compose.ConvergeOptions
	public  bool       // it is there for everybody, at the ports of the web
	format  string     // of URLs, once it is known
	from    *authority // where its certificates come from; nil for its own, and URLs without TLS
}

var _ previews.Router = (*gatewayHost)(nil)

// Address makes the gateway run and says how URLs are made.
func (g *gatewayHost) Address(ctx context.Context) (string, error) {
	if g.format != "" {
		return g.format, nil
	}
	port, err := g.ensure(ctx)
	if err != nil {
		return "", fmt.Errorf("start the gateway: %w", err)
	}
	g.format = g.urlsAt(port)
	return g.format, nil
}

// running is how URLs are made where a gateway runs, whichever strake's it is; "" where none does.
func (g *gatewayHost) running(ctx context.Context) (string, error) {
	state, err := g.engine.Observe(ctx, compose.Scope{Project: gatewayProject})
	if err != nil {
		return "", err
	}
	port := publishedBy(state, gatewayHTTP)
	for _, name := range []string{gatewayProxy, gatewayController} {
		if port == 0 || !slices.ContainsFunc(state.Containers, func(c compose.Container) bool { return c.Name == name && c.Status == compose.Running }) {
			return "", nil
		}
	}
	return g.urlsAt(port), nil
}

// urlsAt is how URLs are made for a port of HTTP.
func (g *gatewayHost) urlsAt(port int) string {
	if g.from != nil {
		return "https://%s"
	}
	if port == 80 {
		return "http://%s"
	}
	return "http://%s:" + strconv.Itoa(port)
}

// ensure makes the gateway run, and returns its port on this machine. One that runs already is left as it is unless this is another
// program than the one that it runs. Whatever it changes, the image included, it changes while it holds the gateway's claim: of two
// commands that want a gateway the second finds that of the first.
func (g *gatewayHost) ensure(ctx context.Context) (port int, err error) {
	ref, file, err := programFor(ctx, g.streams, g.engine)
	if err != nil {
		return 0, err
	}
	plan := func(have compose.State) (compose.Plan, error) {
		want, err := g.project(ctx, ref, have)
		if err != nil {
			return nil, err
		}
		return compose.Diff(want, have, compose.DiffOptions{Now: g.streams.Now(), Version: buildVersion()})
	}
	p, err := g.project(ctx, ref, compose.State{})
	if err != nil {
		return 0, err
	}
	scope := compose.ScopeOf(p, nil)
	state, steps, held, err := compose.Look(ctx, g.engine, scope, plan)
	if err != nil {
		return 0, err
	}
	if steps.Changes() || held != nil {
		if err := checkProgram(file, state.Engine); err != nil {
			return 0, err
		}
		o := g.owner
		o.Run, o.NoWait = compose.RunOptions{}, false
		err = compose.Hold(ctx, g.engine, gatewayProject, o, func(h compose.Host) (err error) {
			if state, err = h.Observe(ctx, scope); err != nil {
				return err
			}
			if _, ok := state.Images[ref]; !ok {
				if err := importProgram(ctx, g.engine, ref, file, state.Engine); err != nil {
					return err
				}
			}
			state, err = convergeGateway(ctx, h, scope, plan, o)
			return err
		})
		if err != nil {
			return 0, err
		}
	}
	if port = publishedBy(state, gatewayHTTP); port == 0 {
		return 0, errors.New("its port is not published")
	}
	return port, nil
}

// convergeGateway makes the gateway be as planned, with its claim held. Between the choice of a free port and the start something else may
// take it: then it is chosen again.
func convergeGateway(ctx context.Context, h compose.Host, scope compose.Scope, plan func(compose.State) (compose.Plan, error), o compose.ConvergeOptions) (compose.State, error) {
	for try := 1; ; try++ {
		state, _, err := compose.ConvergeHeld(ctx, h, scope, plan, o)
		i := slices.IndexFunc(state.Containers, func(c compose.Container) bool { return c.Name == gatewayProxy && c.Status == compose.Created })
		if err == nil || ctx.Err() != nil || i < 0 || try == 3 {
			return state, err
		}
		if err := h.Do(ctx, compose.Step{Op: compose.RemoveContainer, Name: gatewayProxy, Target: state.Containers[i].ID}, nil); err != nil {
			return state, err
		}
	}
}

// project is the gateway's project, with the ports that it has.
func (g *gatewayHost) project(ctx context.Context, ref string, have compose.State) (*compose.Project, error) {
	http := orPort(publishedBy(have, gatewayHTTP), g.streams.getenv("STRAKE_GATEWAY_PORT"), gatewayHTTP)
	https := orPort(publishedBy(have, gatewayHTTPS), g.streams.getenv("STRAKE_GATEWAY_TLS_PORT"), gatewayHTTPS)
	at := "127.0.0.1"
	if g.public {
		http, https, at = 80, 443, "0.0.0.0"
	}
	ofProxy, ofFile, err := g.from.configs()
	if err != nil {
		return nil, err
	}
	return compose.Load(ctx, compose.LoadOptions{Files: []string{"-"}, Dir: os.TempDir(), Name: gatewayProject,
		Stdin: strings.NewReader(fmt.Sprintf(gatewayFile, ref, g.engine.SocketThere(), http, https, at, ofProxy, ofFile))})
}

// publishedBy is the host port of the proxy's port; 0 if it is not published.
func publishedBy(state compose.State, target int) int {
	for _, c := range state.Containers {
		for _, p := range c.Ports {
			if c.Name == gatewayProxy && int(p.Target) == target && p.Published != 0 {
				return int(p.Published)
			}
		}
	}
	return 0
}

// orPort is the port that the environment names, else the one that the gateway has, else the usual one.
func orPort(has int, named string, usual int) int {
	if n, err := strconv.Atoi(named); err == nil && n > 0 && n < 1<<16 {
		return n
	}
	if has != 0 {
		return has
	}
	return usual
}

// ctlPatience is the longest that a gateway may take to answer: a machine that is busy with builds starts the program that asks it slowly.
const ctlPatience = 2 * time.Minute

// ctl is ask within ctlPatience.
func (g *gatewayHost) ctl(ctx context.Context, container string, answer any, args ...string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, ctlPatience, fmt.Errorf("the gateway does not answer within %s; docker restart %s starts it anew", ctlPatience, container))
	defer cancel()
	return g.ask(ctx, container, answer, args...)
}

// ask runs a command of `strake gateway ctl` in one of the gateway's containers, and reads what it prints as JSON.
func (g *gatewayHost) ask(ctx context.Context, container string, answer any, args ...string) error {
	var out, errs bytes.Buffer
	code, err := g.engine.Exec(ctx, container, engine.ExecOptions{Command: append([]string{"/strake", "gateway", "ctl"}, args...)}, engine.Streams{Out: &out, Err: &errs})
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return fmt.Errorf("ask the gateway: %w", err)
	}
	if code != 0 {
		return fmt.Errorf("ask the gateway to %s: exit code %d: %s", args[0], code, strings.TrimSpace(errs.String()+out.String()))
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(out.Bytes(), answer)
}

// Sync has the controller read all records.
func (g *gatewayHost) Sync(ctx context.Context, stack string) error {
	err := g.ctl(ctx, gatewayController, nil, "sync", stack)
	if err == nil || ctx.Err() != nil {
		return err
	}
	state, lookErr := g.engine.Observe(ctx, compose.Scope{Project: gatewayProject})
	running := 0
	for _, c := range state.Containers {
		if c.Status == compose.Running {
			running++
		}
	}
	if lookErr != nil || running == 2 {
		return err
	}
	if _, startErr := g.ensure(ctx); startErr != nil { // somebody removed or stopped it
		return errors.Join(err, fmt.Errorf("start the gateway: %w", startErr))
	}
	return g.ctl(ctx, gatewayController, nil, "sync", stack)
}

// Drain waits until no request is under way to an upstream.
func (g *gatewayHost) Drain(ctx context.Context, upstream string, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, patience+ctlPatience)
	defer cancel()
	return g.ask(ctx, gatewayController, nil, "drain", upstream, patience.String())
}

// Leave takes the proxy out of a network; one that it is not in is left already.
func (g *gatewayHost) Leave(ctx context.Context, network string) error {
	return leave(ctx, g.engine, network)
}

// leave takes the proxy out of a network.
func leave(ctx context.Context, h compose.Host, network string) error {
	return h.Do(ctx, compose.Step{Op: compose.Disconnect, Name: gatewayProxy, Target: gatewayProxy, Network: &compose.NetworkStep{Spec: compose.NetworkSpec{Name: network}}}, nil)
}
