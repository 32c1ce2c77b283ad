package previews

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/strake-dev/strake/compose"
)

// make brings the new generation up, ready and without visitors.
func (op *opening) make(ctx context.Context) error {
	for _, part := range []func(context.Context) error{op.source, op.images, op.data, op.start} {
		if err := part(ctx); err != nil {
			return err
		}
	}
	return nil
}

// source reads the commit's project.
func (op *opening) source(ctx context.Context) (err error) {
	done := op.phase("source")
	root, err := op.m.Sources.Checkout(ctx, op.to.ID, op.name)
	if err != nil {
		return err
	}
	p, err := op.m.Sources.Load(ctx, root, op.from)
	if err != nil {
		return err
	}
	op.hidden = hiddenOf(op.from, p)
	done(op.to.ID[:12])
	done = op.phase("gateway")
	format, err := op.m.Router.Address(ctx)
	if err != nil {
		return err
	}
	done("")
	routes, err := compose.Routes(p)
	if err != nil {
		return err
	}
	op.route(routes, format)
	if err := op.named(ctx); err != nil {
		return err
	}
	used, err := op.m.Host.Subnets(ctx)
	if err != nil {
		return err
	}
	op.g, err = Overlay(p, OverlayOptions{Stack: op.r.Stack, Generation: op.gen, Name: op.name, Root: root, Commit: op.to.ID,
		Labels: map[string]string{LabelPreview: op.r.Stack, LabelGeneration: strconv.Itoa(op.gen), labelProject: op.r.Project},
		URL:    op.url, URLs: op.urls, Policy: op.from.Settings, Secrets: op.from.Secrets, HostCPUs: op.room.CPUs,
		Subnet: func(network string) (netip.Prefix, error) {
			return freeSubnet(&used, network)
		}})
	if err != nil {
		return err
	}
	op.p, op.built = withImages(p, op.g)
	op.r.Images = append(op.r.Images, op.built...) // before they are there: what is killed now is still found
	slices.Sort(op.r.Images)
	op.r.Images = slices.Compact(op.r.Images)
	if op.r.Active == "" { // until it is ready its address says how it stands
		op.r.URL, op.r.URLs, op.r.Routes = op.url, op.urls, slices.Clone(op.routes)
		for i := range op.r.Routes {
			op.r.Routes[i].Upstream, op.r.Routes[i].Network = "", ""
		}
	}
	return errors.Join(op.m.write(ctx, op.r), op.m.Router.Sync(ctx, op.r.Stack))
}

// route says where visitors will reach the services. format is how URLs are made of hosts.
func (op *opening) route(specs []compose.RouteSpec, format string) {
	op.urls = map[string]string{}
	for _, spec := range specs {
		label := op.r.ID
		if spec.Host != "" {
			label = hostLabel(spec.Host, op.r.ID)
		}
		r := Route{Service: spec.Service, Host: label + "." + op.policy.Domain, Path: strings.TrimSuffix(spec.Path, "/"), Strip: spec.Strip, Main: spec.Main,
			Upstream: fmt.Sprintf("%s:%d", EdgeAlias(spec.Service, op.r.Stack, op.gen), spec.Port), Network: op.name + "_" + EdgeNetwork}
		op.routes = append(op.routes, r)
		op.urls[r.Service] = fmt.Sprintf(format, r.Host) + r.Path
		if r.Main {
			op.url = op.urls[r.Service]
		}
	}
}

// named tells whoever makes names lead here what they are.
func (op *opening) named(ctx context.Context) error {
	if op.m.Named == nil {
		return nil
	}
	hosts := map[string]bool{}
	for _, r := range op.routes {
		hosts[r.Host] = true
	}
	return op.m.Named(ctx, slices.Sorted(maps.Keys(hosts)))
}

// images builds what is not there for this commit, and pulls what the file names and is missing.
func (op *opening) images(ctx context.Context) error {
	begun := op.m.Now()
	brought, err := op.m.Sources.Supply(ctx, op.to.ID, op.p)
	if err != nil {
		return err
	}
	if brought != "" {
		op.phases = append(op.phases, Phase{Name: "supply", Seconds: op.m.Now().Sub(begun).Seconds(), Note: brought})
	}
	done := op.phase("images")
	d, err := op.diffOptions(ctx)
	if err != nil {
		return err
	}
	d.ImagesOnly = true
	_, plan, err := compose.ConvergeHeld(ctx, op.h, compose.ScopeOf(op.g, d.Refs), func(have compose.State) (compose.Plan, error) {
		if err := op.refuseImages(have); err != nil {
			return nil, err
		}
		return compose.Diff(op.g, have, d)
	}, op.m.Claim)
	if err != nil {
		return err
	}
	done(counted(plan))
	return nil
}

