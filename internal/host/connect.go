package host

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/strake-dev/strake/compose"
)

// ErrHostKey is that a machine has another host key than it must have: it is another machine, or somebody is in between.
var ErrHostKey = errors.New("it has another host key than it must have")

// errCut is that a connection ended while something used it.
var errCut = errors.New("the connection broke off")

// ErrLogin is that a machine does not let the user in with the key. One that is still booting may not know the user yet.
var ErrLogin = errors.New("it refuses the key")

// Target is a machine as it is reached.
type Target struct {
	Address string // name or address
	Port    int    // 0 is 22
	User    string // who logs in; "" with a nil Key is whom the user's own configuration names
	HostKey string // the public key that the machine must have, as in authorized_keys: "ssh-ed25519 AAAA…"; "" with a nil Key are the user's own known hosts
	Key     []byte // the private key in OpenSSH's PEM form; nil: the agent's keys and the user's own configuration
	Alias   string // what people know it by, such as the instance's id; "" is Address
}

// Connection is one ssh to a machine, made again whenever it breaks off. Its methods may be called at once from several goroutines.
type Connection struct {
	target   Target
	dir      string // of the socket and the key
	listener *net.UnixListener
	life     context.Context // ends with Close
	end      context.CancelFunc
	running  sync.WaitGroup // of what works for it
	deciding sync.Mutex     // held while it is found out how the engine is reached; see wayTo

	mu     sync.Mutex // guards what follows
	now    *sshLogin  // nil while it is broken off
	broken error      // why it is, and with a wrong host key remains so
	cuts   int
}

// The pauses between attempts: the first, and the longest of Connect and of what makes a connection again that broke off.
const (
	firstPause       = 200 * time.Millisecond
	longestPause     = 2 * time.Second
	longestPauseLost = 15 * time.Second
)

// steadyAfter is how long a connection holds before the next attempts begin with short pauses again.
const steadyAfter = 10 * time.Second

// Connect logs in to a machine and tries until it is let in: one that boots refuses at first. It ends at once with a
// *compose.HintedError where trying again does not help: with ErrHostKey, before anything was sent, with ErrLogin, and where there is no
// ssh. When ctx ends, the error says what the last attempt met; on any error nothing is left.
//
// It does not wait for the machine's engine: one that is not there yet is reached over the same socket when it is. The connection outlives
// ctx, and ends with Close or with this process. What a process that was killed left in the temporary folder is removed.
func Connect(ctx context.Context, t Target) (*Connection, error) {
	if err := t.check(); err != nil {
		return nil, err
	}
	clearFolders()
	c := &Connection{target: t}
	c.life, c.end = context.WithCancel(context.WithoutCancel(ctx))
	if err := c.makeFolder(); err != nil {
		return nil, errors.Join(fmt.Errorf("reach %s: %w", t, err), c.Close())
	}
	l, err := c.login(ctx, &pauses{longest: longestPause}, func(error) bool { return true })
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	c.now = l
	c.running.Go(c.keep)
	c.running.Go(c.serve)
	return c, nil
}

// Socket is the path of a unix socket of this machine that leads to the engine's on the other one. Only this user may use it. While the
// connection is broken off, and while there is no engine, it takes connections and drops them.
func (c *Connection) Socket() string { return filepath.Join(c.dir, "docker.sock") }

// Cuts is how often the connection broke off and was made again.
func (c *Connection) Cuts() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cuts
}

// Run runs a script by sh on the machine and returns what it printed, also when it fails: the error has the end of what it wrote to its
// standard error. The script is seen in the process lists of both machines: a secret belongs into stdin. While the connection is broken off
// Run fails at once, with ErrHostKey where that is why. When ctx ends, the script may run on.
func (c *Connection) Run(ctx context.Context, script string, stdin io.Reader) ([]byte, error) {
	l, err := c.current()
	if err != nil {
		return nil, err
	}
	ctx, stop := l.within(ctx)
	defer stop()
	var out bytes.Buffer
	var said tail
	cmd := c.command(ctx, "exec sh -c "+quoted(script))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &out, &said
	err = runTied(cmd)
	switch {
	case err == nil:
		return out.Bytes(), nil
	case ctx.Err() != nil:
		return out.Bytes(), fmt.Errorf("run a script on %s: %w", c.target, context.Cause(ctx))
	case said.text() != "":
		return out.Bytes(), fmt.Errorf("run a script on %s: %w: %s", c.target, err, said.text())
	}
	return out.Bytes(), fmt.Errorf("run a script on %s: %w", c.target, err)
}

