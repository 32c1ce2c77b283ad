package compose

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// BuildMode says when Diff builds.
type BuildMode string

// When images are built.
const (
	// BuildStale builds what is missing and what strake built from other inputs: the zero value.
	BuildStale BuildMode = ""
	// BuildAlways builds every service that has a build section.
	BuildAlways BuildMode = "always"
	// BuildNever builds nothing; an image that is missing and cannot be pulled is an error.
	BuildNever BuildMode = "never"
)

// DiffOptions say what is wanted beside the project itself. The zero value is `up` of everything.
type DiffOptions struct {
	Services []string       // nil: all that are enabled
	NoDeps   bool           // only Services, not what they depend on
	Scale    map[string]int // --scale
	Recreate string         // "" when something differs, "force", "never"
	// AlwaysRecreateDeps recreates dependencies of Services too where Recreate is "force".
	AlwaysRecreateDeps bool
	RenewAnonVolumes   bool // -V: anonymous volumes are made anew
	RemoveOrphans      bool
	Build              BuildMode
	NoCache            bool
	AllPlatforms       bool              // build for each of build.platforms, where the engine can have them
	Pull               string            // "" as each service's pull_policy says, "always", "missing", "never"
	Inputs             map[string]string // of Inputs; a service that is absent counts as unchanged
	Refs               []BuildRef        // of BuildRefs, in Scope.Images too; needed for Offline
	Offline            bool
	ImagesOnly         bool           // plan builds and pulls, and nothing else
	NoStart            bool           // create only
	NoWait             bool           // do not wait for what nothing depends on
	Grace              *time.Duration // -t, for containers that are stopped
	Now                time.Time      // for pull policies with an age
	Version            string         // of strake, for LabelVersion
}

// Diff compares what is wanted with what is there and returns the plan that makes them equal. It is pure:
// equal arguments give equal plans. An error names everything that is missing, not only the first.
func Diff(want *Project, have State, o DiffOptions) (Plan, error) {
	if o.ImagesOnly {
		p := newPlanner(want, have, o)
		names, err := p.selected()
		if err == nil {
			err = p.images(names)
		}
		if err != nil {
			return nil, err
		}
		return p.whole()
	}
	p, names, err := planned(want, have, o, nil)
	if err != nil {
		return nil, err
	}
	if !o.NoStart && !o.NoWait {
		p.awaitReady(names)
	}
	p.orphans()
	p.tellOfCopies()
	p.imagesFirst()
	return p.whole()
}

// whole is the plan, unless something keeps it from working.
func (p *planner) whole() (Plan, error) {
	if err := joined(p.wrong); err != nil {
		return nil, err
	}
	return p.plan, nil
}

// planned has the selected services planned, and all that changes with them: those that live in a namespace of one that is made
// anew, and who is attached to a network that is. It returns their names. Of only, services that are not converged, what they
// need is planned too.
func planned(want *Project, have State, o DiffOptions, only []string) (*planner, []string, error) {
	var guests []string
	for {
		p := newPlanner(want, have, o)
		var names []string
		if len(only) == 0 || len(o.Services) > 0 {
			var err error
			if names, err = p.selected(); err != nil {
				return nil, nil, err
			}
		}
		for _, g := range guests {
			names, p.isSelected[g] = append(names, g), true
		}
		if err := p.prepare(append(slices.Clone(names), only...)); err != nil {
			return nil, nil, err
		}
		p.checkPorts(names)
		for _, name := range names {
			if err := p.service(name); err != nil {
				return nil, nil, err
			}
		}
		more := p.sharers()
		if len(more) == 0 {
			p.reattach()
			return p, names, nil
		}
		guests = append(guests, more...) // their networks, volumes and images come first: all over again
	}
}

// imagesFirst has everything that takes away what runs wait for all builds and pulls: one that fails leaves the stack as it
// was, and none is an outage as long as it lasts.
func (p *planner) imagesFirst() {
	var images []int
	for i, s := range p.plan {
		switch s.Op {
		case BuildImage, PullImage:
			images = append(images, i)
		case StopContainer, RemoveContainer, Disconnect, RemoveNetwork:
			p.plan[i].After = slices.Compact(slices.Sorted(slices.Values(slices.Concat(s.After, images))))
		case ExecHook:
			if s.Why == "pre_stop" {
				p.plan[i].After = slices.Compact(slices.Sorted(slices.Values(slices.Concat(s.After, images))))
			}
		}
	}
}

// prepare checks what can be checked, and plans images, networks and volumes of the named services.
func (p *planner) prepare(names []string) error {
	if err := errors.Join(p.checkEngine(names), p.checkExternals(names), p.checkScale(names)); err != nil {
		return err
	}
	if err := p.images(names); err != nil {
		return err
	}
	p.findLeftovers()
	if err := p.networks(names); err != nil {
		return err
	}
	return p.volumes(names)
}

// planner collects the steps of one Diff. Maps to step numbers hold index+1, so that 0 is "no step".
type planner struct {
	want *Project
	have State
	o    DiffOptions
	plan Plan

	wrong      []problem              // what keeps the plan from working
	containers map[string][]Container // by service, without one-offs, in the order of their numbers
	image      map[string]int         // service → its image's step
	pulls      map[ImageRef]int
	builder    map[string]string // image reference → the service that builds it
	network    map[string]int    // key → step after which it is there
	networkWas map[string]bool   // key → it is made anew, although one was there
	volume     map[string]int
	detached   map[string]int   // container id → step after which it may be changed (stopped, disconnected)
	replaced   map[string]int   // service → the step that creates a new container of it
	leftover   map[string][]int // service → the steps that remove what a killed run left of it
	isSelected map[string]bool
	started    map[string][]int // service → steps after which its containers run
	live       map[string][]live
	waits      map[waitKey]int
}

