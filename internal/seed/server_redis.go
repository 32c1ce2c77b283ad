package seed

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/strake-dev/strake/compose"
)

// redis is Redis or Valkey.
type redis struct{}

var _ kind = (*redis)(nil)

// How the client is called in a container. Its first line of input is the password that the service's command names, if any:
// as an argument all who list processes would see it.
const (
	redisEnv = shellRuns + shellSetting + `IFS= read -r pass
pass=${pass:-$(setting REDISCLI_AUTH REDIS_PASSWORD VALKEY_PASSWORD)}
[ -z "$pass" ] || export REDISCLI_AUTH="$pass"
cli=redis-cli
command -v redis-cli > /dev/null || cli=valkey-cli
port=
for f in /proc/[0-9]*/comm; do
  c=; read -r c < "$f"
  case $c in redis-server | valkey-server) port=$(tr '\0' ' ' < "${f%comm}cmdline" | sed -n 's/^[^ ]* [^ ]*:\([0-9][0-9]*\).*/\1/p');; esac
done 2> /dev/null
cli() { "$cli" -p "${port:-6379}" "$@"; }
get() { cli CONFIG GET "$1" | sed -n 2p; }
# save writes the data. The client's exit code says nothing of the answer.
save() {
  until out=$(cli SAVE 2>&1) && [ "$out" = OK ]; do
    case $out in *"in progress"*) sleep 0.1;; *) echo "SAVE: $out"; exit 1;; esac
  done
}
`
	// redisForm prints what a file of this server's begins with.
	redisForm = redisEnv + `save; head -c 9 "$(get dir)/$(get dbfilename)"`
	// redisPut writes the dump to where the server looks for its data when it starts. One that keeps an append-only file reads that alone:
	// the dump becomes its base. Then nothing may be saved on top when it stops.
	// Source: Redis 7.0, aof.c, "AOF Manifest file implementation"; before, the file itself may begin with a dump.
	redisPut = redisEnv + `umask 077
dir=$(get dir); own=$(stat -c %u:%g "$dir") || exit
if [ "$(get appendonly)" = yes ]; then
  sub=$(get appenddirname); file=$(get appendfilename)
  rm -f "$dir/$(get dbfilename)"
  if [ -n "$sub" ]; then
    rm -f "$dir/$sub/$file".*
    cat > "$dir/$sub/$file.1.base.rdb" || exit
    echo "file $file.1.base.rdb seq 1 type b" > "$dir/$sub/$file.manifest" || exit
    set -- "$dir/$sub/$file.1.base.rdb" "$dir/$sub/$file.manifest"
  else
    cat > "$dir/$file" || exit
    set -- "$dir/$file"
  fi
else
  set -- "$dir/$(get dbfilename)"
  cat > "$1" || exit
fi
[ "$(id -u)" != 0 ] || chown "$own" "$@" || exit
[ "$(cli CONFIG SET save "")" = OK ]`
	// redisFinish: an append-only file is whole when the server has stopped.
	redisFinish = redisEnv + `[ "$(get appendonly)" = yes ] || save`
)

func (*redis) String() string { return "Redis" }

func (*redis) has() string {
	return `{ command -v redis-server && command -v redis-cli; } > /dev/null || { command -v valkey-server && command -v valkey-cli; } > /dev/null`
}

// ready takes a server that wants a password to be ready: begin says so where there is none.
func (*redis) ready() string {
	return redisEnv + `runs redis-server valkey-server || exit 9
case $(cli PING 2>&1) in PONG | NOAUTH* | *WRONGPASS*) exit 0;; esac; exit 1`
}

func (k *redis) begin(ctx context.Context, b *build, s *server) (string, error) {
	answer, err := k.ask(ctx, b, s, "find its data", redisEnv+`cli CONFIG GET dir 2>&1`, nil)
	if err != nil {
		return "", err
	}
	name, dir, ok := strings.Cut(answer, "\n")
	if !ok || strings.TrimSpace(name) != "dir" {
		return "", &StepError{Service: s.service, Doing: "find its data", Err: &compose.HintedError{Err: fmt.Errorf("Redis answers %q", answer),
			Next: "where it wants a password, give it as REDISCLI_AUTH (or REDISCLI_AUTH_FILE) in the service's environment"}}
	}
	return dir, nil
}

// restore puts the dump where the server reads it when it starts, and starts it again.
func (k *redis) restore(ctx context.Context, b *build, s *server, d *dump) error {
	doing := "restore " + d.name
	form, err := k.ask(ctx, b, s, "ask for its version", redisForm, nil)
	if err != nil {
		return err
	}
	if err := d.fits(s, "Redis", form); err != nil {
		return err
	}
	if _, err := k.ask(ctx, b, s, doing, redisPut, d); err != nil {
		return err
	}
	grace := time.Minute
	if err := b.h.Do(ctx, compose.Step{Op: compose.StopContainer, Name: s.name, Target: s.id, Grace: &grace}, nil); err != nil {
		return &StepError{Service: s.service, Doing: doing, Err: err}
	}
	if err := b.h.Do(ctx, compose.Step{Op: compose.StartContainer, Name: s.name, Target: s.id}, nil); err != nil {
		return &StepError{Service: s.service, Doing: doing, Err: err}
	}
	if err := b.await(ctx, s, []kind{k}); err != nil {
		return &StepError{Service: s.service, Doing: doing, Err: err, Log: b.Log(context.WithoutCancel(ctx), s.id)}
	}
	return nil
}

func (k *redis) finish(ctx context.Context, b *build, s *server) error {
	_, err := k.ask(ctx, b, s, "save", redisFinish, nil)
	return err
}

// checkStopped has nothing to look for: finish made the server say that its data is written, or the stop did.
func (*redis) checkStopped(context.Context, *build, *server) error { return nil }

// ask is a build's, with the password before the input.
func (*redis) ask(ctx context.Context, b *build, s *server, doing, line string, in io.Reader) (string, error) {
	if in == nil {
		in = strings.NewReader("")
	}
	return b.ask(ctx, s, doing, line, io.MultiReader(strings.NewReader(redisPassword(b.scratch.Services[s.service].Command)+"\n"), in))
}

// redisPassword is the password in a command: `redis-server --requirepass PASSWORD`.
func redisPassword(command []string) string {
	if i := slices.Index(command, "--requirepass"); i >= 0 && i+1 < len(command) {
		return command[i+1]
	}
	return ""
}
