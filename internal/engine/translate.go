package engine

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/containerd/platforms"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strake-dev/strake/compose"
)

// surroundings is what a container's translation needs beside its spec. All of it is known before the create.
type surroundings struct {
	name      string // of the container
	api       string // negotiated version
	image     imageFacts
	links     []string               // legacy links, resolved: "container:alias"
	inherited []container.MountPoint // of the container that is replaced
	proxies   map[string]*string     // of the user's Docker configuration
	readFile  func(string) ([]byte, error)
	// isFolder is whether what is copied is a folder, or will be one. nil: nothing is copied, as the engine's machine is this one.
	isFolder func(compose.Copy) bool
}

// creation is a container in the engine's words.
type creation struct {
	config   *container.Config
	host     *container.HostConfig
	network  *network.NetworkingConfig // nil when a network mode says it all
	later    []attachment              // networks to connect after the create, in order
	platform *ocispec.Platform
	files    []file         // to put in before the start
	copies   []compose.Copy // likewise: folders have a volume of their own, which is mounted already
	hidden   []compose.Copy // files to put into a volume before the create; the nth is mounted out of it at n
	warnings []string       // sentences for people
}

// attachment is a network and how a container takes part in it.
type attachment struct {
	network  string // its name in the engine
	endpoint *network.EndpointSettings
}

// translate says a container in the engine's words, exactly as Docker Compose 2.40.3 does. What the engine is too old for
// is an error that names the attribute.
func translate(spec compose.ContainerSpec, in surroundings) (creation, error) {
	s := spec.Service
	var c creation
	var err error
	if err = refuse(s, in.api); err != nil {
		return c, err
	}
	health, err := healthcheck(s.HealthCheck, in.api)
	if err != nil {
		return c, err
	}
	mac, err := containerMAC(s, in.api)
	if err != nil {
		return c, err
	}
	c.config = &container.Config{
		Hostname: s.Hostname, Domainname: s.DomainName, User: s.User, WorkingDir: s.WorkingDir,
		Image: cmp.Or(in.image.held, spec.Image), Cmd: []string(s.Command), Entrypoint: []string(s.Entrypoint),
		Env: environment(in.proxies, s.Environment), Labels: labels(spec, in.image),
		ExposedPorts: exposedPorts(s), Tty: s.Tty, OpenStdin: s.StdinOpen,
		AttachStdin: spec.OneOff && s.StdinOpen, StdinOnce: spec.OneOff && s.StdinOpen, AttachStdout: true, AttachStderr: true,
		NetworkDisabled: s.NetworkMode == "disabled", StopSignal: s.StopSignal, StopTimeout: seconds(s.StopGracePeriod),
		Healthcheck: health,
		MacAddress:  mac, //nolint:staticcheck // the field for engines before API 1.44; empty for the others
	}
	var copies []compose.Copy
	if c.host, copies, err = hostConfig(spec, in); err != nil {
		return c, err
	}
	if err = c.arrange(copies, spec, in); err != nil {
		return c, err
	}
	mode, endpoints := attachments(spec, in)
	c.host.NetworkMode = container.NetworkMode(mode)
	if len(endpoints) > 0 {
		at := 1
		if !olderAPI(in.api, "1.44") {
			at = len(endpoints)
		}
		c.network = &network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{}}
		for _, a := range endpoints[:at] {
			c.network.EndpointsConfig[a.network] = a.endpoint
		}
		c.later = endpoints[at:]
	}
	if p := cmp.Or(s.Platform, spec.Project.Environment["DOCKER_DEFAULT_PLATFORM"]); p != "" {
		parsed, err := platforms.Parse(p)
		if err != nil {
			return c, fmt.Errorf("platform of service %s: %w", s.Name, err)
		}
		c.platform = &parsed
	}
	c.files, c.warnings, err = injected(spec)
	return c, err
}

// refuse names what the engine is too old for, instead of letting it drop the attribute silently.
func refuse(s compose.Service, api string) error {
	need := func(version, attribute string) error {
		return hint("upgrade the engine, or take the attribute out", "service %s: %s needs Engine API %s, the engine has %s", s.Name, attribute, version, api)
	}
	if len(s.Annotations) > 0 && olderAPI(api, "1.43") {
		return need("1.43", "annotations")
	}
	for _, key := range s.NetworksByPriority() {
		n := s.Networks[key]
		if n == nil {
			continue
		}
		if n.GatewayPriority != 0 && olderAPI(api, "1.48") {
			return need("1.48", "networks."+key+".gw_priority")
		}
		if n.InterfaceName != "" && olderAPI(api, "1.49") {
			return need("1.49", "networks."+key+".interface_name")
		}
	}
	for _, v := range s.Volumes {
		switch {
		case v.Type == "image" && olderAPI(api, "1.48"):
			return need("1.48", "a volume of type image at "+v.Target)
		case v.Volume != nil && v.Volume.Subpath != "" && olderAPI(api, "1.45"):
			return need("1.45", "volume.subpath at "+v.Target)
		case v.Bind != nil && (v.Bind.Recursive == "writable" || v.Bind.Recursive == "readonly") && olderAPI(api, "1.44"):
			return need("1.44", "bind.recursive at "+v.Target)
		}
	}
	return nil
}

// labels are the spec's with the image's id.
func labels(spec compose.ContainerSpec, img imageFacts) map[string]string {
	out := maps.Clone(spec.Labels)
	if out == nil {
		out = map[string]string{}
	}
	if img.present {
		out[compose.LabelImage] = img.ID
	}
	return out
}

// environment is KEY=VALUE, sorted; KEY alone takes the variable away from what the image sets.
func environment(below map[string]*string, over map[string]*string) []string {
	all := maps.Clone(below)
	if all == nil {
		all = map[string]*string{}
	}
	maps.Copy(all, over)
	var out []string
	for _, k := range slices.Sorted(maps.Keys(all)) {
		if v := all[k]; v != nil {
			out = append(out, k+"="+*v)
		} else {
			out = append(out, k)
		}
	}
	return out
}

// seconds is a duration in whole seconds, cut off; nil stays nil.
func seconds(d *compose.Duration) *int {
	if d == nil {
		return nil
	}
	n := int(time.Duration(*d).Seconds())
	return &n
}

// healthcheck is the engine's form of a healthcheck; nil leaves the image's own in force.
func healthcheck(h *compose.HealthCheck, api string) (*container.HealthConfig, error) {
	if h == nil {
		return nil, nil
	}
	span := func(d *compose.Duration) time.Duration {
		if d == nil {
			return 0
		}
		return time.Duration(*d)
	}
	out := &container.HealthConfig{Test: h.Test, Interval: span(h.Interval), Timeout: span(h.Timeout), StartPeriod: span(h.StartPeriod)}
	if h.Disable {
		out.Test = []string{"NONE"}
	}
	if h.Retries != nil {
		out.Retries = int(*h.Retries)
	}
	if h.StartInterval != nil {
		if olderAPI(api, "1.44") {
			return nil, hint("take start_interval out, or upgrade the engine to 25 or newer",
				"healthcheck.start_interval needs Engine API 1.44, the engine has %s", api)
		}
		out.StartInterval = span(h.StartInterval)
	}
	return out, nil
}

// containerName is the name that the service's container answers to on its networks; while it replaces another one it is created
// under a different name.
func containerName(spec compose.ContainerSpec, created string) string {
	if spec.Service.ContainerName != "" {
		return spec.Service.ContainerName
	}
	if spec.Number > 0 {
		return strings.Join([]string{spec.Project.Name, spec.Service.Name, fmt.Sprint(spec.Number)}, "-")
	}
	return created
}
