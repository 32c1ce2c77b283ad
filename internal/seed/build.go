package seed

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/strake-dev/strake/compose"
)

// BuildOptions say what is built and who is told.
type BuildOptions struct {
	Facts Facts         // of the project; their key names the seed
	State compose.State // with the project's images, all of them there
	// Claim says who builds: two builds of one project are one after the other.
	Claim   compose.ConvergeOptions
	Version string            // of strake
	Note    func(text string) // told of each phase; may be nil
}

// Build makes the seed of the project unless it is there, and returns whether it did. It is safe to kill at any moment: no
// tag of an unfinished seed is left, and what else is left the next build of this project removes.
//
// What failed is in a *StepError; a claim held by another, where Claim.NoWait, in a *compose.HeldError.
func Build(ctx context.Context, e Engine, p *compose.Project, o BuildOptions) (built bool, err error) {
	key := o.Facts.Key()
	if there, err := Has(ctx, e, p, key); err != nil || there {
		return false, err
	}
	err = compose.Hold(ctx, e, scratchName(p.Name), o.Claim, func(h compose.Host) (err error) {
		if there, err := Has(ctx, e, p, key); err != nil || there {
			return err // another built it meanwhile
		}
		whole, others := wholes(p, o.State)
		b := &build{Engine: e, h: h, p: p, o: o, key: key, whole: whole, others: others, scratch: scratch(p, whole)}
		defer func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Minute)
			defer cancel()
			err = errors.Join(err, b.clear(ctx))
		}()
		if err := b.clear(ctx); err != nil {
			return fmt.Errorf("remove what an earlier build left: %w", err)
		}
		built = true
		return b.run(ctx)
	})
	return built && err == nil, err
}

// Has is whether the seed of a key is here, with all its images.
func Has(ctx context.Context, e Engine, p *compose.Project, key string) (bool, error) {
	s := compose.Scope{Project: scratchName(p.Name)}
	for _, name := range Services(p) {
		s.Images = append(s.Images, compose.ImageRef{Ref: Ref(p.Name, name, key)})
	}
	state, err := e.Observe(ctx, s)
	if err != nil {
		return false, err
	}
	return len(state.Images) == len(s.Images), nil
}

// build is one build under way.
type build struct {
	Engine
	h             compose.Host // changes only while the claim is held
	p, scratch    *compose.Project
	o             BuildOptions
	key           string
	whole, others []string
}

func (b *build) note(format string, args ...any) {
	if b.o.Note != nil {
		b.o.Note(fmt.Sprintf(format, args...))
	}
}

