//go:build linux || darwin

package cli

import "golang.org/x/sys/unix"

// freeBytes is what is free for users on the file system of a path.
func freeBytes(path string) (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return 0, err
	}
	return st.Bavail * uint64(st.Bsize), nil
}
