package compose

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/compose-spec/compose-go/v2/dotenv"
)

// knowRawFormat tells compose-go of `format: raw` of env_file, which it leaves to its user, once for the process.
var knowRawFormat = sync.OnceFunc(func() { dotenv.RegisterFormat("raw", readRaw) })

// readRaw reads lines of KEY=VALUE as they are, quotes and $ included; a line without = takes the value that lookup knows, if any.
// Empty lines and those that begin with # say nothing.
// Source: Compose specification, env_file format; docker run --env-file.
func readRaw(r io.Reader, file string, to map[string]string, lookup func(string) (string, bool)) error {
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimLeft(strings.TrimPrefix(lines.Text(), "\ufeff"), " \t")
		if line == "" || line[0] == '#' {
			continue
		}
		key, value, has := strings.Cut(line, "=")
		if key == "" || strings.ContainsAny(key, " \t") {
			return fmt.Errorf("%s:%d: %q is no name of a variable", file, n, key)
		}
		if !has {
			if value, has = lookup(key); !has {
				continue
			}
		}
		to[key] = value
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read env file %s: %w", file, err)
	}
	return nil
}
