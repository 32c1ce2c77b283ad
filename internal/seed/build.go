package seed

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/strake-dev/strake/compose"
)

// BuildOptions say what is built and who is told.
type BuildOptions struct {
	Facts Facts // of the project; their key names the seed
	Base  Base  // by which a seed of an ancestor is found; the zero value uses none
	// Commits are the commit of the project's files and its ancestors, the nearest first; Clean says that the files are as in the
	// first one.
	Commits []string
	Clean   bool
	State   compose.State        // with the project's images, all of them there
	Files   compose.InputOptions // by which dumps are looked at again
	Replace bool                 // lets Save take a name that a seed has
	// Claim says who builds: two builds of one project are one after the other.
	Claim   compose.ConvergeOptions
	Version string            // of strake
	Note    func(text string) // told of each phase; may be nil
}

// Build makes the seed of the project unless it is there, and returns it and whether it was made. It is safe to kill at any moment: no
// tag of an unfinished seed is left, and what else is left the next build of this project removes.
//
// What failed is in a *StepError; a claim held by another, where Claim.NoWait, in a *compose.HeldError.
func Build(ctx context.Context, e Engine, p *compose.Project, o BuildOptions) (there *Seed, built bool, err error) {
	if err := checkApart(p, o.State); err != nil {
		return nil, false, err
	}
	key := o.Facts.Key()
	there, dead, err := newBuild(e, e, p, o, key).survey(ctx)
	if err == nil && there != nil && dead {
		err = clearDead(ctx, e, p, o)
	}
	if err != nil || there != nil {
		return there, false, err
	}
	err = compose.Hold(ctx, e, ScratchName(p.Name), o.Claim, func(h compose.Host) (err error) {
		b := newBuild(e, h, p, o, key)
		return b.alone(ctx, func(ctx context.Context) error {
			if there, err = Find(ctx, e, p, key); err != nil || there != nil {
				return err // another built it meanwhile
			}
			built = true
			if b.from, err = b.findAncestor(ctx); err != nil {
				return err
			}
			if err = b.run(ctx); err == nil {
				there, err = Find(ctx, e, p, key)
			}
			return err
		})
	})
	if err == nil && there == nil {
		err = fmt.Errorf("the images of seed %s are gone: somebody else removed them", key)
	}
	return there, built && err == nil, err
}

// newSet is a LabelSet that no other build has.
func newSet() string { return strconv.FormatInt(time.Now().UnixNano(), 36) }

// build is one build under way.
type build struct {
	Engine
	h             compose.Host // changes only while the claim is held
	p, scratch    *compose.Project
	o             BuildOptions
	key, set      string
	whole, others []string
	from          *ancestor // what it is built on; nil: nothing
}

func newBuild(e Engine, h compose.Host, p *compose.Project, o BuildOptions, key string) *build {
	whole, others := wholes(p, o.State)
	return &build{Engine: e, h: h, p: p, o: o, key: key, set: newSet(), whole: whole, others: others, scratch: scratch(p, whole)}
}

func (b *build) note(format string, args ...any) {
	if b.o.Note != nil {
		b.o.Note(fmt.Sprintf(format, args...))
	}
}

// run builds; what it needs only for that stays.
func (b *build) run(ctx context.Context) error {
	steps := Steps(b.p)
	if b.from != nil {
		b.note("starting from the seed of commit %.12s: only %s has to run", b.from.commit, steps[0])
		steps = steps[:1]
		for _, name := range b.others {
			sealed := b.from.Sealed[name]
			for i, v := range sealed.Volumes {
				b.scratch.Fills[v] = compose.VolumeFill{Image: sealed.Ref, Dir: dirOf(i)}
			}
		}
	} else if err := b.checkDumps(ctx); err != nil {
		return err
	}
	servers, err := b.startServers(ctx)
	if err != nil {
		return err
	}
	for _, s := range servers {
		if b.from != nil {
			break // it has its dump
		}
		if err := b.restore(ctx, s); err != nil {
			return err
		}
	}
	for _, name := range steps {
		if err := b.runStep(ctx, name); err != nil {
			return err
		}
	}
	for _, s := range servers {
		if err := b.stop(ctx, s); err != nil {
			return err
		}
	}
	for _, name := range b.others {
		if err := b.sealVolumes(ctx, name); err != nil {
			return err
		}
	}
	for _, s := range servers {
		if !slices.Contains(b.whole, s.service) {
			continue
		}
		b.note("sealing %s", s.service)
		if err := b.commit(ctx, s.service, s.id); err != nil {
			return err
		}
	}
	return b.publishAll(ctx)
}

