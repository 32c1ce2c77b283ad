package engine

import (
	"archive/tar"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	"golang.org/x/sync/errgroup"

	"github.com/strake-dev/strake/compose"
)

// StreamTo brings images to another engine, one after the other, and sends only layers that it lacks: an image that it has under the same
// name is not sent at all. One that is named by its digest has the name compose.CarriedAs there, and gets it here. sent is the bytes that
// went to the other engine; note, when not nil, is told how many it were so far.
//
// After an error, and when ctx ends, the images before are there whole, and the one under way is not there or is made whole by the next call.
func (e *Engine) StreamTo(ctx context.Context, to *Engine, refs []string, note func(done int64)) (sent int64, err error) {
	s := &stream{from: e, to: to, note: note}
	for _, ref := range refs {
		if err := s.bring(ctx, ref); err != nil {
			return s.sent.Load(), fmt.Errorf("send image %s: %w", ref, err)
		}
	}
	return s.sent.Load(), nil
}

// stream is one call of StreamTo.
type stream struct {
	from, to *Engine
	note     func(done int64)
	sent     atomic.Int64
	chains   map[digest.Digest]bool // of the layers that to has, from the lowest up; nil: it was not asked yet
}

// bring sends one image, whole where leaving layers out did not do.
func (s *stream) bring(ctx context.Context, ref string) error {
	name, img, err := s.named(ctx, ref)
	if err != nil {
		return err
	}
	if there, err := s.isThere(ctx, name, img); there || err != nil {
		return err
	}
	held, err := s.held(ctx, img)
	if err != nil {
		return err
	}
	files, err := s.filesOf(ctx, name, img, held)
	if err != nil {
		return err
	}
	err = s.send(ctx, name, files)
	there := false
	if err == nil {
		there, err = s.isThere(ctx, name, img)
	}
	// A layer went meanwhile, or the engine keeps the same one in other bytes than those that the image is made of here.
	if !there && len(files) > 0 && ctx.Err() == nil {
		if err = s.send(ctx, name, nil); err == nil {
			there, err = s.isThere(ctx, name, img)
		}
	}
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return err
	case !there:
		return fmt.Errorf("the engine took it and has another one under the name %s", name)
	}
	s.add(img)
	return nil
}

// named is the image, and its name on both sides.
func (s *stream) named(ctx context.Context, ref string) (string, image.InspectResponse, error) {
	name := cmp.Or(compose.CarriedAs(ref), ref)
	img, err := s.from.api.ImageInspect(ctx, ref)
	if err == nil && name != ref {
		err = s.from.Tag(ctx, ref, name)
	} else if errdefs.IsNotFound(err) && name != ref { // a bundle brought it
		img, err = s.from.api.ImageInspect(ctx, name)
	}
	if errdefs.IsNotFound(err) {
		return "", img, hint("run `strake pull` or `strake build`", "it is not here")
	}
	return name, img, s.from.explainCall(ctx, err)
}

// isThere is whether the other engine has the image under its name, with everything that belongs to it. Engines that keep images in another way
// know them by other ids: there it is all that a container is made from.
func (s *stream) isThere(ctx context.Context, name string, img image.InspectResponse) (bool, error) {
	var opts []client.ImageInspectOption
	if s.to.apiAtLeast("1.48") {
		opts = append(opts, client.ImageInspectWithManifests(true))
	}
	got, err := s.to.api.ImageInspect(ctx, name, opts...)
	if errdefs.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, s.to.explainCall(ctx, err)
	}
	for _, m := range got.Manifests {
		if m.Kind == image.ManifestKindImage && m.ImageData != nil && m.ImageData.Platform.OS == img.Os && m.ImageData.Platform.Architecture == img.Architecture && !m.Available {
			return false, nil
		}
	}
	if (img.Descriptor == nil) == (got.Descriptor == nil) {
		return img.ID == got.ID, nil
	}
	a, b := img.Config, got.Config
	return contentOf(img) == contentOf(got) && img.Created == got.Created && img.Os == got.Os && img.Architecture == got.Architecture && a != nil && b != nil &&
		sameMap(a.Labels, b.Labels) && sameMap(a.ExposedPorts, b.ExposedPorts) && reflect.DeepEqual(a.Healthcheck, b.Healthcheck) && slices.Equal(a.Shell, b.Shell), nil
}

