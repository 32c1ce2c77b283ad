package host_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/strake-dev/strake/internal/host"
)

const connectChild = "STRAKE_TEST_CONNECT_CHILD"

// The process that is killed is another one: this same test, told so by its environment.
func TestConnection_LeavesNothingWhenItsProcessIsKilled(t *testing.T) {
	if os.Getenv(connectChild) != "" {
		beKilled(t)
	}
	s := newSSHServer(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), connectChild+"=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := json.NewEncoder(in).Encode(s.target); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	dir := strings.TrimSpace(line)
	if err != nil || !strings.Contains(dir, "strake-ssh-") {
		t.Fatalf("the other process says %q, %v, want its folder", line, err)
	}
	eventually(t, 10*time.Second, func() error { // the one that is logged in, and that of its script
		if n := programsOf(t, dir); n < 2 {
			return fmt.Errorf("%d programs use %s, want 2", n, dir)
		}
		return nil
	})
	if c := connected(t, s.target); filepath.Dir(c.Socket()) == dir {
		t.Fatal("two connections have one folder")
	}
	if _, err := os.Stat(dir); err != nil {
		t.Errorf("the folder of a process that runs was removed: %v", err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	eventually(t, 10*time.Second, func() error {
		if n := programsOf(t, dir); n > 0 {
			return fmt.Errorf("%d programs use %s, want none", n, dir)
		}
		return nil
	})
	connected(t, s.target)
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder of the process that was killed is there after another Connect: %v", err)
	}
}

// beKilled connects with the machine that standard input names, runs a script without an end, and waits.
func beKilled(t *testing.T) {
	var to host.Target
	if err := json.NewDecoder(os.Stdin).Decode(&to); err != nil {
		t.Fatal(err)
	}
	c := connected(t, to)
	go func() { _, _ = c.Run(t.Context(), "exec sleep 600", nil) }()
	fmt.Println(filepath.Dir(c.Socket()))
	select {}
}

// programsOf is how many programs of this machine have the folder in their arguments.
func programsOf(t *testing.T, dir string) int {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "ps", "-A", "-ww", "-o", "args=").Output()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(out), "PRIVATE KEY") {
		t.Error("a private key is in a program's arguments")
	}
	return strings.Count(string(out), "ControlPath="+dir)
}
