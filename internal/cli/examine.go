package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/engine"
)

// examineDeadline bounds each thing that is asked of the engine or of the network.
const examineDeadline = 20 * time.Second

// examine makes all checks, in the order in which they are printed.
func examine(ctx context.Context, s Streams, o projectOptions) []finding {
	all := examineEngine(ctx, s, o)
	return append(all, localhostNames(ctx), credentials(s))
}

// examineEngine are the checks that need the engine; one that does not answer is the only finding.
func examineEngine(ctx context.Context, s Streams, o projectOptions) []finding {
	ctx, cancel := context.WithTimeout(ctx, examineDeadline)
	defer cancel()
	e, err := open(ctx, s, o)
	if err != nil {
		return []finding{{"engine", isBroken, err.Error(), orElse(hintOf(err), "start the Docker engine, or name another one with --host or --context")}}
	}
	defer func() { _ = e.Close() }() // everything was asked and answered
	return examineOpen(ctx, s, e, nil)
}

// examineOpen are the checks of an engine; look, when not nil, finds out what only the machine of an engine elsewhere knows.
func examineOpen(ctx context.Context, s Streams, e *engine.Engine, look func(context.Context, engine.Facts) ([]finding, disk)) []finding {
	asked := s.Now()
	f, err := e.Facts(ctx)
	if err != nil {
		return []finding{{"engine", isBroken, err.Error(), hintOf(err)}}
	}
	answered := s.Now()
	where := f.Endpoint
	if f.Context != "" {
		where += " (context " + f.Context + ")"
	}
	all := []finding{{"engine", isFine, fmt.Sprintf("%s %s on %s, %s/%s, at %s", f.Product, f.Version, f.OperatingSystem, f.OS, f.Arch, where), ""}, apiVersion(f)}
	all = append(all, known(f)...)
	d := diskOf(f)
	if look != nil {
		var more []finding
		more, d = look(ctx, f)
		all = append(all, more...)
	}
	all = append(all, finding{"image store", isFine, f.ImageStore + ", storage driver " + f.StorageDriver, ""}, d.room(f))
	all = append(append(all, d.fileSystem(f)...), addressPools(f), clock(f, asked, answered), buildKit(ctx, s, e))
	for _, w := range f.Warnings {
		all = append(all, finding{"engine says", isDoubted, strings.TrimPrefix(w, "WARNING: "), ""})
	}
	return all
}

func orElse(text, other string) string {
	if text == "" {
		return other
	}
	return text
}

func apiVersion(f engine.Facts) finding {
	return finding{"API", isFine, fmt.Sprintf("%s is spoken; strake needs 1.41 at least", f.APIVersion), ""}
}

// known says what is known of engines other than Docker's own on this machine.
func known(f engine.Facts) []finding {
	var all []finding
	where := strings.ToLower(f.Context + " " + f.Endpoint)
	switch {
	case strings.Contains(f.Product, "Podman"):
		all = append(all, finding{"Podman", isDoubted, "answers Docker's API, but without BuildKit's build sessions, and its health events come otherwise",
			"images that are there already run; for builds use a Docker Engine. strake is not tested with Podman"})
	case strings.Contains(f.OperatingSystem, "Docker Desktop"):
		all = append(all, finding{"Docker Desktop", isFine, "the engine runs in a virtual machine: bind mounts are slower than volumes, and only shared folders can be mounted",
			"keep dependencies (node_modules, .venv) in volumes; share the project's folder in Settings, Resources, File sharing"})
	case strings.Contains(where, "colima"):
		all = append(all, finding{"Colima", isFine, "the engine runs in a virtual machine that mounts your home folder only; UDP ports are not forwarded by default",
			"keep the project below your home folder; colima start --cpu 4 --memory 8 gives it room"})
	}
	if f.Rootless {
		all = append(all, finding{"rootless", isDoubted, "the engine runs without root: ports below 1024 and limits of CPU and IO need a setting of the system",
			"sysctl net.ipv4.ip_unprivileged_port_start=0 for low ports; delegate cgroups to the user for limits"})
	}
	return all
}

// Disk space under which pulls and builds are likely to fail, and under which they are in doubt.
const (
	fullBytes    = 1 << 30
	crowdedBytes = 5 << 30
)

// disk is that of the engine's data.
type disk struct {
	kind, cloning string // as fileSystemOf has them
	free          uint64
	err           error // why free is not known
}

// diskOf is that of an engine on this machine; of one elsewhere it is not looked at.
func diskOf(f engine.Facts) (d disk) {
	if !f.Local {
		d.err = errors.New("not looked at: the engine is not on this machine")
		return d
	}
	d.kind, d.cloning = fileSystemOf(f.DockerRootDir)
	if d.free, d.err = freeBytes(f.DockerRootDir); d.err != nil {
		d.err = fmt.Errorf("free space of %s is unknown: %w", f.DockerRootDir, d.err)
	}
	return d
}

// room says how much is free.
func (d disk) room(f engine.Facts) finding {
	out := finding{Check: "disk", Verdict: isFine}
	if d.err != nil {
		out.Found = d.err.Error()
		return out
	}
	out.Found = fmt.Sprintf("%d MiB free in %s", d.free>>20, f.DockerRootDir)
	const next = "docker system df shows what takes the room, docker image prune removes images without a name"
	switch {
	case d.free < fullBytes:
		out.Verdict, out.Do = isBroken, next
	case d.free < crowdedBytes:
		out.Verdict, out.Do = isDoubted, next
	}
	return out
}

// defaultPools is how many networks the engine's default address pools have room for: 15 of /16 and 16 of /20.
// Source: moby, libnetwork/ipamutils.
const defaultPools = 31

