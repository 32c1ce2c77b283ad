package cli

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/engine"
	"github.com/strake-dev/strake/internal/seed"
	"github.com/strake-dev/strake/previews"
)

// previewing is what commands on previews need.
type previewing struct {
	engine  *engine.Engine
	manager *previews.Manager
	project string
	policy  compose.PreviewSettings
	sources *previewSources
	claim   compose.ConvergeOptions
	show    *progress
	ec2     *machined // where previews run on machines of EC2; nil elsewhere
	lost    bool      // a connection broke off: claims that this process could not give back are nobody's
}

// isAlive is whether an owner may still be at work.
func (w *previewing) isAlive(o compose.Owner) bool {
	own := w.claim.Owner
	if w.ec2 != nil && !aliveOn(w.ec2.machine)(o) {
		return false
	}
	return isAlive(o) && !(w.lost && o.Machine == own.Machine && o.Boot == own.Boot && o.PID == own.PID)
}

// close gives up the engine.
func (w *previewing) close() {
	w.show.close()
	closeUnused(w.engine) // everything was asked and answered
	if w.sources != nil {
		closeUnused(w.sources.here)
	}
	if w.ec2 != nil && w.ec2.way != nil {
		if err := w.ec2.way.Close(context.Background()); err != nil {
			w.show.warn(err.Error())
		}
	}
}

// beginPreviews reads the policy of the project's default branch and connects to the engine. Where previews run on machines of EC2 there is none
// before reach or launch.
func beginPreviews(ctx context.Context, s Streams, o previewOptions, command string) (*previewing, error) {
	w := &previewing{show: newProgress(s, o.JSON, "reading the project")}
	sources, err := newPreviewSources(s, o.Project, w.show.warn)
	if err != nil {
		return nil, err
	}
	sources.say = w.show.say
	var policy previews.Policy
	var both errgroup.Group
	both.Go(func() (err error) { policy, err = sources.Policy(ctx); return err })
	var e *engine.Engine
	var openErr error
	both.Go(func() error { e, openErr = open(ctx, s, o.Project); return nil })
	err = both.Wait()
	w.sources, w.project, w.policy = sources, policy.Project, policy.Settings.Previews.WithDefaults(policy.Project)
	away := err == nil && w.policy.Host == compose.HostEC2
	if err == nil && !away {
		err = openErr
	}
	if err != nil {
		w.show.close()
		closeUnused(e)
		return nil, err
	}
	w.claim = compose.ConvergeOptions{Owner: owner(s, command), Alive: w.isAlive, NoWait: o.NoWait, Planned: w.show.planned,
		Held: func(held *compose.HeldError) { w.show.warn("waiting: " + held.Error()) }, Run: compose.RunOptions{Note: w.show.note}}
	if away {
		sources.here = e // nil where there is none: images are had elsewhere then
		if err := w.onEC2(ctx, s); err != nil {
			w.close()
			return nil, err
		}
		return w, nil
	}
	w.use(s, e)
	return w, nil
}

// use has the previews be on an engine.
func (w *previewing) use(s Streams, e *engine.Engine) {
	w.engine, w.sources.engine = e, e
	router, name := &gatewayHost{streams: s, engine: e, owner: w.claim}, string(compose.HostLocal)
	if w.ec2 != nil {
		router.public, router.from, name = true, w.ec2.authority, string(compose.HostEC2)
	}
	w.manager = &previews.Manager{Host: previewHost{e}, Router: router,
		Seeds: previewSeeds{s, e, w.sources, w.isAlive}, Sources: w.sources, HostName: name, Claim: w.claim, Version: buildVersion(), Now: s.Now,
		Inputs: compose.InputOptions{CacheDir: cacheDir(s)}, Note: w.show.say}
	if w.ec2 != nil {
		w.manager.Named = w.point
	}
}

// previewHost is an engine as previews need it.
type previewHost struct{ *engine.Engine }

var _ previews.Host = previewHost{}

// Log is the last lines that a container printed.
func (h previewHost) Log(ctx context.Context, container string) string {
	return lastLines(ctx, h.Engine, container)
}

// Subnets are those of the engine's networks and, of an engine on this machine, what its routes lead to.
func (h previewHost) Subnets(ctx context.Context) ([]netip.Prefix, error) {
	all, err := h.Engine.Subnets(ctx)
	if err != nil || !h.Local() {
		return all, err
	}
	if f, err := os.Open("/proc/net/route"); err == nil && runtime.GOOS == "linux" {
		defer f.Close() // only read
		all = append(all, routesIn(f)...)
	}
	return all, nil
}

// Room is what an engine on this machine has left; of one elsewhere it is unknown.
func (h previewHost) Room(ctx context.Context) (previews.Room, error) {
	f, err := h.Facts(ctx)
	r := previews.Room{CPUs: f.CPUs}
	if err != nil || !f.Local {
		return r, err
	}
	if free, err := freeBytes(f.DockerRootDir); err == nil { // that of Docker Desktop is not to be seen
		r.Disk = int64(free)
	}
	if text, err := os.ReadFile("/proc/meminfo"); err == nil {
		r.Memory = availableIn(string(text))
	}
	return r, nil
}

