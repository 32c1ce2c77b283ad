package engine

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/containerd/platforms"
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/system"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/strake-dev/strake/compose"
)

// snapshotter is what an engine with the containerd image store says in its driver status.
const snapshotter = "io.containerd.snapshotter.v1"

// askFacts is what plans depend on, from one call.
func (e *Engine) askFacts(ctx context.Context) (compose.Engine, error) {
	info, err := e.api.Info(ctx)
	if err != nil {
		return compose.Engine{}, fmt.Errorf("ask the engine what it is: %w", err)
	}
	p := platforms.Normalize(ocispec.Platform{OS: info.OSType, Architecture: info.Architecture})
	return compose.Engine{Name: "Docker Engine " + plainVersion(info.ServerVersion), APIVersion: e.api.ClientVersion(),
		OS: p.OS, Arch: p.Architecture, ImageStore: imageStore(info), Remote: !e.where.local}, nil
}

// Learn begins to ask for what Observe and Build want to know of the engine, which takes it a while, and returns; it is called once, before
// them. They wait for the answer while they ask for everything else. An error is left to them: they ask again. Close ends it.
// Source: Docker Engine API 1.41, GET /info.
func (e *Engine) Learn(ctx context.Context) {
	ctx = e.untilClose(ctx)
	e.learns.Go(func() { _, _ = e.facts.of(ctx, e.askFacts) }) // as above
}

// untilClose is ctx until Close, for what is asked in advance.
func (e *Engine) untilClose(ctx context.Context) context.Context {
	ctx, end := context.WithCancel(ctx)
	e.expected.mu.Lock()
	defer e.expected.mu.Unlock()
	e.unlearn = append(e.unlearn, end)
	return ctx
}

// plainVersion is a version without a packager's suffix: 20.10.24 of 20.10.24+dfsg1.
func plainVersion(v string) string {
	v, _, _ = strings.Cut(v, "+")
	return v
}

func imageStore(info system.Info) string {
	for _, row := range info.DriverStatus {
		if row[0] == "driver-type" && row[1] == snapshotter {
			return "containerd"
		}
	}
	return "graphdriver"
}

// Facts is what doctor asks of an engine.
type Facts struct {
	Product                                                                      string // "Docker Engine", "Podman Engine"
	Version, APIVersion, MinAPIVersion, OS, Arch, KernelVersion, OperatingSystem string
	StorageDriver, ImageStore, DockerRootDir, BackingFilesystem                  string
	Rootless                                                                     bool
	CgroupVersion                                                                string
	AddressPools                                                                 []string  // such as "172.17.0.0/16 in /24"; nil is the engine's own choice
	Networks                                                                     int       // how many there are
	Clock                                                                        time.Time // the engine's
	Local                                                                        bool      // it runs on this machine
	Endpoint, Context                                                            string    // Endpoint is an address, or Options.Remote
	CPUs                                                                         int
	MemoryBytes                                                                  int64
	Warnings                                                                     []string
}

// Facts asks the engine. APIVersion is the negotiated one.
func (e *Engine) Facts(ctx context.Context) (Facts, error) {
	var info system.Info
	var version types.Version
	var networks []network.Summary
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) { info, err = e.api.Info(gctx); return err })
	g.Go(func() (err error) { version, err = e.api.ServerVersion(gctx); return err })
	g.Go(func() (err error) { networks, err = e.api.NetworkList(gctx, network.ListOptions{}); return err })
	if err := g.Wait(); err != nil {
		return Facts{}, fmt.Errorf("ask the engine what it is: %w", e.explainCall(ctx, err))
	}
	f := Facts{
		Product: "Docker Engine", Version: plainVersion(version.Version), APIVersion: e.api.ClientVersion(), MinAPIVersion: version.MinAPIVersion,
		OS: version.Os, Arch: version.Arch, KernelVersion: version.KernelVersion, OperatingSystem: info.OperatingSystem,
		StorageDriver: info.Driver, ImageStore: imageStore(info), DockerRootDir: info.DockerRootDir, CgroupVersion: info.CgroupVersion,
		Networks: len(networks), Local: e.where.local, Endpoint: cmp.Or(e.where.machine, e.where.Host), Context: e.where.context,
		CPUs: info.NCPU, MemoryBytes: info.MemTotal, Warnings: info.Warnings,
	}
	for _, c := range version.Components {
		if strings.HasPrefix(c.Name, "Podman") {
			f.Product = c.Name
		}
	}
	for _, row := range info.DriverStatus {
		if strings.EqualFold(row[0], "Backing Filesystem") {
			f.BackingFilesystem = row[1]
		}
	}
	for _, o := range info.SecurityOptions {
		f.Rootless = f.Rootless || strings.Contains(o, "name=rootless")
	}
	for _, p := range info.DefaultAddressPools {
		f.AddressPools = append(f.AddressPools, fmt.Sprintf("%s in /%d", p.Base, p.Size))
	}
	if at, err := time.Parse(time.RFC3339Nano, info.SystemTime); err == nil { // the zero time says that it does not tell
		f.Clock = at.UTC()
	}
	return f, nil
}