// live is a container as it will be when the plan has run: what dependents wait for.
type live struct {
	name  string
	start int // step+1 that starts it; 0 if it runs, or has completed, already
	was   Container
}

type waitKey struct {
	container string
	until     Until
	optional  bool
}

func newPlanner(want *Project, have State, o DiffOptions) *planner {
	p := &planner{want: want, have: have, o: o,
		containers: map[string][]Container{}, image: map[string]int{}, pulls: map[ImageRef]int{}, builder: map[string]string{},
		network: map[string]int{}, networkWas: map[string]bool{}, volume: map[string]int{}, detached: map[string]int{},
		replaced: map[string]int{}, leftover: map[string][]int{}, isSelected: map[string]bool{}, started: map[string][]int{}, live: map[string][]live{}, waits: map[waitKey]int{}}
	for _, c := range have.Containers {
		if c.Labels[LabelProject] == want.Name && c.Service() != "" && !c.IsOneOff() && !c.isUnfinished(want.Name) {
			p.containers[c.Service()] = append(p.containers[c.Service()], c)
		}
	}
	for _, cs := range p.containers {
		slices.SortStableFunc(cs, func(a, b Container) int {
			return cmp.Or(cmp.Compare(a.Number(), b.Number()), cmp.Compare(a.Name, b.Name))
		})
	}
	return p
}

// add appends a step and returns its number (index+1). after holds numbers; zeros and repeats are dropped.
func (p *planner) add(s Step, after ...int) int {
	for _, n := range after {
		if n > 0 && !slices.Contains(s.After, n-1) {
			s.After = append(s.After, n-1)
		}
	}
	slices.Sort(s.After)
	p.plan = append(p.plan, s)
	return len(p.plan)
}

// warn adds a step that only tells something.
func (p *planner) warn(name, why string) { p.add(Step{Op: Warn, Name: name, Why: why}) }

// selected are the services to converge, dependencies first, then by name.
func (p *planner) selected() ([]string, error) {
	roots := slices.Sorted(slices.Values(p.o.Services))
	if len(roots) == 0 {
		roots = p.want.ServiceNames()
		slices.Sort(roots)
	}
	var order []string
	seen := map[string]bool{}
	var visit func(name, by string) error
	visit = func(name, by string) error {
		if seen[name] {
			return nil
		}
		seen[name] = true
		s, ok := p.want.Services[name]
		if !ok {
			return unknownService(p.want, name, by)
		}
		for _, d := range slices.Sorted(maps.Keys(s.DependsOn)) {
			if p.o.NoDeps && !slices.Contains(roots, d) {
				continue
			}
			if _, ok := p.want.Services[d]; !ok && !s.DependsOn[d].Required {
				continue
			}
			if err := visit(d, name); err != nil {
				return err
			}
		}
		order = append(order, name)
		p.isSelected[name] = true
		return nil
	}
	for _, r := range roots {
		if err := visit(r, ""); err != nil {
			return nil, err
		}
	}
	return order, nil
}

// unknownService is the error for a name that is no enabled service; by is who depends on it, if anybody.
func unknownService(p *Project, name, by string) error {
	err := fmt.Errorf("no such service: %s", name)
	if by != "" {
		err = fmt.Errorf("service %s depends on %s, which is not there", by, name)
	}
	if _, ok := p.DisabledServices[name]; ok {
		return &HintedError{Err: fmt.Errorf("%w: its profile is not active", err), Next: "add --profile " + strings.Join(words(p.DisabledServices[name].Profiles), " or --profile ")}
	}
	return &HintedError{Err: err, Next: "the services are " + strings.Join(p.ServiceNames(), ", ")}
}

// scale is how many containers the service shall have.
func (p *planner) scale(s Service) int {
	if n, ok := p.o.Scale[s.Name]; ok {
		return n
	}
	return s.GetScale()
}

// maxScale is how many containers one service may have; a network has addresses for fewer, and a slip of the finger asks for more.
const maxScale = 1000

// checkScale refuses more than one container of one name, and more than can be meant.
func (p *planner) checkScale(names []string) error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(p.o.Scale)) {
		if _, ok := p.want.Services[name]; !ok {
			errs = append(errs, unknownService(p.want, name, ""))
		}
	}
	called := map[string]string{}
	for _, name := range names {
		s := p.want.Services[name]
		if other := called[s.ContainerName]; other != "" && p.scale(s) > 0 {
			errs = append(errs, &HintedError{Err: fmt.Errorf("services %s and %s cannot both have a container called %s", other, name, s.ContainerName),
				Next: "give one of them another container_name, or none"})
		} else if s.ContainerName != "" && p.scale(s) > 0 {
			called[s.ContainerName] = name
		}
		if p.scale(s) > maxScale {
			errs = append(errs, &HintedError{Err: fmt.Errorf("service %s: %d containers are more than the %d that one service may have", name, p.scale(s), maxScale),
				Next: "correct scale, deploy.replicas or --scale"})
		}
		if s.ContainerName != "" && p.scale(s) > 1 {
			errs = append(errs, &HintedError{Err: fmt.Errorf("service %s: %d containers cannot all be called %s", name, p.scale(s), s.ContainerName),
				Next: "remove container_name from the service, or scale it to 1"})
		}
	}
	return errors.Join(errs...)
}
