package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/engine"
	"github.com/strake-dev/strake/internal/offline/standin"
)

// withStandIns is a loaded project with its stand-ins. What only looks at a stack or ends it has to work also where they could not run: with
// a program that is none for containers, or a service that cannot reach them.
func withStandIns(s Streams, p *compose.Project, looksOnly bool) (*compose.Project, error) {
	asked := p.Settings.StandIns
	if asked.S3 == nil && asked.Mail == nil {
		return p, nil
	}
	ref, _, err := ownImage(s)
	if err != nil && !looksOnly {
		return nil, fmt.Errorf("x-strake.standins: %w", err)
	}
	with, err := standin.Add(p, standin.AddOptions{Program: ref})
	if err != nil && looksOnly {
		return p, nil
	}
	if err != nil || asked.S3 == nil {
		return with, err
	}
	dir := standin.Dir(p, *asked.S3)
	if names := compose.BuildsHolding(p, dir); len(names) > 0 {
		with.Warnings = append(with.Warnings, fmt.Sprintf("the objects of the S3 stand-in are in the build context of %s, which is built anew when one changes: add %s to its .dockerignore",
			strings.Join(names, ", "), filepath.Base(dir)))
	}
	return with, nil
}

// previewStandIns is a preview's project with its stand-ins, where it says that previews have them; what they run on is there then.
func previewStandIns(ctx context.Context, s Streams, p *compose.Project, e *engine.Engine) (*compose.Project, error) {
	asked := p.Settings.StandIns
	if !asked.Previews || asked.S3 == nil && asked.Mail == nil {
		return p, nil
	}
	ref, file, err := ownImage(s)
	if err != nil {
		return nil, fmt.Errorf("x-strake.standins: %w", err)
	}
	if _, err := ensureProgram(ctx, s, e, ref, file); err != nil {
		return nil, fmt.Errorf("make the image of the stand-ins: %w", err)
	}
	return standin.Add(p, standin.AddOptions{Program: ref, Preview: true})
}

// readyStandIns makes be there what the stand-ins of a project of withStandIns run on: their image on the engine, and the folder of the objects on this
// machine, which an engine that made it would make root's.
func readyStandIns(ctx context.Context, s Streams, p *compose.Project, e *engine.Engine) error {
	asked, ref := p.Settings.StandIns, ""
	for _, name := range []string{compose.StandInS3, compose.StandInMail} {
		if asked.Has(name) {
			ref = p.Services[name].Image
		}
	}
	if ref == "" {
		return nil
	}
	file, err := ownProgram(s)
	if err != nil {
		return err
	}
	on, err := ensureProgram(ctx, s, e, ref, file)
	if err != nil {
		return fmt.Errorf("make the image of the stand-ins: %w", err)
	}
	if asked.S3 == nil || on.Remote {
		return nil
	}
	return makeObjects(standin.Dir(p, *asked.S3))
}

// makeObjects makes the folder of objects where it is not there, for its owner above and out of sight of git. One that this user may not
// make is left to the engine.
func makeObjects(dir string) error {
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return nil // what is wrong with it the engine says
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make the folder of objects: %w", err)
	}
	ignore := filepath.Join(dir, ".gitignore")
	if err := os.WriteFile(ignore, []byte("# Objects of the S3 stand-in.\n*\n"), 0o644); err != nil {
		return fmt.Errorf("make the folder of objects: %w", err)
	}
	return errors.Join(giveToOwnerOf(filepath.Dir(dir), dir), giveToOwnerOf(filepath.Dir(dir), ignore))
}
