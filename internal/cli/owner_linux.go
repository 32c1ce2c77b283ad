package cli

import (
	"os"
	"strconv"
	"strings"
)

// machineID tells this machine from others, and this process namespace from others on it: a process number means
// nothing outside its namespace. "" is unknown.
// Source: machine-id(5), pid_namespaces(7).
func machineID() string {
	id, err := os.ReadFile("/etc/machine-id")
	if err != nil || len(strings.TrimSpace(string(id))) == 0 {
		name, err := os.Hostname() // minimal systems and containers have no machine id
		if err != nil {
			return ""
		}
		id = []byte(name)
	}
	namespace, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id)) + " " + namespace
}

// bootID changes with each start of the machine. Source: random(4).
func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}

// startOf is when a process was started, in clock ticks since boot; "" if there is none. known is false where the
// system does not say. Source: proc_pid_stat(5), field 22.
func startOf(pid int) (start string, known bool) {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if os.IsNotExist(err) {
		return "", true
	}
	if err != nil {
		return "", false
	}
	// The second field is the program's name in brackets and may hold anything, brackets too.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) < 20 {
		return "", false
	}
	if fields[0] == "Z" || fields[0] == "X" {
		return "", true // it ended, only its parent has not asked yet
	}
	return fields[19], true
}
