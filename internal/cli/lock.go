package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/engine"
	"github.com/strake-dev/strake/internal/offline"
)

func newLock() *cli.Command {
	return &cli.Command{
		Name: "lock", Usage: "Pin every image that the project uses and does not build, in strake.lock; up --locked uses nothing else.",
		UsageText:   "strake pull && strake lock\nstrake lock --check          # are those that are here those that are pinned?",
		Description: "0 done, 1 failed, 2 wrong usage, 5 other images are here than those that are pinned (--check), 130 interrupted",
		Flags:       []cli.Flag{&cli.BoolFlag{Name: "check", Usage: "write nothing, and say which images are not those that are pinned"}, jsonFlag()},
		Action: func(c *cli.Context) error {
			return lock(c.Context, streamsOf(c), projectOptionsOf(c), c.Bool("check"), c.Bool("json"))
		},
	}
}

// lock writes or checks the lock of a project.
func lock(ctx context.Context, s Streams, o projectOptions, check, asJSON bool) error {
	p, e, err := begin(ctx, s, o)
	if err != nil {
		return err
	}
	defer func() { _ = e.Close() }() // everything was asked and answered
	builds, err := buildRefsOf(ctx, p)
	if err != nil {
		return err
	}
	refs := offline.References(p, builds)
	have, err := e.Observe(ctx, scopeOfRefs(refs))
	if err != nil {
		return err
	}
	former, err := offline.ReadLock(p.WorkingDir)
	if check {
		if err == nil {
			if wrong := former.Check(refs, have); len(wrong) > 0 {
				err = &offline.LockError{Unlocked: wrong}
			}
		}
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(s.Out, "%s of %s here: as %s says\n", plural(len(refs), "image"), p.Name, offline.LockFile)
		return err
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		fmt.Fprintf(s.Err, "warning: %v; it is written anew\n", err)
	}
	l, err := offline.Pinned(refs, have, former)
	if err != nil {
		return err
	}
	if err := l.Write(p.WorkingDir); err != nil {
		return err
	}
	if asJSON {
		return printJSON(s.Out, l)
	}
	for _, ref := range refs {
		if l.Images[ref].Digest == "" {
			fmt.Fprintf(s.Err, "warning: image %s came from no registry that the engine knows of: up --locked can check it, and not fetch it\n", ref)
		}
	}
	_, err = fmt.Fprintf(s.Out, "%s pins %s; strake up --locked uses nothing else\n", filepath.Join(p.WorkingDir, offline.LockFile), plural(len(refs), "image"))
	return err
}

// buildRefsOf are the images that the builds of a project are made of.
func buildRefsOf(ctx context.Context, p *compose.Project) ([]compose.BuildRef, error) {
	services, err := withBuild(p, nil, false)
	if err != nil || len(services) == 0 {
		return nil, err
	}
	return compose.BuildRefs(ctx, p, services)
}

func scopeOfRefs(refs []string) compose.Scope {
	var s compose.Scope
	for _, ref := range refs {
		s.Images = append(s.Images, compose.ImageRef{Ref: ref})
	}
	return s
}

// withoutPulls is a project whose builds look for no newer base images.
func withoutPulls(p *compose.Project) *compose.Project {
	out := p.Copy()
	for name, s := range out.Services {
		if s.Build != nil && s.Build.Pull {
			b := *s.Build
			b.Pull, s.Build = false, &b
			out.Services[name] = s
		}
	}
	return out
}

// makeLocked has the images of a project be those that its lock pins, or refuses with a *offline.LockError: others are fetched by their digests
// where there is a network and a registry has them, and get the names that the file uses.
func makeLocked(ctx context.Context, e *engine.Engine, p *compose.Project, builds []compose.BuildRef, withoutNetwork bool, say func(string)) error {
	l, err := offline.ReadLock(p.WorkingDir)
	if err != nil {
		return err
	}
	refs := offline.References(p, builds)
	have, err := e.Observe(ctx, scopeOfRefs(refs))
	if err != nil {
		return err
	}
	wrong := l.Check(refs, have)
	if len(wrong) == 0 {
		return nil
	}
	if withoutNetwork || slices.ContainsFunc(wrong, func(u offline.Unlocked) bool { return u.Exactly == "" }) {
		return &offline.LockError{Unlocked: wrong}
	}
	for _, u := range wrong {
		say(fmt.Sprintf("image %s: %s; fetching %s", u.Ref, u.Why, u.Exactly))
		if err := e.Fetch(ctx, u.Exactly, func(compose.Event) {}); err != nil {
			return err
		}
		if err := e.Tag(ctx, u.Exactly, u.Ref); err != nil {
			return err
		}
	}
	if have, err = e.Observe(ctx, scopeOfRefs(refs)); err != nil {
		return err
	}
	if wrong = l.Check(refs, have); len(wrong) > 0 {
		return &offline.LockError{Unlocked: wrong}
	}
	return nil
}
