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
	"strings"
	"time"

	"github.com/strake-dev/strake/compose"
)

// commit makes the sealed image of a service of its container in the scratch stack, without the texts of secrets and configs that
// were copied into it. One without the folders of the service's data is refused.
func (b *build) commit(ctx context.Context, service, container string) error {
	if err := b.checkFolders(ctx, service, container); err != nil {
		return err
	}
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
