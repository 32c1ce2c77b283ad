package offline

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/strake-dev/strake/compose"
)

// Report is what is known of an isolated stack. Its JSON names are stable.
type Report struct {
	Stack  string `json:"stack"`
	Engine string `json:"engine"`
	// Proven is that the stack got ready with no way out of it; Why says what speaks against it.
	Proven bool     `json:"proven"`
	Why    []string `json:"why"`
	// Ready is whether every service is; NotReady names those that are not.
	Ready    bool      `json:"ready"`
	NotReady []string  `json:"not_ready"`
	Attempts []Attempt `json:"attempts"`
	// Uncounted says of what attempts are not seen.
	Uncounted []Breach  `json:"uncounted"`
	Networks  []Network `json:"networks"`
	// Control are the negative controls, as the sink made them whenever it began, and the one of now.
	Control []Control         `json:"control"`
	Images  map[string]string `json:"images"` // by service, the digest that the engine knows
}

// Attempt is what a service tried to reach outside of its stack.
type Attempt struct {
	Service   string    `json:"service"`
	With      []string  `json:"with,omitempty"`    // services that use its network too: it may have been one of them
	Name      string    `json:"name,omitempty"`    // that it asked for
	Address   string    `json:"address,omitempty"` // that it used without a name
	Ports     []int     `json:"ports"`
	Protocols []string  `json:"protocols"` // dns, tls, http, tcp, udp, icmp
	First     time.Time `json:"first"`
	Last      time.Time `json:"last"`
	Count     int       `json:"count"` // connections, else questions; of an address packets
	Allowed   bool      `json:"allowed,omitempty"`
}

// Network is one of the stack's networks as the engine has it.
type Network struct {
	Name     string `json:"name"`
	Internal bool   `json:"internal"` // nothing leads from it to other networks
	Closed   bool   `json:"closed"`   // the machine has no address on it
}

// Wanted are the attempts that are not allowed.
func (r Report) Wanted() []Attempt {
	return slices.DeleteFunc(slices.Clone(r.Attempts), func(a Attempt) bool { return a.Allowed })
}

// Evidence is what was read back of an isolated stack.
type Evidence struct {
	Stack string
	Made  Made          // as the sink says
	State compose.State // the networks that the gateway reaches it by included
	// Sharing are containers that are none of the stack's and use the network of one that is.
	Sharing []string
	// Restarting are containers that the engine has started again, and that began a moment ago.
	Restarting []string
	// Sockets says, by container, why it leads out of every network, as of what it has mounted.
	Sockets map[string]string
	// Guests are the containers that are on networks of the stack and none of it, by network, but for the gateway's.
	Guests map[string][]string
	Logs   map[string][]byte // of the sink and the holders, by container
	Now    *Control          // made now; nil: it could not be
	Allow  []string          // hosts, or *.example.com for all below one
}

// Judge says what the evidence of an isolated stack comes to.
func Judge(e Evidence) Report {
	r := Report{Stack: e.Stack, Engine: e.State.Engine.Name, Why: []string{}, NotReady: []string{}, Uncounted: []Breach{}, Networks: []Network{}, Control: []Control{}, Attempts: []Attempt{}, Images: map[string]string{}}
	for _, b := range e.Made.Breaches {
		r.against("service %s is not contained: %s", b.Service, b.Why)
	}
	for _, c := range e.State.Containers {
		if why := e.Sockets[c.Name]; why != "" && !slices.ContainsFunc(e.Made.Breaches, func(b Breach) bool { return b.Service == c.Service() }) {
			r.against("container %s is not contained: %s", c.Name, why)
		}
	}
	e.judgeNetworks(&r)
	e.judgeContainers(&r)
	r.Uncounted = append(r.Uncounted, e.Made.Uncounted...)
	var seen []sighting
	for _, c := range e.State.Containers {
		if c.Labels[LabelRole] != "" {
			seen = append(seen, e.readLog(&r, c)...)
		}
	}
	e.judgeControl(&r)
	r.Attempts = merge(seen, e.Allow)
	for i := range r.Attempts {
		r.Attempts[i].With = e.Made.Shared[r.Attempts[i].Service]
	}
	slices.Sort(r.NotReady)
	r.Ready = len(r.NotReady) == 0
	if !r.Ready {
		r.against("not ready: %s", strings.Join(r.NotReady, ", "))
	}
	r.Proven = len(r.Why) == 0
	return r
}

