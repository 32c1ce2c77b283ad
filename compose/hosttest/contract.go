package hosttest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/strake-dev/strake/compose"
)

// Contract tests that a Host keeps the contract of compose.Host. project is a name that nothing else on the host uses;
// whoever calls it removes what carries the name afterwards. The host must hold image, which has `true`, `false` and
// `sleep` on its PATH and no healthcheck.
func Contract(t *testing.T, h compose.Host, project, image string) {
	c := &contract{Host: h, name: project, image: image}
	t.Run("an empty host observes nothing", c.empty)
	t.Run("a cancelled context changes nothing", c.cancelled)
	t.Run("each step done twice is done once", c.twice)
	t.Run("labels select", c.labels)
	t.Run("changes arrive after Watch returned", c.watch)
	t.Run("a replacement inherits anonymous volumes", c.inherit)
	t.Run("probes answer", c.probes)
	t.Run("what is in use is not removed", c.inUse)
	t.Run("networks do not overlap", c.overlap)
	t.Run("a closed network is seen to be closed", c.closed)
	t.Run("a claim has one holder", c.claim)
	t.Run("marks are seen by name", c.marks)
	t.Run("what is removed is absent", c.removed)
}

type contract struct {
	compose.Host
	name, image string
	project     *compose.Project
}

const contractFile = `
services:
  web:
    image: %IMAGE%
    command: sleep 1000
    init: true
    stop_grace_period: 1s
    volumes: ["data:/data", /anonymous]
    networks: [front]
  healthy: {image: %IMAGE%, init: true, command: sleep 1000, healthcheck: {test: [CMD, "true"], interval: 1h}, networks: [front]}
  sick: {image: %IMAGE%, init: true, command: sleep 1000, healthcheck: {test: [CMD, "false"], interval: 1h}, networks: [front]}
  job: {image: %IMAGE%, command: "true", networks: [front]}
networks: {front: {}}
volumes: {data: {}}
`

