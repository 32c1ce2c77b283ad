package offline

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// takePort is where connections to all ports are sent.
	takePort = 15001
	// hearPatience is how long it is waited for what a client says first. Some wait for the server instead.
	hearPatience = time.Second
	// mostHeard is the most bytes that are read of a client.
	mostHeard = 16 << 10
	// mostConnections are listened to at once.
	mostConnections = 256
)

// usualPorts are listened at where the kernel cannot send all ports to one.
func usualPorts() []int {
	return []int{21, 22, 25, 80, 110, 143, 389, 443, 465, 587, 636, 993, 995, 1433, 1521, 3306, 4317, 4318, 5432, 5671, 5672, 6379, 8080, 8443, 9092, 9200, 11211, 27017}
}

// takeConnections takes connections in goroutines of the group.
func (s *sink) takeConnections(ctx context.Context, g *errgroup.Group) error {
	ports := []int{takePort}
	if err := redirectAll(takePort); err != nil {
		if err := say(s.Out, line{Uncounted: fmt.Sprintf("only connections to the usual ports of names are seen: %v", err)}); err != nil {
			return err
		}
		ports = usualPorts()
	}
	room := make(chan struct{}, mostConnections)
	for _, at := range s.Listen {
		for _, port := range ports {
			l, err := net.Listen("tcp4", netip.AddrPortFrom(at, uint16(port)).String())
			if err != nil {
				return fmt.Errorf("listen for connections: %w", err)
			}
			g.Go(func() error {
				<-ctx.Done()
				return l.Close()
			})
			g.Go(func() error { return s.take(ctx, g, l, room) })
		}
	}
	return nil
}

// take takes the connections of a listener until it is closed.
func (s *sink) take(ctx context.Context, g *errgroup.Group, l net.Listener, room chan struct{}) error {
	for {
		conn, err := l.Accept()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		case err != nil:
			continue // of the one connection
		}
		select {
		case room <- struct{}{}:
		case <-ctx.Done():
			_ = conn.Close() // nobody listens any more
			return nil
		}
		g.Go(func() error {
			defer func() { <-room }()
			s.hear(conn.(*net.TCPConn))
			return nil
		})
	}
}

// hear notes what a client wants, and resets the connection.
func (s *sink) hear(conn *net.TCPConn) {
	defer conn.Close()    // it was heard
	_ = conn.SetLinger(0) // a reset: nothing is waited for
	from, port := addrOf(conn.RemoteAddr()), wantedPort(conn)
	_ = conn.SetReadDeadline(time.Now().Add(hearPatience)) // without one it is waited as long
	name, protocol := clientWants(io.LimitReader(conn, mostHeard))
	if name == "" {
		s.mu.Lock()
		name = s.asked[from]
		s.mu.Unlock()
	}
	a := sighting{Service: s.serviceAt(from), Name: name, Port: port, Protocol: protocol}
	if name == "" {
		a.Address = addrOf(conn.LocalAddr()).String()
	}
	s.tally.add(a, 1)
}

// clientWants is the name that a client sends first, "" where it sends none, and how it speaks: tls, http or tcp.
func clientWants(r io.Reader) (name, protocol string) {
	in := bufio.NewReader(r)
	first, err := in.Peek(1)
	switch {
	case err != nil:
		return "", "tcp"
	case first[0] == 0x16: // a handshake. Source: RFC 8446, 5.1
		return serverName(in), "tls"
	}
	request, err := http.ReadRequest(in)
	if err != nil {
		return "", "tcp"
	}
	host := strings.ToLower(request.Host)
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if _, err := netip.ParseAddr(host); err == nil || len(host) > 253 {
		host = ""
	}
	return host, "http"
}

// errHeard ends a handshake that was only listened to.
var errHeard = errors.New("heard")

// serverName is the name that a client's first message has, "" where it has none. Source: RFC 6066, 3.
func serverName(r io.Reader) (name string) {
	server := tls.Server(onlyRead{r}, &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		name = strings.ToLower(hello.ServerName)
		return nil, errHeard
	}})
	_ = server.Handshake() // it ends with errHeard at best
	return name
}

// onlyRead is a connection of which only what is read counts.
type onlyRead struct{ io.Reader }

func (onlyRead) Write(b []byte) (int, error)      { return len(b), nil }
func (onlyRead) Close() error                     { return nil }
func (onlyRead) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (onlyRead) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (onlyRead) SetDeadline(time.Time) error      { return nil }
func (onlyRead) SetReadDeadline(time.Time) error  { return nil }
func (onlyRead) SetWriteDeadline(time.Time) error { return nil }
