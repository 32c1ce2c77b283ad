// Package cli is strake's command line: flags become options, options go to the core, what the core returns and
// reports is printed. One file holds one command; nothing here decides what a stack is made of.
package cli

import "github.com/strake-dev/strake/compose"

// The core types that every package builds on keep these shapes; the compiler checks it here, where all are wired.
var (
	_ interface{ Changes() bool } = compose.Plan(nil)
	_ compose.Hinted              = (*compose.HintedError)(nil)
	_ error                       = (*compose.NotReadyError)(nil)
	_ error                       = (*compose.HeldError)(nil)
)
