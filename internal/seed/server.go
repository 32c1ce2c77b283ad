package seed

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/strake-dev/strake/compose"
)

// server is a data service of the scratch stack.
type server struct {
	service, id, name string
	pgdata            string // where PostgreSQL keeps its data; "" for what is no PostgreSQL
}

// How PostgreSQL's programs are called in a container: as the user and for the database that images of it are told of by environment.
const (
	pgUser = `-U "${POSTGRES_USER:-postgres}"`
	psql   = `exec psql -X -q -v ON_ERROR_STOP=1 ` + pgUser + ` -d "${POSTGRES_DB:-${POSTGRES_USER:-postgres}}"`
	pgDump = `exec pg_restore --exit-on-error --no-owner ` + pgUser + ` -d "${POSTGRES_DB:-${POSTGRES_USER:-postgres}}"`
	// pgWhere prints the data folder of a PostgreSQL that has one, and nothing elsewhere.
	pgWhere = `command -v psql > /dev/null && command -v pg_isready > /dev/null && printf %s "${PGDATA:-/var/lib/postgresql/data}" || true`
	// pgReady asks over the network: while an image initialises itself its server listens on its socket alone.
	pgReady  = `pg_isready -q -h 127.0.0.1 ` + pgUser
	pgQuiet  = "ALTER SYSTEM SET autovacuum = off;\nSELECT pg_reload_conf();\n"
	pgFinish = "ALTER SYSTEM RESET autovacuum;\nCHECKPOINT;\n"
	pgTidy   = `vacuumdb --all --analyze --quiet ` + pgUser
)

// serverPatience is how long a server may take to answer once its container runs.
const serverPatience = 10 * time.Minute

// meet finds out what server it is, and waits until it answers.
func (b *build) meet(ctx context.Context, s *server) error {
	var where bytes.Buffer
	if _, err := b.Exec(ctx, s.id, []string{"sh", "-c", pgWhere}, nil, &where); err != nil {
		return &StepError{Service: s.service, Doing: "find out what server it is", Err: err}
	}
	if s.pgdata = strings.TrimSpace(where.String()); s.pgdata == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, serverPatience)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		code, err := b.Exec(ctx, s.id, []string{"sh", "-c", pgReady}, nil, io.Discard)
		if err == nil && code == 0 {
			return b.shell(ctx, s, "quieten", psql, strings.NewReader(pgQuiet))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return &StepError{Service: s.service, Doing: "wait for PostgreSQL", Err: errors.Join(context.Cause(ctx), err), Log: b.Log(context.WithoutCancel(ctx), s.id)}
		}
	}
}

// shell runs a line in the server's container; what it prints is in the error when it fails.
func (b *build) shell(ctx context.Context, s *server, doing, line string, in io.Reader) error {
	var out bytes.Buffer
	code, err := b.Exec(ctx, s.id, []string{"sh", "-c", line}, in, &tailWriter{b: &out})
	if err == nil && code != 0 {
		err = fmt.Errorf("exit code %d", code)
	}
	if err != nil {
		return &StepError{Service: s.service, Doing: doing, Err: err, Log: strings.TrimSpace(out.String())}
	}
	return nil
}

// restore feeds the server the dump that its service names, if any.
func (b *build) restore(ctx context.Context, s *server) error {
	from := b.p.Settings.Services[s.service].Seed.From
	if from == "" {
		return nil
	}
	if s.pgdata == "" {
		return &compose.HintedError{Err: fmt.Errorf("service %s: a dump can be restored into PostgreSQL only", s.service), Next: "write the data with a service that x-strake.seed.with names"}
	}
	b.note("restoring %s into %s", from, s.service)
	f, err := os.Open(dumpPath(b.p, from))
	if err != nil {
		return fmt.Errorf("dump of service %s: %w", s.service, err)
	}
	defer f.Close() // it is only read
	in, custom, err := openDump(f)
	if err != nil {
		return fmt.Errorf("dump %s of service %s: %w", from, s.service, err)
	}
	line := psql
	if custom {
		line = pgDump
	}
	return b.shell(ctx, s, "restore "+from, line, in)
}

// openDump is a dump, unpacked, and whether it is in pg_dump's custom format. It goes by what the file begins with.
func openDump(f io.ReadSeeker) (in io.Reader, custom bool, err error) {
	magic := make([]byte, 5)
	n, err := io.ReadFull(f, magic)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return nil, false, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, false, err
	}
	switch magic = magic[:n]; {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		in, err = gzip.NewReader(f)
	case bytes.HasPrefix(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		in, err = zstd.NewReader(f)
	default:
		in = f
	}
	return in, bytes.Equal(magic, []byte("PGDMP")), err
}

// finish makes the server's data as it shall be found.
func (b *build) finish(ctx context.Context, s *server) error {
	if s.pgdata == "" {
		return nil
	}
	if err := b.shell(ctx, s, "analyse", pgTidy, nil); err != nil {
		return err
	}
	return b.shell(ctx, s, "write a checkpoint", psql, strings.NewReader(pgFinish))
}

// checkStopped refuses data of a PostgreSQL that would have to recover first.
// Source: PostgreSQL, src/include/catalog/pg_control.h: ControlFileData.state is the fifth word, DB_SHUTDOWNED is 1.
func (b *build) checkStopped(ctx context.Context, s *server) error {
	if s.pgdata == "" {
		return nil
	}
	archive, err := b.CopyFrom(ctx, s.id, path.Join(s.pgdata, "global/pg_control"))
	if err != nil {
		return fmt.Errorf("read PostgreSQL's control file: %w", err)
	}
	defer archive.Close() // it is only read
	r := tar.NewReader(archive)
	if _, err := r.Next(); err != nil {
		return fmt.Errorf("read PostgreSQL's control file: %w", err)
	}
	head := make([]byte, 20)
	if _, err := io.ReadFull(r, head); err != nil {
		return fmt.Errorf("read PostgreSQL's control file: %w", err)
	}
	if state := binary.NativeEndian.Uint32(head[16:]); state != 1 {
		return fmt.Errorf("PostgreSQL did not shut down: its control file says state %d", state)
	}
	return nil
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