// Close ends ssh and everything that goes through it, and removes the folder with the key and the socket.
func (c *Connection) Close() error {
	c.end()
	if c.listener != nil {
		_ = c.listener.Close() // closed already is as good
	}
	c.running.Wait()
	return c.removeFolder()
}

// current is the login that is there, or why there is none.
func (c *Connection) current() (*sshLogin, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.life.Err() != nil:
		return nil, fmt.Errorf("the connection to %s was closed", c.target)
	case c.now == nil:
		return nil, fmt.Errorf("the connection to %s broke off: %w", c.target, c.broken)
	}
	return c.now, nil
}

// keep makes the connection again whenever it breaks off, until Close or until the machine turns out to be another one.
func (c *Connection) keep() {
	wait := &pauses{longest: longestPauseLost}
	c.mu.Lock()
	l := c.now
	c.mu.Unlock()
	for {
		began := time.Now()
		<-l.ended
		if c.life.Err() != nil {
			return
		}
		c.set(nil, l.err, false)
		if time.Since(began) > steadyAfter {
			*wait = pauses{longest: wait.longest}
		} else if wait.pass(c.life) != nil {
			return
		}
		next, err := c.login(c.life, wait, func(err error) bool {
			c.set(nil, err, false)
			return !errors.Is(err, ErrLogin) // a machine that starts again may not know its users yet
		})
		if err != nil {
			return
		}
		c.set(next, nil, !l.renewed.Load())
		l = next
	}
}

func (c *Connection) set(l *sshLogin, why error, cut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now, c.broken = l, why
	if cut {
		c.cuts++
	}
}

// login tries to log in until it succeeds, ctx ends, or an error has a hint and ends says so of it.
func (c *Connection) login(ctx context.Context, wait *pauses, ends func(error) bool) (*sshLogin, error) {
	var last error
	for {
		l := c.start()
		select {
		case <-l.ready:
			return l, nil
		case <-l.ended:
			last = l.err
		case <-ctx.Done():
			l.stop()
			return nil, gaveUp(ctx, c.target, last)
		}
		var hinted *compose.HintedError
		if ended := ends(last); ended && errors.As(last, &hinted) {
			return nil, last
		}
		if wait.pass(ctx) != nil {
			return nil, gaveUp(ctx, c.target, last)
		}
	}
}

// gaveUp is the error of one who waits no longer.
func gaveUp(ctx context.Context, t Target, last error) error {
	if last == nil {
		return fmt.Errorf("reach %s: %w", t, context.Cause(ctx))
	}
	return &compose.HintedError{Err: fmt.Errorf("%w, and so until: %w", last, context.Cause(ctx)),
		Next: "check that the machine runs, and that its firewall or security group lets this machine in at port " + t.port()}
}

// pauses grow by half from firstPause to longest.
type pauses struct{ next, longest time.Duration }

// pass waits for the next pause, or is why ctx ended.
func (p *pauses) pass(ctx context.Context) error {
	p.next = min(max(firstPause, p.next*3/2), p.longest)
	t := time.NewTimer(p.next)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// check refuses what ssh would take for something else.
func (t Target) check() error {
	switch {
	case runtime.GOOS == "windows":
		return &compose.HintedError{Err: errors.New("machines over SSH are not reached from Windows: its ssh cannot share a connection"), Next: "run strake in WSL"}
	case t.Address == "" || strings.HasPrefix(t.Address, "-") || strings.ContainsAny(t.Address+t.Alias+t.User, " \t\n\x00"):
		return fmt.Errorf("%q is no address of a machine", t.Address)
	case t.Key != nil && (len(strings.Fields(t.HostKey)) < 2 || t.User == ""):
		return fmt.Errorf("reach %s: its host key and its user have to be known", t)
	case strings.ContainsAny(t.HostKey, "\n\r") || t.HostKey != "" && len(strings.Fields(t.HostKey)) < 2:
		return fmt.Errorf("reach %s: its host key is not one line with a kind and a key", t)
	}
	return nil
}

// String is what people know the machine by.
func (t Target) String() string {
	if t.Alias == "" || t.Alias == t.Address {
		return t.Address
	}
	return t.Alias + " (" + t.Address + ")"
}

func (t Target) port() string { return fmt.Sprint(cmp.Or(t.Port, 22)) }
