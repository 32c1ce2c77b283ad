package previews

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/strake-dev/strake/compose"
)

// Receipt is what a preview owned when it was closed. Its JSON names are stable.
type Receipt struct {
	ID         string   `json:"id"`
	Stack      string   `json:"stack"`
	Containers []string `json:"containers"`
	Networks   []string `json:"networks"`
	Volumes    []string `json:"volumes"`
	Images     []string `json:"images"` // that only it used
	Trees      []string `json:"trees"`  // folders of its commits' files
	Routes     []string `json:"routes"`
	// Left is what is still there; empty when all was looked for and is gone.
	Left []string `json:"left"`
}

// LeftError is returned by Close when something of a preview is still there. The next Close or Sync goes on.
type LeftError struct {
	ID   string
	Left []string
}

// Error names what is left.
func (e *LeftError) Error() string {
	return fmt.Sprintf("preview %s is not gone: left are %s", e.ID, strings.Join(e.Left, ", "))
}

// Hint is how to go on.
func (e *LeftError) Hint() string { return "run strake preview close " + e.ID + " again" }

// Close removes all that a preview owns, looks that it is gone, and says what it was. Of a preview that is not there ErrNoPreview is
// returned, unless parts of one are.
func (m *Manager) Close(ctx context.Context, project, id string) (Receipt, error) {
	stack := project + "-" + id
	r, err := m.read(ctx, stack)
	if errors.Is(err, fs.ErrNotExist) {
		recorded, orphans, err := m.stacks(ctx, project)
		if err != nil {
			return Receipt{}, err
		}
		if !slices.Contains(orphans, stack) && !slices.Contains(recorded, stack) {
			_, err := m.find(ctx, project, id)
			return Receipt{}, err
		}
		r = &Record{Preview: Preview{ID: id, Project: project, Stack: stack}}
	} else if errors.Is(err, errCut) {
		r = &Record{Preview: Preview{ID: id, Project: project, Stack: stack}}
	} else if err != nil {
		return Receipt{}, err
	} else if r.Project != project {
		return Receipt{}, foreign(r, project)
	}
	var receipt Receipt
	err = compose.Hold(ctx, m.Host, stack, m.Claim, func(held compose.Host) (err error) {
		if now, err := m.read(ctx, stack); err == nil {
			r = now
		}
		receipt, err = m.close(ctx, held, r)
		return err
	})
	return receipt, err
}

// close closes a preview whose claim is held.
func (m *Manager) close(ctx context.Context, h compose.Host, r *Record) (Receipt, error) {
	receipt := Receipt{ID: r.ID, Stack: r.Stack, Containers: []string{}, Networks: []string{}, Volumes: []string{}, Images: []string{}, Trees: []string{}, Routes: []string{}, Left: []string{}}
	r.State = Closing
	if err := m.write(ctx, r); err != nil {
		return receipt, err
	}
	for _, route := range r.Routes {
		receipt.Routes = append(receipt.Routes, route.Host+route.Path)
	}
	m.syncRouter(ctx)
	state, err := m.observe(ctx, r.Stack)
	if err != nil {
		return receipt, err
	}
	var names []string
	for _, g := range generationsIn(state) {
		names = append(names, g.project)
	}
	receipt.Containers, receipt.Networks, receipt.Volumes = thingsIn(state)
	errs := []error{m.removeGenerations(ctx, h, r, names, retained{})}
	used, err := m.usedImages(ctx, r.Stack)
	if err != nil {
		return receipt, errors.Join(append(errs, err)...)
	}
	for _, ref := range r.Images {
		if !slices.Contains(used, ref) {
			receipt.Images = append(receipt.Images, ref)
		}
	}
	errs = append(errs, m.removeImages(ctx, h, receipt.Images))
	seeds, left, err := m.Seeds.Drop(ctx, h, r.Stack, "") // also of an open that was killed before it had used one
	errs = append(errs, err)
	receipt.Images, receipt.Left = append(receipt.Images, seeds...), append(receipt.Left, left...)
	trees, err := m.Sources.Trees(ctx, r.Stack) // also of an open that was killed before it had made anything else
	errs = append(errs, err)
	names = append(names, trees...)
	slices.Sort(names)
	names = slices.Compact(names)
	receipt.Trees = append(receipt.Trees, names...)
	left, err = m.Sources.Remove(ctx, names)
	errs = append(errs, err)
	receipt.Left = append(receipt.Left, left...)
	still, err := m.left(ctx, r)
	receipt.Left = append(receipt.Left, still...)
	if err = errors.Join(append(errs, err)...); err != nil {
		return receipt, err
	}
	if len(receipt.Left) > 0 {
		return receipt, &LeftError{r.ID, receipt.Left}
	}
	receipt.Containers = append(receipt.Containers, recordName(r.Stack))
	if err := m.forget(ctx, h, r.Stack); err != nil {
		return receipt, err
	}
	m.syncRouter(ctx)
	return receipt, nil
}

