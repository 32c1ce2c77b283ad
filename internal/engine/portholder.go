package engine

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/docker/docker/api/types/container"

	"github.com/strake-dev/strake/compose"
)

// portTaken names who holds a host port: a container, or a process where the engine runs on this machine.
func (e *Engine) portTaken(ctx context.Context, s compose.Step, p hostPort, cause error) error {
	ask, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	who := "by another program"
	next := "stop it, publish another port, or set `x-strake: {ports: auto}`"
	if c, ok := e.containerOn(ask, p); ok {
		who = fmt.Sprintf("by container %s", ownName(c.Names))
		if project := c.Labels[compose.LabelProject]; project != "" {
			who += " of project " + project
			next = fmt.Sprintf("stop it (strake -p %s stop %s), publish another port, or set `x-strake: {ports: auto}`", project, c.Labels[compose.LabelService])
		}
	} else if name, pid, ok := processOn(p); ok && e.where.local {
		who = fmt.Sprintf("by process %s (pid %d)", name, pid)
	}
	return &compose.HintedError{Err: &said{fmt.Sprintf("host port %s is taken %s", p, who), cause}, Next: next}
}

// containerOn is the running container that publishes the port.
func (e *Engine) containerOn(ctx context.Context, p hostPort) (container.Summary, bool) {
	running, err := e.api.ContainerList(ctx, container.ListOptions{})
	if err != nil {
		return container.Summary{}, false // the error that is being explained says enough
	}
	i := slices.IndexFunc(running, func(c container.Summary) bool {
		return slices.ContainsFunc(c.Ports, func(q container.Port) bool {
			return p.overlaps(hostPort{q.IP, q.Type, int(q.PublicPort)})
		})
	})
	if i < 0 {
		return container.Summary{}, false
	}
	return running[i], true
}
