//go:build linux || darwin

package cli

import (
	"os"

	"golang.org/x/sys/unix"
)

// lockFile waits until no other process holds the lock of a file, and takes it until the file is closed.
func lockFile(f *os.File) error { return unix.Flock(int(f.Fd()), unix.LOCK_EX) }
