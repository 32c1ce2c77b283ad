package seed

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"path"
	"slices"
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

// folderHost makes data's folders in each container of a service that is sealed whole when it is created, whatever it is created for: one that
// takes another's place in the same plan, or a later one, has them too.
type folderHost struct {
	compose.Host
	b *build
}

// Do does the step.
func (h folderHost) Do(ctx context.Context, s compose.Step, note func(compose.Event)) error {
	err := h.Host.Do(ctx, s, note)
	if err == nil && s.Op == compose.CreateContainer && slices.Contains(h.b.whole, s.Service) {
		err = h.b.makeFolders(ctx, s.Service, s.Name)
	}
	return err
}

// makeFolders makes the folders of a service's data that its image does not have, in a container that was not started yet: where
// there is a volume the engine makes them, owned by root. They stay in the seed, so that it has them too where no volume is mounted.
func (b *build) makeFolders(ctx context.Context, service, container string) error {
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	made := false
	for _, at := range b.dataOf(service) {
		to, has, err := b.leadsTo(ctx, container, at)
		if err != nil {
			return fmt.Errorf("look for %s in the image of service %s: %w", at, service, err)
		}
		if has {
			continue
		}
		made = true
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: strings.TrimPrefix(path.Clean(to), "/") + "/", Mode: 0o755}); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil || !made {
		return err
	}
	if err := b.CopyTo(ctx, container, "/", &archive); err != nil {
		return fmt.Errorf("make the folders of the data of service %s: %w", service, err)
	}
	return nil
}

// checkFolders refuses to seal a container that has not all folders of its service's data: who starts from the seed would begin
// with none, and not be told.
func (b *build) checkFolders(ctx context.Context, service, container string) error {
	for _, at := range b.dataOf(service) {
		switch _, has, err := b.leadsTo(ctx, container, at); {
		case err != nil:
			return fmt.Errorf("look for %s in the container of service %s: %w", at, service, err)
		case !has:
			return &StepError{Service: service, Doing: "seal its data", Log: b.Log(ctx, container), Err: &compose.HintedError{
				Err:  fmt.Errorf("its data's folder %s is not in its container any more: the seed would be without it", at),
				Next: "see that neither the service nor a step removes or renames the folder " + at + ", or mount the volume where its data is"}}
		}
	}
	return nil
}

// dataOf are the paths at which a service keeps its data, as far as the file and the image say so.
func (b *build) dataOf(service string) []string {
	s := b.p.Services[service]
	return dataPaths(s, b.o.State.Images[compose.ImageName(b.p, s)])
}
