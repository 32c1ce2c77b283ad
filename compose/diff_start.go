package compose

import (
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
)

// start plans the start of a container with its hooks, after what the service depends on.
func (p *planner) start(s Service, c Container, why string, after ...int) {
	p.startIf(s, c, why, 0, after...)
}

// startIf is start under a condition (Step.IfChanged).
func (p *planner) startIf(s Service, c Container, why string, ifChanged int, after ...int) {
	if p.o.NoStart {
		return
	}
	target := c.ID
	if target == "" {
		target = c.Name
	}
	after = append(after, p.dependencies(s)...)
	for i := range s.PreStart {
		after = []int{p.preStart(s, i, ifChanged, after)}
	}
	n := p.add(Step{Op: StartContainer, Name: c.Name, Why: why, Service: s.Name, Target: target, IfChanged: ifChanged}, after...)
	p.live[s.Name] = append(p.live[s.Name], live{name: c.Name, start: n, was: c})
	for i := range s.PostStart {
		n = p.add(Step{Op: ExecHook, Name: c.Name, Why: "post_start", Service: s.Name, Target: c.Name, Hook: &s.PostStart[i], IfChanged: ifChanged}, n)
	}
	p.started[s.Name] = append(p.started[s.Name], n)
}

// preStart plans the i-th pre_start container of a service; it runs once for all replicas unless it says otherwise.
func (p *planner) preStart(s Service, i, ifChanged int, after []int) int {
	hook := s.PreStart[i]
	key := waitKey{container: s.Name, until: Until("pre_start " + strconv.Itoa(i))}
	if n := p.waits[key]; n > 0 && !hook.PerReplica {
		return n
	}
	merged := mergeHook(s, hook)
	name := p.want.Name + "-" + s.Name + "-pre_start-" + strconv.Itoa(i)
	labels := containerLabels(merged, 0, true, "", p.o.Version)
	spec := &ContainerSpec{Project: p.want, Service: merged, OneOff: true, Image: ImageName(p.want, merged), Labels: labels}
	n := p.add(Step{Op: RunHook, Name: name, Why: "pre_start", Service: s.Name, Container: spec, IfChanged: ifChanged}, append(after, p.image[s.Name], p.pulls[ImageRef{Ref: hook.Image}])...)
	p.waits[key] = n
	return n
}

// mergeHook is the service as a pre_start container runs it: what the hook says comes before what the service says.
func mergeHook(s Service, h PreStartHook) Service {
	s.PreStart, s.PostStart, s.PreStop, s.Ports, s.HealthCheck, s.ContainerName = nil, nil, nil, nil, nil, ""
	s.Command, s.Entrypoint = h.Command, h.Entrypoint
	if h.Entrypoint == nil {
		s.Entrypoint = nil
	}
	if h.Image != "" {
		s.Image = h.Image
	}
	if h.User != "" {
		s.User = h.User
	}
	if h.WorkingDir != "" {
		s.WorkingDir = h.WorkingDir
	}
	env := types.MappingWithEquals{}
	maps.Copy(env, s.Environment)
	maps.Copy(env, h.Environment)
	s.Environment = env
	s.Volumes = append(slices.Clone(s.Volumes), h.Volumes...)
	s.Restart = ""
	return s
}

// dependencies plans what a start of the service waits for and returns the steps.
func (p *planner) dependencies(s Service) []int {
	var after []int
	for _, name := range slices.Sorted(maps.Keys(s.DependsOn)) {
		d := s.DependsOn[name]
		if d.Condition != types.ServiceConditionHealthy && d.Condition != types.ServiceConditionCompletedSuccessfully {
			after = append(after, p.started[name]...)
			continue
		}
		until := UntilCompleted
		if d.Condition == types.ServiceConditionHealthy {
			until = UntilHealthy
		}
		for _, l := range p.live[name] {
			n := p.wait(name, l, until, !d.Required)
			if n > 0 && until == UntilHealthy && d.Required {
				p.checkHealth(s, name)
			}
			after = append(after, n)
		}
	}
	return after
}

// wait plans a wait for a container, once for all who need it; 0 if it is there already.
func (p *planner) wait(service string, l live, until Until, optional bool) int {
	if l.start == 0 && (until == UntilHealthy && l.was.Health == Healthy || until == UntilCompleted && l.was.Status == Exited && l.was.ExitCode == 0) {
		return 0
	}
	key := waitKey{l.name, until, optional}
	if p.waits[key] == 0 {
		p.waits[key] = p.add(Step{Op: Wait, Name: l.name, Service: service, Target: l.name, Until: until, Optional: optional,
			Limit: waitLimit(p.want, service, until), Restarts: p.want.Restarts(service)}, l.start)
	}
	return p.waits[key]
}

// waitLimit is how long a wait lasts at most: an hour for a completion, else twice what the healthcheck may take by its
// own numbers, at least 5 minutes.
func waitLimit(p *Project, service string, until Until) time.Duration {
	if until == UntilCompleted {
		return time.Hour
	}
	limit := 5 * time.Minute
	if p == nil || p.Services[service].HealthCheck == nil {
		return limit
	}
	h := p.Services[service].HealthCheck
	interval, timeout, retries, period := 30*time.Second, 30*time.Second, uint64(3), time.Duration(0)
	if h.Interval != nil {
		interval = time.Duration(*h.Interval)
	}
	if h.Timeout != nil {
		timeout = time.Duration(*h.Timeout)
	}
	if h.Retries != nil {
		retries = *h.Retries
	}
	if h.StartPeriod != nil {
		period = time.Duration(*h.StartPeriod)
	}
	return max(limit, 2*(period+time.Duration(min(retries+1, 1000))*(interval+timeout)))
}

