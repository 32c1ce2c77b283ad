package cli

import (
	"errors"
	"strconv"

	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/registry"
)

// machineID tells this machine from others; "" is unknown.
func machineID() string {
	k, err := registry.OpenKey(registry.LOCAL_MACHINE, `SOFTWARE\Microsoft\Cryptography`, registry.QUERY_VALUE|registry.WOW64_64KEY)
	if err != nil {
		return ""
	}
	defer k.Close()
	id, _, err := k.GetStringValue("MachineGuid")
	if err != nil {
		return ""
	}
	return id
}

// bootID is unknown on Windows; a process's start time is absolute there and tells boots apart by itself.
func bootID() string { return "" }

// startOf is when a process was started, in 100 ns since 1601; "" if there is none. known is false where the system
// does not say.
func startOf(pid int) (start string, known bool) {
	h, err := windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION, false, uint32(pid))
	if errors.Is(err, windows.ERROR_INVALID_PARAMETER) {
		return "", true
	}
	if err != nil {
		return "", false
	}
	defer func() { _ = windows.CloseHandle(h) }() // nothing was changed through it
	var created, exited, kernel, user windows.Filetime
	if err := windows.GetProcessTimes(h, &created, &exited, &kernel, &user); err != nil {
		return "", false
	}
	if exited.Nanoseconds() > 0 {
		return "", true
	}
	return strconv.FormatInt(created.Nanoseconds(), 10), true
}
