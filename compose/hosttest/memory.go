// Package hosttest holds the contract of compose.Host as a test, and an in-memory Host that passes it.
package hosttest

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/strake-dev/strake/compose"
)

// Memory is a Host that lives in memory. Its containers run a handful of programs, told by the command:
//
//	true       exits with 0 at once
//	exit N     exits with N at once
//	(others)   run until they are stopped, and then exit with 0
//
// and healthcheck commands likewise: `true` passes, anything else fails, unless Pass says so of the container.
// Use NewMemory. All methods are safe for concurrent use.
type Memory struct {
	// Before, when set, is called before each step with its running number from 1; an error is what Do returns then,
	// and the step is not done.
	Before func(n int, s compose.Step) error
	// Pass decides a probe of a container by its name; nil leaves it to the command.
	Pass func(container string) error
	// Build decides what a build makes; nil makes an image whose id is a number that no image had before.
	Build func(s compose.Step) (compose.Image, error)
	// Remote is State.Engine.Remote.
	Remote bool

	mu         sync.Mutex
	steps, ids int
	done       []compose.Step
	containers map[string]*memoryContainer // by id
	networks   map[string]compose.Network  // by id
	volumes    map[string]compose.Volume   // by name
	images     map[string]compose.Image    // by reference
	claims     map[string]memoryClaim      // by name
	watchers   map[int]*watcher
}

type memoryClaim struct {
	id     string
	labels map[string]string
}

type memoryContainer struct {
	compose.Container
	spec  *compose.ContainerSpec
	texts map[string]string // what was put into it, by path
}

var _ compose.Host = (*Memory)(nil)

// NewMemory is an engine of API version 1.51 that holds the named images.
func NewMemory(images ...string) *Memory {
	m := &Memory{containers: map[string]*memoryContainer{}, networks: map[string]compose.Network{}, volumes: map[string]compose.Volume{},
		images: map[string]compose.Image{}, claims: map[string]memoryClaim{}, watchers: map[int]*watcher{}}
	for _, ref := range images {
		m.images[ref] = compose.Image{ID: m.id("sha256:"), Platform: "linux/amd64"}
	}
	return m
}

// Steps are the steps that were done so far, in their order.
func (m *Memory) Steps() []compose.Step {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.done)
}

// SetImage puts an image under a reference; an Image without ID gets one.
func (m *Memory) SetImage(ref string, i compose.Image) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if i.ID == "" {
		i.ID = m.id("sha256:")
	}
	m.images[ref] = i
}

// id is a new id that looks like an engine's: twelve characters and more.
func (m *Memory) id(prefix string) string {
	m.ids++
	return fmt.Sprintf("%s%012x%052d", prefix, m.ids, 0)
}

