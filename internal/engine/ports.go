package engine

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"

	"github.com/strake-dev/strake/compose"
)

// hostPort is a port of the host; ip "" is every address.
type hostPort struct {
	ip, protocol string
	port         int
}

// overlaps is whether the two cannot be bound at once.
func (p hostPort) overlaps(o hostPort) bool {
	return p.port == o.port && p.protocol == o.protocol && (everywhere(p.ip) || everywhere(o.ip) || p.ip == o.ip)
}

func everywhere(ip string) bool { return ip == "" || ip == "0.0.0.0" || ip == "::" }

// reservations are the ports that were given to containers which were not started yet, by container name.
type reservations struct {
	mu    sync.Mutex
	given map[string][]hostPort
}

// assignPorts replaces each fixed host port of the spec that is taken by the next free one. Ranges are left to the engine.
// What the container that is replaced holds counts as free.
func (e *Engine) assignPorts(ctx context.Context, spec *compose.ContainerSpec, name string) error {
	if !slices.ContainsFunc(spec.Service.Ports, func(p compose.ServicePort) bool { _, fixed := fixedPort(p); return fixed }) {
		return nil
	}
	running, err := e.api.ContainerList(ctx, container.ListOptions{Filters: filters.NewArgs(filters.Arg("status", "running"), filters.Arg("status", "paused"))})
	if err != nil {
		return fmt.Errorf("look for free ports: %w", err)
	}
	var held, own []hostPort
	for _, c := range running {
		ports := &held
		if c.ID == spec.Inherit || ownName(c.Names) == name {
			ports = &own
		}
		for _, p := range c.Ports {
			if p.PublicPort != 0 {
				*ports = append(*ports, hostPort{p.IP, p.Type, int(p.PublicPort)})
			}
		}
	}
	e.ports.mu.Lock()
	defer e.ports.mu.Unlock()
	for other, ports := range e.ports.given {
		if other != name {
			held = append(held, ports...)
		}
	}
	var given []hostPort
	spec.Service.Ports = slices.Clone(spec.Service.Ports)
	for i, p := range spec.Service.Ports {
		wanted, fixed := fixedPort(p)
		if !fixed {
			continue
		}
		free, err := e.nextFree(ctx, wanted, held, own)
		if err != nil {
			return err
		}
		spec.Service.Ports[i].Published = strconv.Itoa(free.port)
		given, held = append(given, free), append(held, free)
	}
	if e.ports.given == nil {
		e.ports.given = map[string][]hostPort{}
	}
	e.ports.given[name] = given
	return nil
}

// fixedPort is the host port that an entry publishes; fixed is false for none, a range, or the engine's choice.
func fixedPort(p compose.ServicePort) (port hostPort, fixed bool) {
	n, err := strconv.Atoi(p.Published)
	return hostPort{p.HostIP, p.Protocol, n}, err == nil && n > 0
}

// nextFree is the first port from p upwards that nothing holds.
func (e *Engine) nextFree(ctx context.Context, p hostPort, held, own []hostPort) (hostPort, error) {
	for ; p.port <= 65535; p.port++ {
		if slices.ContainsFunc(held, p.overlaps) {
			continue
		}
		if slices.ContainsFunc(own, p.overlaps) || !e.where.local || listens(ctx, p) {
			return p, nil
		}
	}
	return p, fmt.Errorf("there is no free %s port on the host", p.protocol)
}

// listens is whether this process could bind the port.
func listens(ctx context.Context, p hostPort) bool {
	var l net.ListenConfig
	address := net.JoinHostPort(p.ip, strconv.Itoa(p.port))
	if p.protocol == "udp" {
		c, err := l.ListenPacket(ctx, "udp", address)
		return err == nil && c.Close() == nil
	}
	c, err := l.Listen(ctx, "tcp", address)
	return err == nil && c.Close() == nil
}