// against notes what speaks against the proof.
func (r *Report) against(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(r.Why, text) {
		r.Why = append(r.Why, text)
	}
}

// judgeNetworks looks that nothing leads out of the stack's networks.
func (e Evidence) judgeNetworks(r *Report) {
	there := map[string]bool{}
	for _, n := range e.State.Networks {
		there[n.Name] = true
		r.Networks = append(r.Networks, Network{n.Name, n.Internal, n.Closed})
		if !n.Internal {
			r.against("network %s leads out: it is not internal any more", n.Name)
		}
		if !n.Closed {
			r.against("network %s leads to the machine that it is on", n.Name)
		}
		if n.Labels[compose.LabelProject] == e.Stack && n.Labels[LabelOf] == "" {
			r.against("network %s is not the one that was made", n.Name)
		}
		for _, guest := range slices.Sorted(slices.Values(e.Guests[n.Name])) {
			r.against("container %s, which is none of the stack's, is on network %s", guest, n.Name)
		}
		for _, c := range e.State.Containers {
			if id, on := c.Networks[n.Name]; on && c.Labels[LabelRole] != "" && n.Labels[compose.LabelProject] != "" &&
				(id != "" && id != n.ID || c.Created.Before(n.Created.Truncate(time.Second))) {
				r.against("network %s was made anew after %s", n.Name, c.Name)
			}
		}
	}
	for _, name := range e.Made.Networks {
		if !there[name] {
			r.against("network %s is gone", name)
		}
	}
}

// judgeContainers looks that no container of the stack is anywhere but in its networks, and which are ready.
func (e Evidence) judgeContainers(r *Report) {
	ours, holders := map[string]bool{}, map[string]bool{}
	for _, n := range e.State.Networks {
		ours[n.Name] = true
	}
	for _, c := range e.State.Containers {
		if c.Labels[LabelRole] == RoleHolder {
			holders["container:"+c.ID] = true
		}
	}
	if i := slices.IndexFunc(e.State.Containers, func(c compose.Container) bool { return c.Labels[LabelRole] == RoleSink }); i >= 0 {
		for _, c := range e.State.Containers {
			if holders[c.NetworkMode] && c.Created.Before(e.State.Containers[i].Created) {
				r.against("what %s asked for before the sink was made anew is not known", c.Name)
			}
		}
	}
	for _, name := range e.Sharing {
		r.against("container %s, which is none of the stack's, uses the network of one that is", name)
	}
	excused := map[string]bool{}
	for _, b := range e.Made.Breaches {
		excused[b.Service] = true // it was said already
	}
	found := map[string]compose.Container{}
	for _, c := range e.State.Containers {
		if c.Labels[compose.LabelProject] != e.Stack {
			continue
		}
		found[c.Service()] = c
		for _, name := range slices.Sorted(maps.Keys(c.Networks)) {
			if !ours[name] && name != "none" && name != "host" {
				r.against("container %s is on network %s too, which is none of the stack's", c.Name, name)
			}
		}
		if c.Labels[LabelRole] == "" && !excused[c.Service()] && c.NetworkMode != "none" && !holders[c.NetworkMode] {
			r.against("container %s is not in the network of a holder", c.Name)
		}
	}
	for _, name := range e.Made.Services {
		c, ok := found[name]
		if !ok && slices.Contains(e.Made.Steps, name) {
			continue // a seed did it
		}
		if image := c.Image; image != "" && c.Labels[LabelRole] == "" {
			r.Images[name] = image
		}
		if slices.Contains(e.Restarting, c.Name) {
			r.NotReady = append(r.NotReady, name)
			continue
		}
		if runs := c.Status == compose.Running && c.Health != compose.Unhealthy && c.Health != compose.Starting; !ok || !runs && !(c.Status == compose.Exited && c.ExitCode == 0 && c.Labels[LabelRole] == "") {
			r.NotReady = append(r.NotReady, name)
		}
	}
}

