package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/cli/cli/config"
	"github.com/docker/cli/cli/config/configfile"
	clicontext "github.com/docker/cli/cli/context"
	"github.com/docker/cli/cli/context/docker"
	"github.com/docker/cli/cli/context/store"
	"github.com/docker/docker/client"

	"github.com/strake-dev/strake/compose"
)

// oldestAPI is the oldest Engine API that strake speaks: Docker Engine 20.10.
const oldestAPI = "1.41"

// pingPatience is how long an engine may take to answer at all. One that systemd starts on the first connection takes its time.
const pingPatience = 30 * time.Second

// endpoint is where an engine is and how that was decided.
type endpoint struct {
	docker.Endpoint
	context string // name of the context; "" when a host was given
	origin  string // what named it, for people: "DOCKER_HOST", "context lab"
	local   bool   // its socket is on this machine
	machine string // see Options.Remote
}

// String is where the engine is, for people.
func (w endpoint) String() string {
	if w.machine != "" {
		return w.machine + " (over SSH)"
	}
	return w.Host + " (" + w.origin + ")"
}

// Open connects to an engine and negotiates the API version with one ping. A host that is given wins over
// a context that is given; then come DOCKER_HOST, DOCKER_CONTEXT, the configuration's current context
// and the default socket. DOCKER_API_VERSION pins the version.
//
// Its errors are *compose.HintedError where a person can do something: no engine answers, it is too old, or there is no
// such context. Source: docker/cli, cli/command/cli.go (order), Docker Engine API 1.41, /_ping (version).
func Open(ctx context.Context, o Options) (*Engine, error) {
	if o.Getenv == nil {
		o.Getenv = func(string) string { return "" }
	}
	dir := configDir(o)
	file, err := configuration(dir)
	if err != nil {
		return nil, err
	}
	where, err := locate(o, dir, file)
	if err != nil {
		return nil, err
	}
	if o.Remote != "" {
		where.local, where.machine = false, o.Remote
	}
	opts, err := where.ClientOpts()
	if err != nil {
		return nil, fmt.Errorf("read address of the engine %s: %w", where.Host, err)
	}
	opts = append(opts, client.WithUserAgent("strake"))
	if v := o.Getenv("DOCKER_API_VERSION"); v != "" {
		opts = append(opts, client.WithVersion(v))
	}
	api, err := client.NewClientWithOpts(opts...)
	if err != nil {
		return nil, fmt.Errorf("read address of the engine %s: %w", where.Host, err)
	}
	e := &Engine{api: api, config: file, where: where, program: o.Program, cacheDir: o.CacheDir}
	if err := e.negotiate(ctx); err != nil {
		return nil, errors.Join(err, api.Close())
	}
	return e, nil
}

// negotiate asks the engine for its version and takes the newest one that both sides speak.
func (e *Engine) negotiate(ctx context.Context) error {
	pinging, cancel := context.WithTimeout(ctx, pingPatience)
	defer cancel()
	ping, err := e.api.Ping(pinging)
	switch {
	case err == nil:
	case errors.Is(pinging.Err(), context.DeadlineExceeded):
		return silent(e.where)
	case ctx.Err() != nil:
		return context.Cause(ctx)
	default:
		return unreachable(e.where, err)
	}
	if olderAPI(cmp.Or(ping.APIVersion, "1.24"), oldestAPI) {
		return e.tooOld(ctx, ping.APIVersion)
	}
	e.api.NegotiateAPIVersionPing(ping)
	if pinned := e.api.ClientVersion(); olderAPI(pinned, oldestAPI) {
		return hint("unset DOCKER_API_VERSION, or set it to "+oldestAPI+" or newer",
			"DOCKER_API_VERSION asks for Engine API %s, strake needs %s or newer", pinned, oldestAPI)
	}
	return nil
}

// tooOld is the error for an engine of an API older than oldestAPI; it asks which release that is.
func (e *Engine) tooOld(ctx context.Context, apiVersion string) error {
	name := "the engine"
	if v, err := e.api.ServerVersion(ctx); err == nil {
		name = "Docker Engine " + v.Version
	}
	return hint("upgrade the engine at "+cmp.Or(e.where.machine, e.where.Host)+" to Docker Engine 20.10 or newer",
		"%s speaks API %s, strake needs %s (Docker Engine 20.10) or newer", name, cmp.Or(apiVersion, "1.24 or older"), oldestAPI)
}

func configDir(o Options) string {
	if dir := cmp.Or(o.Config, o.Getenv("DOCKER_CONFIG")); dir != "" {
		return dir
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "" // no home, no configuration
	}
	return filepath.Join(home, ".docker")
}

