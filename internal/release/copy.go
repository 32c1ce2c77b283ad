package release

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sync/errgroup"
)

// Copied is how far a copy is: how many bytes of how many the registry has.
type Copied struct{ Done, Total int64 }

// blobsAtOnce is how many blobs of an image are sent at a time.
const blobsAtOnce = 4

// Copy has the registry have images of services that another one has, by their digests, byte for byte: an index with all its platforms. Blobs are mounted
// where both are one registry, and else sent through here. What it has already is not sent: a copy that was cut off goes on where it was. No tag is moved.
// note is called for several services at a time, and not any more once Copy has returned; nil is none.
func (r *Registry) Copy(ctx context.Context, from *Registry, images map[string]string, note func(service string, c Copied)) error {
	m := Move{Images: images}
	return each(ctx, m.Services(), func(ctx context.Context, _ int, service string) error {
		c := copying{from: from, to: r, service: service}
		if note != nil {
			c.note = func(done int64) { note(service, Copied{done, c.total}) }
		}
		err := c.run(ctx, images[service])
		c.end()
		if err != nil {
			return fmt.Errorf("copy %s to %s: %w", service, r.Path, err)
		}
		return nil
	})
}

// copying is the copy of one image.
type copying struct {
	from, to *Registry
	service  string
	total    int64

	manifests []manifest // those that others name before them
	blobs     []v1.Descriptor

	mu   sync.Mutex // guards what follows, and what is counted of the blobs
	done int64
	note func(done int64) // nil is none
}

func (c *copying) run(ctx context.Context, digest string) error {
	_, err := c.to.read(ctx, c.service, digest)
	if !errors.Is(err, ErrAbsent) {
		return err // with nil it is there: no registry takes a manifest without what it names
	}
	if err := c.collect(ctx, digest); err != nil {
		return err
	}
	all, sending := errgroup.WithContext(ctx)
	all.SetLimit(blobsAtOnce)
	for _, b := range c.blobs {
		all.Go(func() error { return c.send(sending, b) })
	}
	if err := all.Wait(); err != nil {
		return err
	}
	for _, m := range c.manifests {
		if err := c.to.write(ctx, c.service, "", m); err != nil {
			return err
		}
	}
	return nil
}

// collect finds the manifests that make up an image, and their blobs, each once.
// Source: OCI Image Specification 1.1, "Image Manifest", "Image Index".
func (c *copying) collect(ctx context.Context, digest string) error {
	if slices.ContainsFunc(c.manifests, func(m manifest) bool { return m.digest == digest }) {
		return nil
	}
	m, err := c.from.read(ctx, c.service, digest)
	if err != nil {
		return err
	}
	var names struct {
		Config            *v1.Descriptor
		Layers, Manifests []v1.Descriptor
	}
	if err := json.Unmarshal(m.raw, &names); err != nil {
		return fmt.Errorf("read %s: %w", digest, err)
	}
	if names.Config == nil && !m.media.IsIndex() {
		return fmt.Errorf("%s is %s, which is no image that can be copied", digest, m.media)
	}
	for _, child := range names.Manifests {
		if err := c.collect(ctx, child.Digest.String()); err != nil {
			return err
		}
	}
	if names.Config != nil {
		names.Layers = append(names.Layers, *names.Config)
	}
	for _, b := range names.Layers {
		isHad := slices.ContainsFunc(c.blobs, func(had v1.Descriptor) bool { return had.Digest == b.Digest })
		if !isHad && b.MediaType.IsDistributable() {
			c.blobs, c.total = append(c.blobs, b), c.total+b.Size
		}
	}
	c.manifests = append(c.manifests, m)
	return nil
}

// send has the registry have a blob.
func (c *copying) send(ctx context.Context, b v1.Descriptor) error {
	from, err := name.NewDigest(c.from.Path + "/" + c.service + "@" + b.Digest.String())
	if err != nil {
		return err
	}
	to, err := name.NewRepository(c.to.Path + "/" + c.service)
	if err != nil {
		return err
	}
	one := &blob{copying: c, at: b, open: func() (io.ReadCloser, error) {
		l, err := c.from.puller.Layer(ctx, from)
		if err != nil {
			return nil, err
		}
		body, err := l.Compressed()
		return body, c.from.explain(ctx, "read "+from.String(), err)
	}}
	var layer v1.Layer = one
	if c.from.host() == c.to.host() {
		layer = &remote.MountableLayer{Layer: one, Reference: from}
	}
	if err := c.to.pusher.Upload(ctx, to, layer); err != nil {
		return c.to.explain(ctx, "send "+b.Digest.String(), err)
	}
	one.count(nil, b.Size) // what was there, or was mounted, is not read
	return nil
}

// end has nothing noted any more: a request that was given up on may still be sent.
func (c *copying) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.note = nil
}

// blob is one that is read from another registry as it is sent.
type blob struct {
	*copying
	at   v1.Descriptor
	open func() (io.ReadCloser, error)
	body *counting // of the attempt that counts
}

var _ v1.Layer = (*blob)(nil)

// errPacked is returned for what is not known of a blob that is sent as it is.
var errPacked = errors.New("a blob is sent as it is")

// Digest implements v1.Layer.
func (b *blob) Digest() (v1.Hash, error) { return b.at.Digest, nil }

// DiffID implements v1.Layer.
func (b *blob) DiffID() (v1.Hash, error) { return v1.Hash{}, errPacked }

// Uncompressed implements v1.Layer.
func (b *blob) Uncompressed() (io.ReadCloser, error) { return nil, errPacked }

// Size implements v1.Layer.
func (b *blob) Size() (int64, error) { return b.at.Size, nil }

// MediaType implements v1.Layer.
func (b *blob) MediaType() (types.MediaType, error) { return b.at.MediaType, nil }

// Compressed implements v1.Layer. What was read before, of an attempt that failed, does not count any more.
func (b *blob) Compressed() (io.ReadCloser, error) {
	body, err := b.open()
	if err != nil {
		return nil, err
	}
	c := &counting{ReadCloser: body, of: b}
	b.count(c, 0)
	return c, nil
}

// count has a body be the one that counts, with so many bytes of it read.
func (b *blob) count(body *counting, read int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.body != nil {
		b.done -= b.body.read
	}
	if b.body = body; body != nil {
		body.read = read
	}
	if b.done += read; b.note != nil {
		b.note(b.done)
	}
}

// counting counts what is read of a body.
type counting struct {
	io.ReadCloser
	of   *blob
	read int64
}

// Read implements io.Reader.
func (c *counting) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	if c.of.body != c { // an attempt that was given up on
		return n, err
	}
	c.read += int64(n)
	if c.of.done += int64(n); c.of.note != nil {
		c.of.note(c.of.done)
	}
	return n, err
}