// judgeControl looks that whatever was tried to get out failed.
func (e Evidence) judgeControl(r *Report) {
	if len(r.Control) == 0 {
		r.against("there is no negative control: the sink printed none")
	}
	if e.Now != nil {
		r.Control = append(r.Control, *e.Now)
	} else {
		r.against("the negative control could not be repeated")
	}
	for _, c := range r.Control {
		for _, t := range c.Tries {
			if !t.Failed {
				r.against("the negative control got out: %s %s: %s", t.What, t.To, t.Got)
			}
		}
	}
}

// readLog reads what a sink or a holder printed. Counts of each of its runs are added up.
func (e Evidence) readLog(r *Report, c compose.Container) []sighting {
	var all []sighting
	run := map[sighting]sighting{}
	end := func() {
		all = append(all, slices.Collect(maps.Values(run))...)
		clear(run)
	}
	service := cmp.Or(c.Labels[LabelFor], SinkService)
	began := false
	lines := bufio.NewScanner(bytes.NewReader(e.Logs[c.Name]))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var l line
		if json.Unmarshal(lines.Bytes(), &l) != nil {
			continue // an engine cuts the last line of a container that is killed
		}
		switch {
		case l.Began != nil:
			began = true
			end()
		case l.Sighting != nil:
			l.Sighting.Service = cmp.Or(l.Sighting.Service, service) // a holder does not know whose it is
			run[l.Sighting.key()] = *l.Sighting
		case l.Control != nil && c.Labels[LabelRole] == RoleSink:
			r.Control = append(r.Control, *l.Control)
		case l.Opened != "":
			r.against("%s was on a network that is none of the stack's, at %s", service, l.Opened)
		case l.Overflow != "":
			r.against("service %s tried so much that not all of it is kept", cmp.Or(strings.TrimPrefix(l.Overflow, itself), service))
		case l.Uncounted != "":
			b := Breach{service, l.Uncounted}
			if !slices.Contains(r.Uncounted, b) {
				r.Uncounted = append(r.Uncounted, b)
			}
		}
	}
	if !began {
		r.Uncounted = append(r.Uncounted, Breach{service, "its log cannot be read"})
		r.against("what %s printed cannot be read", c.Name)
	}
	end()
	return all
}

// merge makes one attempt of all ways in which a service tried to reach one name or address, the first of them first.
func merge(seen []sighting, allow []string) []Attempt {
	type key struct{ service, name, address string }
	all := map[key]*Attempt{}
	questions := map[key]int{}
	slices.SortFunc(seen, compareSightings)
	for _, s := range seen {
		k := key{s.Service, s.Name, s.Address}
		a, ok := all[k]
		if !ok {
			a = &Attempt{Service: s.Service, Name: s.Name, Address: s.Address, Ports: []int{}, First: s.First, Allowed: isAllowed(cmp.Or(s.Name, s.Address), allow)}
			all[k] = a
		}
		if s.First.Before(a.First) {
			a.First = s.First
		}
		if s.Last.After(a.Last) {
			a.Last = s.Last
		}
		if s.Port != 0 && !slices.Contains(a.Ports, s.Port) {
			a.Ports = append(a.Ports, s.Port)
		}
		if !slices.Contains(a.Protocols, s.Protocol) {
			a.Protocols = append(a.Protocols, s.Protocol)
		}
		if s.Protocol == "dns" {
			questions[k] += s.Count
		} else {
			a.Count += s.Count
		}
	}
	out := []Attempt{}
	for k, a := range all {
		slices.Sort(a.Ports)
		slices.Sort(a.Protocols)
		if a.Count == 0 {
			a.Count = max(questions[k], 1)
		}
		out = append(out, *a)
	}
	slices.SortFunc(out, func(a, b Attempt) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), a.First.Compare(b.First), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Address, b.Address))
	})
	return out
}
