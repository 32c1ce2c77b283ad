package cli

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// machineID tells this machine from others; "" is unknown. Source: sysctl kern.uuid.
func machineID() string {
	id, err := unix.Sysctl("kern.uuid")
	if err != nil {
		return ""
	}
	return id
}

// bootID changes with each start of the machine. Source: sysctl kern.bootsessionuuid.
func bootID() string {
	id, err := unix.Sysctl("kern.bootsessionuuid")
	if err != nil {
		return ""
	}
	return id
}

// startOf is when a process was started; "" if there is none. known is false where the system does not say.
// Source: sysctl kern.proc.pid.
func startOf(pid int) (start string, known bool) {
	p, err := unix.SysctlKinfoProc("kern.proc.pid", pid)
	if errors.Is(err, unix.EIO) || errors.Is(err, unix.ESRCH) {
		return "", true // the answer for no such process is empty, which x/sys reports as EIO
	}
	if err != nil {
		return "", false
	}
	t := p.Proc.P_starttime
	return fmt.Sprintf("%d.%06d", t.Sec, t.Usec), true
}