// syncRouter has the gateway forget what is closed. Where there is no gateway there are no routes.
func (m *Manager) syncRouter(ctx context.Context) {
	if err := m.Router.Sync(ctx, ""); err != nil {
		m.note("the gateway: %v", err)
	}
}

// left is what is still there of a preview, its record aside.
func (m *Manager) left(ctx context.Context, r *Record) ([]string, error) {
	state, err := m.observe(ctx, r.Stack)
	if err != nil {
		return nil, fmt.Errorf("look whether preview %s is gone: %w", r.ID, err)
	}
	var all []string
	containers, networks, volumes := thingsIn(state)
	for _, of := range []struct {
		what  string
		names []string
	}{{"container ", containers}, {"network ", networks}, {"volume ", volumes}} {
		for _, name := range of.names {
			all = append(all, of.what+name)
		}
	}
	return all, nil
}

// thingsIn are the names of what is observed.
func thingsIn(state compose.State) (containers, networks, volumes []string) {
	containers, networks, volumes = []string{}, []string{}, []string{}
	for _, c := range state.Containers {
		containers = append(containers, c.Name)
	}
	for _, n := range state.Networks {
		networks = append(networks, n.Name)
	}
	for _, v := range state.Volumes {
		volumes = append(volumes, v.Name)
	}
	return containers, networks, volumes
}

// forget removes a preview's record, the last thing that is left of it.
func (m *Manager) forget(ctx context.Context, h compose.Host, stack string) error {
	name := recordName(stack)
	if err := h.Do(ctx, compose.Step{Op: compose.RemoveContainer, Name: name, Target: name}, nil); err != nil {
		return fmt.Errorf("remove record %s: %w", name, err)
	}
	return nil
}

// generation is a compose project that belongs to a preview.
type generation struct {
	project string
	number  int
}

// IsOf is whether a compose project is a generation of a stack by its name. Labels alone say nothing: anybody's image may have them.
func IsOf(stack, project string) bool {
	rest, ok := strings.CutPrefix(project, stack)
	if !ok || stack == "" {
		return false
	}
	n, numbered := strings.CutPrefix(rest, "-g")
	_, err := strconv.ParseUint(n, 10, 31)
	return rest == "" || numbered && err == nil
}

// generationsIn are the generations of which something is observed, by number.
func generationsIn(state compose.State) []generation {
	found := map[string]int{}
	add := func(labels map[string]string) {
		if name := labels[compose.LabelProject]; IsOf(labels[LabelPreview], name) {
			n := 0
			_, _ = fmt.Sscan(labels[LabelGeneration], &n) // 0 is none
			found[name] = max(found[name], n)
		}
	}
	for _, c := range state.Containers {
		add(c.Labels)
	}
	for _, n := range state.Networks {
		add(n.Labels)
	}
	for _, v := range state.Volumes {
		add(v.Labels)
	}
	var all []generation
	for name, n := range found {
		all = append(all, generation{name, n})
	}
	slices.SortFunc(all, func(a, b generation) int {
		if a.number != b.number {
			return a.number - b.number
		}
		return strings.Compare(a.project, b.project)
	})
	return all
}

// retained is what goes on when a generation is removed: containers, by service, and volumes.
type retained struct {
	containers map[string]string
	volumes    []string
}

