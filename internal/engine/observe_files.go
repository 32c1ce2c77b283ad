package engine

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/containerd/errdefs"
	"golang.org/x/sync/errgroup"

	"github.com/strake-dev/strake/compose"
)

// observeFiles looks at what was put into the containers of some services: a container's labels must not tell of secrets,
// so what it holds is read from it.
func (e *Engine) observeFiles(ctx context.Context, containers []compose.Container, files map[string][]string) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(16)
	for i := range containers {
		c := &containers[i]
		paths := files[c.Service()]
		if len(paths) == 0 || c.IsOneOff() {
			continue
		}
		g.Go(func() error {
			c.Files = map[string]string{}
			for _, path := range paths {
				sum, err := e.injectedSum(ctx, c.ID, path)
				if err != nil {
					return err
				}
				if sum != "" {
					c.Files[path] = sum
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// injectedSum is the SHA-256 of a file that inject put into a container, in hex; "" when it is not there, or was written
// since. What inject writes has the time 0.
// Source: Docker Engine API 1.41, GET /containers/{id}/archive.
func (e *Engine) injectedSum(ctx context.Context, id, path string) (string, error) {
	archive, _, err := e.api.CopyFromContainer(ctx, id, path)
	if errdefs.IsNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("look at %s in container %.12s: %w", path, id, err)
	}
	defer archive.Close() // it was only read
	r := tar.NewReader(archive)
	header, err := r.Next()
	if errors.Is(err, io.EOF) || err == nil && (header.Typeflag != tar.TypeReg || header.ModTime.Unix() != 0) {
		return "", nil
	}
	sum := sha256.New()
	if err == nil {
		_, err = io.Copy(sum, r)
	}
	if err != nil {
		return "", fmt.Errorf("look at %s in container %.12s: %w", path, id, err)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
