package seed

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/compose/regex"
)

// Goal is where a reset takes a stack: between the old data and the new nothing of the stack says it, but a mark of who resets.
type Goal struct {
	Key      string
	Mode     Mode
	Services []string // nil: all seeded ones
}

// Command is what a reset calls itself in its claim and in its mark, for people and for goalOf.
func (g Goal) Command() string {
	return fmt.Sprintf("seed reset %s in %s mode", g.args(), g.Mode)
}

// args are the arguments with which a reset does the same again.
func (g Goal) args() string {
	return strings.Join(slices.Concat(g.Services, []string{"--to", g.Key}), " ")
}

// Finish is the command that goes on from where a reset of a project ended. It names the project: in the same folder the files may say another.
func (g Goal) Finish(project string) string {
	return "strake seed reset " + g.args() + " --yes -p " + project
}

// goalOf reads what Command says, which may have the program's name before it; nil where it is no reset.
func goalOf(command string) *Goal {
	words := resetCommand.FindStringSubmatch(command)
	if words == nil {
		return nil
	}
	g := &Goal{Key: words[2], Mode: Mode(words[3])}
	if words[1] != "" {
		g.Services = strings.Fields(words[1])
	}
	return g
}

var resetCommand = regex.New(`^(?:strake )?seed reset ((?:[a-zA-Z0-9_][a-zA-Z0-9._-]* )*)--to ([a-zA-Z0-9_][a-zA-Z0-9._-]*) in (volume|layer) mode$`)

// Refused is why nothing but a reset goes on from here, after one did not come to its end: data may be missing, or be of two seeds.
func (g Goal) Refused(project string) error { return &UnfinishedError{Project: project, Goal: g} }

// UnfinishedError is a reset that did not come to its end. Nothing of its data is taken for a seed's.
type UnfinishedError struct {
	Project string
	Goal    Goal
}

// Error says what there is.
func (e *UnfinishedError) Error() string {
	return fmt.Sprintf("strake seed reset of %s to seed %s did not come to its end: some of its data is missing, or is not that seed's yet", e.Project, e.Goal.Key)
}

// Hint is how to go on.
func (e *UnfinishedError) Hint() string {
	return e.Goal.Finish(e.Project) + " finishes it; strake down -v -p " + e.Project + " throws the data away"
}

// half are the services of the project that a reset which did not come to its end leaves without whole data: those that it resets, and
// those that mount their volumes.
func (g Goal) half(p *compose.Project) []string {
	all := p.AllServices()
	reset := g.of(p)
	var keys []string
	for _, name := range reset {
		keys = append(keys, volumesOf(all[name])...)
	}
	return slices.DeleteFunc(slices.Sorted(maps.Keys(all)), func(name string) bool {
		mounts := slices.ContainsFunc(all[name].Volumes, func(v compose.ServiceVolume) bool { return v.Type == "volume" && slices.Contains(keys, v.Source) })
		return !mounts && !slices.Contains(reset, name)
	})
}