// availableIn is how much memory can be had without swapping, in bytes; 0 where that is not said.
// Source: proc(5), /proc/meminfo, MemAvailable in KiB.
func availableIn(meminfo string) int64 {
	for line := range strings.Lines(meminfo) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "MemAvailable:" {
			n, _ := strconv.ParseInt(fields[1], 10, 64) // 0 is unknown
			return n << 10
		}
	}
	return 0
}

// routesIn are the networks of a routing table, but for the way to everywhere.
// Source: proc(5), /proc/net/route: addresses in hexadecimal, the lowest byte first.
func routesIn(r io.Reader) []netip.Prefix {
	var all []netip.Prefix
	for lines := bufio.NewScanner(r); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 8 {
			continue
		}
		to, err := hex.DecodeString(fields[1])
		mask, err2 := hex.DecodeString(fields[7])
		if err != nil || err2 != nil || len(to) != 4 || len(mask) != 4 {
			continue
		}
		bits := 0
		for _, b := range mask {
			for ; b != 0; b <<= 1 {
				bits++
			}
		}
		if bits > 0 {
			all = append(all, netip.PrefixFrom(netip.AddrFrom4([4]byte{to[3], to[2], to[1], to[0]}), bits).Masked())
		}
	}
	return all
}

// previewSeeds makes seeds for previews as `seed build` does.
type previewSeeds struct {
	streams Streams
	engine  *engine.Engine
	sources *previewSources
	alive   func(compose.Owner) bool
}

var _ previews.Seeds = previewSeeds{}

// IsSeed is whether an image with these labels holds data of a seed.
func (previewSeeds) IsSeed(labels map[string]string) bool { return labels[seed.LabelProject] != "" }

// Drop removes the seeds that were made for one preview.
func (v previewSeeds) Drop(ctx context.Context, held compose.Host, stack, but string) (gone, left []string, err error) {
	return seed.Drop(ctx, seedEngine{v.engine}, held, stack, but)
}

// Seal finds the seed of a project whose images are there: on the previews' engine, in the policy's registry, on this machine's engine, or that of a
// commit before on which only the migrations have to run. Where there is none it makes one that is the stack's own.
func (v previewSeeds) Seal(ctx context.Context, stack, commit string, p *compose.Project, note func(string)) (previews.Seeded, error) {
	if len(seed.Services(p)) == 0 {
		return previews.Seeded{}, nil
	}
	k, err := seedFacts(ctx, v.streams, p, v.engine, v.sources.options)
	if err != nil {
		return previews.Seeded{}, err
	}
	if err := k.pullFirst(ctx, v.streams, v.sources.options, false); err != nil {
		return previews.Seeded{}, err
	}
	key, how := k.facts.Key(), ""
	found, err := seed.Find(ctx, v.engine, p, key)
	if err == nil && found == nil {
		found, how, err = v.sources.bringSeed(ctx, p, key)
	}
	if err == nil && found == nil {
		var built bool
		if found, built, err = v.own(ctx, k, stack, commit, note); built {
			how = "built"
		}
	}
	if err != nil {
		return previews.Seeded{}, err
	}
	s := previews.Seeded{Key: found.Key, How: how, Apply: func(p *compose.Project) *compose.Project { return seed.Apply(p, found, seed.Layer, nil) }}
	for name, sealed := range found.Sealed {
		if sealed.Volumes == nil {
			s.Holders = append(s.Holders, name)
		}
	}
	return s, nil
}

// own finds the nearest seed on which a preview's own migrations run, or makes one that no other stack starts from; false: it was there.
func (v previewSeeds) own(ctx context.Context, k seeding, stack, commit string, note func(string)) (*seed.Seed, bool, error) {
	k.facts.For = stack
	o, err := k.withBase(ctx, sealing(v.streams, k.facts, k.state, "preview open", false))
	if err != nil {
		return nil, false, err
	}
	o.Claim.Alive = v.alive
	o.Commits, o.Clean, o.Note = ancestorsOf(ctx, v.streams, v.sources.dir, commit), true, note
	key := k.facts.Key()
	found, err := seed.Find(ctx, v.engine, k.p, key)
	if err != nil || found != nil {
		return found, false, err
	}
	near, err := seed.Nearest(ctx, seedEngine{v.engine}, k.p, o)
	if err != nil {
		return nil, false, err
	}
	if near != "" {
		note("starting from seed " + near + " of a commit before: the migrations run on it")
		found, err := namedSeed(ctx, v.engine, k.p, near)
		return found, false, err
	}
	found, built, err := seed.Build(ctx, seedEngine{v.engine}, k.p, o)
	if step := (*seed.StepError)(nil); errors.As(err, &step) {
		err = &previews.StepError{Service: step.Service, Log: step.Log, Err: err}
	}
	if err != nil {
		return nil, false, err
	}
	note("made for this preview alone; strake seed build on the default branch makes one that all previews start from")
	return found, built, nil
}
