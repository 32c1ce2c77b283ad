package hosttest

import (
	"fmt"
	"maps"
	"net/netip"

	"github.com/strake-dev/strake/compose"
)

// freeSubnets are the subnets that a network asks for, an error where another has one of their addresses.
func (m *Memory) freeSubnets(s compose.Step) ([]netip.Prefix, error) {
	if s.Network == nil {
		return nil, nil
	}
	var all []netip.Prefix
	for _, pool := range s.Network.Spec.Ipam.Config {
		one, err := netip.ParsePrefix(pool.Subnet)
		if err != nil {
			return nil, err
		}
		for _, n := range m.networks {
			for _, taken := range n.Subnets {
				if taken.Overlaps(one) {
					return nil, fmt.Errorf("network %s: %w", s.Name, compose.ErrOverlap)
				}
			}
		}
		all = append(all, one)
	}
	return all, nil
}

func (m *Memory) doNetwork(s compose.Step) error {
	switch s.Op {
	case compose.CreateNetwork:
		for _, n := range m.networks {
			if n.Name == s.Name {
				return nil
			}
		}
		subnets, err := m.freeSubnets(s)
		if err != nil {
			return err
		}
		id := m.id("")
		m.networks[id] = compose.Network{ID: id, Name: s.Name, Driver: "bridge", Labels: maps.Clone(s.Labels), Subnets: subnets,
			Internal: s.Network != nil && s.Network.Spec.Internal, Closed: s.Network != nil && compose.IsClosed(s.Network.Spec.DriverOpts), Created: now}
	case compose.RemoveNetwork:
		for id, n := range m.networks {
			if id != s.Target && n.Name != s.Target {
				continue
			}
			for _, c := range m.containers {
				if c.Status == compose.Running && c.Networks[n.Name] != "" {
					return fmt.Errorf("network %s: %w", n.Name, compose.ErrInUse)
				}
			}
			delete(m.networks, id)
		}
	case compose.Connect, compose.Disconnect:
		c, err := m.find(s.Target)
		if err != nil {
			return err
		}
		delete(c.Networks, s.Network.Spec.Name)
		if s.Op == compose.Connect {
			return m.attach(c, s.Network.Spec.Name)
		}
	}
	return nil
}
