package host

import "syscall"

// apart is nothing here: no machine is reached from Windows.
func apart() *syscall.SysProcAttr { return nil }