// load reads the contract's project.
func (c *contract) load(t *testing.T) *compose.Project {
	t.Helper()
	if c.project != nil {
		return c.project
	}
	dir, err := os.MkdirTemp(t.TempDir(), "contract")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(contractFile, "%IMAGE%", c.image)
	if err := os.WriteFile(filepath.Join(dir, "compose.yaml"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	c.project, err = compose.Load(t.Context(), compose.LoadOptions{Dir: dir, Name: c.name})
	if err != nil {
		t.Fatal(err)
	}
	return c.project
}

// observe reads the state of the contract's project.
func (c *contract) observe(t *testing.T) compose.State {
	t.Helper()
	st, err := c.Observe(t.Context(), compose.ScopeOf(c.load(t), nil))
	if err != nil {
		t.Fatalf("Observe = %v, want nil", err)
	}
	st.Project = c.name
	return st
}

// up converges the named services (none: nothing but their networks and volumes) and returns what is there then.
func (c *contract) up(t *testing.T, o compose.DiffOptions) compose.State {
	t.Helper()
	p := c.load(t)
	plan, err := compose.Diff(p, c.observe(t), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := compose.Run(t.Context(), c, plan, compose.RunOptions{Project: c.name}); err != nil {
		t.Fatalf("Run = %v, want nil; the plan was\n%s", err, plan)
	}
	return c.observe(t)
}

// container is the observed container of this name.
func (c *contract) container(t *testing.T, name string) compose.Container {
	t.Helper()
	for _, got := range c.observe(t).Containers {
		if got.Name == name {
			return got
		}
	}
	t.Fatalf("there is no container %s", name)
	return compose.Container{}
}

func (c *contract) empty(t *testing.T) {
	st := c.observe(t)
	if len(st.Containers)+len(st.Networks)+len(st.Volumes) > 0 {
		t.Errorf("Observe = %+v, want nothing of the project", st)
	}
	if st.Images[c.image].ID == "" {
		t.Errorf("Observe found no image %s", c.image)
	}
	if st.Engine.APIVersion == "" || st.Engine.OS == "" {
		t.Errorf("Observe said of the engine %+v, want its API version and platform", st.Engine)
	}
}

func (c *contract) labels(t *testing.T) {
	all := c.observe(t)
	for label, want := range map[string]bool{compose.LabelProject + "=" + c.name: true, compose.LabelProject + "=" + c.name + "-other": false, "dev.strake.none": false} {
		got, err := c.Observe(t.Context(), compose.Scope{Label: label})
		if err != nil {
			t.Fatalf("Observe of label %s = %v, want nil", label, err)
		}
		found := len(got.Containers) == len(all.Containers) && len(got.Networks) == len(all.Networks) && len(got.Volumes) == len(all.Volumes)
		if none := len(got.Containers)+len(got.Networks)+len(got.Volumes) == 0; want && !found || !want && !none {
			t.Errorf("Observe of label %s = %+v, want all of the project: %v", label, got, want)
		}
	}
}

func (c *contract) cancelled(t *testing.T) {
	plan, err := compose.Diff(c.load(t), c.observe(t), compose.DiffOptions{})
	if err != nil {
		t.Fatal(err)
	}
	why := errors.New("not wanted any more")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	for _, s := range plan {
		if s.Op == compose.Wait {
			continue
		}
		if err := c.Do(ctx, s, nil); !errors.Is(err, why) {
			t.Errorf("Do(%s) = %v, want %v", s, err, why)
		}
	}
	if _, err := c.Observe(ctx, compose.Scope{Project: c.name}); !errors.Is(err, why) {
		t.Errorf("Observe = %v, want %v", err, why)
	}
	if _, err := c.Watch(ctx, c.name); !errors.Is(err, why) {
		t.Errorf("Watch = %v, want %v", err, why)
	}
	c.empty(t)
}

func (c *contract) twice(t *testing.T) {
	plan, err := compose.Diff(c.load(t), c.observe(t), compose.DiffOptions{Services: []string{"web"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range plan {
		for i := range 2 {
			if s.Op == compose.Wait {
				continue
			}
			if err := c.Do(t.Context(), s, nil); err != nil {
				t.Errorf("Do(%s) number %d = %v, want nil", s, i+1, err)
			}
		}
	}
	st := c.observe(t)
	if len(st.Containers) != 1 || len(st.Networks) != 1 || len(st.Volumes) != 1 {
		t.Fatalf("there are %d containers, %d networks, %d volumes, want one of each", len(st.Containers), len(st.Networks), len(st.Volumes))
	}
	web := st.Containers[0]
	if web.Status != compose.Running || web.Service() != "web" || web.Number() != 1 || web.Labels[compose.LabelImage] != st.Images[c.image].ID {
		t.Errorf("web is %+v, want it running with its labels", web)
	}
	if web.Networks[c.name+"_front"] != st.Networks[0].ID {
		t.Errorf("web is attached to %v, want %s", web.Networks, st.Networks[0].ID)
	}
	if again, err := compose.Diff(c.load(t), st, compose.DiffOptions{Services: []string{"web"}}); err != nil || len(again) > 0 {
		t.Errorf("Diff = %s, %v, want nothing to do", again, err)
	}
}

func (c *contract) watch(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	changes, err := c.Watch(ctx, c.name)
	if err != nil {
		t.Fatal(err)
	}
	c.up(t, compose.DiffOptions{Services: []string{"job"}})
	name := c.name + "-job-1"
	var got []compose.ChangeKind
	timeout := time.After(20 * time.Second)
	for !slices.Contains(got, compose.Died) {
		select {
		case change := <-changes:
			if change.Name == name {
				got = append(got, change.Kind)
			}
			if change.Kind == compose.Died && change.ExitCode != 0 {
				t.Errorf("job exited with code %d, want 0", change.ExitCode)
			}
		case <-timeout:
			t.Fatalf("of job came %v, want it started and died", got)
		}
	}
	if len(got) < 2 || got[0] != compose.Started {
		t.Errorf("of job came %v, want started, died", got)
	}
	cancel()
	for range changes { // it is closed when the context ends
	}
}

// anonymous is the volume that web has at /anonymous.
func anonymous(c compose.Container) string {
	for _, m := range c.Mounts {
		if m.Target == "/anonymous" {
			return m.Name
		}
	}
	return ""
}

func (c *contract) inherit(t *testing.T) {
	c.up(t, compose.DiffOptions{Services: []string{"web"}})
	before := c.container(t, c.name+"-web-1")
	c.up(t, compose.DiffOptions{Services: []string{"web"}, Recreate: "force"})
	after := c.container(t, c.name+"-web-1")
	if before.ID == after.ID || anonymous(before) == "" || anonymous(before) != anonymous(after) {
		t.Errorf("after a recreate %.12s has volume %s, want that of %.12s, %s", after.ID, anonymous(after), before.ID, anonymous(before))
	}
	c.up(t, compose.DiffOptions{Services: []string{"web"}, Recreate: "force", RenewAnonVolumes: true})
	if renewed := c.container(t, c.name+"-web-1"); anonymous(renewed) == anonymous(after) {
		t.Errorf("after a recreate with new volumes it has still volume %s", anonymous(after))
	}
}

func (c *contract) probes(t *testing.T) {
	c.up(t, compose.DiffOptions{Services: []string{"healthy", "sick"}, NoWait: true})
	probe := func(service string) error {
		return c.Do(t.Context(), compose.Step{Op: compose.Probe, Target: c.name + "-" + service + "-1"}, nil)
	}
	if err := probe("healthy"); err != nil {
		t.Errorf("Probe(healthy) = %v, want nil", err)
	}
	var failed *compose.ProbeError
	if err := probe("sick"); !errors.As(err, &failed) || failed.ExitCode != 1 {
		t.Errorf("Probe(sick) = %v, want exit code 1", err)
	}
	if err := probe("web"); !errors.Is(err, compose.ErrNoHealthcheck) {
		t.Errorf("Probe(web) = %v, want %v", err, compose.ErrNoHealthcheck)
	}
	for _, service := range []string{"healthy", "web"} {
		if err := c.Do(t.Context(), compose.Step{Op: compose.StopContainer, Target: c.name + "-" + service + "-1", Grace: new(time.Duration)}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := probe("web"); !errors.Is(err, compose.ErrNoHealthcheck) {
		t.Errorf("Probe(web when it is stopped) = %v, want %v", err, compose.ErrNoHealthcheck)
	}
	if err := probe("healthy"); !errors.Is(err, compose.ErrNotRunning) {
		t.Errorf("Probe(a stopped container) = %v, want %v", err, compose.ErrNotRunning)
	}
}

func (c *contract) inUse(t *testing.T) {
	if err := c.Do(t.Context(), compose.Step{Op: compose.RemoveNetwork, Name: c.name + "_front", Target: c.name + "_front"}, nil); !errors.Is(err, compose.ErrInUse) {
		t.Errorf("remove a network in use = %v, want %v", err, compose.ErrInUse)
	}
	if err := c.Do(t.Context(), compose.Step{Op: compose.RemoveVolume, Name: c.name + "_data", Target: c.name + "_data"}, nil); !errors.Is(err, compose.ErrInUse) {
		t.Errorf("remove a volume in use = %v, want %v", err, compose.ErrInUse)
	}
}

func (c *contract) claim(t *testing.T) {
	take := compose.Step{Op: compose.TakeClaim, Name: compose.ClaimName(c.name),
		Labels: map[string]string{compose.LabelClaim: c.name, compose.LabelOwner: `{"command":"test","pid":1}`}}
	var mu sync.Mutex
	var ids []string
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			var id string
			err := c.Do(t.Context(), take, func(e compose.Event) { id = e.Text })
			var held *compose.HeldError
			switch {
			case err == nil:
				mu.Lock()
				defer mu.Unlock()
				ids = append(ids, id)
			case !errors.As(err, &held):
				t.Errorf("TakeClaim = %v, want a *HeldError", err)
			case held.ID == "" || held.Owner.Command != "test" || held.Project != c.name:
				t.Errorf("TakeClaim = %+v, want its id, project and owner", held)
			}
		})
	}
	wg.Wait()
	if len(ids) != 1 || ids[0] == "" {
		t.Fatalf("%d of 20 took the claim, with ids %q, want one", len(ids), ids)
	}
	drop := compose.Step{Op: compose.DropClaim, Name: take.Name, Target: ids[0]}
	hold := compose.Step{Op: compose.HoldClaim, Name: take.Name, Target: ids[0]}
	if err := c.Do(t.Context(), hold, nil); err != nil {
		t.Errorf("HoldClaim = %v, want nil", err)
	}
	for range 2 {
		if err := c.Do(t.Context(), drop, nil); err != nil {
			t.Errorf("DropClaim = %v, want nil", err)
		}
	}
	if err := c.Do(t.Context(), hold, nil); !errors.Is(err, compose.ErrClaimLost) {
		t.Errorf("HoldClaim after it was dropped = %v, want %v", err, compose.ErrClaimLost)
	}
}

// marks are containers that never run, seen by name.
func (c *contract) marks(t *testing.T) {
	name := "strake-reset-" + c.name
	make := compose.Step{Op: compose.CreateMark, Name: name, Labels: map[string]string{"dev.strake.test": "this"}}
	other := make
	other.Labels = map[string]string{"dev.strake.test": "that"}
	drop := compose.Step{Op: compose.DropMark, Name: name, Target: name}
	for range 2 {
		if err := c.Do(t.Context(), make, nil); err != nil {
			t.Fatalf("CreateMark = %v, want nil", err)
		}
	}
	if err := c.Do(t.Context(), other, nil); err == nil {
		t.Error("CreateMark with other labels = nil, want an error")
	}
	look := func() []compose.Container {
		state, err := c.Observe(t.Context(), compose.Scope{Project: c.name, Containers: []string{name}})
		if err != nil {
			t.Fatal(err)
		}
		return slices.DeleteFunc(state.Containers, func(one compose.Container) bool { return one.Name != name })
	}
	if got := look(); len(got) != 1 || got[0].Labels["dev.strake.test"] != "this" || got[0].Status != compose.Created {
		t.Errorf("Observe after CreateMark = %+v, want it", got)
	}
	for range 2 {
		if err := c.Do(t.Context(), drop, nil); err != nil {
			t.Errorf("DropMark = %v, want nil", err)
		}
	}
	if got := look(); len(got) != 0 {
		t.Errorf("Observe after DropMark = %+v, want nothing", got)
	}
}

func (c *contract) removed(t *testing.T) {
	plan, err := compose.Down(c.load(t), c.observe(t), compose.DownOptions{Volumes: true, RemoveOrphans: true, Grace: new(time.Duration)})
	if err != nil {
		t.Fatal(err)
	}
	if err := compose.Run(t.Context(), c, plan, compose.RunOptions{Project: c.name}); err != nil {
		t.Fatalf("Run = %v, want nil", err)
	}
	for _, s := range plan {
		if err := c.Do(t.Context(), s, nil); err != nil {
			t.Errorf("Do(%s) once more = %v, want nil", s, err)
		}
	}
	c.empty(t)
}
