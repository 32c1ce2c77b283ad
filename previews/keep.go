package previews

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/strake-dev/strake/compose"
)

// holders are the services of the generation that hold data, if they run: those that the seed says, else those that the project does not
// build and that have a volume.
func (op *opening) holders() []string {
	if len(op.seeded.Holders) > 0 {
		return op.seeded.Holders
	}
	var names []string
	for name, s := range op.g.Services {
		owns := slices.ContainsFunc(s.Volumes, func(v compose.ServiceVolume) bool { return v.Type == "volume" && v.Source != "" && !v.ReadOnly })
		if s.Build == nil && owns {
			names = append(names, name)
		}
	}
	return names
}

// keepData has the new generation do without those containers that hold data and run already, and use the volumes that are there: it
// takes part in them. kept are the services as they would have been, by name.
func (op *opening) keepData(ctx context.Context) (kept map[string]compose.Service, err error) {
	state, err := op.m.observe(ctx, op.r.Stack)
	if err != nil {
		return nil, err
	}
	kept, op.kept = map[string]compose.Service{}, map[string]string{}
	for _, c := range serving(state, op.r).Containers {
		s, ok := op.g.Services[c.Service()]
		if ok && c.Status == compose.Running && slices.Contains(op.holders(), c.Service()) {
			kept[c.Service()], op.kept[c.Service()] = s, c.Name
		}
	}
	for _, c := range serving(state, op.r).Containers {
		for _, m := range c.Mounts {
			if op.kept[c.Service()] == c.Name && m.Type == "volume" {
				op.keptVolumes = append(op.keptVolumes, m.Name)
			}
		}
	}
	for name := range kept {
		delete(op.g.Services, name)
	}
	for name, s := range op.g.Services {
		s.DependsOn = maps.Clone(s.DependsOn)
		maps.DeleteFunc(s.DependsOn, func(on string, _ compose.Dependency) bool { _, is := kept[on]; return is })
		op.g.Services[name] = s
	}
	for key, v := range op.g.Volumes {
		i := slices.IndexFunc(state.Volumes, func(have compose.Volume) bool {
			of := have.Labels[compose.LabelProject]
			return have.Labels[compose.LabelVolume] == key && of != op.name && IsOf(op.r.Stack, of)
		})
		if i >= 0 {
			v.Name, v.External = state.Volumes[i].Name, true
			op.g.Volumes[key] = v
			op.keptVolumes = append(op.keptVolumes, v.Name)
			delete(op.g.Fills, key)
		}
	}
	return kept, nil
}

// connect makes the networks of the generation, and has the kept containers take part in them under their names.
func (op *opening) connect(ctx context.Context, kept map[string]compose.Service, d compose.DiffOptions) error {
	_, _, err := compose.ConvergeHeld(ctx, op.h, compose.ScopeOf(op.g, d.Refs), func(have compose.State) (compose.Plan, error) {
		plan, err := compose.Diff(op.g, have, d)
		return slices.DeleteFunc(plan, func(s compose.Step) bool { return s.Op != compose.CreateNetwork }), err
	}, op.m.Claim)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(kept)) {
		s := kept[name]
		for _, key := range slices.Sorted(maps.Keys(s.Networks)) {
			step := compose.Step{Op: compose.Connect, Name: op.kept[name], Target: op.kept[name], Network: &compose.NetworkStep{Key: key, Spec: op.g.Networks[key], Service: &s}}
			if err := op.h.Do(ctx, step, nil); err != nil {
				return fmt.Errorf("have %s take part in %s: %w", op.kept[name], op.g.Networks[key].Name, err)
			}
		}
	}
	return nil
}

// release takes kept containers out of networks that are going to be removed.
func (m *Manager) release(ctx context.Context, h compose.Host, kept map[string]string, networks []compose.Network) error {
	for _, name := range slices.Sorted(maps.Values(kept)) {
		for _, n := range networks {
			step := compose.Step{Op: compose.Disconnect, Name: name, Target: name, Network: &compose.NetworkStep{Spec: compose.NetworkSpec{Name: n.Name}}}
			if err := h.Do(ctx, step, nil); err != nil {
				return fmt.Errorf("take %s out of %s: %w", name, n.Name, err)
			}
		}
	}
	return nil
}
