package seed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/strake-dev/strake/compose"
)

// server is a data service of the scratch stack.
type server struct {
	service, id, name string
	kind              kind // what meet found it to be
	live              bool // it is of the stack itself: nothing is changed that would not be put back
}

// kind is a kind of server whose data is sealed. Its methods are called in the order that they have here, but for String.
type kind interface {
	fmt.Stringer // what people call it
	// has is a line of shell that succeeds where the kind's programs are.
	has() string
	// ready is a line of shell that succeeds once the server serves and will go on to, and ends with code notRunning while no
	// such server runs. A server that an image runs only to initialise itself is not ready.
	ready() string
	// begin is called once the server is ready. It returns where the server keeps its data.
	begin(ctx context.Context, b *build, s *server) (data string, err error)
	// restore feeds the server a dump, after begin.
	restore(ctx context.Context, b *build, s *server, d *dump) error
	// finish makes the data as it shall be found; the server is stopped next.
	finish(ctx context.Context, b *build, s *server) error
	// checkStopped looks into the container, which stands still, and refuses data that its server would have to recover first.
	checkStopped(ctx context.Context, b *build, s *server) error
}

// kinds are the servers that are known: new ones, as each remembers what it found out of its server. What is none of them is folders.
func kinds() []kind { return []kind{&postgres{}, &mariadb{}, &redis{}} }

// notRunning is the code with which ready lines end while no server of their kind runs.
const notRunning = 9

// Lines of shell that all kinds begin with. POSIX: a container has a busybox, a dash or a bash.
const (
	// shellRuns says whether a process of one of some names runs; one is the name of the first process.
	shellRuns = `runs() { for f in /proc/[0-9]*/comm; do c=; read -r c < "$f"; for n in "$@"; do [ "$c" != "$n" ] || return 0; done; done 2> /dev/null; return 9; }
one=; read -r one < /proc/1/comm
`
	// shellSetting prints the first of some variables that is set, or the text of the file that NAME_FILE names.
	shellSetting = `setting() { for n in "$@"; do eval "v=\${$n:-} f=\${${n}_FILE:-}"; if [ -n "$v" ]; then printf %s "$v"; return; fi; if [ -n "$f" ]; then cat "$f"; return; fi; done; }
`
)

// How long a server may take to answer once its container runs, and how long its process may take to be there at all.
const (
	serverPatience  = 10 * time.Minute
	processPatience = time.Minute
)

// meet finds out what server it is, by the programs that are in the container and those that run, and waits until it serves.
func (b *build) meet(ctx context.Context, s *server) error {
	s.kind = folders{}
	fail := func(err error) error {
		return &StepError{Service: s.service, Doing: "wait for " + s.kind.String(), Err: err, Log: b.Log(context.WithoutCancel(ctx), s.id)}
	}
	var found []kind
	for _, k := range kinds() {
		switch code, err := b.Exec(ctx, s.id, []string{"sh", "-c", k.has()}, nil, io.Discard); {
		case err != nil:
			return fail(b.whyNot(ctx, s, err))
		case code == 0:
			found = append(found, k)
		}
	}
	if len(found) == 0 { // a container without a shell too
		return nil
	}
	if err := b.await(ctx, s, found); err != nil {
		return fail(err)
	}
	data, err := s.kind.begin(ctx, b, s)
	if err != nil {
		return err
	}
	if s.live {
		return nil
	}
	return b.checkPlace(s, data)
}