func addressPools(f engine.Facts) finding {
	d := finding{Check: "address pools", Verdict: isFine, Found: plural(f.Networks, "network")}
	if len(f.AddressPools) > 0 {
		d.Found += " in " + strings.Join(f.AddressPools, ", ")
		return d
	}
	d.Found += fmt.Sprintf(" of the about %d that the default pools have room for", defaultPools)
	if f.Networks > defaultPools-6 {
		d.Verdict, d.Do = isDoubted, "docker network prune removes unused ones; default-address-pools in the engine's daemon.json makes room for more"
	}
	return d
}

// A clock that is off by more makes tokens, certificates and build caches misbehave.
const clockTolerance = 2 * time.Second

func clock(f engine.Facts, asked, answered time.Time) finding {
	d := finding{Check: "clock", Verdict: isFine, Found: "the engine's agrees with this machine's"}
	if f.Clock.IsZero() {
		d.Found = "the engine does not say the time"
		return d
	}
	off := max(asked.Sub(f.Clock), f.Clock.Sub(answered))
	if off > clockTolerance {
		d.Verdict, d.Found = isDoubted, "the engine's is off by "+span(off)
		d.Do = "restart the engine's virtual machine, or switch on time synchronisation (NTP) where it runs"
	}
	return d
}

// doctorImage is what the build of the check is tagged, for the moment that it is there.
const doctorImage = "strake-doctor:check"

// buildKit builds an empty image, which needs no network, and removes it again.
func buildKit(ctx context.Context, s Streams, e *engine.Engine) finding {
	d := finding{Check: "builds", Verdict: isBroken}
	dir, err := os.MkdirTemp("", "strake-doctor-")
	if err != nil {
		d.Found = err.Error()
		return d
	}
	defer func() { _ = os.RemoveAll(dir) }() // in the system's folder for such things
	const file = "name: strake-doctor\nservices:\n  check:\n    image: " + doctorImage + "\n    build:\n      context: .\n      dockerfile_inline: |\n        FROM scratch\n        COPY empty /\n"
	err = errors.Join(os.WriteFile(filepath.Join(dir, "compose.yaml"), []byte(file), 0o600), os.WriteFile(filepath.Join(dir, "empty"), nil, 0o600))
	var p *compose.Project
	if err == nil {
		p, err = compose.Load(ctx, compose.LoadOptions{Dir: dir, Files: []string{filepath.Join(dir, "compose.yaml")}})
	}
	began := s.Now()
	if err == nil {
		ref := compose.ImageRef{Ref: doctorImage}
		err = e.Do(ctx, compose.Step{Op: compose.BuildImage, Name: doctorImage, Service: "check",
			Image: &compose.ImageStep{ImageRef: ref, Project: p, Service: "check", Offline: true}}, nil)
		// An image that could not be built is not there to be removed.
		_ = e.Do(ctx, compose.Step{Op: compose.RemoveImage, Name: doctorImage, Target: doctorImage}, nil)
	}
	if err != nil {
		d.Found, d.Do = "BuildKit does not build: "+err.Error(), orElse(hintOf(err), "images that are there already run; builds need an engine with BuildKit")
		return d
	}
	return finding{"builds", isFine, "BuildKit built an empty image in " + span(s.Now().Sub(began)), ""}
}

// localhostNames checks whether names below localhost lead to this machine, as RFC 6761 wants it.
func localhostNames(ctx context.Context) finding {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	addresses, err := net.DefaultResolver.LookupHost(ctx, "strake.localhost")
	ok := err == nil && len(addresses) > 0 && !slices.ContainsFunc(addresses, func(a string) bool { return !net.ParseIP(a).IsLoopback() })
	if ok {
		return finding{"*.localhost", isFine, "leads to this machine", ""}
	}
	return finding{"*.localhost", isDoubted, "does not lead to this machine for programs here (browsers and curl see to it themselves)",
		"install libnss-myhostname or systemd-resolved, or add the names that you need to /etc/hosts"}
}

// credentials checks that the helpers that Docker's configuration names can be run.
func credentials(s Streams) finding {
	d := finding{Check: "credentials", Verdict: isFine}
	dir := s.getenv("DOCKER_CONFIG")
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			d.Found = "no home folder, so no credentials"
			return d
		}
		dir = filepath.Join(home, ".docker")
	}
	file := filepath.Join(dir, "config.json")
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		d.Found = "none: " + file + " is not there; public images can be pulled"
		return d
	}
	var c struct {
		Auths       map[string]json.RawMessage `json:"auths"`
		CredsStore  string                     `json:"credsStore"`
		CredHelpers map[string]string          `json:"credHelpers"`
	}
	if err == nil {
		err = json.Unmarshal(text, &c)
	}
	if err != nil {
		return finding{"credentials", isBroken, fmt.Sprintf("%s cannot be read: %v", file, err), "put it right, or remove it and run docker login"}
	}
	helpers := map[string]bool{}
	if c.CredsStore != "" {
		helpers[c.CredsStore] = true
	}
	for _, h := range c.CredHelpers {
		helpers[h] = true
	}
	var missing []string
	for h := range helpers {
		if _, err := exec.LookPath("docker-credential-" + h); err != nil {
			missing = append(missing, "docker-credential-"+h)
		}
	}
	slices.Sort(missing)
	if len(missing) > 0 {
		return finding{"credentials", isDoubted, fmt.Sprintf("%s names %s, which is not on PATH", file, strings.Join(missing, ", ")),
			"install it, or take credsStore and credHelpers out of the file and run docker login"}
	}
	d.Found = fmt.Sprintf("%s: %s, %s", file, plural(len(c.Auths), "registry login"), plural(len(helpers), "helper"))
	return d
}
