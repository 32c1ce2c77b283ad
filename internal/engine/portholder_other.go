//go:build !linux

package engine

// processOn is unknown on this system.
func processOn(hostPort) (name string, pid int, ok bool) { return "", 0, false }
