//go:build !linux && !darwin

package compose

import "io/fs"

// systemStat is zeros: this system's stat has no inode and no change time that Go gives.
func systemStat(fs.FileInfo) (inode uint64, changedNs int64) { return 0, 0 }
