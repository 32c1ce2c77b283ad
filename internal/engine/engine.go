// Package engine is a Docker Engine as a compose.Host.
//
// It is the only package that speaks the Docker Engine API. Step errors of the engine come back as
// sentences with a hint (explain.go); a container is what Docker Compose would make of the same service
// (config.go, host.go, mounts.go, endpoints.go).
package engine

import (
	"context"
	"sync"

	"github.com/docker/cli/cli/config/configfile"
	"github.com/docker/docker/client"

	"github.com/strake-dev/strake/compose"
)

// Options say which engine is meant. The zero value is the local engine at its default socket.
type Options struct {
	Host    string              // -H: unix://, tcp://, ssh://, npipe://; "" looks at Context, then at Getenv("DOCKER_HOST")
	Context string              // --context; "" looks at DOCKER_HOST, DOCKER_CONTEXT, then at the configuration's current one
	Config  string              // folder of config.json; "" is DOCKER_CONFIG or ~/.docker
	Getenv  func(string) string // nil is an empty environment
	// Remote is what people call the machine whose engine Host leads to, where Host is a socket that was forwarded from it; "" where a
	// socket is this machine's. Its files, ports and routes are not looked for here.
	Remote string
	// CacheDir holds the hashes of the files that are copied to another machine's engine; "" has every file read each time.
	CacheDir string
	// Program makes the image of this program be on the engine, at /strake in it, and returns its reference. It fills volumes by
	// CloneCommand where that is quicker than the engine; nil: the engine does.
	Program func(context.Context, *Engine) (ref string, err error)
}

// Engine is a connection to one Docker Engine. Its methods may be called at once from several goroutines.
type Engine struct {
	api    *client.Client         // negotiated by Open
	config *configfile.ConfigFile // the user's Docker configuration; never nil
	where  endpoint

	program  func(context.Context, *Engine) (string, error) // Options.Program
	cacheDir string                                         // Options.CacheDir

	facts    cell[compose.Engine]
	learns   sync.WaitGroup       // what Learn and Expect began; see Close
	unlearn  []context.CancelFunc // end it; under expected.mu
	expected expected             // what Expect asked for
	images   keyed[imageFacts]    // by reference and platform; see imageOf
	checks   keyed[check]         // healthchecks by container id; see Probe
	claim    sync.Mutex           // held while the empty image of claims is imported
	starts   sync.Mutex           // held during a start on engines that race on ports
	ports    reservations         // host ports given out by AutoPorts

	transfers transfers // pulls under way; see pull.go
}

var _ compose.Host = (*Engine)(nil)

// Close gives up the connection. Calls under way fail.
func (e *Engine) Close() error {
	e.expected.mu.Lock()
	for _, end := range e.unlearn {
		end()
	}
	e.expected.mu.Unlock()
	e.learns.Wait()
	return e.api.Close()
}

// apiAtLeast is whether the negotiated API version is v ("1.44") or newer.
func (e *Engine) apiAtLeast(v string) bool { return !olderAPI(e.api.ClientVersion(), v) }