// configuration reads config.json of dir; a folder without one is an empty configuration.
func configuration(dir string) (*configfile.ConfigFile, error) {
	name := filepath.Join(dir, config.ConfigFileName)
	file := configfile.New(name)
	if dir == "" {
		return file, nil
	}
	f, err := os.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return file, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read docker's configuration: %w", err)
	}
	defer f.Close() // it was only read
	if err := file.LoadFromReader(f); err != nil {
		return nil, hint("correct the file, or point DOCKER_CONFIG at another folder", "read docker's configuration %s: %w", name, err)
	}
	return file, nil
}

// locate decides which engine is meant.
func locate(o Options, dir string, file *configfile.ConfigFile) (endpoint, error) {
	host, origin := o.Host, "--host"
	if host == "" && o.Context == "" {
		host, origin = o.Getenv("DOCKER_HOST"), "DOCKER_HOST"
	}
	name := cmp.Or(o.Context, o.Getenv("DOCKER_CONTEXT"), file.CurrentContext, "default")
	if host != "" || name == "default" {
		if host == "" {
			host, origin = client.DefaultDockerHost, "default"
		}
		return atHost(o, dir, host, origin)
	}
	s := store.New(filepath.Join(dir, "contexts"), store.NewConfig(
		func() any { return &map[string]any{} },
		store.EndpointTypeGetter(docker.DockerEndpoint, func() any { return &docker.EndpointMeta{} })))
	meta, err := s.GetMetadata(name)
	if err != nil {
		return endpoint{}, unknownContext(s, name, err)
	}
	ep, err := docker.EndpointFromContext(meta)
	if err != nil {
		return endpoint{}, fmt.Errorf("read docker context %s: %w", name, err)
	}
	full, err := docker.WithTLSData(s, name, ep)
	if err != nil {
		return endpoint{}, fmt.Errorf("read certificates of docker context %s: %w", name, err)
	}
	return endpoint{Endpoint: full, context: name, origin: "context " + name, local: isSocket(full.Host)}, nil
}

// atHost is the endpoint of a host that was given by itself, with the certificates that DOCKER_TLS_VERIFY and
// DOCKER_CERT_PATH name.
func atHost(o Options, dir, host, origin string) (endpoint, error) {
	if !strings.Contains(host, "://") {
		host = "tcp://" + host
	}
	ep := endpoint{Endpoint: docker.Endpoint{EndpointMeta: docker.EndpointMeta{Host: host}}, origin: origin, local: isSocket(host)}
	if origin == "default" {
		ep.context = "default"
	}
	verify, tls := o.Getenv("DOCKER_TLS_VERIFY") != "", o.Getenv("DOCKER_TLS") != ""
	if ep.local || (!verify && !tls) {
		return ep, nil
	}
	certs := cmp.Or(o.Getenv("DOCKER_CERT_PATH"), dir)
	ep.SkipTLSVerify = !verify
	data := &clicontext.TLSData{}
	for _, f := range []struct {
		name string
		into *[]byte
	}{{"ca.pem", &data.CA}, {"cert.pem", &data.Cert}, {"key.pem", &data.Key}} {
		content, err := os.ReadFile(filepath.Join(certs, f.name))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return endpoint{}, fmt.Errorf("read certificates of DOCKER_CERT_PATH: %w", err)
		}
		*f.into = content
	}
	ep.TLSData = data
	return ep, nil
}

// isSocket is whether the address is a socket or pipe of this machine.
func isSocket(host string) bool {
	scheme, _, _ := strings.Cut(host, "://")
	return scheme == "unix" || scheme == "npipe" || scheme == "fd"
}

// olderAPI compares two API versions, such as "1.41".
func olderAPI(a, b string) bool {
	return slices.Compare(versionNumbers(a), versionNumbers(b)) < 0
}

func versionNumbers(v string) []int {
	var out []int
	for part := range strings.SplitSeq(v, ".") {
		digits := part[:len(part)-len(strings.TrimLeft(part, "0123456789"))]
		n, _ := strconv.Atoi(digits) // what is no number counts as 0
		out = append(out, n)
	}
	return out
}

// hint is a *compose.HintedError: next is what a person does about it.
func hint(next, format string, args ...any) error {
	return &compose.HintedError{Err: fmt.Errorf(format, args...), Next: next}
}

// Local is whether the engine runs on this machine.
func (e *Engine) Local() bool { return e.where.local }

// SocketThere is where the engine's socket is on the engine's own machine, as a container that is given it has to name it.
func (e *Engine) SocketThere() string {
	if path, ok := strings.CutPrefix(e.where.Host, "unix://"); ok && e.where.local {
		return path
	}
	return "/var/run/docker.sock"
}
