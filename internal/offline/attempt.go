package offline

import (
	"cmp"
	"encoding/json"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// sighting is that a service was seen to try to reach something outside of its stack, one way.
type sighting struct {
	Service string `json:"service,omitempty"` // "" by a holder: that of its container
	// Name is the name that it asked for or sent, "" where it used a bare Address.
	Name    string `json:"name,omitempty"`
	Address string `json:"address,omitempty"`
	// Port is where it went to, 0 where it only asked for the name; Protocol is dns, tls, http, tcp, udp or icmp.
	Port     int       `json:"port,omitempty"`
	Protocol string    `json:"protocol"`
	First    time.Time `json:"first"`
	Last     time.Time `json:"last"`
	Count    int       `json:"count"` // questions, connections, or packets of those that are counted by address
}

// key is what makes two sightings one.
func (a sighting) key() sighting {
	return sighting{Service: a.Service, Name: a.Name, Address: a.Address, Port: a.Port, Protocol: a.Protocol}
}

// compareSightings orders sightings by who tried what.
func compareSightings(a, b sighting) int {
	return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Address, b.Address), cmp.Compare(a.Port, b.Port), cmp.Compare(a.Protocol, b.Protocol))
}

// line is one line of what the sink and the holders print: one of its fields is set.
type line struct {
	// Began is when the process began that prints from here on: its counts begin at 0.
	Began    *time.Time `json:"began,omitempty"`
	Sighting *sighting  `json:"attempt,omitempty"` // as it stands by now: a later line of the same one replaces it
	Control  *Control   `json:"control,omitempty"`
	// Uncounted is why bare addresses are not counted.
	Uncounted string `json:"uncounted,omitempty"`
	// Opened is an address that this network has and that is of none of the stack's networks.
	Opened string `json:"opened,omitempty"`
	// Overflow is a service that tried so much that not all of it is kept.
	Overflow string `json:"overflow,omitempty"`
}

// tally counts sightings, and prints those that changed.
type tally struct {
	mu      sync.Mutex
	now     func() time.Time
	all     map[sighting]*counted
	kept    map[string]int  // how many, by service
	beyond  map[string]bool // services of which there are more
	openeds map[string]bool // that were printed
}

// counted is a sighting, and when it was printed last as it stood then.
type counted struct {
	sighting
	printed time.Time
	said    int
}

func newTally(now func() time.Time) *tally {
	return &tally{now: now, all: map[sighting]*counted{}, kept: map[string]int{}, beyond: map[string]bool{}, openeds: map[string]bool{}}
}

// itself is how a holder, which does not know whose it is, says its service.
const itself = "-"

const (
	// mostSightings is the most different sightings that are kept of a service, so that one that tries one name after another fills nothing.
	mostSightings = 1000
	// printEvery is how often a sighting that goes on is printed.
	printEvery = 5 * time.Second
)

// add counts a sighting, so many times.
func (t *tally) add(a sighting, times int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	have, ok := t.all[a.key()]
	if !ok {
		if t.kept[a.Service] >= mostSightings {
			if _, said := t.beyond[a.Service]; !said {
				t.beyond[a.Service] = false
			}
			return
		}
		t.kept[a.Service]++
		have = &counted{sighting: a, said: -1}
		have.First, have.Count = t.now().UTC(), 0
		t.all[a.key()] = have
	}
	have.Last = t.now().UTC()
	have.Count += times
}

// flush prints what changed and was not printed for a while; whole is whether all that changed is.
func (t *tally) flush(w io.Writer, whole bool) error {
	t.mu.Lock()
	var out []sighting
	now := t.now()
	for _, c := range t.all {
		if c.said != c.Count && (whole || c.said < 0 || now.Sub(c.printed) >= printEvery) {
			c.said, c.printed = c.Count, now
			out = append(out, c.sighting)
		}
	}
	var lines []line
	for service, said := range t.beyond {
		if !said {
			t.beyond[service] = true
			lines = append(lines, line{Overflow: cmp.Or(service, itself)})
		}
	}
	t.mu.Unlock()
	slices.SortFunc(out, compareSightings)
	for _, a := range out {
		lines = append(lines, line{Sighting: &a})
	}
	for _, l := range lines {
		if err := say(w, l); err != nil {
			return err
		}
	}
	return nil
}

// watch prints each address of this network that is of none of those, once.
func (t *tally) watch(w io.Writer, known []netip.Prefix) error {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return nil // it is looked at again
	}
	for _, a := range addresses {
		p, err := netip.ParsePrefix(a.String())
		if err != nil || p.Addr().IsLoopback() || p.Addr().IsLinkLocalUnicast() || t.openeds[p.String()] ||
			slices.ContainsFunc(known, func(k netip.Prefix) bool { return k.Contains(p.Addr().Unmap()) }) {
			continue
		}
		t.openeds[p.String()] = true
		if err := say(w, line{Opened: p.String()}); err != nil {
			return err
		}
	}
	return nil
}

// say prints a line.
func say(w io.Writer, l line) error {
	text, err := json.Marshal(l)
	if err != nil {
		return err
	}
	_, err = w.Write(append(text, '\n'))
	return err
}
