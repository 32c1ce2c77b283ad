package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/strake-dev/strake/compose"
)

// planLine is what a plan does to one service, or to one network, volume or image that belongs to none.
type planLine struct {
	name   string
	images []planAct // builds and pulls, which come first
	things []*planned
}

// planned is what a plan does to one container, network, volume or image.
type planned struct {
	name  string
	steps map[compose.Op]compose.Step // the last of each kind
}

// planAct is a verb, as in "to recreate", and why.
type planAct struct{ verb, why string }

// planVerbs are what can happen to a thing, in the order in which the last line counts them.
var planVerbs = [...]string{"create", "recreate", "perhaps recreate", "build", "pull", "start", "perhaps start", "restart", "perhaps restart", "unpause", "reconnect", "stop", "perhaps stop", "rename", "remove"}

// planLines gathers a plan's steps by what they are about, in the plan's order.
func planLines(plan compose.Plan) []*planLine {
	var lines []*planLine
	for _, step := range plan {
		if !step.Op.Changes() || step.Op == compose.RunHook || step.Op == compose.ExecHook {
			continue
		}
		name := kindOf(step.Op) + step.Name
		if isImage := step.Op == compose.BuildImage || step.Op == compose.PullImage; step.Service != "" && (name == step.Name || isImage) {
			name = step.Service
		}
		i := slices.IndexFunc(lines, func(l *planLine) bool { return l.name == name })
		if i < 0 {
			i, lines = len(lines), append(lines, &planLine{name: name})
		}
		lines[i].add(step)
	}
	return lines
}

// kindOf is what stands before the name of what is no container.
func kindOf(op compose.Op) string {
	switch op {
	case compose.CreateNetwork, compose.RemoveNetwork:
		return "network "
	case compose.CreateVolume, compose.RemoveVolume:
		return "volume "
	case compose.BuildImage, compose.PullImage, compose.RemoveImage:
		return "image "
	case compose.DropMark:
		return "mark "
	}
	return ""
}

func (l *planLine) add(step compose.Step) {
	if step.Op == compose.BuildImage || step.Op == compose.PullImage {
		verb := string(step.Op)
		if step.Op == compose.PullImage && step.Service != "" {
			verb += " " + step.Name
		}
		l.images = append(l.images, planAct{verb, step.Why})
		return
	}
	name := lasting(step.Name)
	i := slices.IndexFunc(l.things, func(t *planned) bool { return t.name == name })
	if i < 0 {
		i, l.things = len(l.things), append(l.things, &planned{name: name, steps: map[compose.Op]compose.Step{}})
	}
	l.things[i].steps[step.Op] = step
}

// act is what happens to the thing as a whole: the first of these that it has steps for.
func (t *planned) act() planAct {
	makes := []compose.Op{compose.CreateContainer, compose.CreateNetwork, compose.CreateVolume}
	ends := []compose.Op{compose.RemoveContainer, compose.RemoveNetwork, compose.RemoveVolume, compose.RemoveImage, compose.DropMark}
	stops, starts := []compose.Op{compose.StopContainer}, []compose.Op{compose.StartContainer}
	for _, rule := range []struct {
		verb      string
		why, with []compose.Op // a step of each; the first one's reason is that of all
	}{
		{"recreate", makes, ends}, {"create", makes, makes}, {"remove", ends, ends}, {"restart", stops, starts}, {"start", starts, starts}, {"stop", stops, stops},
		{"reconnect", []compose.Op{compose.Connect, compose.Disconnect}, []compose.Op{compose.Connect, compose.Disconnect}},
	} {
		step, ok := t.first(rule.why)
		if _, both := t.first(rule.with); !ok || !both {
			continue
		}
		if step.IfChanged > 0 {
			return planAct{"perhaps " + rule.verb, step.Why}
		}
		return planAct{rule.verb, step.Why}
	}
	for op, step := range t.steps { // one: no other two come without one of those above
		return planAct{string(op), step.Why}
	}
	return planAct{}
}

// first is the thing's step of the first of the operations that it has one of.
func (t *planned) first(ops []compose.Op) (compose.Step, bool) {
	for _, op := range ops {
		if step, ok := t.steps[op]; ok {
			return step, true
		}
	}
	return compose.Step{}, false
}

// text is the line without its name: "build (there is none), then create and start".
func (l *planLine) text() string {
	var parts []string
	for _, a := range l.images {
		parts = append(parts, a.String())
	}
	var acts []planAct
	count := map[planAct]int{}
	for _, t := range l.things {
		a := t.act()
		if _, starts := t.steps[compose.StartContainer]; starts && a.verb == "create" {
			a.verb = "create and start"
		}
		if count[a]++; count[a] == 1 {
			acts = append(acts, a)
		}
	}
	var done []string
	for _, a := range acts {
		if len(l.things) > 1 {
			a.verb += " " + plural(count[a], "container")
		}
		done = append(done, a.String())
	}
	if len(done) > 0 {
		parts = append(parts, strings.Join(done, ", "))
	}
	return strings.Join(parts, ", then ")
}

// String is the act, with its reason where that says more than the act itself.
func (a planAct) String() string {
	verb, perhaps := strings.CutPrefix(a.verb, "perhaps ")
	switch {
	case perhaps:
		return verb + " if its image changes"
	case a.why == "" || a.why == "there is none" || a.why == "it is new" || a.why == "asked for" || a.why == "it goes":
		return verb
	}
	return verb + " (" + a.why + ")"
}

// printPlanView prints a line for each thing that changes, with what happens to it and why, and a last one that counts.
func printPlanView(s Streams, out outcome, command string) error {
	var b strings.Builder
	count, touched := map[string]int{}, map[string]bool{}
	lines := planLines(out.plan)
	for _, l := range lines {
		fmt.Fprintf(&b, "%s: %s\n", l.name, l.text())
		for _, t := range l.things {
			count[t.act().verb]++
			touched[t.name] = true
		}
		if len(l.things) == 0 {
			verb, _, _ := strings.Cut(l.images[0].verb, " ")
			count[verb] += len(l.images)
		}
	}
	if len(lines) == 0 {
		_, err := fmt.Fprintln(s.Out, "plan: nothing to do")
		return err
	}
	var parts []string
	for _, verb := range planVerbs {
		if n := count[verb]; n > 0 {
			perhaps := ""
			if rest, ok := strings.CutPrefix(verb, "perhaps "); ok {
				verb, perhaps = rest, "perhaps "
			}
			parts = append(parts, fmt.Sprintf("%d %sto %s", n, perhaps, verb))
		}
	}
	if n := unchanged(out.state, touched); n > 0 {
		parts = append(parts, fmt.Sprintf("%d unchanged", n))
	}
	_, err := fmt.Fprintf(s.Out, "%splan: %s; strake %s does it\n", b.String(), strings.Join(parts, ", "), command)
	return err
}

// unchanged counts the project's containers, networks and volumes that a plan does not touch.
func unchanged(have compose.State, touched map[string]bool) int {
	n := 0
	count := func(name string, labels map[string]string) {
		if labels[compose.LabelProject] == have.Project && !touched[name] {
			n++
		}
	}
	for _, c := range have.Containers {
		if !c.IsOneOff() {
			count(c.Name, c.Labels)
		}
	}
	for _, x := range have.Networks {
		count(x.Name, x.Labels)
	}
	for _, x := range have.Volumes {
		count(x.Name, x.Labels)
	}
	return n
}
