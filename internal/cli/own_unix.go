//go:build linux || darwin

package cli

import (
	"os"
	"syscall"
)

// giveToOwnerOf gives a file to the owner of another, where this is root, who would leave files that others cannot change.
func giveToOwnerOf(of, file string) error {
	about, err := os.Stat(of)
	if err != nil || os.Geteuid() != 0 {
		return err
	}
	if s, ok := about.Sys().(*syscall.Stat_t); ok {
		return os.Lchown(file, int(s.Uid), int(s.Gid))
	}
	return nil
}

// becomeOwnerOf makes this process the owner of a folder, if it is root and the folder is somebody's: what it writes there is theirs.
func becomeOwnerOf(dir string) error {
	about, err := os.Stat(dir)
	if err != nil || os.Geteuid() != 0 {
		return err
	}
	s, ok := about.Sys().(*syscall.Stat_t)
	if !ok || s.Uid == 0 && s.Gid == 0 {
		return nil
	}
	if err := syscall.Setgroups(nil); err != nil {
		return err
	}
	if err := syscall.Setgid(int(s.Gid)); err != nil {
		return err
	}
	return syscall.Setuid(int(s.Uid))
}
