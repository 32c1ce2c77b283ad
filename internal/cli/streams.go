package cli

import (
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// Streams are what a command knows of the world around it: where it reads and writes, the environment, the
// folder and the clock. The zero value reads nothing and must not be written to.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
	Environ  []string // KEY=VALUE
	Dir      string   // the working folder, absolute
	Now      func() time.Time
	// Signals delivers SIGINT, SIGTERM and SIGHUP: the first cancels the command, the second ends it at once. nil: none come.
	Signals <-chan os.Signal
	plain   bool // --no-color
}

// getenv is the value of an environment variable, "" if it is not set. Where one is set twice the last counts.
func (s Streams) getenv(name string) string {
	v, _ := s.lookupEnv(name)
	return v
}

// isTerminal is whether a stream is a terminal that a person looks at.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// isColoured is whether colour and redraw may be used on one of the streams.
func (s Streams) isColoured(stream any) bool {
	return !s.plain && s.getenv("NO_COLOR") == "" && s.getenv("TERM") != "dumb" && isTerminal(stream)
}

// columns and rows of a terminal; 80 and 24 where the stream does not say.
func terminalSize(stream any) (columns, rows int) {
	if f, ok := stream.(*os.File); ok {
		if w, h, err := term.GetSize(int(f.Fd())); err == nil && w > 0 && h > 0 {
			return w, h
		}
	}
	return 80, 24
}

// isInteractive is whether a person can be asked: both input and progress are terminals.
func (s Streams) isInteractive() bool { return isTerminal(s.In) && isTerminal(s.Err) }

// lookupEnv is getenv that tells an empty variable from one that is not set.
func (s Streams) lookupEnv(name string) (string, bool) {
	for i := len(s.Environ) - 1; i >= 0; i-- {
		if k, v, ok := strings.Cut(s.Environ[i], "="); ok && k == name {
			return v, true
		}
	}
	return "", false
}

// cutKey is the name of a KEY=VALUE or KEY, and whether it has a value.
func cutKey(kv string) (key string, hasValue bool) {
	key, _, hasValue = strings.Cut(kv, "=")
	return key, hasValue
}
