package offline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sync/errgroup"
)

// SinkOptions say where a sink answers, and who asks it.
type SinkOptions struct {
	Listen   []netip.Addr          // its own addresses, one on each network
	Known    []netip.Prefix        // the stack's networks, that of the gateway included
	Gateways []netip.Addr          // where the machine's own address would be, for the control
	At       map[netip.Addr]string // services by address
	Out      io.Writer             // what it saw, a line of JSON each
	Now      func() time.Time
}

// sink answers for all names and addresses of the outside.
type sink struct {
	SinkOptions
	tally *tally
	mu    sync.Mutex
	asked map[netip.Addr]string // the last name that an address asked for
}

// ErrOut is returned by Sink where there is a way out.
var ErrOut = errors.New("there is a way out of the stack's networks")

// Sink answers each name of the outside with its own address, listens there, notes who wanted what and hangs up, until ctx ends. Before that
// it tries to get out itself: where that works it ends with ErrOut, and prints what it reached either way.
func Sink(ctx context.Context, o SinkOptions) error {
	s := &sink{SinkOptions: o, tally: newTally(o.Now), asked: map[netip.Addr]string{}}
	began := o.Now().UTC()
	if err := say(o.Out, line{Began: &began}); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	if err := s.listen(ctx, g); err != nil {
		return err
	}
	control := TryOut(ctx, o.Now(), o.Gateways)
	if err := say(o.Out, line{Control: &control}); err != nil {
		return err
	}
	if !control.Holds() {
		return ErrOut
	}
	closer, err := beReady()
	if err != nil {
		return err
	}
	defer closer.Close() // the process ends
	g.Go(func() error {
		tick := time.NewTicker(countEvery)
		defer tick.Stop()
		for {
			ended := false
			select {
			case <-ctx.Done():
				ended = true
			case <-tick.C:
			}
			if err := errors.Join(s.tally.flush(o.Out, ended), s.tally.watch(o.Out, o.Known)); err != nil || ended {
				return err
			}
		}
	})
	return g.Wait()
}

// listen answers names and takes connections in goroutines of the group.
func (s *sink) listen(ctx context.Context, g *errgroup.Group) error {
	for _, at := range s.Listen {
		packets, err := net.ListenPacket("udp4", netip.AddrPortFrom(at, 53).String())
		if err != nil {
			return fmt.Errorf("listen for names: %w", err)
		}
		streams, err := net.Listen("tcp4", netip.AddrPortFrom(at, 53).String())
		if err != nil {
			return fmt.Errorf("listen for names: %w", err)
		}
		for _, server := range []*dns.Server{{PacketConn: packets}, {Listener: streams}} {
			server.Handler = dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) { s.answer(w, q, at) })
			g.Go(server.ActivateAndServe)
			g.Go(func() error {
				<-ctx.Done()
				return server.ShutdownContext(context.WithoutCancel(ctx))
			})
		}
	}
	return s.takeConnections(ctx, g)
}

// answer answers a question: a name of several labels is at, a single label is none, and of what else there is no data.
// Source: RFC 1035, RFC 6761 for localhost.
func (s *sink) answer(w dns.ResponseWriter, q *dns.Msg, at netip.Addr) {
	m := new(dns.Msg)
	m.SetReply(q)
	m.Authoritative, m.RecursionAvailable = true, true
	if len(q.Question) != 1 {
		m.Rcode = dns.RcodeFormatError
		_ = w.WriteMsg(m) // who asked is gone
		return
	}
	one := q.Question[0]
	name := strings.ToLower(strings.TrimSuffix(one.Name, "."))
	to, local := at, name == "localhost" || strings.HasSuffix(name, ".localhost")
	if local {
		to = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	switch {
	case !local && !strings.Contains(name, "."), strings.HasSuffix(name, ".arpa"):
		m.Rcode = dns.RcodeNameError
	default:
		if one.Qtype == dns.TypeA && one.Qclass == dns.ClassINET {
			m.Answer = append(m.Answer, &dns.A{Hdr: dns.RR_Header{Name: one.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 0}, A: to.AsSlice()})
		}
		if !local {
			s.noteName(addrOf(w.RemoteAddr()), name, one.Qtype)
		}
	}
	_ = w.WriteMsg(m) // who asked is gone
}

// noteName notes that an address asked for a name. What asks for both kinds of addresses asked once.
func (s *sink) noteName(from netip.Addr, name string, kind uint16) {
	if len(name) > 253 || name+"." == controlName && s.At[from] == "" {
		return // the control's own
	}
	s.mu.Lock()
	s.asked[from] = name
	s.mu.Unlock()
	times := 1
	if kind == dns.TypeAAAA {
		times = 0
	}
	s.tally.add(sighting{Service: s.serviceAt(from), Name: name, Protocol: "dns"}, times)
}

// serviceAt is the service that has an address, or the address.
func (s *sink) serviceAt(a netip.Addr) string {
	if name, ok := s.At[a]; ok {
		return name
	}
	return a.String()
}

// addrOf is the address of who is at the other end.
func addrOf(a net.Addr) netip.Addr {
	p, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Addr{}
	}
	return p.Addr().Unmap()
}
