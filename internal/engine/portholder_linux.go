package engine

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// processOn is the process that listens on the port, found through /proc; those of other users are seen by root only.
// Source: proc(5), /proc/net/tcp and /proc/[pid]/fd.
func processOn(p hostPort) (name string, pid int, ok bool) {
	inodes := map[string]bool{}
	for _, table := range []string{"/proc/net/" + p.protocol, "/proc/net/" + p.protocol + "6"} {
		content, err := os.ReadFile(table)
		if err != nil {
			continue // no IPv6, or not this protocol
		}
		for _, inode := range listeners(content, p.port) {
			inodes["socket:["+inode+"]"] = true
		}
	}
	if len(inodes) == 0 {
		return "", 0, false
	}
	links, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return "", 0, false
	}
	for _, link := range links {
		target, err := os.Readlink(link)
		if err != nil || !inodes[target] {
			continue // it ended in between, or is not what is looked for
		}
		dir := filepath.Dir(filepath.Dir(link))
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		comm, err := os.ReadFile(dir + "/comm")
		if err != nil {
			continue
		}
		return strings.TrimSpace(string(comm)), pid, true
	}
	return "", 0, false
}

// listeners are the inodes of the sockets in a table of /proc/net that listen on the port (state 0A), or, for UDP, are bound
// to it (07).
func listeners(table []byte, port int) []string {
	var out []string
	local := fmt.Sprintf(":%04X", port)
	for s := bufio.NewScanner(bytes.NewReader(table)); s.Scan(); {
		f := strings.Fields(s.Text())
		if len(f) > 9 && strings.HasSuffix(f[1], local) && (f[3] == "0A" || f[3] == "07") {
			out = append(out, f[9])
		}
	}
	return out
}