// of are the services that the reset is of, sorted: of a project all seeded ones, enabled or not, where it names none.
func (g Goal) of(p *compose.Project) []string {
	names := slices.Clone(g.Services)
	if len(names) == 0 {
		for name, s := range p.Settings.Services {
			if _, ok := p.AllServices()[name]; ok && s.Seed != nil {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Concerns is whether one of the services (nil: all) is without whole data until the reset is finished. p may be nil, where nothing is known
// but what the reset names.
func (g Goal) Concerns(p *compose.Project, services []string) bool {
	if len(services) == 0 || p == nil && len(g.Services) == 0 {
		return true
	}
	half := g.Services
	if p != nil {
		half = g.half(p)
	}
	return slices.ContainsFunc(services, func(name string) bool { return slices.Contains(half, name) })
}

// LabelReset is on a mark that is there from before a reset takes the first thing away until all its data is there: a Goal. It has
// LabelProject and LabelKey too: the seed is in use. Claims come and go with those who hold them; a mark stays.
const LabelReset = "dev.strake.seed.reset"

// resetMarks are the names of the marks of a project's resets. While one takes the place of another there are two: each covers what the stack
// is without, and the first is what is told.
func resetMarks(project string) [2]string {
	return [2]string{"strake-reset-" + project, "strake-reset-" + project + ".2"} // no project has a dot in its name
}

// Marks are the names of the containers that say of a project what did not come to its end: what Unfinished and Stopped need to be observed.
func Marks(project string) []string {
	reset, save := resetMarks(project), saveMarks(project)
	return slices.Concat(reset[:], save[:])
}

// MarksOf is the scope in which a project's own is observed, with its Marks and its claim.
func MarksOf(project string) compose.Scope {
	return compose.Scope{Project: project, Containers: append(Marks(project), compose.ClaimName(project))}
}

// marksOf are those of the names that are there as marks of the project, with the label.
func marksOf(project string, have compose.State, names [2]string, label string) []compose.Container {
	var all []compose.Container
	for _, name := range names {
		for _, c := range have.Containers {
			if c.Name == name && c.Status == compose.Created && c.Labels[LabelProject] == project && c.Labels[label] != "" {
				all = append(all, c)
			}
		}
	}
	return all
}

// Unfinished is the reset of a project that did not come to its end, or is under way (Resetting tells); nil for none.
func Unfinished(project string, have compose.State) *Goal {
	for _, c := range marksOf(project, have, resetMarks(project), LabelReset) {
		if g := goalOf(c.Labels[LabelReset]); g != nil {
			return g
		}
	}
	return nil
}

// Claimant is who holds the claim of a project, dead or alive; nil for nobody. have must have been observed with the claim.
func Claimant(project string, have compose.State) *compose.Owner {
	for _, c := range have.Containers {
		if by := (compose.Owner{}); c.Name == compose.ClaimName(project) {
			_ = json.Unmarshal([]byte(c.Labels[compose.LabelOwner]), &by) // of the zero Owner nobody knows that it is dead
			return &by
		}
	}
	return nil
}

// Resetting is the reset whose command holds the claim of a project, dead or alive; nil where none does.
func Resetting(project string, have compose.State) *Goal {
	if by := Claimant(project, have); by != nil {
		return goalOf(by.Command)
	}
	return nil
}

// marked is a plan of a reset between a mark's beginning and its end: made before anything goes, removed when all that holds data is there. A
// reset of less than one that did not come to its end would leave the rest without its mark: it is an *UnfinishedError.
func (g Goal) marked(p *compose.Project, have compose.State, plan compose.Plan) (compose.Plan, error) {
	before := Unfinished(p.Name, have)
	if before != nil && slices.ContainsFunc(before.of(p), func(name string) bool { return !slices.Contains(g.of(p), name) }) {
		return nil, before.Refused(p.Name)
	}
	if before == nil && !plan.Changes() {
		return plan, nil
	}
	labels := map[string]string{LabelReset: g.Command(), LabelProject: p.Name, LabelKey: g.Key}
	out, name := replaceMark(resetMarks(p.Name), labels, marksOf(p.Name, have, resetMarks(p.Name), LabelReset))
	first := len(out)
	holds := []int{first - 1}
	for _, s := range plan {
		after := []int{first - 1}
		for _, a := range s.After {
			after = append(after, a+first)
		}
		s.After = after
		if s.IfChanged > 0 {
			s.IfChanged += first
		}
		switch s.Op {
		case compose.RemoveContainer, compose.RemoveVolume, compose.CreateVolume, compose.CreateContainer:
			holds = append(holds, len(out))
		}
		out = append(out, s)
	}
	return append(out, compose.Step{Op: compose.DropMark, Name: name, Target: name, Why: "its data is there", After: holds}), nil
}

// replaceMark are the steps, one after the other, after which a mark with the labels is there under name and no other: at no moment there
// is none. there are the marks that are there, by the order of names; each says enough of what the stack is without.
func replaceMark(names [2]string, labels map[string]string, there []compose.Container) (steps compose.Plan, name string) {
	add := func(s compose.Step) {
		if n := len(steps); n > 0 {
			s.After = []int{n - 1}
		}
		steps = append(steps, s)
	}
	drop := func(c compose.Container) { add(compose.Step{Op: compose.DropMark, Name: c.Name, Target: c.Name}) }
	if len(there) == 2 {
		drop(there[1])
	}
	name = names[0]
	if len(there) > 0 && there[0].Name == name && !maps.Equal(there[0].Labels, labels) {
		name = names[1]
	}
	add(compose.Step{Op: compose.CreateMark, Name: name, Labels: labels, Why: "until its data is there"})
	if len(there) > 0 && there[0].Name != name {
		drop(there[0])
	}
	return steps, name
}

// Forgotten is a plan after which the marks of saves say nothing any more, as it starts or removes what they had stopped, and, where it removes all
// of the stack's data too, those of resets. They go last.
func Forgotten(project string, have compose.State, plan compose.Plan, data bool) compose.Plan {
	all := make([]int, len(plan))
	for i := range all {
		all[i] = i
	}
	marks := marksOf(project, have, saveMarks(project), LabelSave)
	if resets := marksOf(project, have, resetMarks(project), LabelReset); data && len(resets) > 0 {
		marks = append(marks, resets...)
		for i := range plan {
			plan[i].Optional = plan[i].Optional && plan[i].Op != compose.RemoveVolume // while half of the data is there, so is its mark
		}
	}
	for _, c := range marks {
		plan = append(plan, compose.Step{Op: compose.DropMark, Name: c.Name, Target: c.Name, Why: "it goes", After: all})
	}
	return plan
}
