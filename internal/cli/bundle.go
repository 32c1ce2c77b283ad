package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/docker/go-units"
	"github.com/urfave/cli/v2"

	"github.com/strake-dev/strake/internal/engine"
	"github.com/strake-dev/strake/internal/offline/bundle"
)

func newBundle() *cli.Command {
	return group(&cli.Command{
		Name: "bundle", Usage: "Carry a stack's images in one file to a machine without a network.",
		UsageText:   "strake bundle save             # here\nstrake bundle load shop.tar.zst && strake up --offline   # there, beside the project's files",
		Description: "0 done, 1 failed, 2 wrong usage, 130 interrupted",
	}, newBundleSave(), newBundleLoad(), newBundleShow())
}

func newBundleSave() *cli.Command {
	return &cli.Command{
		Name: "save", Usage: "Write all images that the project needs into one file: its services', those that its builds are made of, its seed's, and strake's own.", ArgsUsage: "[file]",
		UsageText:   "strake bundle save\nstrake bundle save /media/stick/shop.tar.zst --no-seed\nSTRAKE_PROGRAM=strake-linux-arm64 strake bundle save --platform linux/arm64",
		Description: "0 it is written, 1 failed, 2 wrong usage, 130 interrupted",
		Flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "platform", Usage: "`PLATFORM` of the engines that it is for, such as linux/arm64, once for each; the engine's here if none is named"},
			&cli.BoolFlag{Name: "no-seed", Usage: "leave out the seed"},
			&cli.BoolFlag{Name: "no-bases", Usage: "leave out base images and frontends: what changes is not built again there"},
			jsonFlag(),
		},
		Action: func(c *cli.Context) error {
			if c.NArg() > 1 {
				return usagef("name one", "bundle save takes one file")
			}
			return bundleSave(c.Context, streamsOf(c), bundleOptions{Project: projectOptionsOf(c), File: c.Args().First(), Platforms: c.StringSlice("platform"), NoSeed: c.Bool("no-seed"), NoBases: c.Bool("no-bases"), JSON: c.Bool("json")})
		},
	}
}

func newBundleLoad() *cli.Command {
	return &cli.Command{
		Name: "load", Usage: "Verify a bundle, and load its images. Of one that is not whole nothing is loaded.", ArgsUsage: "file",
		UsageText: "strake bundle load shop.tar.zst", Description: "0 its images are here, 1 failed, 2 wrong usage, 130 interrupted",
		Flags: []cli.Flag{jsonFlag()}, Action: onBundle(bundleLoad),
	}
}

func newBundleShow() *cli.Command {
	return &cli.Command{
		Name: "show", Usage: "Verify a bundle, and list what is in it; asks no engine.", ArgsUsage: "file",
		UsageText: "strake bundle show shop.tar.zst", Description: "0 it is whole, 1 failed, 2 wrong usage, 130 interrupted",
		Flags: []cli.Flag{jsonFlag()}, Action: onBundle(bundleShow),
	}
}

// bundleOptions are the flags of bundle.
type bundleOptions struct {
	Project         projectOptions
	File            string
	Platforms       []string // none: the engine's
	NoSeed, NoBases bool
	JSON            bool
}

// onBundle is the action of a command on a bundle that is there.
func onBundle(do func(context.Context, Streams, bundleOptions) error) cli.ActionFunc {
	return func(c *cli.Context) error {
		if c.NArg() != 1 {
			return usagef("write it as: strake bundle "+c.Command.Name+" shop.tar.zst", "bundle %s takes one file", c.Command.Name)
		}
		return do(c.Context, streamsOf(c), bundleOptions{Project: projectOptionsOf(c), File: c.Args().First(), JSON: c.Bool("json")})
	}
}

// bundleSave writes a bundle.
func bundleSave(ctx context.Context, s Streams, o bundleOptions) error {
	p, e, err := begin(ctx, s, o.Project)
	if err != nil {
		return err
	}
	defer func() { _ = e.Close() }() // everything was asked and answered
	about, programs, err := bundled(ctx, s, p, e, o)
	if err != nil {
		return err
	}
	file := o.File
	if file == "" {
		file = p.Name + ".tar.zst"
		if about.Commit != "" {
			file = fmt.Sprintf("%s-%.12s.tar.zst", p.Name, about.Commit)
		}
	}
	if !filepath.IsAbs(file) {
		file = filepath.Join(s.Dir, file)
	}
	printWarnings(s, clearBundles(filepath.Dir(file), s.Now()))
	if info, err := os.Lstat(file); err == nil && !info.Mode().IsRegular() {
		return usagef("name a file that is not there, or a regular one", "%s is there and no regular file", file)
	}
	begin := s.Now()
	size, err := writeBundle(ctx, s, e, file, &about, programs)
	if err != nil {
		return err
	}
	printWarnings(s, bundleWarnings(p, file))
	if o.JSON {
		return printJSON(s.Out, struct {
			File  string `json:"file"`
			Bytes int64  `json:"bytes"`
			bundle.About
		}{file, size, about})
	}
	if err := printBundle(s, about); err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.Out, "%s holds %s in %s (%s); there: strake bundle load %s && strake up --offline\n", file, plural(len(about.Images), "image"), units.HumanSize(float64(size)),
		span(s.Now().Sub(begin).Round(100*time.Millisecond)), filepath.Base(file))
	return err
}

