package offline

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// Control is the result of a negative control: from within the stack's networks it was tried to get out. Its JSON names are stable.
type Control struct {
	At    time.Time `json:"at"`
	Tries []Try     `json:"tries"`
}

// Try is one way out that was tried.
type Try struct {
	What   string `json:"what"` // "a public address", "the machine's address", "a public name"
	To     string `json:"to"`
	Via    string `json:"via,omitempty"` // the interface that it had to leave by; "" as routes say
	Got    string `json:"got"`           // what came of it, for people
	Failed bool   `json:"failed"`
}

// Holds is whether every try failed, as it must.
func (c Control) Holds() bool {
	return len(c.Tries) > 0 && !slices.ContainsFunc(c.Tries, func(t Try) bool { return !t.Failed })
}

// controlPatience is how long a connection is waited for: an engine before 28 drops what is sent outwards without a word.
const controlPatience = 2 * time.Second

// controlName is a name that exists, and that no stack has.
const controlName = "example.com."

// publicAddresses are addresses that answer everywhere: of public resolvers.
func publicAddresses() []string { return []string{"1.1.1.1:443", "8.8.8.8:53", "9.9.9.9:443"} }

// machinePorts are tried on the machine's own addresses. One that refuses answers too: what counts is that it is reached.
func machinePorts() []int { return []int{22, 80, 7080} }

// TryOut tries to get out of the network that it is called in, which is a sink's: to public addresses and to the machines', as routes say and by
// each interface whatever routes say, and by a public name, which may lead to an address of this network alone.
func TryOut(ctx context.Context, now time.Time, machines []netip.Addr) Control {
	var sinks []netip.Addr
	own, _ := net.InterfaceAddrs() // without them the name leads elsewhere, which is said
	for _, a := range own {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			sinks = append(sinks, p.Addr().Unmap())
		}
	}

	c := Control{At: now.UTC()}
	for _, via := range append([]string{""}, interfaces()...) {
		for _, to := range publicAddresses() {
			c.Tries = append(c.Tries, Try{What: "a public address", To: to, Via: via})
		}
		for _, m := range machines {
			for _, port := range machinePorts() {
				c.Tries = append(c.Tries, Try{What: "the machine's address", To: net.JoinHostPort(m.String(), strconv.Itoa(port)), Via: via})
			}
		}
	}
	var all sync.WaitGroup
	for i := range c.Tries {
		all.Go(func() { c.Tries[i].Got, c.Tries[i].Failed = reach(ctx, c.Tries[i].To, c.Tries[i].Via) })
	}
	name := Try{What: "a public name", To: controlName[:len(controlName)-1]}
	all.Go(func() { name.Got, name.Failed = look(ctx, sinks) })
	all.Wait()
	c.Tries = append(c.Tries, name)
	return c
}

// interfaces are the names of this network's interfaces, but for the loopback.
func interfaces() []string {
	var names []string
	all, _ := net.Interfaces() // without them it is tried as routes say
	for _, i := range all {
		if i.Flags&net.FlagLoopback == 0 && i.Flags&net.FlagUp != 0 {
			names = append(names, i.Name)
		}
	}
	return names
}

// reach is what comes of a connection, and whether it failed. One that is refused has been there; of what is not understood nothing is known,
// which is no failure.
func reach(ctx context.Context, to, via string) (got string, failed bool) {
	d := net.Dialer{Timeout: controlPatience}
	if via != "" {
		d.Control = leaveBy(via)
	}
	conn, err := d.DialContext(ctx, "tcp", to)
	switch timeout := (net.Error)(nil); {
	case err == nil:
		_ = conn.Close() // it was only to be seen
		return "connected", false
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET):
		return "refused by who is there", false
	case errors.Is(err, syscall.ENETUNREACH):
		return "network is unreachable", true
	case errors.Is(err, syscall.EHOSTUNREACH):
		return "host is unreachable", true
	case errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Sprintf("no answer within %s", controlPatience), true
	default:
		return err.Error(), false
	}
}

// look is what comes of a public name through the engine's resolver, and whether it leads only to the sink.
func look(ctx context.Context, sinks []netip.Addr) (got string, failed bool) {
	ctx, cancel := context.WithTimeout(ctx, 2*controlPatience)
	defer cancel()
	all, err := new(net.Resolver).LookupNetIP(ctx, "ip4", controlName)
	if err != nil {
		return "the stack's own resolver does not answer: " + err.Error(), false // nothing is known of where it asks
	}
	for _, a := range all {
		if !slices.Contains(sinks, a.Unmap()) {
			return "resolved to " + a.String(), false
		}
	}
	return "answered by the sink alone", true
}
