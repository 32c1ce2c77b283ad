package cli

import (
	"context"
	"fmt"
	"os"
	"sync"

	"golang.org/x/term"

	"github.com/strake-dev/strake/internal/engine"
)

// terminal is the person's side of a program in a container.
type terminal struct {
	streams engine.Streams
	// resize sends the terminal's size to the program again: one that has not begun does not take it.
	resize func()
	// restore puts the terminal back and must be called; again does nothing more.
	restore func()
}

// newTerminal is where a program in a container reads and writes. With tty the input terminal is switched to raw mode,
// so that every key reaches the program. Without input it reads nothing.
func newTerminal(ctx context.Context, s Streams, tty, input bool) (terminal, error) {
	t := terminal{streams: engine.Streams{Out: s.Out, Err: s.Err}, resize: func() {}, restore: func() {}}
	if input {
		t.streams.In = s.In
	}
	f, ok := s.In.(*os.File)
	if !tty || !ok || !isTerminal(f) {
		return t, nil
	}
	before, err := term.MakeRaw(int(f.Fd()))
	if err != nil {
		return t, fmt.Errorf("switch the terminal to raw mode: %w", err)
	}
	t.streams.Size = func() (cols, rows uint) {
		c, r := terminalSize(s.Out)
		return uint(c), uint(r)
	}
	ctx, cancel := context.WithCancel(ctx)
	resized := make(chan struct{}, 1)
	t.streams.Resized = resized
	t.resize = func() {
		select {
		case resized <- struct{}{}:
		default: // one is on its way already
		}
	}
	onResize(ctx, t.resize)
	t.restore = sync.OnceFunc(func() {
		cancel()
		_ = term.Restore(int(f.Fd()), before) // the terminal is gone if this does not work
	})
	return t, nil
}
