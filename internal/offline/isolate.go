package offline

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/strake-dev/strake/compose"
)

// Labels of what Isolate adds to a project.
const (
	// LabelRole says what a container is there for: RoleSink or RoleHolder.
	LabelRole = "dev.strake.offline"
	// LabelFor is the service whose network a holder holds.
	LabelFor = "dev.strake.offline.for"

	RoleSink   = "sink"
	RoleHolder = "holder"
)

// SinkService is the name of the service that answers for the outside in an isolated stack.
const SinkService = "strake-sink"

// HolderOf is the name of the service that holds the network of a service.
func HolderOf(service string) string { return "strake-net-" + service }

// Name is the name of the isolated stack of a project.
func Name(project string) string { return project + "-isolated" }

// NetworkBits is how many bits the prefixes of isolated networks have.
const NetworkBits = 24

// pool is where isolated networks are, each of 254 addresses: the first half is given by Isolate, the other by the engine.
var pool = compose.Pool{Prefix: netip.MustParsePrefix("10.224.0.0/16"), Bits: NetworkBits}

// FreeSubnet is a subnet for one more network of an isolated stack, which is added to used; false where none is free.
func FreeSubnet(used *[]netip.Prefix, name string) (netip.Prefix, bool) { return pool.Free(used, name) }

// Where in a network what Isolate adds is: the machine that it is on would be the first.
const (
	sinkAt        = 2
	firstHolderAt = 3
	mostHolders   = 120
)

// IsolateOptions say what an isolated stack is made of. Program and Engine are needed.
type IsolateOptions struct {
	// Program is the reference of the image that holds strake and nothing else.
	Program string
	Engine  compose.Engine
	// Have is what there is of the isolated stack: networks that are there keep their addresses.
	Have compose.State
	// Used are the subnets that anything on the engine's machine uses.
	Used []netip.Prefix
	// Busy are paths that containers which run may write to: they are read-only in the isolated stack, so that no two servers write to one.
	Busy []string
	// Breaches are what cannot be contained, as Breaches finds it.
	Breaches []Breach
	// Beside is the subnet in which the gateway meets the stack; the zero value where it does not.
	Beside netip.Prefix
}

// Breach is what of a project cannot be contained, so that nothing is proven of it.
type Breach struct {
	Service string `json:"service"`
	Why     string `json:"why"`
}

// isolation is one run of Isolate.
type isolation struct {
	IsolateOptions
	in, out *compose.Project
	subnets map[string]netip.Prefix // by network
	order   []string                // the services that have networks of their own, which is the order of their addresses
}

// Isolate is a project as a stack of its own, out of whose networks nothing leads. p is not changed; Breaches says what of it is not
// contained all the same, and Warnings what is otherwise than the file says.
//
// Each service runs, once, in the network of a holder: a container of strake's that has the service's names and addresses, refuses and counts
// what is sent anywhere but to the stack's own networks, and is there before the service's first instruction runs. The one resolver for names
// that are none of the stack's is the sink, which answers that it is them all. Holders begin when the sink has seen that there is no way out.
//
// Volumes are the stack's own, and empty unless a seed fills them; paths of the machine are mounted as the file says, those of Busy read-only. No port is published: the gateway reaches the holders by their names.
func Isolate(p *compose.Project, o IsolateOptions) (*compose.Project, error) {
	v := &isolation{IsolateOptions: o, in: p, out: p.Copy(), subnets: map[string]netip.Prefix{}}
	v.out.Name, v.out.Warnings = Name(p.Name), slices.Clone(p.Warnings)
	v.out.DisabledServices = map[string]compose.Service{}
	v.out.Settings.Ports = ""
	v.volumes()
	for _, name := range slices.Sorted(maps.Keys(p.Services)) {
		if compose.HasNetworks(p.Services[name]) {
			v.order = append(v.order, name)
		}
	}
	if len(v.order) > mostHolders {
		return nil, &compose.HintedError{Err: fmt.Errorf("the project has %d services with networks, and at most %d are isolated at once", len(v.order), mostHolders),
			Next: "name those that are to be proven: strake up --isolated SERVICE …"}
	}
	if err := v.networks(); err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(p.Services)) {
		v.service(p.Services[name])
	}
	v.linkAll()
	v.sink()
	return v.out, nil
}

