//go:build !linux

package offline

import (
	"errors"
	"net"
	"net/netip"
	"syscall"
)

// refuseOthers is for containers, which run Linux.
func refuseOthers([]netip.Prefix) (counter, error) { return nil, errors.ErrUnsupported }

// redirectAll is for containers, which run Linux.
func redirectAll(int) error { return errors.ErrUnsupported }

// wantedPort is for containers, which run Linux.
func wantedPort(conn *net.TCPConn) int { return conn.LocalAddr().(*net.TCPAddr).Port }

// leaveBy is for containers, which run Linux.
func leaveBy(string) func(string, string, syscall.RawConn) error { return nil }