// run builds; what it needs only for that stays.
func (b *build) run(ctx context.Context) error {
	servers, err := b.startServers(ctx)
	if err != nil {
		return err
	}
	for _, s := range servers {
		if err := b.restore(ctx, s); err != nil {
			return err
		}
	}
	for _, name := range Steps(b.p) {
		b.note("running %s", name)
		if err := b.up(ctx, compose.DiffOptions{Services: []string{name}}, "run step "+name); err != nil {
			return err
		}
	}
	for _, s := range servers {
		if err := b.seal(ctx, s); err != nil {
			return err
		}
	}
	for _, name := range b.others {
		if err := b.sealVolumes(ctx, name); err != nil {
			return err
		}
	}
	for _, name := range b.whole {
		if err := b.publish(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// labels are those of a seed's image.
func (b *build) labels(service string) map[string]string {
	return map[string]string{LabelProject: b.p.Name, LabelService: service, LabelKey: b.key}
}

// startServers starts the services that are sealed whole, on their images without VOLUME.
func (b *build) startServers(ctx context.Context) ([]*server, error) {
	if len(b.whole) == 0 {
		return nil, nil
	}
	b.note("starting %s", strings.Join(b.whole, ", "))
	for _, name := range b.whole {
		base := compose.ImageName(b.p, b.p.Services[name])
		if err := b.Rewrap(ctx, base, base, bareRef(b.p.Name, name), func(c map[string]any) { delete(c, "Volumes") }); err != nil {
			return nil, err
		}
	}
	if err := b.up(ctx, compose.DiffOptions{Services: b.whole}, "start"); err != nil {
		return nil, err
	}
	var servers []*server
	for _, name := range b.whole {
		c, err := b.container(ctx, name)
		if err != nil {
			return nil, err
		}
		s := &server{service: name, id: c.ID, name: c.Name}
		if err := b.meet(ctx, s); err != nil {
			return nil, err
		}
		servers = append(servers, s)
	}
	return servers, nil
}

// up makes services of the scratch stack run, or complete.
func (b *build) up(ctx context.Context, d compose.DiffOptions, doing string) error {
	d.Now, d.Version, d.Build = time.Now(), b.o.Version, compose.BuildNever
	state, err := b.observe(ctx)
	if err != nil {
		return err
	}
	plan, err := compose.Diff(b.scratch, state, d)
	if err != nil {
		return err
	}
	err = compose.Run(ctx, b.h, plan, compose.RunOptions{Project: b.scratch.Name})
	var unready *compose.NotReadyError
	if errors.As(err, &unready) {
		return &StepError{Service: unready.Service, Doing: doing, Err: err, Log: b.Log(context.WithoutCancel(ctx), unready.Container)}
	}
	return err
}

// observe looks at the scratch stack.
func (b *build) observe(ctx context.Context) (compose.State, error) {
	state, err := b.Observe(ctx, compose.ScopeOf(b.scratch, nil))
	state.Project = b.scratch.Name
	return state, err
}

// container is the one container of a service of the scratch stack.
func (b *build) container(ctx context.Context, service string) (compose.Container, error) {
	state, err := b.observe(ctx)
	if err != nil {
		return compose.Container{}, err
	}
	for _, c := range state.Containers {
		if c.Service() == service {
			return c, nil
		}
	}
	return compose.Container{}, fmt.Errorf("the container of service %s is gone: somebody else removed it", service)
}

// seal ends a server cleanly and commits what it wrote.
func (b *build) seal(ctx context.Context, s *server) error {
	b.note("sealing %s", s.service)
	fail := func(doing string, err error) error {
		if err == nil {
			return nil
		}
		return &StepError{Service: s.service, Doing: doing, Err: err, Log: b.Log(context.WithoutCancel(ctx), s.id)}
	}
	if err := b.finish(ctx, s); err != nil {
		return fail("finish", err)
	}
	grace := 10 * time.Minute
	if err := b.h.Do(ctx, compose.Step{Op: compose.StopContainer, Name: s.name, Target: s.id, Grace: &grace}, nil); err != nil {
		return fail("stop", err)
	}
	c, err := b.container(ctx, s.service)
	if err == nil && (c.Status != compose.Exited || c.ExitCode != 0) {
		err = fmt.Errorf("it did not stop cleanly: it is %s with exit code %d", c.Status, c.ExitCode)
	}
	if err == nil {
		err = b.checkStopped(ctx, s)
	}
	if err == nil {
		err = b.blank(ctx, s)
	}
	if err != nil {
		return fail("stop", err)
	}
	return b.Commit(ctx, s.id, sealedRef(b.p.Name, s.service))
}

// blank empties the files into which texts of secrets and configs were copied, so that the layer does not hold them.
func (b *build) blank(ctx context.Context, s *server) error {
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for _, p := range compose.InjectedPaths(b.scratch, b.scratch.Services[s.service]) {
		if err := w.WriteHeader(&tar.Header{Name: strings.TrimPrefix(p, "/"), Mode: 0o400}); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	return b.CopyTo(ctx, s.id, "/", &archive)
}

// sealVolumes makes an image of the volumes of a service.
func (b *build) sealVolumes(ctx context.Context, name string) error {
	s := b.p.Services[name]
	if len(volumesOf(s)) == 0 {
		return &compose.HintedError{Err: fmt.Errorf("service %s has x-strake.seed and no volume", name), Next: "mount a named volume where its data is, or take the seed from it"}
	}
	b.note("sealing the volumes of %s", name)
	if err := b.up(ctx, compose.DiffOptions{Services: []string{name}, NoDeps: true, NoStart: true}, "create"); err != nil {
		return err
	}
	c, err := b.container(ctx, name)
	if err != nil {
		return err
	}
	layer := pack(ctx, b.Engine, c.ID, s)
	defer layer.Close() // ends the other side where Import gave up
	labels := b.labels(name)
	labels[LabelVolumes] = strings.Join(volumesOf(s), ",")
	return b.Import(ctx, Ref(b.p.Name, name, b.key), layer, labels)
}

// publish gives a sealed image the seed's tag: the configuration is that of the service's own image.
func (b *build) publish(ctx context.Context, name string) error {
	like := compose.ImageName(b.p, b.p.Services[name])
	return b.Rewrap(ctx, sealedRef(b.p.Name, name), like, Ref(b.p.Name, name, b.key), func(c map[string]any) {
		delete(c, "Volumes")
		c["Labels"] = b.labels(name)
	})
}

// clear removes all that a build needs besides the seed.
func (b *build) clear(ctx context.Context) error {
	state, err := b.observe(ctx)
	if err != nil {
		return err
	}
	plan, err := compose.Down(nil, state, compose.DownOptions{Volumes: true, RemoveOrphans: true, Grace: new(time.Duration)})
	if err != nil {
		return err
	}
	for _, name := range Services(b.p) {
		for _, ref := range []string{bareRef(b.p.Name, name), sealedRef(b.p.Name, name)} {
			var after []int
			for i, s := range plan {
				if s.Op == compose.RemoveContainer {
					after = append(after, i)
				}
			}
			plan = append(plan, compose.Step{Op: compose.RemoveImage, Name: ref, Target: ref, After: after})
		}
	}
	return compose.Run(ctx, b.h, plan, compose.RunOptions{Project: b.scratch.Name})
}
