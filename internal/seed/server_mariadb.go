package seed

import (
	"context"
	"errors"
	"path"
	"strings"

	"github.com/strake-dev/strake/compose"
)

// mariadb is MariaDB or MySQL: they differ in the names of their programs.
type mariadb struct{ data string }

var _ kind = (*mariadb)(nil)

// How the client is called in a container: as root with the password of the environment, as root without one (the socket's own
// authentication), or as the user that the environment names; the first that is let in.
//
// The password goes by MYSQL_PWD. As an argument all who list processes would see it; a file with it would become part of the seed.
// The variable is seen by those who see the first process's environment, where the password is already.
const (
	myEnv = shellRuns + shellSetting + `client=mariadb
command -v mariadb > /dev/null || client=mysql
name=$(setting MARIADB_DATABASE MYSQL_DATABASE)
user=
login() { MYSQL_PWD=$2 "$client" --user="$1" -e "SELECT 1" > /dev/null 2>&1 || return 1; user=$1; export MYSQL_PWD="$2"; }
login root "$(setting MARIADB_ROOT_PASSWORD MYSQL_ROOT_PASSWORD)" || login root "" ||
  login "$(setting MARIADB_USER MYSQL_USER)" "$(setting MARIADB_PASSWORD MYSQL_PASSWORD)" || true
db() { "$client" --user="$user" --batch --skip-column-names "$@"; }
`
	mySQL = myEnv + `db -e `
	// Binary mode: else the client takes bytes of binary columns for its own commands.
	myRestore = myEnv + `exec "$client" --user="$user" --binary-mode ${name:+"$name"}`
	// The slow shutdown merges and purges what else the server would begin with; a dump of the buffer pool would make it read each
	// table at once, and on a seed reading is copying. Statistics are else recalculated some time after a bulk load.
	// Of binary logs only the last stays: replicas of a seed have nothing to catch up with.
	myFinish = myEnv + `[ "$user" = root ] || exit 0
check=mariadb-check
command -v mariadb-check > /dev/null || check=mysqlcheck
if command -v "$check" > /dev/null; then "$check" --user=root --analyze --all-databases --silent || exit; fi
if [ "$(db -e 'SELECT @@GLOBAL.log_bin')" = 1 ]; then db -e 'FLUSH BINARY LOGS; PURGE BINARY LOGS BEFORE NOW() + INTERVAL 1 DAY' || exit; fi
db -e 'SET GLOBAL innodb_fast_shutdown = 0; SET GLOBAL innodb_buffer_pool_dump_at_shutdown = OFF'`
)

func (*mariadb) String() string { return "MariaDB" }

func (*mariadb) has() string {
	return `command -v mariadb > /dev/null || command -v mysql > /dev/null || exit 1
for f in "$(command -v mariadbd)" "$(command -v mysqld)" /usr/sbin/mariadbd /usr/sbin/mysqld; do [ ! -x "$f" ] || exit 0; done; exit 1`
}

// ready takes no server without a network but for the container's first process: while an image initialises itself it runs one.
func (*mariadb) ready() string {
	return myEnv + `runs mariadbd mysqld || exit 9
if [ -z "$user" ]; then # it lets nobody in, which begin says
  case $("$client" -h 127.0.0.1 --protocol=tcp -e "SELECT 1" 2>&1) in *"ERROR 1045"* | *"ERROR 1130"* | *"ERROR 1698"*) exit 0;; esac
  exit 1
fi
[ "$one" = mariadbd ] || [ "$one" = mysqld ] || [ "$(db -e 'SELECT @@GLOBAL.skip_networking')" = 0 ]`
}

func (k *mariadb) begin(ctx context.Context, b *build, s *server) (string, error) {
	var err error
	if k.data, err = b.value(ctx, s, "find its data", mySQL+`"SELECT @@GLOBAL.datadir"`); err != nil {
		err = &compose.HintedError{Err: err, Next: "where it lets nobody in, give the service MARIADB_ROOT_PASSWORD (or MARIADB_ROOT_PASSWORD_FILE)"}
	}
	return k.data, err
}

func (k *mariadb) restore(ctx context.Context, b *build, s *server, d *dump) error {
	version, err := b.value(ctx, s, "ask for its version", mySQL+`"SELECT VERSION()"`)
	if err != nil {
		return err
	}
	family := "MySQL"
	if strings.Contains(version, "MariaDB") {
		family = "MariaDB"
	}
	if err := d.fits(s, family, version); err != nil {
		return err
	}
	return b.shell(ctx, s, "restore "+d.name, myRestore, d)
}

func (k *mariadb) finish(ctx context.Context, b *build, s *server) error {
	if s.live {
		return nil
	}
	return b.shell(ctx, s, "prepare a clean shutdown", myFinish, nil)
}

// checkStopped looks for the temporary tablespace, which a normal shutdown removes.
// Source: MySQL 8.0 Reference Manual, 15.6.3.5 Temporary Tablespaces; the same in MariaDB.
func (k *mariadb) checkStopped(ctx context.Context, b *build, s *server) error {
	has, err := b.hasFile(ctx, s.id, path.Join(k.data, "ibtmp1"))
	if err == nil && has {
		err = &compose.HintedError{Err: errors.New("MariaDB did not shut down: its temporary tablespace ibtmp1 is still there"),
			Next: "let the container end its server with the stop signal and wait for it: start the server with exec"}
	}
	return err
}
