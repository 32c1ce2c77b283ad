package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/client"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/compose/regex"
)

// saying is what the engine means by one of its texts: a sentence and what to do about it. In both, $1 is what the pattern
// caught and $service the service's name.
type saying struct {
	pattern    *regex.Regex
	what, next string
}

// sayings are the engine's texts of 20.10 to 28 that a person can do something about. The first that fits counts.
var sayings = []saying{
	{regex.New(`no space left on device`),
		"the engine's disk is full", "make room: `docker system df` shows what is used; `strake doctor` shows the disk"},
	{regex.New(`bind source path does not exist: (\S+)`),
		"$1 is mounted by service $service and does not exist", "create it, or correct the path where the file names it; a folder that shall be made takes bind.create_host_path: true"},
	{regex.New(`error while creating mount source path '([^']+)'`),
		"the engine cannot make the folder $1 that service $service mounts", "create it, or correct the path"},
	{regex.New(`mounting "([^"]+)" to rootfs at .*not a directory`),
		"$1 is a folder and is mounted where the image has a file, or the other way round", "correct the volume of service $service; a missing file is made a folder when it is mounted"},
	{regex.New(`(?i)the path (\S+)\s+is not shared from the host|mounts denied`),
		"$1 is not shared with the engine's virtual machine", "share it in the settings of Docker Desktop (Resources, File sharing)"},
	{regex.New(`exec: "([^"]*)": executable file not found in \$PATH`),
		"the image of service $service has no program $1", "correct command or entrypoint, or install it in the image"},
	{regex.New(`exec: "([^"]*)": stat \S+: no such file or directory`),
		"the image of service $service has no file $1", "correct command or entrypoint, or copy it into the image"},
	{regex.New(`exec: "([^"]*)": permission denied`),
		"$1 in the image of service $service is not executable", "set its mode in the image: chmod +x"},
	{regex.New(`exec format error`),
		"the image of service $service is for another architecture, or its script has no #! line", "set platform, or build it for this engine"},
	{regex.New(`(?:no command specified|No command specified)`),
		"the image of service $service says nothing to run", "set command or entrypoint"},
	{regex.New(`chdir to cwd \("([^"]+)"\)`),
		"the working directory $1 of service $service does not exist in the image, or its user may not enter it", "correct working_dir or user"},
	{regex.New(`(?i)unable to find (?:user|group) ([^:]+): no matching entries`),
		"the image of service $service has no user or group $1", "correct user or group_add, or use a number"},
	{regex.New(`could not find an available, non-overlapping IPv4 address pool|all predefined address pools have been fully subnetted`),
		"the engine has no address range left for another network", "remove networks that nothing uses (`docker network prune`), or give the engine more in default-address-pools; `strake doctor` counts them"},
	{regex.New(`(?i)pool overlaps with other one on this address space`),
		"the network's subnet overlaps with that of another network", "choose another ipam subnet, or remove that network: `docker network ls`"},
	{regex.New(`no configured subnet contains IP address ([^\s,]+)|user (?:specified|configured) (?:IP|subnet)[^\n]*only supported`),
		"the fixed address $1 of service $service does not fit its network's subnet", "set ipam.config.subnet of the network so that it contains the address"},
	{regex.New(`(?:^|: )[Aa]ddress already in use$`),
		"the fixed address of service $service is taken on its network", "choose another address"},
	{regex.New(`(?i)no such image: (\S+)`),
		"there is no image $1 here", "run `strake pull` or `strake build`"},
	{regex.New(`network (\S+) not found`),
		"there is no network $1", "run `strake up`; an external network has to be made first: docker network create $1"},
	{regex.New(`cannot expose privileged port (\d+)`),
		"a rootless engine may not publish port $1", "publish a port from 1024 up, or allow it: sysctl net.ipv4.ip_unprivileged_port_start"},
	{regex.New(`(?i)cannot assign requested address`),
		"service $service publishes a port on an address that this host does not have", "correct host_ip"},
	{regex.New(`could not select device driver "([^"]*)" with capabilities`),
		"the engine has no driver $1 for the devices of service $service", "install it (for NVIDIA: nvidia-container-toolkit), or take the devices out"},
	{regex.New(`unknown or invalid runtime name: (\S+)|Unknown runtime specified (\S+)`),
		"the engine has no runtime $1", "correct runtime, or add it to the engine's configuration"},
	{regex.New(`no log driver named '([^']+)'`),
		"the engine has no log driver $1", "correct logging.driver"},
	{regex.New(`(?i)minimum memory limit allowed is (\w+)`),
		"the memory limit of service $service is below the $1 that the engine needs", "raise it"},
	{regex.New(`(?i)cannot allocate memory|out of memory|OOM`),
		"there is not enough memory to start service $service", "raise its memory limit, or stop something"},
	{regex.New(`(?i)duplicate mount point: (\S+)`),
		"two things are mounted at $1 of service $service", "take one out"},
	{regex.New(`container rootfs is marked read-only`),
		"secrets and configs cannot be put into the read-only container of service $service", "give them as files, or take read_only out"},
	{regex.New(`image operating system "([^"]+)" cannot be used`),
		"the image of service $service is for $1", "use an image for this engine's system"},
}

// meant is the first of the sayings that fits a text, filled in.
func meant(sayings []saying, service, text string) (what, next string, ok bool) {
	for _, s := range sayings {
		m := s.pattern.FindStringSubmatch(text)
		if m == nil {
			continue
		}
		caught := strings.Trim(strings.Join(m[1:], ""), `.,;:"`)
		fill := strings.NewReplacer("$service", service, "$1", caught).Replace
		return fill(s.what), fill(s.next), true
	}
	return "", "", false
}

