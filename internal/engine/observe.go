package engine

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"
	"golang.org/x/sync/errgroup"

	"github.com/strake-dev/strake/compose"
)

// observers is how many questions an engine is asked at once.
const observers = 16

// Observe implements compose.Host. All questions are asked at once; no container is inspected. Images that were
// found are remembered for the CreateContainer steps that follow, until the next Observe that asks for images, pull or build.
func (e *Engine) Observe(ctx context.Context, s compose.Scope) (compose.State, error) {
	if ctx.Err() != nil {
		return compose.State{}, context.Cause(ctx)
	}
	state := compose.State{Project: s.Project}
	if len(s.Images) > 0 {
		e.images.clear()
	}
	known := e.expected.take()
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(observers)
	g.Go(func() (err error) {
		state.Engine, err = e.facts.of(gctx, e.askFacts)
		return err
	})
	g.Go(func() (err error) {
		if state.Containers, err = e.observeContainers(gctx, s, known); err != nil {
			return err
		}
		return e.observeFiles(gctx, state.Containers, s.Files)
	})
	g.Go(func() (err error) {
		state.Networks, err = e.observeNetworks(gctx, s, known)
		return err
	})
	g.Go(func() (err error) {
		state.Volumes, err = e.observeVolumes(gctx, s, known)
		return err
	})
	if len(s.Copies) > 0 && !e.where.local {
		g.Go(func() (err error) {
			state.Copies, err = compose.ReadCopies(gctx, s, compose.InputOptions{CacheDir: e.cacheDir})
			return err
		})
	}
	found := make([]imageFacts, len(s.Images))
	for i, ref := range s.Images {
		g.Go(func() (err error) {
			found[i], err = e.imageOf(gctx, ref, known)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		if ctx.Err() != nil {
			return compose.State{}, context.Cause(ctx)
		}
		return compose.State{}, fmt.Errorf("observe project %s: %w", s.Project, e.explainCall(ctx, err))
	}
	state.Images = map[string]compose.Image{}
	for i, ref := range s.Images {
		if found[i].present {
			state.Images[ref.Ref] = found[i].Image
		}
	}
	return state, nil
}

// questions are what is asked for of a scope: what its labels select, and what has one of the names.
func questions(s compose.Scope, names []string) []filters.Args {
	var all []filters.Args
	if s.Project != "" {
		all = append(all, projectFilter(s.Project))
	}
	if s.Label != "" {
		all = append(all, filters.NewArgs(filters.Arg("label", s.Label)))
	}
	if len(names) > 0 {
		f := filters.NewArgs()
		for _, n := range names {
			f.Add("name", "^/?"+regexp.QuoteMeta(n)+"$")
		}
		all = append(all, f)
	}
	return all
}

// lists asks all questions at once, but for those that have an answer.
func lists[T any](ctx context.Context, known answers, of string, asked []filters.Args, list func(context.Context, filters.Args) ([]T, error)) ([]T, error) {
	answers := make([][]T, len(asked))
	g, gctx := errgroup.WithContext(ctx)
	for i, f := range asked {
		g.Go(func() (err error) {
			answers[i], err = answered(gctx, known, question(of, f), func(ctx context.Context) ([]T, error) { return list(ctx, f) })
			return err
		})
	}
	err := g.Wait()
	return slices.Concat(answers...), err
}

func (e *Engine) listContainers(ctx context.Context, f filters.Args) ([]container.Summary, error) {
	return e.api.ContainerList(ctx, container.ListOptions{All: true, Filters: f})
}

func (e *Engine) listNetworks(ctx context.Context, f filters.Args) ([]network.Summary, error) {
	return e.api.NetworkList(ctx, network.ListOptions{Filters: f})
}

func (e *Engine) listVolumes(ctx context.Context, f filters.Args) ([]*volume.Volume, error) {
	answer, err := e.api.VolumeList(ctx, volume.ListOptions{Filters: f})
	return answer.Volumes, err
}

func projectFilter(project string) filters.Args {
	return filters.NewArgs(filters.Arg("label", compose.LabelProject+"="+project))
}

func (e *Engine) observeContainers(ctx context.Context, s compose.Scope, known answers) ([]compose.Container, error) {
	list, err := lists(ctx, known, "containers", questions(s, s.Containers), e.listContainers)
	if err != nil {
		return nil, err
	}
	var out []compose.Container
	for _, c := range list {
		out = append(out, observed(c))
	}
	return unique(out, func(c compose.Container) (string, string) { return c.Name, c.ID }), nil
}

func (e *Engine) observeNetworks(ctx context.Context, s compose.Scope, known answers) ([]compose.Network, error) {
	list, err := lists(ctx, known, "networks", questions(s, s.Networks), e.listNetworks)
	if err != nil {
		return nil, err
	}
	var out []compose.Network
	for _, n := range list {
		out = append(out, compose.Network{ID: n.ID, Name: n.Name, Driver: n.Driver, Labels: n.Labels, Subnets: subnetsOf(n),
			Internal: n.Internal, Closed: compose.IsClosed(n.Options), Created: n.Created.UTC()})
	}
	return unique(out, func(n compose.Network) (string, string) { return n.Name, n.ID }), nil
}

// subnetsOf are the subnets of a network.
func subnetsOf(n network.Summary) []netip.Prefix {
	var all []netip.Prefix
	for _, c := range n.IPAM.Config {
		if p, err := netip.ParsePrefix(c.Subnet); err == nil {
			all = append(all, p.Masked())
		}
	}
	return all
}

// Subnets are those of every network of the engine, whosever it is.
// Source: Docker Engine API 1.41, GET /networks.
func (e *Engine) Subnets(ctx context.Context) ([]netip.Prefix, error) {
	list, err := e.api.NetworkList(ctx, network.ListOptions{})
	if err != nil {
		return nil, e.explainCall(ctx, err)
	}
	var all []netip.Prefix
	for _, n := range list {
		all = append(all, subnetsOf(n)...)
	}
	return all, nil
}

// Attached are the names of the running containers that are on a network, whosever they are.
// Source: Docker Engine API 1.41, GET /networks/{id}.
func (e *Engine) Attached(ctx context.Context, id string) ([]string, error) {
	n, err := e.api.NetworkInspect(ctx, id, network.InspectOptions{})
	if err != nil {
		return nil, fmt.Errorf("look at network %s: %w", id, e.explainCall(ctx, err))
	}
	var all []string
	for _, c := range n.Containers {
		all = append(all, c.Name)
	}
	slices.Sort(all)
	return all, nil
}

// Sharing are the containers that use the network of one of some, and are none of them, by name.
// Source: Docker Engine API 1.41, GET /containers/json.
func (e *Engine) Sharing(ctx context.Context, of []compose.Container) ([]string, error) {
	list, err := e.api.ContainerList(ctx, container.ListOptions{})
	if err != nil {
		return nil, e.explainCall(ctx, err)
	}
	ids := map[string]bool{}
	for _, c := range of {
		ids[c.ID] = true
	}
	var all []string
	for _, c := range list {
		if mode := container.NetworkMode(c.HostConfig.NetworkMode); mode.IsContainer() && ids[mode.ConnectedContainer()] && !ids[c.ID] {
			all = append(all, ownName(c.Names))
		}
	}
	slices.Sort(all)
	return all, nil
}

// MountedBut are the paths of the machine that containers which did not end may write to, but for those of a project.
func (e *Engine) MountedBut(ctx context.Context, project string) ([]string, error) {
	return e.mounted(ctx, filters.Args{}, func(labels map[string]string) bool { return labels[compose.LabelProject] != project })
}

// MountedBy are the paths of the machine that containers of a project which did not end may write to.
func (e *Engine) MountedBy(ctx context.Context, project string) ([]string, error) {
	return e.mounted(ctx, projectFilter(project), func(map[string]string) bool { return true })
}

// mounted are the paths that may be written to. Source: Docker Engine API 1.41, GET /containers/json.
func (e *Engine) mounted(ctx context.Context, only filters.Args, counts func(labels map[string]string) bool) ([]string, error) {
	list, err := e.api.ContainerList(ctx, container.ListOptions{Filters: only})
	if err != nil {
		return nil, e.explainCall(ctx, err)
	}
	var all []string
	for _, c := range list {
		for _, m := range c.Mounts {
			if m.Type == "bind" && m.RW && counts(c.Labels) {
				all = append(all, m.Source)
			}
		}
	}
	return all, nil
}

// Restarted is how long ago the engine started a container again by itself; 0 where it did not, or does not know the container.
// Source: Docker Engine API 1.41, GET /containers/{id}/json, RestartCount and State.StartedAt.
func (e *Engine) Restarted(ctx context.Context, id string) (time.Duration, error) {
	c, err := e.api.ContainerInspect(ctx, id)
	if err != nil {
		return 0, absentIsFine(e.explainCall(ctx, err))
	}
	if c.RestartCount == 0 || c.State == nil {
		return 0, nil
	}
	at, err := time.Parse(time.RFC3339Nano, c.State.StartedAt)
	if err != nil {
		return 0, nil // it never ran
	}
	return max(time.Since(at), 1), nil
}

// Writers are the containers that run, or are being restarted, and have one of some volumes mounted so that they can write there, whosever they are,
// by name.
// Source: Docker Engine API 1.41, GET /containers/json, filters status and volume.
func (e *Engine) Writers(ctx context.Context, volumes []string) ([]compose.Container, error) {
	f := filters.NewArgs(filters.Arg("status", container.StateRunning), filters.Arg("status", container.StateRestarting))
	for _, name := range volumes {
		f.Add("volume", name)
	}
	list, err := e.api.ContainerList(ctx, container.ListOptions{All: true, Filters: f})
	if err != nil {
		return nil, fmt.Errorf("list the containers that have volumes mounted: %w", e.explainCall(ctx, err))
	}
	var all []compose.Container
	for _, c := range list {
		if slices.ContainsFunc(c.Mounts, func(m container.MountPoint) bool { return m.RW && m.Name != "" && slices.Contains(volumes, m.Name) }) {
			all = append(all, observed(c))
		}
	}
	return unique(all, func(c compose.Container) (string, string) { return c.Name, c.ID }), nil
}

func (e *Engine) observeVolumes(ctx context.Context, s compose.Scope, known answers) ([]compose.Volume, error) {
	list, err := lists(ctx, known, "volumes", questions(s, s.Volumes), e.listVolumes)
	if err != nil {
		return nil, err
	}
	var out []compose.Volume
	for _, v := range list {
		out = append(out, compose.Volume{Name: v.Name, Driver: v.Driver, Labels: v.Labels})
	}
	return unique(out, func(v compose.Volume) (string, string) { return v.Name, v.Name }), nil
}

// unique sorts things by name and id and leaves one of each id.
func unique[T any](things []T, key func(T) (name, id string)) []T {
	slices.SortFunc(things, func(a, b T) int {
		an, ai := key(a)
		bn, bi := key(b)
		return cmp.Or(strings.Compare(an, bn), strings.Compare(ai, bi))
	})
	return slices.CompactFunc(things, func(a, b T) bool {
		_, ai := key(a)
		_, bi := key(b)
		return ai == bi
	})
}

// observed is a container of the engine's list.
func observed(c container.Summary) compose.Container {
	out := compose.Container{
		ID: c.ID, Name: ownName(c.Names), Image: c.ImageID, ImageRef: c.Image, Labels: c.Labels,
		Status: compose.ContainerStatus(c.State), Health: healthIn(c.Status), ExitCode: exitCodeIn(c.Status),
		Created: time.Unix(c.Created, 0).UTC(), Command: c.Command, StatusText: c.Status, Networks: map[string]string{},
	}
	if c.NetworkSettings != nil {
		for name, n := range c.NetworkSettings.Networks {
			if n != nil {
				out.Networks[name] = n.NetworkID
			}
		}
	}
	if mode := container.NetworkMode(c.HostConfig.NetworkMode); mode.IsHost() || mode.IsNone() || mode.IsContainer() {
		out.NetworkMode = string(mode)
	}
	for _, m := range c.Mounts {
		out.Mounts = append(out.Mounts, compose.Mount{Type: string(m.Type), Name: m.Name, Driver: m.Driver, Source: m.Source, Target: m.Destination})
	}
	slices.SortFunc(out.Mounts, func(a, b compose.Mount) int { return strings.Compare(a.Target, b.Target) })
	for _, p := range c.Ports {
		out.Ports = append(out.Ports, compose.Port{HostIP: p.IP, Published: p.PublicPort, Target: p.PrivatePort, Protocol: p.Type})
	}
	slices.SortFunc(out.Ports, func(a, b compose.Port) int {
		return cmp.Or(cmp.Compare(a.Target, b.Target), strings.Compare(a.Protocol, b.Protocol),
			cmp.Compare(a.Published, b.Published), strings.Compare(a.HostIP, b.HostIP))
	})
	return out
}

// ownName is the container's own name among those of a list, which has the names that links give it too.
func ownName(names []string) string {
	for _, n := range names {
		if n = strings.TrimPrefix(n, "/"); !strings.Contains(n, "/") {
			return n
		}
	}
	return ""
}

// imageFacts is an image that was looked up; one that is not there has the zero value.
type imageFacts struct {
	compose.Image
	present bool
	shell   []string // of the image's SHELL; nil is the engine's own
	held    string   // the name by which the engine has it, where that is another one than was asked for
}

// imageKey is what images are remembered by.
func imageKey(ref compose.ImageRef) string { return ref.Ref + "@" + ref.Platform }

// imageOf is the image that a reference names now, of the platform that is asked for; it asks once per reference, but again for
// one that was not there. What Expect asked for may be known.
func (e *Engine) imageOf(ctx context.Context, ref compose.ImageRef, known answers) (imageFacts, error) {
	key := imageKey(ref)
	found, err := e.images.of(ctx, key, func(ctx context.Context) (imageFacts, error) {
		return answered(ctx, known, "image "+key, func(ctx context.Context) (imageFacts, error) { return e.lookUpImage(ctx, ref) })
	})
	if !found.present {
		e.images.drop(key)
	}
	return found, err
}
