package seed

import (
	"archive/tar"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"path"
	"strings"
)

// postgres is PostgreSQL.
type postgres struct{ data string }

var _ kind = (*postgres)(nil)

// How PostgreSQL's programs are called in a container: as the user and for the database that images of it are told of by environment.
// The password stays in the environment, where the container has it already: arguments are seen by all who list processes.
const (
	pgEnv = shellRuns + shellSetting + `PGUSER=$(setting POSTGRES_USER POSTGRESQL_USERNAME PGUSER)
PGUSER=${PGUSER:-postgres}
PGDATABASE=$(setting POSTGRES_DB POSTGRESQL_DATABASE PGDATABASE)
PGDATABASE=${PGDATABASE:-$PGUSER}
PGPASSWORD=$(setting POSTGRES_PASSWORD POSTGRESQL_PASSWORD PGPASSWORD)
export PGUSER PGDATABASE PGPASSWORD
`
	pgSQL     = pgEnv + `exec psql -X -q -v ON_ERROR_STOP=1`
	pgArchive = pgEnv + `exec pg_restore --exit-on-error --no-owner -d "$PGDATABASE"`
	// pgQuiet ends autovacuum while a seed is built, and the keeping of old write-ahead log for later use, which would nearly double
	// a seed of 1 GB. The setting for that is there since version 12.
	pgQuiet = "ALTER SYSTEM SET autovacuum = off;\n" +
		`SELECT 'ALTER SYSTEM SET wal_recycle = off' FROM pg_settings WHERE name = 'wal_recycle' \gexec` + "\nSELECT pg_reload_conf();\n"
	// pgFinish takes both back for who starts from the seed; they stay in force until this server stops, and the checkpoint that it ends
	// with removes the log.
	pgFinish = "ALTER SYSTEM RESET autovacuum;\n" +
		`SELECT 'ALTER SYSTEM RESET wal_recycle' FROM pg_settings WHERE name = 'wal_recycle' \gexec` + "\nCHECKPOINT;\n"
	// vacuumdb reads PGDATABASE as no more than where to begin. It uses no parallel workers, which share memory in /dev/shm: of that a
	// container has 64 MiB, and a large table needs more. Since version 13 there are some, and the option to have none.
	pgTidy = pgEnv + `none=; vacuumdb --help | grep -q -e --parallel && none=--parallel=0; exec vacuumdb --all --analyze --quiet $none`
)

func (*postgres) String() string { return "PostgreSQL" }

// has asks for the server, not the client alone: applications bring psql.
func (*postgres) has() string {
	return `command -v psql > /dev/null || exit 1
for f in "$(command -v postgres)" /usr/lib/postgresql/*/bin/postgres /opt/*/postgresql/bin/postgres; do [ ! -x "$f" ] || exit 0; done; exit 1`
}

// ready asks over the network: while an image initialises itself its server listens on its socket alone. One that never
// listens elsewhere is the container's first process.
func (*postgres) ready() string {
	return pgEnv + `runs postgres || exit 9
pg_isready -q -h 127.0.0.1 || { [ "$one" = postgres ] && pg_isready -q; }`
}

func (k *postgres) begin(ctx context.Context, b *build, s *server) (string, error) {
	var err error
	if !s.live {
		err = b.shell(ctx, s, "quieten", pgSQL, strings.NewReader(pgQuiet))
	}
	if err != nil {
		return "", err
	}
	k.data, err = b.value(ctx, s, "find its data", pgSQL+` -At -c "SHOW data_directory"`)
	return k.data, err
}

func (k *postgres) restore(ctx context.Context, b *build, s *server, d *dump) error {
	version, err := b.value(ctx, s, "ask for its version", pgSQL+` -At -c "SHOW server_version"`)
	if err != nil {
		return err
	}
	if err := d.fits(s, "PostgreSQL", version); err != nil {
		return err
	}
	line := pgSQL
	if d.archive {
		line = pgArchive
	}
	return b.shell(ctx, s, "restore "+d.name, line, d)
}

func (k *postgres) finish(ctx context.Context, b *build, s *server) error {
	if s.live {
		return b.shell(ctx, s, "write a checkpoint", pgSQL, strings.NewReader("CHECKPOINT;\n"))
	}
	if err := b.shell(ctx, s, "analyse", pgTidy, nil); err != nil {
		return err
	}
	return b.shell(ctx, s, "write a checkpoint", pgSQL, strings.NewReader(pgFinish))
}

// checkStopped reads the state in the control file.
// Source: PostgreSQL, src/include/catalog/pg_control.h: ControlFileData.state is the fifth word, DB_SHUTDOWNED is 1.
func (k *postgres) checkStopped(ctx context.Context, b *build, s *server) error {
	archive, err := b.CopyFrom(ctx, s.id, path.Join(k.data, "global/pg_control"))
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
