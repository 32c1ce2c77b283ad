//go:build unix

package previews

import (
	"time"

	"golang.org/x/sys/unix"
)

// touchLink sets the times of a symbolic link itself: they get into images too.
func touchLink(name string, at time.Time) error {
	t := unix.NsecToTimespec(at.UnixNano())
	return unix.UtimesNanoAt(unix.AT_FDCWD, name, []unix.Timespec{t, t}, unix.AT_SYMLINK_NOFOLLOW)
}
