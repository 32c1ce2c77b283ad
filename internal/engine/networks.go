package engine

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"

	"github.com/strake-dev/strake/compose"
)

// createNetwork does CreateNetwork.
func (e *Engine) createNetwork(ctx context.Context, s compose.Step) error {
	n := s.Network.Spec
	o := network.CreateOptions{Labels: s.Labels, Driver: n.Driver, Options: n.DriverOpts, Internal: n.Internal, Attachable: n.Attachable,
		EnableIPv4: n.EnableIPv4, EnableIPv6: n.EnableIPv6}
	if n.EnableIPv4 != nil && !e.apiAtLeast("1.47") {
		if !*n.EnableIPv4 {
			return hint("take enable_ipv4 out, or upgrade the engine to 27.4 or newer",
				"network %s: enable_ipv4: false needs Engine API 1.47, the engine has %s", s.Name, e.api.ClientVersion())
		}
		o.EnableIPv4 = nil
	}
	if n.Ipam.Driver != "" || len(n.Ipam.Config) > 0 {
		o.IPAM = &network.IPAM{Driver: n.Ipam.Driver}
		for _, p := range n.Ipam.Config {
			o.IPAM.Config = append(o.IPAM.Config, network.IPAMConfig{Subnet: p.Subnet, IPRange: p.IPRange, Gateway: p.Gateway, AuxAddress: p.AuxiliaryAddresses})
		}
	}
	_, err := e.api.NetworkCreate(ctx, s.Name, o)
	if err != nil && has(err.Error(), "ool overlaps with other one on this address space") {
		return fmt.Errorf("%w: %w", compose.ErrOverlap, err)
	}
	if err == nil || !(errdefs.IsConflict(err) || has(err.Error(), "already exists")) {
		return err
	}
	there, inspectErr := e.api.NetworkInspect(ctx, s.Name, network.InspectOptions{})
	if inspectErr != nil {
		return inspectErr
	}
	for _, l := range []string{compose.LabelProject, compose.LabelNetwork} {
		if there.Labels[l] != s.Labels[l] {
			return hint("set `external: true` on it to use that one, or give it another `name`",
				"there is a network %s already that is %s", s.Name, ownedBy(there.Labels))
		}
	}
	return nil
}

// removeNetwork does RemoveNetwork.
func (e *Engine) removeNetwork(ctx context.Context, target string) error {
	return inUse(absentIsFine(e.api.NetworkRemove(ctx, target)))
}

// connect does Connect: the container takes part in the network as its service says, under the names that a create gives it.
func (e *Engine) connect(ctx context.Context, s compose.Step) error {
	var n *compose.ServiceNetwork
	aliases := []string{s.Name}
	if s.Network.Service != nil {
		n = s.Network.Service.Networks[s.Network.Key]
		aliases = append(aliases, serviceAliases(*s.Network.Service, n)...)
	}
	err := e.api.NetworkConnect(ctx, s.Network.Spec.Name, s.Target, endpointSettings(n, append(aliases, s.Network.Aliases...), nil))
	if err != nil && has(err.Error(), "already exists in network", "already attached to network", "already connected to network") {
		return nil
	}
	return err
}

// disconnect does Disconnect.
func (e *Engine) disconnect(ctx context.Context, s compose.Step) error {
	err := e.api.NetworkDisconnect(ctx, s.Network.Spec.Name, s.Target, true)
	if err != nil && has(err.Error(), "is not connected to") {
		return nil
	}
	return absentIsFine(err)
}

// createVolume does CreateVolume. Source: Docker Engine API 1.41, POST /volumes/create: one that is there is the answer.
func (e *Engine) createVolume(ctx context.Context, s compose.Step) error {
	if s.Fill != nil {
		return e.fillVolume(ctx, s)
	}
	_, err := e.api.VolumeCreate(ctx, volume.CreateOptions{Name: s.Name, Driver: s.Volume.Driver, DriverOpts: s.Volume.DriverOpts, Labels: s.Labels})
	return err
}

// removeVolume does RemoveVolume.
func (e *Engine) removeVolume(ctx context.Context, target string) error {
	return inUse(absentIsFine(e.api.VolumeRemove(ctx, target, false)))
}

// inUse marks the engine's refusal to remove what something uses as compose.ErrInUse.
func inUse(err error) error {
	if err == nil || !has(err.Error(), "in use", "being used", "has active endpoints", "using its referenced image", "must be forced") {
		return err
	}
	return &usedError{err}
}

// usedError is compose.ErrInUse with what the engine said.
type usedError struct{ said error }

func (u *usedError) Error() string   { return u.said.Error() }
func (u *usedError) Unwrap() []error { return []error{u.said, compose.ErrInUse} }

// ownedBy says whose something is by its labels.
func ownedBy(labels map[string]string) string {
	if p := labels[compose.LabelProject]; p != "" {
		return fmt.Sprintf("of project %s", p)
	}
	return "of no project"
}
