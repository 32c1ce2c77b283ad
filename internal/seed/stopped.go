package seed

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/strake-dev/strake/compose"
)

// LabelSave is on a mark that is there while a save has services of the stack stopped: of each of their containers the id, "=" and when it was
// started, which tells what was started since. It has LabelProject too.
const LabelSave = "dev.strake.seed.save"

// saveMarks are the names of the marks of a project's saves, as those of its resets.
func saveMarks(project string) [2]string {
	return [2]string{"strake-save-" + project, "strake-save-" + project + ".2"}
}

// Stopped are the services that a save has stopped which did not come to its end, or is under way, as far as nobody started them since; have must
// have been observed with Marks.
func Stopped(ctx context.Context, e Engine, project string, have compose.State) ([]string, error) {
	var names []string
	for _, mark := range marksOf(project, have, saveMarks(project), LabelSave) {
		for _, was := range strings.Fields(mark.Labels[LabelSave]) {
			id, _, _ := strings.Cut(was, "=")
			i := slices.IndexFunc(have.Containers, func(c compose.Container) bool { return c.ID == id && c.Status == compose.Exited })
			if i < 0 {
				continue
			}
			now, err := startOf(ctx, e, id)
			if err != nil {
				return nil, err
			}
			if now == was {
				names = append(names, have.Containers[i].Service())
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// startOf is a container's id and when it was started, as LabelSave has it.
func startOf(ctx context.Context, e Engine, id string) (string, error) {
	at, err := e.Started(ctx, id)
	return id + "=" + at.Format(time.RFC3339Nano), err
}

// pause is what a save stops of the stack and starts again.
type pause struct {
	*build
	stack compose.Host // changes only while the stack's claim is held
	state compose.State
	names []string // of services, sorted
}

// pausing is the pause of a save, of what an earlier one left stopped to begin with.
func (b *build) pausing(ctx context.Context, stack compose.Host, state compose.State) (*pause, error) {
	names, err := Stopped(ctx, b.Engine, b.p.Name, state)
	if len(names) > 0 {
		b.note("an earlier save did not come to its end: %s will be started again", strings.Join(names, ", "))
	}
	return &pause{b, stack, state, names}, err
}

// revive starts what an earlier save left stopped where a start that it had begun was cut off: the engine gives that the exit code of a failure, and whether
// its data was left cleanly nobody knows any more.
func (p *pause) revive(ctx context.Context) (err error) {
	cut := slices.ContainsFunc(p.state.Containers, func(c compose.Container) bool {
		return c.Labels[compose.LabelProject] == p.p.Name && slices.Contains(p.names, c.Service()) && c.Status == compose.Exited && c.ExitCode != 0
	})
	if !cut {
		return nil
	}
	if err := p.startAgain(ctx, p.stack, p.names); err != nil {
		return err
	}
	p.state, err = p.live(ctx)
	return err
}

// haltRounds is how often halt stops what is started meanwhile.
const haltRounds = 3

// halt stops the seeded services, and those that can write to their volumes, until all stand still: the engine may be starting one yet that a killed command
// asked it to. It returns what servers they are and the containers with their data, by service. What does not stand still after that, and what runs that is
// no service's and can write there, is an error that names it.
func (p *pause) halt(ctx context.Context) (servers []*server, from map[string]compose.Container, err error) {
	met := map[string]*server{}
	from = map[string]compose.Container{}
	for round := 0; ; round++ {
		writers, err := p.writers(ctx, p.state)
		if err != nil {
			return nil, nil, err
		}
		sharers, err := p.sharersOf(writers)
		if err != nil {
			return nil, nil, err
		}
		if round == haltRounds {
			if still := append(p.running(), writers...); len(still) > 0 {
				return nil, nil, stillRun(still)
			}
			return servers, from, nil
		}
		var running []string
		for _, name := range Services(p.p) {
			if met[name] != nil && !p.runs(met[name].id) {
				continue
			}
			s, c, err := p.meetLive(ctx, p.state, name)
			if err != nil {
				return nil, nil, err
			}
			met[name], from[name] = s, c
			if c.Status != compose.Running {
				if p.runs(c.ID) { // a killed save had asked for its end
					p.names = append(p.names, name)
				}
				continue
			}
			running = append(running, name)
			if err := p.finish(ctx, s); err != nil {
				return nil, nil, err
			}
		}
		for _, name := range sharers {
			if !slices.Contains(running, name) {
				running = append(running, name)
			}
		}
		if len(running) == 0 && len(servers) > 0 {
			return servers, from, nil
		}
		if err := p.stop(ctx, running); err != nil {
			return nil, nil, err
		}
		servers = nil
		for _, name := range Services(p.p) {
			servers = append(servers, met[name])
		}
		if p.state, err = p.live(ctx); err != nil {
			return nil, nil, err
		}
	}
}

// running are the containers of seeded services that ran when they were looked at last.
func (p *pause) running() (all []compose.Container) {
	for _, c := range p.state.Containers {
		if c.Labels[compose.LabelProject] == p.p.Name && !c.IsOneOff() && c.Status == compose.Running && slices.Contains(Services(p.p), c.Service()) {
			all = append(all, c)
		}
	}
	return all
}

// runs is whether a container ran when it was looked at last.
func (p *pause) runs(id string) bool {
	return slices.ContainsFunc(p.state.Containers, func(c compose.Container) bool { return c.ID == id && c.Status == compose.Running })
}

// stop stops services of the stack, and marks before that they are to be started again.
func (p *pause) stop(ctx context.Context, running []string) error {
	p.names = append(p.names, running...)
	slices.Sort(p.names)
	p.names = slices.Compact(p.names)
	if len(running) == 0 {
		return nil // what an earlier one stopped has its mark
	}
	var starts []string
	for _, c := range p.state.Containers {
		if !c.IsOneOff() && c.Labels[compose.LabelProject] == p.p.Name && slices.Contains(p.names, c.Service()) {
			start, err := startOf(ctx, p.Engine, c.ID)
			if err != nil {
				return err
			}
			starts = append(starts, start)
		}
	}
	labels := map[string]string{LabelSave: strings.Join(starts, " "), LabelProject: p.p.Name}
	steps, _ := replaceMark(saveMarks(p.p.Name), labels, p.marks(p.state))
	if err := compose.Run(ctx, p.stack, steps, compose.RunOptions{Project: p.p.Name}); err != nil {
		return err
	}
	p.note("stopping %s", strings.Join(running, ", "))
	return p.stopFor(ctx, p.stack, p.state, running)
}

// marks are those of saves that are there.
func (p *pause) marks(have compose.State) []compose.Container {
	return marksOf(p.p.Name, have, saveMarks(p.p.Name), LabelSave)
}

// end starts what was stopped, also when ctx has ended, and removes the mark. After a failure that stays, and the error's hint says what is to be
// started.
func (p *pause) end(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Minute)
	defer cancel()
	if err := p.startAgain(ctx, p.stack, p.names); err != nil {
		return &compose.HintedError{Err: fmt.Errorf("start again what the save had stopped: %w", err), Next: StartAgain(p.p.Name, p.names) + " starts them again"}
	}
	have, err := p.Observe(ctx, compose.Scope{Containers: Marks(p.p.Name)})
	if err != nil {
		return err
	}
	for _, c := range p.marks(have) {
		if err := p.stack.Do(ctx, compose.Step{Op: compose.DropMark, Name: c.Name, Target: c.Name}, nil); err != nil {
			return err
		}
	}
	return nil
}

// StartAgain is the command that starts what a save had stopped of a project.
func StartAgain(project string, services []string) string {
	return "strake start " + strings.Join(services, " ") + " -p " + project
}