// refuseImages refuses images of the file, and those that it builds on, that hold data of a seed, whichever project's: what was sealed is for
// who asks for it by x-strake.seed. It also refuses what another project's stack, or another preview, built: its code is nobody else's to read.
func (op *opening) refuseImages(have compose.State) error {
	var no RefusedError
	for _, ref := range slices.Sorted(maps.Keys(have.Images)) {
		if op.m.Seeds.IsSeed(have.Images[ref].Labels) {
			no.Refused = append(no.Refused, &compose.HintedError{Err: fmt.Errorf("image %s holds data of a seed, which a preview does not allow", ref),
				Next: "name the service's own image; x-strake.seed starts it from the project's seed"})
			continue
		}
		of := have.Images[ref].Labels[compose.LabelProject]
		if of != "" && of != op.from.Project && !IsOf(op.r.Stack, of) {
			no.Refused = append(no.Refused, &compose.HintedError{Err: fmt.Errorf("image %s was built by project %s, which a preview does not allow", ref, of),
				Next: "give the image a place in a registry, or build it in this project"})
		}
	}
	if len(no.Refused) == 0 {
		return nil
	}
	return &no
}

// counted says how many images a plan built and pulled.
func counted(p compose.Plan) string {
	var built, pulled int
	for _, s := range p {
		switch s.Op {
		case compose.BuildImage:
			built++
		case compose.PullImage:
			pulled++
		}
	}
	switch {
	case built > 0 && pulled > 0:
		return fmt.Sprintf("%d built, %d pulled", built, pulled)
	case built > 0:
		return fmt.Sprintf("%d built", built)
	case pulled > 0:
		return fmt.Sprintf("%d pulled", pulled)
	}
	return "all there"
}

// diffOptions are those of the generation's plans.
func (op *opening) diffOptions(ctx context.Context) (compose.DiffOptions, error) {
	d := compose.DiffOptions{Now: op.m.Now(), Version: op.m.Version}
	var built []string
	for _, name := range op.g.ServiceNames() {
		if op.g.Services[name].Build != nil {
			built = append(built, name)
		}
	}
	if len(built) == 0 {
		return d, nil
	}
	var err, err2 error
	d.Inputs, err = compose.Inputs(ctx, op.g, built, op.m.Inputs)
	d.Refs, err2 = compose.BuildRefs(ctx, op.g, built)
	return d, errors.Join(err, err2)
}

// data makes the seed be there, and has the generation start from it.
func (op *opening) data(ctx context.Context) (err error) {
	done := op.phase("data")
	if op.seeded, err = op.m.Seeds.Seal(ctx, op.r.Stack, op.to.ID, op.p, func(text string) { op.m.note("seed: %s", text) }); err != nil {
		return err
	}
	if op.seeded.Apply == nil {
		done("no seed")
		return nil
	}
	op.g = op.seeded.Apply(op.g)
	note := "seed " + op.seeded.Key
	if op.seeded.How != "" {
		note += " " + op.seeded.How
	}
	done(note)
	return nil
}

// start starts the generation and waits until it is ready.
func (op *opening) start(ctx context.Context) error {
	d, err := op.diffOptions(ctx)
	if err != nil {
		return err
	}
	d.Build = compose.BuildNever
	if op.keep && op.r.Active != "" {
		kept, err := op.keepData(ctx)
		if err != nil {
			return err
		}
		if err := op.connect(ctx, kept, d); err != nil {
			return err
		}
	}
	begun, started := op.m.Now(), op.m.Now()
	o := op.m.Claim
	note, planned := o.Run.Note, o.Planned
	var plan compose.Plan
	o.Planned = func(p compose.Plan, s compose.State) {
		plan = p
		if planned != nil {
			planned(p, s)
		}
	}
	o.Run.Note = func(e compose.Event) {
		if e.Kind == compose.StepDone && e.Step >= 0 && e.Step < len(plan) && plan[e.Step].Op == compose.StartContainer {
			started = e.At
		}
		if note != nil {
			note(e)
		}
	}
	op.m.note("start")
	for try := 1; ; try++ {
		_, _, err = compose.ConvergeHeld(ctx, op.h, compose.ScopeOf(op.g, d.Refs), func(have compose.State) (compose.Plan, error) {
			return compose.Diff(op.g, have, d)
		}, o)
		if !errors.Is(err, compose.ErrOverlap) || try == mostChoices {
			break
		}
		if err := op.chooseAgain(ctx, try); err != nil {
			return err
		}
	}
	ready := op.m.Now()
	op.phases = append(op.phases, Phase{Name: "start", Seconds: started.Sub(begun).Seconds(), Note: fmt.Sprintf("%d services", len(op.g.Services))},
		Phase{Name: "health", Seconds: ready.Sub(started).Seconds()})
	return err
}

