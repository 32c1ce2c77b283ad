//go:build !linux && !darwin

package cli

import (
	"errors"
	"os"
)

// lockFile is for what runs in containers of strake's own, which are Linux's.
func lockFile(*os.File) error { return errors.New("files cannot be locked on this system") }
