package seed

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/strake-dev/strake/compose"
)

// dataVolumes are the names of the volumes in which the containers of the seeded services have data, those without a name of their own included:
// other containers can mount them too.
func (b *build) dataVolumes(state compose.State) []string {
	var names []string
	for _, c := range state.Containers {
		if c.Labels[compose.LabelProject] != b.p.Name || c.IsOneOff() || !slices.Contains(Services(b.p), c.Service()) {
			continue
		}
		for _, m := range c.Mounts {
			onlyRead := slices.ContainsFunc(b.p.Services[c.Service()].Volumes, func(v compose.ServiceVolume) bool { return v.Target == m.Target && v.ReadOnly })
			if m.Type == "volume" && m.Name != "" && !onlyRead {
				names = append(names, m.Name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// writers are the containers that run and can write to the data of the seeded services, whosever they are.
func (b *build) writers(ctx context.Context, state compose.State) ([]compose.Container, error) {
	names := b.dataVolumes(state)
	if len(names) == 0 {
		return nil, nil
	}
	return b.Writers(ctx, names)
}

// sharersOf are the services of writers that stop with the seeded ones. A container that is no service's of the stack is not this command's to stop:
// it is refused.
func (b *build) sharersOf(writers []compose.Container) ([]string, error) {
	var names []string
	for _, c := range writers {
		if _, ok := b.p.AllServices()[c.Service()]; !ok || c.Labels[compose.LabelProject] != b.p.Name || c.IsOneOff() {
			return nil, writes(c)
		}
		names = append(names, c.Service())
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// checkUnwritten refuses data that something may have written to while it was copied.
func (b *build) checkUnwritten(ctx context.Context, state compose.State) error {
	writers, err := b.writers(ctx, state)
	if err == nil && len(writers) > 0 {
		err = writes(writers[0])
	}
	return err
}

// writes is that a container may write to what is saved.
func writes(c compose.Container) error {
	return &compose.HintedError{Err: fmt.Errorf("container %s runs and may write to the data that is saved", c.Name), Next: "stop it, and save again"}
}

// stillRun is that containers run that were stopped again and again.
func stillRun(all []compose.Container) error {
	var names []string
	for _, c := range all {
		names = append(names, c.Name)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	return &compose.HintedError{Err: fmt.Errorf("still running after %d stops: %s", haltRounds, strings.Join(names, ", ")), Next: "find out what starts them, and save again"}
}