// Breaches are what of a project cannot be contained, by service. socket says of a path of the machine why it leads out of every network, such
// as that it is the engine's socket; "" where it does not.
func Breaches(p *compose.Project, socket func(path string) string) []Breach {
	var all []Breach
	for _, name := range slices.Sorted(maps.Keys(p.Services)) {
		s := p.Services[name]
		add := func(is bool, format string, args ...any) {
			if is {
				all = append(all, Breach{name, fmt.Sprintf(format, args...)})
			}
		}
		look := func(s compose.Service) {
			add(s.NetworkMode == "host", "it uses the machine's own network (network_mode: host)")
			add(strings.HasPrefix(s.NetworkMode, "container:"), "it uses the network of a container that is none of the stack's (network_mode: %s)", s.NetworkMode)
			add(s.Pid == "host" || strings.HasPrefix(s.Pid, "container:"), "it sees processes of others, whose networks it can enter (pid: %s)", s.Pid)
			add(s.Privileged, "it has the whole machine (privileged)")
			add(s.UseAPISocket, "it has the engine's socket, and what it starts is not contained (use_api_socket)")
			for _, m := range s.Volumes {
				if m.Type == "bind" {
					why := socket(m.Source)
					add(why != "", "%s (%s)", why, m.Source)
				}
			}
		}
		look(s)
		for _, from := range s.VolumesFrom {
			add(strings.HasPrefix(from, "container:"), "it has files, and maybe sockets, of a container that is none of the stack's (volumes_from: %s)", from)
		}
		for _, h := range s.PreStart {
			hook := compose.Service{}
			hook.ContainerSpec = h.ContainerSpec
			look(hook)
		}
	}
	return all
}

// warn notes what the isolated stack does otherwise than the file says.
func (v *isolation) warn(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(v.out.Warnings, text) {
		v.out.Warnings = append(v.out.Warnings, text)
	}
}

// volumes makes all volumes the stack's own, so that what runs already is not touched.
func (v *isolation) volumes() {
	for key, was := range v.out.Volumes {
		own := compose.VolumeSpec{Name: v.out.Name + "_" + key, Labels: was.Labels, CustomLabels: v.of(was.CustomLabels)}
		switch {
		case bool(was.External):
			v.warn("volume %s is external: the isolated stack has an empty one of its own", key)
		case was.DriverOpts["type"] == "tmpfs":
			own.DriverOpts = was.DriverOpts
		case was.Driver != "" && was.Driver != "local", len(was.DriverOpts) > 0: // what is in it may be somewhere else, and be what runs already
			v.warn("volume %s has a driver or options: the isolated stack has a plain, empty one of its own", key)
		}
		v.out.Volumes[key] = own
	}
}

// networks makes all networks the stack's own, without a way out.
func (v *isolation) networks() error {
	for _, name := range v.order {
		if s := v.in.Services[name]; s.NetworkMode != "" || len(s.Networks) == 0 {
			v.out.Networks["default"] = compose.NetworkSpec{}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(v.out.Networks)) {
		was, name := v.out.Networks[key], v.out.Name+"_"+key
		if bool(was.External) {
			v.warn("network %s is external: the isolated stack has one of its own", key)
		}
		subnet, err := v.subnet(name)
		if err != nil {
			return err
		}
		v.subnets[key] = subnet
		n := Closed(subnet, v.Engine)
		n.Name, n.Labels, n.CustomLabels = name, was.Labels, v.of(was.CustomLabels)
		v.out.Networks[key] = n
	}
	return nil
}

// subnet is that of a network, which one that is there keeps.
func (v *isolation) subnet(name string) (netip.Prefix, error) {
	for _, n := range v.Have.Networks {
		if n.Name == name && len(n.Subnets) == 1 && n.Subnets[0].Bits() == pool.Bits && pool.Prefix.Contains(n.Subnets[0].Addr()) {
			return n.Subnets[0], nil
		}
	}
	subnet, ok := pool.Free(&v.Used, name)
	if !ok {
		return subnet, &compose.HintedError{Err: fmt.Errorf("no subnet of %s is free for network %s", pool.Prefix, name), Next: "take isolated stacks down: strake ls shows what there is"}
	}
	return subnet, nil
}

// Closed is a network without a way out. The engine gives only addresses of its second half, and nobody has the first one, which is where the
// machine itself would be.
func Closed(subnet netip.Prefix, e compose.Engine) compose.NetworkSpec {
	n := compose.NetworkSpec{Internal: true, DriverOpts: compose.ClosedOptions(e), EnableIPv6: new(false)}
	n.Ipam.Config = []*compose.AddressPool{{Subnet: subnet.String(), IPRange: upperHalf(subnet).String()}}
	return n
}

// upperHalf is the second half of a subnet.
func upperHalf(p netip.Prefix) netip.Prefix {
	a := p.Masked().Addr().As4()
	a[3] |= 1 << (31 - p.Bits())
	return netip.PrefixFrom(netip.AddrFrom4(a), p.Bits()+1)
}

// at is the n-th address of a subnet.
func at(p netip.Prefix, n int) netip.Addr {
	a := p.Masked().Addr().As4()
	a[3] += byte(n)
	return netip.AddrFrom4(a)
}

// networksOf are the keys of the networks on which a service is, sorted.
func (v *isolation) networksOf(service string) []string {
	s := v.in.Services[service]
	if s.NetworkMode != "" || len(s.Networks) == 0 {
		return []string{"default"}
	}
	return slices.Sorted(maps.Keys(s.Networks))
}