// writeBundle writes a bundle so that under its name there is a whole one or what was there before, and returns its size.
func writeBundle(ctx context.Context, s Streams, e *engine.Engine, file string, about *bundle.About, programs map[string]string) (size int64, err error) {
	scratch, err := os.MkdirTemp(filepath.Dir(file), bundleScratch)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	out, err := os.OpenFile(filepath.Join(scratch, "bundle"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return 0, err
	}
	if err := tagCarried(ctx, e, about.Images); err != nil {
		return 0, errors.Join(err, out.Close())
	}
	archives, done := savedImages(ctx, e, about.Images, programs)
	to := &steady{File: out}
	err = bundle.Write(&told64{Writer: to, say: sayBytes(s, "saving")}, archives, about, scratch)
	done()
	to.syncing.Wait()
	if err == nil {
		err = out.Sync()
	}
	info, statErr := out.Stat()
	if err = errors.Join(err, statErr, out.Close()); err != nil {
		return 0, fmt.Errorf("write %s: %w", file, cmp.Or(context.Cause(ctx), err))
	}
	return info.Size(), os.Rename(out.Name(), file)
}

// tagCarried gives images that are named by digests the names that they have in a bundle. They keep them: with its last tag an engine takes an
// image away, whatever digest it is known by.
func tagCarried(ctx context.Context, e *engine.Engine, images []bundle.Image) error {
	for _, one := range images {
		if name := one.Name(); name != one.Ref {
			if err := e.Tag(ctx, one.Ref, name); err != nil {
				return err
			}
		}
	}
	return nil
}

// savedImages are archives of images: strake's own, which are made of the programs, files by references, are read while the engine prepares the others. done ends what is
// not read any more, and waits for it.
func savedImages(ctx context.Context, e *engine.Engine, images []bundle.Image, programs map[string]string) (archives []io.Reader, done func()) {
	ctx, cancel := context.WithCancel(ctx)
	var refs []string
	var all sync.WaitGroup
	read := func(from func() (io.ReadCloser, error)) {
		r, w := io.Pipe()
		archives = append(archives, r)
		all.Go(func() {
			from, err := from()
			if err == nil {
				_, err = io.CopyBuffer(w, struct{ io.Reader }{from}, make([]byte, 1<<20))
				err = errors.Join(err, from.Close())
			}
			_ = w.CloseWithError(err) // never fails
		})
		context.AfterFunc(ctx, func() { _ = r.CloseWithError(context.Canceled) }) // never fails
	}
	for _, one := range images {
		if file, ok := programs[one.Ref]; ok {
			read(func() (io.ReadCloser, error) { return programImage(one.Ref, one.Platform).Open(file) })
		} else {
			refs = append(refs, one.Name())
		}
	}
	slices.Sort(refs)
	if refs = slices.Compact(refs); len(refs) > 0 {
		read(func() (io.ReadCloser, error) { return e.Save(ctx, refs) })
	}
	return archives, func() { cancel(); all.Wait() }
}

// strakeItself is what the image of this program is for in a bundle.
const strakeItself = "strake itself"

// steady is a file whose bytes are put on the disk while more are written, so that little is left to be waited for at the end.
type steady struct {
	*os.File
	waiting int
	syncing sync.WaitGroup
	busy    atomic.Bool
}

// steadyBytes are so many that putting them on the disk is worth a call.
const steadyBytes = 16 << 20

func (f *steady) Write(b []byte) (int, error) {
	n, err := f.File.Write(b)
	if f.waiting += n; f.waiting >= steadyBytes && f.busy.CompareAndSwap(false, true) {
		f.waiting = 0
		f.syncing.Go(func() {
			_ = f.Sync() // the last one tells
			f.busy.Store(false)
		})
	}
	return n, err
}

// told64 is a writer that says how much was written.
type told64 struct {
	io.Writer
	n   int64
	say func(n int64)
}

func (t *told64) Write(b []byte) (int, error) {
	n, err := t.Writer.Write(b)
	t.n += int64(n)
	t.say(t.n)
	return n, err
}

// sayBytes says now and then how many bytes were done.
func sayBytes(s Streams, doing string) func(int64) {
	said := s.Now()
	return func(n int64) {
		if now := s.Now(); now.Sub(said) > progressEvery {
			said = now
			fmt.Fprintf(s.Err, "%s: %s\n", doing, units.HumanSize(float64(n)))
		}
	}
}

// printBundle lists what a bundle holds.
func printBundle(s Streams, about bundle.About) error {
	rows := [][]string{{"IMAGE", "PLATFORM", "CONFIG", "FOR"}}
	for _, one := range about.Images {
		rows = append(rows, []string{one.Ref, one.Platform, fmt.Sprintf("%.19s", one.Config), one.For})
	}
	return printTable(s.Out, rows)
}
