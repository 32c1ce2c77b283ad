package cli

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"strconv"

	"github.com/strake-dev/strake/compose"
)

// spokenElsewise are ports whose protocol is known and is not HTTP. Source: IANA's service name and port registry.
func spokenElsewise(target uint16) bool {
	return slices.Contains([]uint16{21, 22, 23, 25, 53, 110, 143, 389, 465, 587, 636, 993, 995, 1025, 1433, 1521, 1883, 3306, 4222, 5432,
		5672, 6379, 6432, 8883, 9042, 9092, 11211, 27017, 33060}, target)
}

// address is where a published port is reached from this machine: a URL where it may speak HTTP, else host:port.
// "" if the port is not published by TCP.
func address(p compose.Port) string {
	if p.Published == 0 || p.Protocol != "tcp" {
		return ""
	}
	host := p.HostIP
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() || ip.Equal(net.IPv4(127, 0, 0, 1)) {
		host = "localhost"
	}
	at := net.JoinHostPort(host, strconv.Itoa(int(p.Published)))
	switch {
	case spokenElsewise(p.Target):
		return at
	case p.Target == 443 || p.Target == 8443:
		return "https://" + at
	case p.Published == 80:
		return "http://" + host
	}
	return "http://" + at
}

// addresses are those of a container, sorted, each once: an engine lists a port per address family.
func addresses(c compose.Container) []string {
	var all []string
	ports := slices.Clone(c.Ports)
	slices.SortFunc(ports, func(a, b compose.Port) int {
		return cmp.Or(cmp.Compare(a.Target, b.Target), cmp.Compare(a.Published, b.Published), cmp.Compare(a.HostIP, b.HostIP))
	})
	for _, p := range ports {
		if a := address(p); a != "" && !slices.Contains(all, a) {
			all = append(all, a)
		}
	}
	return all
}

// reachable lists the running containers that can be reached from here, as lines of service and address.
func reachable(containers []compose.Container) []string {
	var lines []string
	width := 0
	for _, c := range containers {
		if len(addresses(c)) > 0 && !c.IsOneOff() {
			width = max(width, len(c.Service()))
		}
	}
	for _, c := range containers {
		if c.IsOneOff() || c.Status != compose.Running {
			continue
		}
		for _, a := range addresses(c) {
			if line := fmt.Sprintf("%-*s  %s", width, c.Service(), a); !slices.Contains(lines, line) {
				lines = append(lines, line)
			}
		}
	}
	return lines
}
