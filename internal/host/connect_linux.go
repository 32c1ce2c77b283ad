package host

import "syscall"

// apart keeps a program out of the terminal's Ctrl-C, which strake answers itself and needs the connection for, and has the kernel end it
// when the thread that started it does: with this process, however that ends.
func apart() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