// publishAll gives what is sealed the seed's tags, and removes the images that had them. Once begun it is finished: it takes a moment, and a part of
// a seed is none.
func (b *build) publishAll(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), publishPatience)
	defer cancel()
	before, err := b.Images(ctx, LabelKey)
	if err != nil {
		return err
	}
	for _, name := range Services(b.p) {
		if err := b.publish(ctx, name); err != nil {
			return err
		}
	}
	var errs []error
	for _, i := range before {
		own := Ref(b.p.Name, i.Labels[LabelService], b.key)
		named := slices.ContainsFunc(i.Tags, func(tag string) bool { return tag != own }) // somebody keeps it under a name of their own
		if i.Labels[LabelProject] == b.p.Name && i.Labels[LabelKey] == b.key && i.Labels[LabelSet] != b.set && !named {
			err := b.h.Do(ctx, compose.Step{Op: compose.RemoveImage, Name: i.ID, Target: i.ID}, nil)
			if !errors.Is(err, compose.ErrInUse) { // what runs on it goes on
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

const publishPatience = 2 * time.Minute

// labels are those of a seed's image.
func (b *build) labels(service string) map[string]string {
	all := map[string]string{LabelProject: b.p.Name, LabelService: service, LabelKey: b.key, LabelSet: b.set,
		LabelServices: strings.Join(Services(b.p), ",")}
	if b.o.Facts.For != "" {
		all[LabelFor] = b.o.Facts.For
	}
	if b.o.Base.Data == "" {
		return all
	}
	all[LabelData], all[LabelMigrations] = b.o.Base.Data, strings.Join(b.o.Base.Migrations, ",")
	if b.o.Clean && len(b.o.Commits) > 0 {
		all[LabelCommit] = b.o.Commits[0]
	}
	maps.Copy(all, b.from.labels(service))
	return all
}

// startServers starts the seeded services that run while the seed is built, those that are sealed whole on their images without VOLUME.
func (b *build) startServers(ctx context.Context) ([]*server, error) {
	names := running(b.p, b.o.State)
	if len(names) == 0 {
		return nil, nil
	}
	b.note("starting %s", strings.Join(names, ", "))
	for _, name := range b.whole {
		if err := b.bare(ctx, name); err != nil {
			return nil, err
		}
	}
	if err := b.up(ctx, compose.DiffOptions{Services: names, NoStart: true}, "create"); err != nil {
		return nil, err
	}
	for _, name := range b.whole {
		if err := b.makeFolders(ctx, name); err != nil {
			return nil, err
		}
	}
	if err := b.up(ctx, compose.DiffOptions{Services: names}, "start"); err != nil {
		return nil, err
	}
	var servers []*server
	for _, name := range names {
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

// bare makes the image on which a service that is sealed whole runs here: its own without VOLUME, or that of the seed which it is
// built on.
func (b *build) bare(ctx context.Context, name string) error {
	like := compose.ImageName(b.p, b.p.Services[name])
	base := like
	if b.from != nil {
		base = b.from.Sealed[name].Ref
	}
	return b.Rewrap(ctx, base, like, bareRef(b.p.Name, name), func(c map[string]any) { delete(c, "Volumes") })
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

// stopPatience is how long a server may take to write what it holds in memory.
const stopPatience = 10 * time.Minute

// stop ends a server cleanly.
func (b *build) stop(ctx context.Context, s *server) error {
	b.note("stopping %s", s.service)
	fail := func(doing string, err error) error {
		if err == nil {
			return nil
		}
		return &StepError{Service: s.service, Doing: doing, Err: err, Log: b.Log(context.WithoutCancel(ctx), s.id)}
	}
	if err := b.finish(ctx, s); err != nil {
		return fail("finish", err)
	}
	step := compose.Step{Op: compose.StopContainer, Name: s.name, Target: s.id}
	if s.kind != (folders{}) { // what is no server may not care for the signal: its own time is enough
		grace := stopPatience
		step.Grace = &grace
	}
	if err := b.h.Do(ctx, step, nil); err != nil {
		return fail("stop", err)
	}
	c, err := b.container(ctx, s.service)
	if err == nil && (c.Status != compose.Exited || !s.isClean(c.ExitCode)) {
		err = fmt.Errorf("it did not stop cleanly: its container %s with code %d", c.Status, c.ExitCode)
	}
	if err == nil {
		err = b.checkStopped(ctx, s)
	}
	return fail("stop", err)
}

// isClean is whether a server that was asked to stop ended as one that does so cleanly: with 0, or, where it is no database, of the
// signal itself.
func (s *server) isClean(code int) bool {
	const sigint, sigquit, sigterm = 130, 131, 143
	return code == 0 || s.kind == (folders{}) && (code == sigint || code == sigquit || code == sigterm)
}

// commit makes the sealed image of a service of its container in the scratch stack, without the texts of secrets and configs that
// were copied into it.
func (b *build) commit(ctx context.Context, service, container string) error {
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for _, p := range compose.InjectedPaths(b.scratch, b.scratch.Services[service]) {
		if err := w.WriteHeader(&tar.Header{Name: strings.TrimPrefix(p, "/"), Mode: 0o400}); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	if err := b.CopyTo(ctx, container, "/", &archive); err != nil {
		return err
	}
	return b.Commit(ctx, container, sealedRef(b.p.Name, service))
}

// sealVolumes makes an image of the volumes of a service.
func (b *build) sealVolumes(ctx context.Context, name string) error {
	s := b.p.Services[name]
	if len(volumesOf(s)) == 0 {
		return &compose.HintedError{Err: fmt.Errorf("service %s has x-strake.seed and no volume", name), Next: "mount a named volume where its data is, or take the seed from it"}
	}
	b.note("sealing the volumes of %s", name)
	if !slices.Contains(running(b.p, b.o.State), name) {
		if err := b.up(ctx, compose.DiffOptions{Services: []string{name}, NoDeps: true, NoStart: true}, "create"); err != nil {
			return err
		}
	}
	c, err := b.container(ctx, name)
	if err != nil {
		return err
	}
	return b.importVolumes(ctx, name, c.ID)
}

// importVolumes makes the sealed image of a service of the volumes that a container has mounted: the n-th volume's data in folder n of
// one layer.
func (b *build) importVolumes(ctx context.Context, name, container string) error {
	s := b.p.Services[name]
	return piped(func(out *tar.Writer) error {
		for i, key := range volumesOf(s) {
			if err := packOne(ctx, b.Engine, container, targetOf(s, key), strings.TrimPrefix(dirOf(i), "/"), out); err != nil {
				return err
			}
		}
		return nil
	}, func(layer io.Reader) error {
		return b.Import(ctx, sealedRef(b.p.Name, name), layer, map[string]string{LabelProject: b.p.Name})
	})
}

// publish gives a sealed image the seed's tag: the configuration is that of the service's own image, or none.
func (b *build) publish(ctx context.Context, name string) error {
	sealed, like := sealedRef(b.p.Name, name), compose.ImageName(b.p, b.p.Services[name])
	labels := b.labels(name)
	if slices.Contains(b.whole, name) {
		labels[LabelPaths] = strings.Join(b.o.State.Images[like].Volumes, ",")
	} else {
		like, labels[LabelVolumes] = sealed, strings.Join(volumesOf(b.p.Services[name]), ",")
	}
	return b.Rewrap(ctx, sealed, like, Ref(b.p.Name, name, b.key), func(c map[string]any) {
		delete(c, "Volumes")
		c["Labels"] = labels
	})
}
