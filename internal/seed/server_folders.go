package seed

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"path"
	"strings"

	"github.com/strake-dev/strake/compose"
)

// folders are the data of what is no server that is known: sealed as they are after a clean stop.
type folders struct{}

func (folders) String() string { return "folders" }
func (folders) has() string    { return "true" }
func (folders) ready() string  { return "true" }

func (folders) begin(context.Context, *build, *server) (string, error) { return "", nil }
func (folders) finish(context.Context, *build, *server) error          { return nil }
func (folders) checkStopped(context.Context, *build, *server) error    { return nil }
func (folders) restore(_ context.Context, _ *build, s *server, d *dump) error {
	return &StepError{Service: s.service, Doing: "restore " + d.name, Err: &compose.HintedError{
		Err:  fmt.Errorf("no server runs in it that a dump can be restored into: PostgreSQL, MariaDB, MySQL, Redis and Valkey are known"),
		Next: "write the data with a service that x-strake.seed.with names"}}
}

// makeFolders makes the folders of a service's volumes that its image does not have, in its container that was not started yet: where
// there is a volume the engine makes them, owned by root. They stay in the seed, so that it has them too where no volume is mounted.
func (b *build) makeFolders(ctx context.Context, service string) error {
	c, err := b.container(ctx, service)
	if err != nil {
		return err
	}
	s := b.p.Services[service]
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for _, at := range dataPaths(s, b.o.State.Images[compose.ImageName(b.p, s)]) {
		has, err := b.hasFile(ctx, c.ID, at)
		if err != nil {
			return fmt.Errorf("look for %s in the image of service %s: %w", at, service, err)
		}
		if has {
			continue
		}
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: strings.TrimPrefix(path.Clean(at), "/") + "/", Mode: 0o755}); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	return b.CopyTo(ctx, c.ID, "/", &archive)
}
