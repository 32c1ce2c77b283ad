package host

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/strake-dev/strake/compose"
)

// sshLogin is one run of ssh, which is logged in from ready to ended.
type sshLogin struct {
	life    context.Context // ends with it
	ready   chan struct{}
	ended   chan struct{}
	err     error       // why it ended; read after ended is closed
	stop    func()      // ends it
	renewed atomic.Bool // it was ended to log in anew
	way     way         // how the engine is reached through it; guarded by Connection.deciding
}

// greeting is what the machine says when the user is in.
const greeting = "strake is in"

// engineThere is where the engine listens on the machine.
const engineThere = "/var/run/docker.sock"

// start begins one attempt to log in. It does not use ssh -N but a command that lasts as long as its standard input, of which this process
// has the other end: so ssh ends with this process however that ends, and what it says tells that everything is set up.
func (c *Connection) start() *sshLogin {
	ctx, stop := context.WithCancel(c.life)
	l := &sshLogin{life: ctx, ready: make(chan struct{}), ended: make(chan struct{}), stop: stop}
	args := append(c.target.options(c.dir), "-o", "ControlMaster=yes", "-L", c.forwarded()+":"+engineThere)
	cmd := tied(exec.CommandContext(ctx, "ssh", append(args, "--", c.target.Address, "echo "+greeting+"; exec cat >/dev/null")...))
	var said tail
	cmd.Stdout, cmd.Stderr = &greeted{ready: l.ready}, &said
	c.running.Go(func() {
		defer close(l.ended)
		defer stop()
		in, err := cmd.StdinPipe()
		if err == nil {
			err = runTied(cmd)
			_ = in.Close() // it was closed when ssh ended
		}
		l.err = sshError(c.target, said.text(), cmp.Or(err, io.EOF))
	})
	return l
}

// within is ctx that ends with the login too: what uses the connection would make one of its own when that is gone.
func (l *sshLogin) within(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(l.life, func() { cancel(errCut) })
	return ctx, func() { stop(); cancel(nil) }
}

// command is a command of the machine's, over the connection that is there.
func (c *Connection) command(ctx context.Context, text string) *exec.Cmd {
	args := append(c.target.options(c.dir), "-o", "ControlMaster=no", "--", c.target.Address, text)
	return tied(exec.CommandContext(ctx, "ssh", args...))
}

// forwarded is the socket at which ssh itself listens.
func (c *Connection) forwarded() string { return filepath.Join(c.dir, "e") }

// options are ssh's for this machine. What they say wins over the user's configuration, which is not read at all where there is a key.
// A peer that is dead is noticed after 15 s. Source: ssh_config(5).
func (t Target) options(dir string) []string {
	o := []string{"-T", "-p", t.port()}
	if t.Port == 0 && t.Key == nil {
		o = o[:1] // that of the user's configuration
	}
	if t.User != "" {
		o = append(o, "-l", t.User)
	}
	settings := []string{
		"BatchMode=yes", "StrictHostKeyChecking=yes", "UpdateHostKeys=no", "LogLevel=INFO", "ConnectTimeout=10",
		"ServerAliveInterval=5", "ServerAliveCountMax=2", "TCPKeepAlive=yes",
		"ForwardAgent=no", "ForwardX11=no", "Compression=no", "PermitLocalCommand=no", "RemoteCommand=none", "EscapeChar=none",
		"ControlPath=" + filepath.Join(dir, "c"), "ControlPersist=no", "StreamLocalBindMask=0177", "StreamLocalBindUnlink=yes",
	}
	if t.HostKey != "" {
		settings = append(settings, "UserKnownHostsFile="+filepath.Join(dir, "known_hosts"), "GlobalKnownHostsFile=/dev/null",
			"HostKeyAlias="+t.known(), "CheckHostIP=no", "VerifyHostKeyDNS=no")
	}
	if t.Key != nil {
		o = append(o, "-F", "/dev/null")
		settings = append(settings, "IdentityFile="+filepath.Join(dir, "key"), "IdentitiesOnly=yes", "IdentityAgent=none",
			"PreferredAuthentications=publickey")
	}
	for _, s := range settings {
		o = append(o, "-o", s)
	}
	return o
}

// known is the name in the file of known hosts.
func (t Target) known() string { return cmp.Or(t.Alias, t.Address) }

// sshError says why ssh ended. Errors with a hint are those that trying again does not help with.
func sshError(t Target, text string, err error) error {
	line := text[strings.LastIndexByte(text, '\n')+1:]
	with := func(next, format string, args ...any) error {
		return &compose.HintedError{Err: fmt.Errorf("reach %s: "+format, append([]any{t}, args...)...), Next: next}
	}
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return with("install OpenSSH's client", "there is no program ssh")
	case contains(text, "Host key verification failed", "REMOTE HOST IDENTIFICATION HAS CHANGED") && t.HostKey == "":
		return with("connect once by hand and look at its key: ssh "+t.Address, "%w, or is not known yet", ErrHostKey)
	case contains(text, "Host key verification failed", "REMOTE HOST IDENTIFICATION HAS CHANGED", "no matching host key type found"):
		return with("nothing was sent to it: unless you gave it another key yourself, do not use it and remove it", "%w", ErrHostKey)
	case contains(text, "Permission denied (", "Too many authentication failures"):
		return with("check that the machine knows the user and the key", "%w: %s", ErrLogin, line)
	case contains(text, "Bad configuration option", "bad configuration option", "Bad owner or permissions", "percent_expand", "usage: ssh"):
		return with("strake needs OpenSSH 7.6 or newer, and a configuration of ssh that is whole: ssh -G "+t.Address, "ssh: %s", line)
	}
	return fmt.Errorf("reach %s: %s", t, cmp.Or(line, err.Error()))
}

func contains(text string, phrases ...string) bool {
	for _, p := range phrases {
		if strings.Contains(text, p) {
			return true
		}
	}
	return false
}

// quoted is a text as one word of a shell.
func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// tied prepares a program that ends with its context, asked first.
func tied(cmd *exec.Cmd) *exec.Cmd {
	cmd.SysProcAttr = apart()
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 2 * time.Second
	return cmd
}

// runTied runs it. The thread is held meanwhile, as the program ends with the thread that started it: see apart.
func runTied(cmd *exec.Cmd) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return cmd.Run()
}

// greeted closes ready when the greeting was said. What the shell says before it is passed over.
type greeted struct {
	ready chan struct{}
	heard []byte
	done  bool
}

func (g *greeted) Write(b []byte) (int, error) {
	if g.done {
		return len(b), nil
	}
	g.heard = append(g.heard, b...)
	if bytes.Contains(g.heard, []byte(greeting+"\n")) {
		g.done, g.heard = true, nil
		close(g.ready)
	}
	g.heard = g.heard[max(0, len(g.heard)-len(greeting)):]
	return len(b), nil
}

// tail keeps the end of what a program says.
type tail struct {
	mu sync.Mutex
	b  []byte
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, b...)
	t.b = t.b[max(0, len(t.b)-2<<10):]
	return len(b), nil
}

func (t *tail) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.ReplaceAll(strings.TrimSpace(string(t.b)), "\r\n", "\n")
}
