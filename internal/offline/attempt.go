package offline

import (
	"cmp"
	"encoding/json"
	"io"
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
}

// tally counts sightings, and prints those that changed.
type tally struct {
	mu      sync.Mutex
	now     func() time.Time
	all     map[sighting]*sighting
	changed map[sighting]bool
}

func newTally(now func() time.Time) *tally {
	return &tally{now: now, all: map[sighting]*sighting{}, changed: map[sighting]bool{}}
}

// mostSightings is the most different sightings that are kept, so that a program that tries one name after another fills nothing.
const mostSightings = 2000

// add counts a sighting, so many times.
func (t *tally) add(a sighting, times int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := a.key()
	have, ok := t.all[key]
	if !ok {
		if len(t.all) >= mostSightings {
			return
		}
		a.First, a.Count = t.now().UTC(), 0
		have = &a
		t.all[key] = have
	}
	have.Last = t.now().UTC()
	have.Count += times
	t.changed[key] = true
}

// flush prints what changed since the last time.
func (t *tally) flush(w io.Writer) error {
	t.mu.Lock()
	var out []sighting
	for key := range t.changed {
		out = append(out, *t.all[key])
	}
	clear(t.changed)
	t.mu.Unlock()
	slices.SortFunc(out, compareSightings)
	for _, a := range out {
		if err := say(w, line{Sighting: &a}); err != nil {
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