// retained is what the active generation uses of earlier ones.
func (r *Record) retained() retained { return retained{r.Kept, r.KeptVolumes} }

// removeGenerations removes what generations of a preview made: containers, networks, volumes and the folders of their files, but for what
// is retained.
func (m *Manager) removeGenerations(ctx context.Context, h compose.Host, r *Record, names []string, keep retained) error {
	if len(names) == 0 {
		return nil
	}
	state, err := m.observe(ctx, r.Stack)
	if err != nil {
		return err
	}
	var errs []error
	var trees []string
	var parts []compose.State
	for _, name := range names {
		one := ofProject(state, name, keep)
		if err := m.empty(ctx, h, one, keep); err != nil {
			errs = append(errs, fmt.Errorf("remove %s: %w", name, err))
		}
		parts = append(parts, one)
		if !slices.ContainsFunc(state.Containers, func(c compose.Container) bool {
			return c.Labels[compose.LabelProject] == name && keep.containers[c.Service()] == c.Name
		}) {
			trees = append(trees, name)
		}
	}
	for _, one := range parts { // generations take part in each other's networks and volumes
		one.Networks, one.Volumes = nil, nil
		errs = append(errs, m.remove(ctx, h, one))
	}
	for _, one := range parts {
		one.Containers = nil
		errs = append(errs, m.remove(ctx, h, one))
	}
	_, err = m.Sources.Remove(ctx, trees)
	return errors.Join(append(errs, err)...)
}

// empty takes whoever is not removed with a generation out of its networks.
func (m *Manager) empty(ctx context.Context, h compose.Host, one compose.State, keep retained) error {
	for _, n := range one.Networks {
		if err := m.Router.Leave(ctx, n.Name); err != nil {
			m.note("the gateway: %v", err)
		}
	}
	return m.release(ctx, h, keep.containers, one.Networks)
}

// remove removes what is observed of a generation.
func (m *Manager) remove(ctx context.Context, h compose.Host, one compose.State) error {
	plan, err := compose.Down(nil, one, compose.DownOptions{Volumes: true, RemoveOrphans: true, Grace: new(10 * time.Second)})
	if err == nil {
		err = m.do(ctx, h, one.Project, plan)
	}
	if err != nil {
		return fmt.Errorf("remove %s: %w", one.Project, err)
	}
	return nil
}

// ofProject is the part of a preview's state that one compose project made, without what is retained. An engine does not start a container
// whose first network is gone, also where it was taken out of it: those of a project stay while one of its containers does.
func ofProject(state compose.State, project string, keep retained) compose.State {
	out, stays := compose.State{Project: project, Engine: state.Engine}, false
	for _, c := range state.Containers {
		switch {
		case c.Labels[compose.LabelProject] != project:
		case keep.containers[c.Service()] == c.Name:
			stays = true
		default:
			out.Containers = append(out.Containers, c)
		}
	}
	for _, n := range state.Networks {
		if n.Labels[compose.LabelProject] == project && !stays {
			out.Networks = append(out.Networks, n)
		}
	}
	for _, v := range state.Volumes {
		if v.Labels[compose.LabelProject] == project && !slices.Contains(keep.volumes, v.Name) {
			out.Volumes = append(out.Volumes, v)
		}
	}
	return out
}

// usedImages are the images of all other previews.
func (m *Manager) usedImages(ctx context.Context, not string) ([]string, error) {
	stacks, _, err := m.stacks(ctx, "")
	if err != nil {
		return nil, err
	}
	records, err := m.records(ctx, slices.DeleteFunc(stacks, func(s string) bool { return s == not }))
	var all []string
	for _, r := range records {
		all = append(all, r.Images...)
	}
	return all, err
}

// removeImages removes references that nothing uses any more.
func (m *Manager) removeImages(ctx context.Context, h compose.Host, refs []string) error {
	var errs []error
	for _, ref := range refs {
		err := h.Do(ctx, compose.Step{Op: compose.RemoveImage, Name: ref, Target: ref}, nil)
		if err != nil && !errors.Is(err, compose.ErrInUse) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
