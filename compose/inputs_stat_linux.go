package compose

import (
	"io/fs"
	"syscall"
)

// systemStat is the inode and the time of the last change of a file's metadata, in nanoseconds; zeros if unknown.
func systemStat(info fs.FileInfo) (inode uint64, changedNs int64) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0
	}
	return st.Ino, st.Ctim.Nano()
}
