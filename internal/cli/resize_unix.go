//go:build unix

package cli

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// onResize calls do whenever the terminal changed its size, until ctx ends.
func onResize(ctx context.Context, do func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGWINCH)
	go func() {
		defer signal.Stop(signals)
		for {
			select {
			case <-ctx.Done():
				return
			case <-signals:
				do()
			}
		}
	}()
}
