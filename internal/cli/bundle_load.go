package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/engine"
	"github.com/strake-dev/strake/internal/offline/bundle"
)

// verified opens a bundle and verifies it. The caller closes the file, which is at its beginning again.
func verified(s Streams, name string) (*os.File, *bundle.Verified, error) {
	if !filepath.IsAbs(name) {
		name = filepath.Join(s.Dir, name)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, nil, err
	}
	v, err := bundle.Read(&toldReader{Reader: f, say: sayBytes(s, "verifying")})
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		_ = f.Close() // only read
		return nil, nil, notWhole(name, err)
	}
	return f, v, nil
}

// notWhole is that a bundle is not the one that was written, and nothing came of it.
func notWhole(name string, err error) error {
	if errors.Is(err, bundle.ErrForm) {
		return &compose.HintedError{Err: fmt.Errorf("%s: %w", name, err), Next: "save it again with this strake; nothing was loaded"}
	}
	return &compose.HintedError{Err: fmt.Errorf("%s: %w", name, err), Next: "copy it again from where it was written; nothing was loaded"}
}

// toldReader is a reader that says how much was read.
type toldReader struct {
	io.Reader
	n   int64
	say func(n int64)
}

func (t *toldReader) Read(b []byte) (int, error) {
	n, err := t.Reader.Read(b)
	t.n += int64(n)
	t.say(t.n)
	return n, err
}

// bundleShow lists what a bundle holds.
func bundleShow(_ context.Context, s Streams, o bundleOptions) error {
	f, about, err := verified(s, o.File)
	if err != nil {
		return err
	}
	_ = f.Close() // only read
	if o.JSON {
		return printJSON(s.Out, about.About)
	}
	if err := printBundle(s, about.About); err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.Out, "%s is whole: %s of %s for %s, written %s\n", o.File, plural(len(about.Images), "image"), ofCommit(about.About), strings.Join(about.Platforms, ", "), about.Created.Local().Format("2006-01-02 15:04"))
	return err
}

// ofCommit is of what a bundle is, as people say it.
func ofCommit(about bundle.About) string {
	if about.Commit == "" {
		return about.Project
	}
	return fmt.Sprintf("%s at %.12s", about.Project, about.Commit)
}

// bundleLoad loads a bundle.
func bundleLoad(ctx context.Context, s Streams, o bundleOptions) error {
	f, about, err := verified(s, o.File)
	if err != nil {
		return err
	}
	defer f.Close() // only read
	e, err := open(ctx, s, o.Project)
	if err != nil {
		return err
	}
	defer func() { _ = e.Close() }() // everything was asked and answered
	facts, err := e.Facts(ctx)
	if err != nil {
		return err
	}
	own := facts.OS + "/" + facts.Arch
	if !slices.Contains(about.Platforms, own) {
		return &compose.HintedError{Err: fmt.Errorf("%s is for %s, and the engine runs %s", o.File, strings.Join(about.Platforms, ", "), own),
			Next: "save one there with --platform " + own}
	}
	archive, err := bundle.OpenArchive(&toldReader{Reader: f, say: sayBytes(s, "loading")}, about, own)
	if err != nil {
		return err
	}
	err = e.Load(ctx, archive)
	if wrong := archive.Close(); wrong != nil {
		return notWhole(f.Name(), wrong) // the engine knows only that it broke off
	}
	if err != nil {
		return err
	}
	if err := isLoaded(ctx, e, about.ImagesOn(own)); err != nil {
		return err
	}
	if o.JSON {
		return printJSON(s.Out, about.About)
	}
	if err := printBundle(s, about.About); err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.Out, "loaded %s of %s; strake up --offline starts it, beside its files\n", plural(len(about.ImagesOn(own)), "image"), ofCommit(about.About))
	return err
}

// isLoaded looks that an engine has exactly the images of a bundle.
func isLoaded(ctx context.Context, e *engine.Engine, images []bundle.Image) error {
	var scope compose.Scope
	for _, one := range images {
		scope.Images = append(scope.Images, compose.ImageRef{Ref: one.Ref})
	}
	state, err := e.Observe(ctx, scope)
	if err != nil {
		return err
	}
	var other []string
	for _, one := range images {
		if image, ok := state.Images[one.Ref]; !ok || one.Content != "" && image.Content != one.Content {
			other = append(other, one.Ref)
		}
	}
	if len(other) > 0 {
		return fmt.Errorf("the engine took the images, and does not have these as they were saved: %s", strings.Join(other, ", "))
	}
	return nil
}