// explain turns the engine's refusal of a step into a sentence with a hint. What callers branch on stays what it is.
func (e *Engine) explain(ctx context.Context, s compose.Step, err error) error {
	var hinted compose.Hinted
	var probe *compose.ProbeError
	if err == nil || errors.As(err, &hinted) || errors.As(err, &probe) {
		return err
	}
	for _, sentinel := range []error{compose.ErrClaimLost, compose.ErrNoHealthcheck, compose.ErrNotRunning} {
		if errors.Is(err, sentinel) {
			return err
		}
	}
	text := err.Error()
	if p, ok := takenPort(text); ok {
		return e.portTaken(ctx, s, p, err)
	}
	if what, next, ok := meant(sayings, s.Service, text); ok {
		return &compose.HintedError{Err: &said{what, err}, Next: next}
	}
	if m := nameInUse.FindStringSubmatch(text); m != nil && errdefs.IsConflict(err) {
		ask, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		if holder, inspectErr := e.api.ContainerInspect(ask, m[1]); inspectErr == nil { // else the engine's own words do
			return nameTaken(m[1], holder.Config.Labels)
		}
	}
	if errors.Is(err, compose.ErrInUse) {
		return e.stillUsed(s, err)
	}
	return e.explainCall(ctx, err)
}

// explainCall is for calls that are no steps: a lost connection is said as Open says it, other errors lose the client's prefix. What ctx
// called off is no lost connection, though the client says so: of a context with a cause it knows neither.
func (e *Engine) explainCall(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case client.IsErrConnectionFailed(err), has(err.Error(), "error during connect", "connect: no such file", "broken pipe", "connection reset"):
		return unreachable(e.where, err)
	case has(err.Error(), "error response from daemon: "):
		return &said{strings.Replace(err.Error(), "Error response from daemon: ", "", 1), err}
	}
	return err
}

// said is an engine's error in other words.
type said struct {
	text string
	err  error
}

func (s *said) Error() string { return s.text }
func (s *said) Unwrap() error { return s.err }

// nameInUse is how engines say that a container's name is taken.
var nameInUse = regex.New(`(?i)container name "/?([^"]+)" is already in use`)

// nameTaken names whose container has a name that is wanted.
func nameTaken(name string, labels map[string]string) error {
	who := "that no project made"
	if p := labels[compose.LabelProject]; p != "" {
		who = fmt.Sprintf("of project %s (service %s)", p, labels[compose.LabelService])
	}
	return hint("remove it (docker rm -f "+name+"), or choose another name with -p or container_name",
		"the name %s is taken by a container %s", name, who)
}

// endpointsOf catches the names in `has active endpoints (name:"web-1" id:"…", …)` of engines from 28 on.
var endpointsOf = regex.New(`name:"([^"]+)"`)

// stillUsed is ErrInUse in words.
func (e *Engine) stillUsed(s compose.Step, err error) error {
	text := err.Error()
	switch {
	case has(text, "has active endpoints"):
		var names []string
		for _, m := range endpointsOf.FindAllStringSubmatch(text, -1) {
			names = append(names, m[1])
		}
		by := "containers that are no part of this"
		if len(names) > 0 {
			by = strings.Join(names, ", ")
		}
		return &compose.HintedError{Err: &said{fmt.Sprintf("network %s is still used by %s", s.Target, by), err},
			Next: "stop them, or look with: docker network inspect " + compose.Word(s.Target)}
	case has(text, "volume is in use"):
		return &compose.HintedError{Err: &said{fmt.Sprintf("volume %s is still used by another container", s.Target), err},
			Next: "look with: docker ps -a --filter volume=" + compose.Word(s.Target)}
	}
	return &compose.HintedError{Err: &said{fmt.Sprintf("image %s is still used by a container", s.Target), err},
		Next: "look with: docker ps -a --filter ancestor=" + compose.Word(s.Target)}
}

// portTexts are how engines say that a host port is taken. Source: moby 20.10 to 28.5, libnetwork/portallocator, portmapper, docker-proxy.
var portTexts = []*regex.Regex{
	regex.New(`Bind for (\S+):(\d+) failed: port is already allocated()`),
	regex.New(`bind host port(?: for)? (\S+?):(\d+)(?::[^/\s]*)?(?:/(\w+))?: address already in use`),
	regex.New(`listen (tcp|udp|sctp)\w* (\S+):(\d+): bind: address already in use`),
	regex.New(`Ports are not available: exposing port (TCP|UDP) (\S+):(\d+)`),
}

// takenPort is the host port that an engine's text says is taken.
func takenPort(text string) (hostPort, bool) {
	for i, r := range portTexts {
		m := r.FindStringSubmatch(text)
		if m == nil {
			continue
		}
		ip, port, protocol := m[1], m[2], m[3]
		if i >= 2 {
			protocol, ip, port = m[1], m[2], m[3]
		}
		n, err := strconv.Atoi(port)
		if err != nil {
			continue
		}
		if protocol == "" {
			protocol = "tcp"
		}
		return hostPort{strings.Trim(ip, "[]"), strings.ToLower(protocol), n}, true
	}
	return hostPort{}, false
}

// String is the port as people write it.
func (p hostPort) String() string {
	if everywhere(p.ip) {
		return strconv.Itoa(p.port)
	}
	return net.JoinHostPort(p.ip, strconv.Itoa(p.port))
}
