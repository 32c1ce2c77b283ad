package host

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// folderPrefix begins the names of connections' folders; the process's number follows.
const folderPrefix = "strake-ssh-"

// longestTemp is how long the path of the temporary folder may be so that ssh can have sockets in a folder in it: their paths have 104 bytes at
// most, of which ssh takes 17 for a name of its own while it makes one. Source: unix(4) of macOS, muxserver_listen of OpenSSH.
const longestTemp = 52

// tempDir is where connections' folders are.
func tempDir() string {
	if dir := os.TempDir(); len(dir) <= longestTemp && !strings.ContainsAny(dir, " :%$\"'\\") { // which ssh reads in its own way
		return dir
	}
	return "/tmp"
}

// makeFolder makes the connection's folder, with the socket first: that its owner is alive can be seen by it.
func (c *Connection) makeFolder() error {
	var err error
	if c.dir, err = os.MkdirTemp(tempDir(), fmt.Sprintf("%s%d-", folderPrefix, os.Getpid())); err != nil {
		return err
	}
	if c.listener, err = net.ListenUnix("unix", &net.UnixAddr{Name: c.Socket(), Net: "unix"}); err != nil {
		return err
	}
	if err := os.Chmod(c.Socket(), 0o600); err != nil {
		return err
	}
	if c.target.HostKey != "" {
		key := strings.Fields(c.target.HostKey)
		line := fmt.Sprintf("%s %s %s\n", c.target.known(), key[0], key[1])
		if err := os.WriteFile(filepath.Join(c.dir, "known_hosts"), []byte(line), 0o600); err != nil {
			return err
		}
	}
	if c.target.Key == nil {
		return nil
	}
	key := append([]byte(strings.TrimSpace(string(c.target.Key))), '\n') // ssh wants the last line to end
	return os.WriteFile(filepath.Join(c.dir, "key"), key, 0o600)
}

func (c *Connection) removeFolder() error {
	if c.dir == "" {
		return nil
	}
	return os.RemoveAll(c.dir)
}

// clearFolders removes the folders of processes that are gone. One that cannot be removed is somebody else's, who does it.
func clearFolders() {
	found, err := filepath.Glob(filepath.Join(tempDir(), folderPrefix+"*"))
	if err != nil {
		return // the pattern is a good one
	}
	for _, dir := range found {
		pid, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), folderPrefix), "-")
		if n, err := strconv.Atoi(pid); err == nil && n > 0 && !isRunning(n) && !isServed(dir) {
			_ = os.RemoveAll(dir) // as above
		}
	}
}

// isRunning is whether there is a process of that number on this machine.
func isRunning(pid int) bool {
	p, err := os.FindProcess(pid)
	if err != nil {
		return false
	}
	return !errors.Is(p.Signal(syscall.Signal(0)), os.ErrProcessDone)
}

// isServed is whether somebody listens at a folder's socket: a process in a container has a number that means nothing outside.
func isServed(dir string) bool {
	conn, err := net.Dial("unix", filepath.Join(dir, "docker.sock"))
	if err == nil {
		_ = conn.Close() // only its being there was asked
	}
	return err == nil
}
