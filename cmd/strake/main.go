// Command strake takes a project from a laptop to production, from the compose file that it already has.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/strake-dev/strake/cmd/strake/pace"
	"github.com/strake-dev/strake/internal/cli"
)

func main() {
	pace.Settle()
	os.Exit(run())
}

// run is the program; its result is the exit code.
func run() int {
	streams := cli.SystemStreams()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) { // as nohup has it
		signal.Notify(signals, syscall.SIGHUP)
	}
	streams.Signals = signals
	return cli.Main(context.Background(), streams, os.Args)
}
