package engine

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"

	"github.com/strake-dev/strake/compose"
)

// keptLimit bounds what is read of one kept file, in bytes.
const keptLimit = 1 << 20

// Keep writes small files into record container name, which is made with the labels where it is missing and never runs. A label
// cannot change; a file in a container can. Names of files are without folders. A file that is there is replaced, others stay. Without labels
// (nil) none is made: that there is no such container is fs.ErrNotExist.
//
// After a failure each file is as it was, or new, or, where the engine died over it, cut short.
// Source: Docker Engine API 1.41, PUT /containers/{id}/archive.
func (e *Engine) Keep(ctx context.Context, name string, labels map[string]string, files map[string][]byte) error {
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for _, file := range slices.Sorted(maps.Keys(files)) {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: file, Mode: 0o600, Size: int64(len(files[file])), ModTime: time.Unix(0, 0)}); err != nil {
			return err
		}
		if _, err := w.Write(files[file]); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	begun := time.Now()
	for {
		err := e.api.CopyToContainer(ctx, name, "/", bytes.NewReader(archive.Bytes()), container.CopyToContainerOptions{})
		if !errdefs.IsNotFound(err) || time.Since(begun) > claimPatience {
			return e.explainCall(ctx, err)
		}
		if labels == nil {
			return fmt.Errorf("record %s: %w", name, fs.ErrNotExist)
		}
		_, err = e.createClaim(ctx, compose.Step{Name: name, Labels: labels})
		if errdefs.IsNotFound(err) {
			err = e.importEmpty(ctx)
		}
		if err != nil && !errdefs.IsConflict(err) { // another made it meanwhile
			return fmt.Errorf("make record %s: %w", name, e.explainCall(ctx, err))
		}
	}
}

// Kept reads a file of record container name; fs.ErrNotExist where there is no such record, or no such file in it.
func (e *Engine) Kept(ctx context.Context, name, file string) ([]byte, error) {
	body, err := e.CopyFrom(ctx, name, path.Join("/", file))
	if err != nil {
		return nil, err
	}
	defer body.Close() // read to its end, or of no use
	r := tar.NewReader(body)
	for {
		h, err := r.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil, fs.ErrNotExist
		case err != nil:
			return nil, fmt.Errorf("read %s of record %s: %w", file, name, err)
		case h.Typeflag == tar.TypeReg:
			return io.ReadAll(io.LimitReader(r, keptLimit))
		}
	}
}
