//go:build !unix

package cli

import "context"

// onResize does nothing: the system does not tell when a terminal changes its size.
func onResize(context.Context, func()) {}
