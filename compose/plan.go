package compose

import (
	"fmt"
	"strings"
	"time"
)

// Op is what a Step does.
type Op string

// The operations that a Host carries out. Each is idempotent: done twice it leaves what done once does.
const (
	// PullImage fetches Step.Image. With Step.Image.Present, a missing network is a warning and not an error.
	PullImage Op = "pull"
	// BuildImage builds Step.Image.Build and tags the result Step.Image.Ref.
	BuildImage Op = "build"
	// CreateNetwork makes Step.Network under Step.Name; one that is there with the project's labels is success.
	CreateNetwork Op = "create network"
	// RemoveNetwork removes network Step.Target (a name or an id); an absent one is success.
	RemoveNetwork Op = "remove network"
	// CreateVolume makes Step.Volume under Step.Name, with the data of Step.Fill; one that is there is success. While it is filled
	// there is a container with LabelFilling; after a failure neither that nor the volume is there, unless the Host could not remove them.
	CreateVolume Op = "create volume"
	// RemoveVolume removes volume Step.Target and its data; an absent one is success. With Step.Fill what an interrupted fill of
	// it left is removed too.
	RemoveVolume Op = "remove volume"
	// RemoveImage removes the tag Step.Target; an absent one is success.
	RemoveImage Op = "remove image"
	// CreateContainer creates Step.Container under Step.Name; one of this name with the same config hash is success.
	CreateContainer Op = "create"
	// RunHook creates Step.Container, runs it until it exits and removes it. A code other than 0 is an error.
	RunHook Op = "run hook"
	// ExecHook runs Step.Hook in the running container Step.Target. A code other than 0 is an error.
	ExecHook Op = "exec hook"
	// StartContainer starts container Step.Target; a running one is success.
	StartContainer Op = "start"
	// StopContainer stops container Step.Target, kills it after Step.Grace (nil: the container's own), and
	// returns when it is not running; an absent or stopped one is success.
	StopContainer Op = "stop"
	// RestartContainer restarts container Step.Target with Step.Grace.
	RestartContainer Op = "restart"
	// KillContainer sends Step.Signal ("" is SIGKILL) to container Step.Target.
	KillContainer Op = "kill"
	// PauseContainer freezes container Step.Target; UnpauseContainer thaws it.
	PauseContainer   Op = "pause"
	UnpauseContainer Op = "unpause"
	// RemoveContainer removes container Step.Target, by force; its anonymous volumes too when Step.Volumes.
	// An absent one is success.
	RemoveContainer Op = "remove"
	// RenameContainer gives container Step.Target (an id) the name Step.Name; having it already is success.
	RenameContainer Op = "rename"
	// Connect attaches container Step.Target to network Step.Network as its service says; Disconnect detaches it.
	Connect    Op = "connect"
	Disconnect Op = "disconnect"
	// TakeClaim makes the claim container Step.Name with Step.Labels and notes its id as Event.Text, with no Kind;
	// *HeldError when there is one already.
	TakeClaim Op = "claim"
	// HoldClaim returns ErrClaimLost unless claim container Step.Target (an id) is there.
	HoldClaim Op = "hold claim"
	// DropClaim removes the claim container Step.Target (an id); an absent one is success.
	DropClaim Op = "drop claim"
	// CreateMark makes container Step.Name with Step.Labels, which never runs: it says something of a project that has to outlive who
	// says it. One of this name with these labels is success. DropMark removes it (Step.Target, its name); an absent one is success.
	CreateMark Op = "mark"
	DropMark   Op = "drop mark"
	// Probe runs the healthcheck command of container Step.Target once: nil means healthy,
	// *ProbeError that it answered otherwise, ErrNoHealthcheck that it has none, also of one that does not run.
	Probe Op = "probe"
)

// Operations that Run carries out by itself, without the Host's Do.
const (
	// Wait blocks until container Step.Name satisfies Step.Until.
	Wait Op = "wait"
	// Warn does nothing but say Step.Why of Step.Name.
	Warn Op = "warn"
)

// Changes is whether the operation changes what a Host holds.
func (o Op) Changes() bool {
	switch o {
	case Wait, Warn, Probe, HoldClaim:
		return false
	}
	return true
}

// Until is the state that a Wait waits for.
type Until string

// What a Wait can wait for.
const (
	// UntilRunning: it was started and has not exited since.
	UntilRunning Until = "running"
	// UntilHealthy: its healthcheck passed; having none is an error.
	UntilHealthy Until = "healthy"
	// UntilCompleted: it exited with code 0.
	UntilCompleted Until = "completed"
	// UntilReady: healthy if it has a healthcheck, else running or exited with code 0.
	UntilReady Until = "ready"
)