// mostChoices is how often addresses are chosen for a network: whoever opens another preview at that moment may take the same ones.
const mostChoices = 10

// chooseAgain chooses other addresses for the networks that are not there yet.
func (op *opening) chooseAgain(ctx context.Context, try int) error {
	used, err := op.m.Host.Subnets(ctx)
	if err != nil {
		return err
	}
	state, err := op.m.observe(ctx, op.r.Stack)
	if err != nil {
		return err
	}
	for key, n := range op.g.Networks {
		if slices.ContainsFunc(state.Networks, func(there compose.Network) bool { return there.Name == n.Name }) {
			continue
		}
		subnet, err := freeSubnet(&used, fmt.Sprint(n.Name, " ", try))
		if err != nil {
			return err
		}
		n.Ipam.Config = []*compose.AddressPool{{Subnet: subnet.String()}}
		op.g.Networks[key] = n
	}
	return nil
}

// withImages is the project as the file says with the images, the limits and no other networks than those of its preview: so its seed is
// built. It returns the references of the images that the project builds too, sorted.
func withImages(p, g *compose.Project) (*compose.Project, []string) {
	out := p.Copy()
	out.Settings.Registry = g.Settings.Registry // the policy's: a pull request does not choose where its seed is pulled from
	var built []string
	for name, s := range out.Services {
		of, ok := g.Services[name]
		if !ok {
			continue
		}
		s.Image = of.Image
		s.CPUS, s.CPUQuota, s.CPUPeriod, s.CPUCount, s.CPUPercent, s.CPUSet, s.CPUShares = of.CPUS, of.CPUQuota, of.CPUPeriod, of.CPUCount, of.CPUPercent, of.CPUSet, of.CPUShares
		s.MemLimit, s.MemReservation, s.MemSwapLimit, s.PidsLimit, s.Deploy, s.Logging = of.MemLimit, of.MemReservation, of.MemSwapLimit, of.PidsLimit, of.Deploy, of.Logging
		if s.NetworkMode != of.NetworkMode { // that of all stacks of the engine
			s.NetworkMode, s.Networks = of.NetworkMode, map[string]*compose.ServiceNetwork{"default": nil}
			if _, ok := out.Networks["default"]; !ok {
				out.Networks["default"] = compose.NetworkSpec{}
			}
		}
		out.Services[name] = s
		if of.Build != nil {
			built = append(built, of.Image)
		}
	}
	slices.Sort(built)
	return out, slices.Compact(built)
}

// failureOf is why an open failed, with the last lines of the service that is to blame and without what is hidden: visitors read it.
func (m *Manager) failureOf(ctx context.Context, commit string, why error, hidden []string) *Failure {
	f := &Failure{Commit: commit, What: lastOf(why.Error()), At: m.Now().UTC()}
	var unready *compose.NotReadyError
	var step *StepError
	switch {
	case errors.As(why, &unready):
		f.Service, f.Unready, f.Log = unready.Service, true, m.Host.Log(ctx, unready.Container)
	case errors.As(why, &step):
		f.Service, f.Log = step.Service, step.Log
	}
	f.What, f.Log = hide(f.What, hidden), hide(lastOf(f.Log), hidden)
	return f
}

// mostSaid is the most bytes of a text that a record keeps: who is looked at wrote it.
const mostSaid = 16 << 10

// lastOf is the end of a text, without what is no text in it.
func lastOf(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r == utf8.RuneError {
			return -1
		}
		return r
	}, text[max(0, len(text)-mostSaid):])
	return text
}

// StepError is a step of making data that failed, with what its container printed last.
type StepError struct {
	Service, Log string
	Err          error
}

// Error is that of Err.
func (e *StepError) Error() string { return e.Err.Error() }

// Unwrap is Err.
func (e *StepError) Unwrap() error { return e.Err }
