package compose

import (
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Scope says what Observe looks at.
type Scope struct {
	// Project selects containers, networks and volumes by label.
	Project string
	// Label selects those that have it beside: "name" whatever its value, or "name=value"; "" selects none.
	Label string
	// Images are references to look up beside, each with the platform that is wanted of it.
	Images []ImageRef
	// Networks, Volumes and Containers are names to look up whatever their labels say: external
	// ones, and names that something foreign may hold already.
	Networks, Volumes, Containers []string
	// Files are paths to look at in the containers of a service, by its name: the texts that were put there.
	Files map[string][]string
	// Copies are the bind mounts of a service, by its name, that are read where the engine is Remote.
	Copies map[string][]Copy
}

// Selects is whether Project or Label choose what has these labels.
func (s Scope) Selects(labels map[string]string) bool {
	name, value, exact := strings.Cut(s.Label, "=")
	have, ok := labels[name]
	return s.Project != "" && labels[LabelProject] == s.Project || s.Label != "" && ok && (!exact || have == value)
}

// ImageRef names an image as a compose file does. Platform is os/arch[/variant]; "" is the engine's own.
type ImageRef struct{ Ref, Platform string }

// State is what a Host holds of one project. The zero State is an empty engine of unknown version.
// Slices are sorted by name, so that equal engines give equal States.
type State struct {
	Project    string // Scope.Project
	Engine     Engine
	Containers []Container // of the project (one-offs and replacements too), and those of Scope.Containers
	Networks   []Network   // of the project, and those of Scope.Networks
	Volumes    []Volume    // of the project, and those of Scope.Volumes
	// Images holds each image of Scope.Images that is present, under the reference that was asked for.
	Images map[string]Image
	// Copies holds what Scope.Copies are, by service, where the engine is Remote; nil elsewhere.
	Copies map[string]Copied
}

// Engine says what a Host's engine can do.
type Engine struct {
	Name       string // as people say it: "Docker Engine 28.5.2"
	APIVersion string // negotiated, such as "1.41"; "" is unknown and taken as new enough for everything
	OS, Arch   string // as image platforms write them: linux, amd64
	ImageStore string // "graphdriver" or "containerd"
	Remote     bool   // on another machine: its files are not those that are here
}

// ContainerStatus is the state of a container as the engine says it.
// Source: Docker Engine API 1.41, ContainerState.Status.
type ContainerStatus string

// The container states of the engine.
const (
	Created    ContainerStatus = "created"
	Running    ContainerStatus = "running"
	Paused     ContainerStatus = "paused"
	Restarting ContainerStatus = "restarting"
	Removing   ContainerStatus = "removing"
	Exited     ContainerStatus = "exited"
	Dead       ContainerStatus = "dead"
)

// Health is the engine's verdict on a running container; "" where it has no healthcheck.
type Health string

// The verdicts of the engine.
const (
	NoHealth  Health = ""
	Starting  Health = "starting"
	Healthy   Health = "healthy"
	Unhealthy Health = "unhealthy"
)

// Container is one observed container.
type Container struct {
	ID, Name string
	Image    string // id of the image that it was made from
	ImageRef string // the reference that it was created with
	Labels   map[string]string
	Status   ContainerStatus
	Health   Health
	ExitCode int // meaningful when Status is Exited
	Created  time.Time
	// Command is what it runs, entrypoint and arguments in one text, as the engine's list has it.
	Command string
	// StatusText is the engine's own phrase, such as "Up 2 minutes (healthy)".
	StatusText string
	Networks   map[string]string // network name → network id, as attached
	// NetworkMode is "host", "none" or "container:<id>" where it has no networks of its own, else "".
	NetworkMode string
	Mounts      []Mount
	Ports       []Port
	// Files holds, of each path of Scope.Files, the SHA-256 in hex of the text that CreateContainer put there; a path
	// is absent when there is no such file, or when it was written since.
	Files map[string]string
}

// Mount is where a container has storage mounted.
type Mount struct {
	Type   string // bind, volume, tmpfs, image, npipe
	Name   string // of the volume; "" for others
	Driver string // of the volume, local for one of the engine's own; "" for others
	Source string // path on the host; for volumes the engine's own
	Target string
}

// Port is a container's port, published or only exposed.
type Port struct {
	HostIP    string
	Published uint16 // 0 when it is only exposed
	Target    uint16
	Protocol  string // tcp, udp, sctp
}

// Network is one observed network.
type Network struct {
	ID, Name, Driver string
	Labels           map[string]string
	Subnets          []netip.Prefix // as the engine has them; those that cannot be read are left out
	Internal         bool           // nothing leads from it to other networks
	Closed           bool           // the machine that it is on has no address on it (ClosedOptions)
	Created          time.Time
}

// Volume is one observed volume.
type Volume struct {
	Name, Driver string
	Labels       map[string]string
}

// Image is one observed image.
type Image struct {
	ID       string // digest that the engine knows it by
	Labels   map[string]string
	Platform string // os/arch[/variant]
	Created  time.Time
	Tagged   time.Time // when it was last tagged or pulled here; zero if the engine does not say
	// Content is a digest of the layers and of what a container takes from the image's configuration: equal on every
	// engine that has the image, unlike ID. "" where the Host does not say.
	Content string
	// Digests are the references by which registries have it, such as postgres@sha256:…; none where it came from no registry, or the engine
	// forgot. Config is the digest of its configuration; "" where the engine does not say.
	Digests []string
	Config  string
	// Volumes are the paths of the image's VOLUME instructions.
	Volumes []string
	// HasHealthcheck is whether the image brings a healthcheck of its own.
	HasHealthcheck bool
}

// Service is the service that the container belongs to, "" for a foreign one.
func (c Container) Service() string { return c.Labels[LabelService] }

// FillMark is the name of the container that is there while a volume is filled, FillData that of the one which fills it, FillClear that of one
// which is there while a volume is removed that is not whole, and says that FillData was seen and nobody used the volume since.
func FillMark(volume string) string  { return "strake-fill-mark-" + volume }
func FillData(volume string) string  { return "strake-fill-data-" + volume }
func FillClear(volume string) string { return "strake-fill-clear-" + volume }

// isFilling is whether the container says of a volume that it is not whole: it goes with the volume, or when that is whole.
func (s State) isFilling(c Container) bool {
	return c.IsFillMark() || c.fills() && slices.Contains(halfFilled(s, c.Labels[LabelProject]), c.Labels[LabelFilling])
}

// fills is whether the container fills a volume, or did, or is of its removal.
func (c Container) fills() bool {
	volume := c.Labels[LabelFilling]
	return volume != "" && (c.Name == FillData(volume) || c.Name == FillClear(volume))
}

// IsFillMark is whether the container says of a volume, by LabelFilling, that it is being filled. The label alone says nothing: anybody's
// image may have it.
func (c Container) IsFillMark() bool {
	return c.Labels[LabelFilling] != "" && c.Name == FillMark(c.Labels[LabelFilling]) && c.Status == Created
}

// IsOneOff is whether `run` made the container.
func (c Container) IsOneOff() bool { return c.Labels[LabelOneOff] == "True" }
