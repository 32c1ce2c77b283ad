package offline

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"syscall"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// redirectAll sends connections to any port of this network's own addresses to one port, but for those of names.
func redirectAll(port int) error {
	r, err := newRuleset()
	if err != nil {
		return err
	}
	in := r.conn.AddChain(&nftables.Chain{Name: "prerouting", Table: r.table, Type: nftables.ChainTypeNAT, Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityNATDest})
	names, to := make([]byte, 2), make([]byte, 2)
	binary.BigEndian.PutUint16(names, 53)
	binary.BigEndian.PutUint16(to, uint16(port))
	r.rule(in, append(append(isFamily(unix.NFPROTO_IPV4), isProto(unix.IPPROTO_TCP)...),
		dport(1), &expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: names},
		&expr.Immediate{Register: 1, Data: to}, &expr.Redir{RegisterProtoMin: 1})...)
	if err := r.conn.Flush(); err != nil {
		return fmt.Errorf("write nf_tables rules: %w", err)
	}
	return nil
}

// wantedPort is the port that a client connected to, before it was redirected.
// Source: linux/netfilter_ipv4.h, SO_ORIGINAL_DST, whose answer is a sockaddr_in.
func wantedPort(conn *net.TCPConn) int {
	own := conn.LocalAddr().(*net.TCPAddr).Port
	raw, err := conn.SyscallConn()
	if err != nil {
		return own
	}
	_ = raw.Control(func(fd uintptr) { // without an answer it is the port where it arrived
		if to, err := unix.GetsockoptIPv6Mreq(int(fd), unix.IPPROTO_IP, unix.SO_ORIGINAL_DST); err == nil {
			own = int(binary.BigEndian.Uint16(to.Multiaddr[2:4]))
		}
	})
	return own
}

// firstInterface is the index of the first interface that is not the loopback.
func firstInterface() (int, error) {
	all, err := net.Interfaces()
	if err != nil {
		return 0, err
	}
	for _, i := range all {
		if i.Flags&net.FlagLoopback == 0 && i.Flags&net.FlagUp != 0 {
			return i.Index, nil
		}
	}
	return 0, errors.New("it has no network")
}

// leaveBy has a connection leave by an interface, also where no route leads there. Source: socket(7), SO_BINDTODEVICE.
func leaveBy(name string) func(network, address string, c syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		var err error
		return errors.Join(c.Control(func(fd uintptr) { err = unix.BindToDevice(int(fd), name) }), err)
	}
}