// sameMap takes none and an empty one for the same.
func sameMap[K comparable, V any](a, b map[K]V) bool {
	return len(a) == 0 && len(b) == 0 || reflect.DeepEqual(a, b)
}

// held are the layers of an image that the other engine has: with all layers below them, wherever in the image they are.
func (s *stream) held(ctx context.Context, img image.InspectResponse) (map[digest.Digest]bool, error) {
	facts, err := s.to.facts.of(ctx, s.to.askFacts)
	if err != nil {
		return nil, s.to.explainCall(ctx, err)
	}
	// With images in containerd an engine takes an archive without files in the layout of OCI alone, and says from API 1.48 on whether it had them.
	if facts.ImageStore == "containerd" && (!s.to.apiAtLeast("1.48") || img.Descriptor == nil && !s.from.apiAtLeast("1.44")) {
		return nil, nil
	}
	if err := s.askChains(ctx); err != nil {
		return nil, err
	}
	held := map[digest.Digest]bool{}
	missing := map[digest.Digest]bool{}
	layers := layersOf(img)
	for i, chain := range identity.ChainIDs(slices.Clone(layers)) {
		if s.chains[chain] {
			held[layers[i]] = true
		} else {
			missing[layers[i]] = true
		}
	}
	for layer := range missing {
		delete(held, layer)
	}
	return held, nil
}

// askChains learns the layers of all images of the other engine.
func (s *stream) askChains(ctx context.Context) error {
	if s.chains != nil {
		return nil
	}
	list, err := s.to.api.ImageList(ctx, image.ListOptions{})
	if err != nil {
		return s.to.explainCall(ctx, err)
	}
	s.chains = map[digest.Digest]bool{}
	var mu sync.Mutex
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for _, i := range list {
		g.Go(func() error {
			img, err := s.to.api.ImageInspect(gctx, i.ID)
			if err != nil {
				return absentIsFine(err)
			}
			mu.Lock()
			defer mu.Unlock()
			s.add(img)
			return nil
		})
	}
	return s.to.explainCall(ctx, g.Wait())
}

// add remembers that the other engine has an image.
func (s *stream) add(img image.InspectResponse) {
	if s.chains == nil {
		return
	}
	for _, chain := range identity.ChainIDs(layersOf(img)) {
		s.chains[chain] = true
	}
}

func layersOf(img image.InspectResponse) []digest.Digest {
	var all []digest.Digest
	for _, l := range img.RootFS.Layers {
		all = append(all, digest.Digest(l))
	}
	return all
}

// send streams the image from one engine to the other without some files of its archive.
// Source: moby v28.5.2, image/tarexport/load.go: the file of a layer is read only where the engine lacks the chain that it ends.
func (s *stream) send(ctx context.Context, name string, without map[string]bool) error {
	archive, err := s.from.Save(ctx, []string{name})
	if err != nil {
		return err
	}
	r, w := io.Pipe()
	var packing sync.WaitGroup
	var packErr error
	packing.Go(func() {
		packErr = errors.Join(repack(w, archive, without), archive.Close())
		_ = w.CloseWithError(packErr) // it always is nil
	})
	err = s.to.Load(ctx, &counted{r, s})
	_ = r.CloseWithError(errTaken) // as above
	packing.Wait()
	if packErr != nil && !errors.Is(packErr, errTaken) {
		return packErr // which is why the other one failed
	}
	return err
}

// errTaken is that the other engine reads no more: it has all that it wants, or says itself why not.
var errTaken = errors.New("the engine reads no more")

// counted counts what is read.
type counted struct {
	io.Reader
	s *stream
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	if sent := c.s.sent.Add(int64(n)); n > 0 && c.s.note != nil {
		c.s.note(sent)
	}
	return n, err
}

// repack copies an archive without some of its files. Links to them stay.
func repack(w io.Writer, archive io.Reader, without map[string]bool) error {
	in, out := tar.NewReader(archive), tar.NewWriter(w)
	for {
		h, err := in.Next()
		if err == io.EOF {
			return out.Close()
		}
		if err != nil {
			return fmt.Errorf("read the image's archive: %w", err)
		}
		if h.Typeflag == tar.TypeReg && without[path.Clean(h.Name)] {
			continue
		}
		if err := out.WriteHeader(h); err != nil {
			return err
		}
		if _, err := io.Copy(out, in); err != nil {
			return err
		}
	}
}
