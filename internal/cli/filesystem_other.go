//go:build !linux

package cli

// fileSystemOf is not known on this system, where the engine runs in a virtual machine.
func fileSystemOf(string) (kind, cloning string) { return "", "" }