// await waits until the server serves, as one of some kinds. Where programs of a kind are and no process of it comes, it is folders.
func (b *build) await(ctx context.Context, s *server, all []kind) error {
	ctx, cancel := context.WithTimeoutCause(ctx, serverPatience, fmt.Errorf("it does not answer after %v", serverPatience))
	defer cancel()
	process, stop := context.WithTimeout(ctx, processPatience)
	defer stop()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		for _, k := range all {
			code, err := b.Exec(ctx, s.id, []string{"sh", "-c", k.ready()}, nil, io.Discard)
			if err != nil {
				return b.whyNot(ctx, s, err)
			}
			if code != notRunning {
				s.kind, all = k, []kind{k}
			}
			if code == 0 {
				return nil
			}
		}
		if len(all) > 0 && s.kind == (folders{}) && process.Err() != nil {
			b.note("%s has the programs of %s and runs none: its folders are sealed as they are", s.service, all[0])
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// whyNot is why nothing can be asked in a container: where it does not run, that.
func (b *build) whyNot(ctx context.Context, s *server, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if c, lookErr := b.container(ctx, s.service); lookErr == nil && c.Status != compose.Running {
		return fmt.Errorf("its container does not run: it is %s with exit code %d", c.Status, c.ExitCode)
	}
	return err
}

// checkPlace refuses data that does not become part of the container: what the file mounts there stays outside.
func (b *build) checkPlace(s *server, data string) error {
	own := b.scratch.Services[s.service]
	mounts := slices.Clone([]string(own.Tmpfs))
	for _, v := range own.Volumes {
		if v.Type != "volume" || v.Source == "" || v.ReadOnly { // else it is sealed as a volume
			mounts = append(mounts, v.Target)
		}
	}
	for _, at := range mounts {
		at, _, _ = strings.Cut(at, ":") // tmpfs: path:options
		if at = path.Clean(at); data == at || strings.HasPrefix(path.Clean(data), at+"/") {
			return &StepError{Service: s.service, Doing: "find its data", Err: &compose.HintedError{
				Err:  fmt.Errorf("%s keeps its data in %s, which the file mounts from elsewhere: a seed cannot hold it", s.kind, data),
				Next: "mount a named volume at " + at}}
		}
	}
	return nil
}

// restore feeds the server the dump that its service names, if any.
func (b *build) restore(ctx context.Context, s *server) error {
	from := b.p.Settings.Services[s.service].Seed.From
	if from == "" {
		return nil
	}
	b.note("restoring %s into %s", from, s.service)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	i := slices.IndexFunc(b.o.Facts.Services, func(f ServiceFacts) bool { return f.Service == s.service })
	fact := b.o.Facts.Services[i].Dump
	d, err := b.openDump(ctx, from, fact, cancel)
	if err != nil {
		return fmt.Errorf("dump %s of service %s: %w", from, s.service, err)
	}
	defer d.Close() // it is only read
	if err := s.kind.restore(ctx, b, s, d); err != nil {
		return err
	}
	return b.checkDump(ctx, from, s.service, fact)
}

// checkDump refuses a dump in a file that is not what the key says any more; one in S3 is looked at when it is opened.
func (b *build) checkDump(ctx context.Context, from, service, fact string) error {
	if _, remote, err := objectOf(from); remote || err != nil {
		return err
	}
	is, err := compose.FileDigest(ctx, b.p, dumpPath(b.p, from), b.o.Files)
	if err == nil && is != fact {
		err = errReplaced()
	}
	if err != nil {
		return fmt.Errorf("dump %s of service %s: %w", from, service, err)
	}
	return nil
}

// errReplaced says that a dump is not the one that the key was made of.
func errReplaced() error {
	return &compose.HintedError{Err: errors.New("somebody replaced it while the seed was built"), Next: "run strake seed build again"}
}

// finish makes the server's data as it shall be found.
func (b *build) finish(ctx context.Context, s *server) error { return s.kind.finish(ctx, b, s) }

// checkStopped refuses data that is not as a clean stop leaves it.
func (b *build) checkStopped(ctx context.Context, s *server) error {
	return s.kind.checkStopped(ctx, b, s)
}

// shell runs a line in the server's container; what it prints is in the error when it fails. in may be nil.
func (b *build) shell(ctx context.Context, s *server, doing, line string, in io.Reader) error {
	_, err := b.ask(ctx, s, doing, line, in)
	return err
}

// ask is shell and the last of what the line printed, without space around it.
func (b *build) ask(ctx context.Context, s *server, doing, line string, in io.Reader) (string, error) {
	var out bytes.Buffer
	code, err := b.Exec(ctx, s.id, []string{"sh", "-c", line}, in, &tailWriter{b: &out})
	if err == nil && code != 0 {
		err = fmt.Errorf("exit code %d", code)
	}
	said := strings.TrimSpace(out.String())
	if err != nil {
		return "", &StepError{Service: s.service, Doing: doing, Err: err, Log: said}
	}
	return said, nil
}

// value is the last line that a line of shell printed: warnings come before.
func (b *build) value(ctx context.Context, s *server, doing, line string) (string, error) {
	said, err := b.ask(ctx, s, doing, line, nil)
	return said[strings.LastIndex(said, "\n")+1:], err
}

// hasFile is whether a path is in a container, which may stand still.
func (b *build) hasFile(ctx context.Context, container, path string) (bool, error) {
	archive, err := b.CopyFrom(ctx, container, path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, archive.Close()
}

// tailWriter keeps the last 8 KiB.
type tailWriter struct{ b *bytes.Buffer }

func (w *tailWriter) Write(p []byte) (int, error) {
	const most = 8 << 10
	w.b.Write(p)
	if over := w.b.Len() - most; over > 0 {
		w.b.Next(over)
	}
	return len(p), nil
}
