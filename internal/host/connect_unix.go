//go:build unix && !linux

package host

import "syscall"

// apart keeps a program out of the terminal's Ctrl-C, which strake answers itself and needs the connection for.
func apart() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