// Observe implements compose.Host.
func (m *Memory) Observe(ctx context.Context, s compose.Scope) (compose.State, error) {
	if err := context.Cause(ctx); err != nil {
		return compose.State{}, err
	}
	var copies map[string]compose.Copied
	if m.Remote {
		var err error
		if copies, err = compose.ReadCopies(ctx, s, compose.InputOptions{}); err != nil {
			return compose.State{}, err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	st := compose.State{Copies: copies, Project: s.Project, Images: map[string]compose.Image{},
		Engine: compose.Engine{Name: "memory", APIVersion: "1.51", OS: "linux", Arch: "amd64", ImageStore: "graphdriver", Remote: m.Remote}}
	for _, c := range m.containers {
		if s.Selects(c.Labels) || slices.Contains(s.Containers, c.Name) {
			copied := c.Container
			copied.Labels, copied.Networks, copied.Mounts = maps.Clone(c.Labels), maps.Clone(c.Networks), slices.Clone(c.Mounts)
			for _, path := range s.Files[c.Service()] {
				if text, ok := c.texts[path]; ok {
					if copied.Files == nil {
						copied.Files = map[string]string{}
					}
					copied.Files[path] = fmt.Sprintf("%x", sha256.Sum256([]byte(text)))
				}
			}
			st.Containers = append(st.Containers, copied)
		}
	}
	for name, c := range m.claims {
		if slices.Contains(s.Containers, name) {
			st.Containers = append(st.Containers, compose.Container{ID: c.id, Name: name, Labels: maps.Clone(c.labels), Status: compose.Created})
		}
	}
	for _, n := range m.networks {
		if s.Selects(n.Labels) || slices.Contains(s.Networks, n.Name) {
			st.Networks = append(st.Networks, n)
		}
	}
	for _, v := range m.volumes {
		if s.Selects(v.Labels) || slices.Contains(s.Volumes, v.Name) {
			st.Volumes = append(st.Volumes, v)
		}
	}
	for _, r := range s.Images {
		if i, ok := m.images[r.Ref]; ok {
			st.Images[r.Ref] = i
		}
	}
	slices.SortFunc(st.Containers, func(a, b compose.Container) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(st.Networks, func(a, b compose.Network) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(st.Volumes, func(a, b compose.Volume) int { return strings.Compare(a.Name, b.Name) })
	return st, nil
}

// watcher is one subscription; its queue never blocks the engine.
type watcher struct {
	project string
	queue   []compose.Change
	wake    chan struct{}
}

// Watch implements compose.Host.
func (m *Memory) Watch(ctx context.Context, project string) (<-chan compose.Change, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	w := &watcher{project: project, wake: make(chan struct{}, 1)}
	m.ids++
	key := m.ids
	m.watchers[key] = w
	out := make(chan compose.Change)
	go func() {
		defer close(out)
		defer func() { m.mu.Lock(); defer m.mu.Unlock(); delete(m.watchers, key) }()
		for {
			m.mu.Lock()
			queue := w.queue
			w.queue = nil
			m.mu.Unlock()
			for _, c := range queue {
				select {
				case out <- c:
				case <-ctx.Done():
					return
				}
			}
			select {
			case <-w.wake:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out, nil
}

// tell sends a change to those who watch the container's project. The lock is held.
func (m *Memory) tell(c *memoryContainer, kind compose.ChangeKind) {
	for _, w := range m.watchers {
		if w.project != c.Labels[compose.LabelProject] {
			continue
		}
		w.queue = append(w.queue, compose.Change{ID: c.ID, Name: c.Name, Kind: kind, ExitCode: c.ExitCode})
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

// SetHealth has the engine come to a verdict about the container of this name.
func (m *Memory) SetHealth(name string, h compose.Health) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c, err := m.find(name)
	if err != nil {
		return
	}
	c.Health = h
	if h == compose.Healthy {
		m.tell(c, compose.BecameHealthy)
	} else {
		m.tell(c, compose.BecameUnhealthy)
	}
}

// Exit has the running container of this name exit by itself.
func (m *Memory) Exit(name string, code int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if c, err := m.find(name); err == nil && c.Status == compose.Running {
		m.exit(c, code)
	}
}

func (m *Memory) exit(c *memoryContainer, code int) {
	c.Status, c.ExitCode, c.Health = compose.Exited, code, compose.NoHealth
	m.tell(c, compose.Died)
}

// find is the container of this id or name.
func (m *Memory) find(target string) (*memoryContainer, error) {
	if c, ok := m.containers[target]; ok {
		return c, nil
	}
	for _, c := range m.containers {
		if c.Name == target {
			return c, nil
		}
	}
	return nil, fmt.Errorf("no such container: %s", target)
}

// program runs the container's command from its start.
func (m *Memory) program(c *memoryContainer) {
	command := strings.Fields(strings.Join(c.spec.Service.Command, " "))
	c.Status, c.ExitCode = compose.Running, 0
	if h := c.spec.Service.HealthCheck; h != nil && !h.Disable {
		c.Health = compose.Starting
	}
	m.tell(c, compose.Started)
	switch {
	case len(command) == 1 && command[0] == "true":
		m.exit(c, 0)
	case len(command) == 2 && command[0] == "exit":
		code, _ := strconv.Atoi(command[1]) // a command that is no number exits with 0
		m.exit(c, code)
	}
}

// now is when containers of this host are created: a fixed moment, so that equal runs give equal States.
var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