// Restarts is whether the engine starts the service's containers again when they exit; nothing is known of a nil Project.
func (p *Project) Restarts(service string) bool {
	if p == nil {
		return false
	}
	s := p.Services[service]
	if s.Deploy != nil && s.Deploy.RestartPolicy != nil && s.Restart == "" {
		return s.Deploy.RestartPolicy.Condition != "none"
	}
	return s.Restart != "" && s.Restart != types.RestartPolicyNo
}

// awaitReady plans that the run lasts until everything is ready, where nothing waits for it anyway.
func (p *planner) awaitReady(names []string) {
	for _, name := range names {
		s := p.want.Services[name]
		for _, l := range p.live[name] {
			if p.isAwaited(l.name) {
				continue
			}
			switch {
			case l.start == 0 && l.was.Status != Restarting && (l.was.Status == Exited || l.was.Health == NoHealth || l.was.Health == Healthy):
			case p.want.IsOneShot(name):
				p.wait(name, l, UntilCompleted, false)
			default:
				p.wait(name, l, p.readyWhen(s), false)
			}
		}
	}
}

// isAwaited is whether a step waits for the container's health or completion already, also one that may fail.
func (p *planner) isAwaited(container string) bool {
	for _, until := range []Until{UntilHealthy, UntilCompleted} {
		if p.waits[waitKey{container, until, false}] > 0 || p.waits[waitKey{container, until, true}] > 0 {
			return true
		}
	}
	return false
}

// readyWhen is UntilRunning where it is known that there is no healthcheck: nothing is asked then.
func (p *planner) readyWhen(s Service) Until {
	if h := s.HealthCheck; h != nil {
		if h.Disable || len(h.Test) > 0 && h.Test[0] == "NONE" {
			return UntilRunning
		}
		return UntilReady
	}
	if image, ok := p.have.Images[ImageName(p.want, s)]; ok && p.image[s.Name] == 0 && !image.HasHealthcheck {
		return UntilRunning
	}
	return UntilReady
}

// IsOneShot is whether the service is one by its settings, or an enabled one depends on its completion.
func (p *Project) IsOneShot(name string) bool {
	if p.Settings.Services[name].Once {
		return true
	}
	for _, s := range p.Services {
		if d, ok := s.DependsOn[name]; ok && d.Condition == types.ServiceConditionCompletedSuccessfully {
			return true
		}
	}
	return false
}

// findLeftovers finds replacements that a killed run left: where the old container is still there, they go; where it is
// gone, they take its name.
func (p *planner) findLeftovers() {
	names := map[string]bool{}
	for _, c := range p.have.Containers {
		names[c.Name] = true
	}
	for _, c := range p.have.Containers {
		if c.isUnfinished(p.want.Name) {
			p.leftover[c.Service()] = append(p.leftover[c.Service()], p.add(Step{Op: RemoveContainer, Name: c.Name, Why: "left over from an interrupted run", Service: c.Service(), Target: c.ID}))
		}
		if c.fills() && (c.Status == Created || c.Status == Exited) && c.Labels[LabelProject] == p.want.Name && !names[FillMark(c.Labels[LabelFilling])] {
			p.add(Step{Op: RemoveContainer, Name: c.Name, Why: "left over from an interrupted run", Target: c.ID})
		}
	}
	for _, service := range slices.Sorted(maps.Keys(p.containers)) {
		if !p.isSelected[service] {
			continue
		}
		var kept []Container
		for _, c := range p.containers[service] {
			old := c.Labels[LabelReplace]
			switch {
			case old == "" || c.Name == old || c.Name == p.want.Name+"-"+old || !isTemporary(c.Name):
			case names[old] || names[p.want.Name+"-"+old]:
				p.leftover[service] = append(p.leftover[service], p.add(Step{Op: RemoveContainer, Name: c.Name, Why: "left over from an interrupted run", Service: service, Target: c.ID}))
				continue
			default:
				name := c.Name[13:]
				p.detached[c.ID] = p.add(Step{Op: RenameContainer, Name: name, Why: "left over from an interrupted run", Service: service, Target: c.ID})
				c.Name = name
			}
			kept = append(kept, c)
		}
		p.containers[service] = kept
	}
}

// isOrphan is whether the container's service is not in the file any more.
func (p *planner) isOrphan(c Container) bool {
	_, known := serviceNamed(p.want, c.Service())
	return !known
}

// goesAsOrphan is whether the plan removes the container because it was asked to remove orphans, one-offs that ended among them.
func (p *planner) goesAsOrphan(c Container) bool {
	if c.IsOneOff() {
		return p.o.RemoveOrphans && (c.Status == Exited || c.Status == Dead) && !p.have.isFilling(c)
	}
	return p.o.RemoveOrphans && p.isOrphan(c)
}

// orphans plans the removal of containers whose service is not in the file any more, or says that they are there.
func (p *planner) orphans() {
	for _, c := range p.have.Containers {
		switch {
		case c.Labels[LabelProject] != p.want.Name || c.Service() == "":
		case p.goesAsOrphan(c):
			p.remove(Service{Name: c.Service()}, c, "its service is not in the file")
		case !c.IsOneOff() && p.isOrphan(c):
			p.warn("container "+c.Name, "its service "+c.Service()+" is not in the file; --remove-orphans removes it")
		}
	}
}