// Step is one change to a Host. Which fields matter is said at each Op.
type Step struct {
	Op   Op
	Name string // what it acts on, as people say it
	Why  string // why, as plan prints it
	// After lists the steps (indices into the Plan) that must have succeeded before this one begins.
	After []int
	// IfChanged, when not 0, is 1 + the index of a BuildImage or PullImage step: if that one left the
	// image as it was, this step is skipped and counts as succeeded. The zero value is unconditional.
	IfChanged int
	// Service is the service on whose behalf it is done; "" for none.
	Service string
	// Target is the existing thing that is acted on: an id where one was observed, else a name.
	Target string

	Image     *ImageStep
	Container *ContainerSpec
	Network   *NetworkStep
	Volume    *VolumeSpec
	Fill      *VolumeFill // of CreateVolume: what the volume begins with; nil: nothing. Of RemoveVolume: see there
	Hook      *ServiceHook
	Labels    map[string]string // of TakeClaim, CreateMark, CreateNetwork and CreateVolume: complete
	Grace     *time.Duration    // of StopContainer and RestartContainer
	Signal    string
	Volumes   bool // of RemoveContainer
	Until     Until
	Limit     time.Duration // of Wait: when it gives up; 0 is 5 minutes
	Restarts  bool          // of Wait: the engine starts the container again when it exits
	// Optional makes the failure of a Wait a warning, and that of a removal whose thing is in use (ErrInUse).
	Optional bool
}

// ImageStep is what PullImage and BuildImage need.
type ImageStep struct {
	ImageRef
	// Present is whether an image of this reference is there already.
	Present bool
	// Project and Service give the build section, its secrets and its paths; nil and "" for a pull.
	Project *Project
	Service string
	// Inputs is the digest that the built image is labelled with (LabelInputs); "" leaves the label off.
	Inputs string
	// Was is the digest on the image that is there, "" for none.
	Was string
	// Version is strake's, for LabelVersion on the built image; "" leaves the label off.
	Version string
	// NoCache, Pull and Offline are the build's options; Pull asks for newer base images.
	NoCache, Pull, Offline bool
	// AllPlatforms is whether all of build.platforms are built, where the engine can have them, and not its own alone.
	AllPlatforms bool
}

// ContainerSpec is what CreateContainer and RunHook need.
type ContainerSpec struct {
	Project *Project
	Service Service // as it shall run; for hooks, what the hook adds is merged in
	Number  int     // 1…; 0 for one-offs
	OneOff  bool
	Image   string            // reference or id to create it from
	Labels  map[string]string // complete but for LabelImage, which the Host sets to the id that Image had
	// Inherit is the id of the container whose anonymous volumes this one takes over; "" for none.
	Inherit string
	// AutoPorts has a free host port taken for each published port that is not free.
	AutoPorts bool
}

// VolumeFill is what a new volume begins with: folder Dir of image Image, which is here.
type VolumeFill struct{ Image, Dir string }

// NetworkStep is what CreateNetwork and Connect need. Key is its name in the file.
type NetworkStep struct {
	Key  string
	Spec NetworkSpec
	// Service and Aliases are for Connect: whose attachment it is (nil: nobody's, and only its own name is an alias), and
	// what else it answers to.
	Service *Service
	Aliases []string
}

// Plan is a graph of Steps in topological order: a step's After are smaller than its index. Equal
// inputs give equal Plans. The empty Plan is valid and means that there is nothing to do.
type Plan []Step

// Changes is whether the plan has a step that would change the Host.
func (p Plan) Changes() bool {
	for _, s := range p {
		if s.Op.Changes() {
			return true
		}
	}
	return false
}

// String is the plan as text, one step a line, in the form that golden tests hold:
//
//	3 create container shop-web-1: image is new [after 0 2]
func (p Plan) String() string {
	var b strings.Builder
	for i, s := range p {
		fmt.Fprintf(&b, "%d %s", i, s)
		if len(s.After) > 0 {
			fmt.Fprintf(&b, " [after %s]", strings.Trim(fmt.Sprint(s.After), "[]"))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// String is what the step does and why, without its place in the graph.
func (s Step) String() string {
	var b strings.Builder
	b.WriteString(s.Op.phrase())
	if s.Op == Wait {
		fmt.Fprintf(&b, " until %s", s.Until)
	}
	fmt.Fprintf(&b, " %s", s.Name)
	if s.IfChanged > 0 {
		fmt.Fprintf(&b, " if %d changes it", s.IfChanged-1)
	}
	if s.Why != "" {
		fmt.Fprintf(&b, ": %s", s.Why)
	}
	return b.String()
}

// phrase is the operation as plans and progress say it.
func (o Op) phrase() string { return string(o) }
