package host

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// way is how the engine's socket is reached through a login.
type way int

const (
	unknown   way = iota // the engine did not answer yet
	byForward            // ssh forwards its socket
	byCommand            // the server forbids that: docker system dial-stdio, once for each connection
)

// askPatience is how long an engine may take to answer the question which way leads to it.
const askPatience = 15 * time.Second

// serve passes on every connection to the socket until Close.
func (c *Connection) serve() {
	wait := &pauses{longest: longestPause}
	for {
		conn, err := c.listener.AcceptUnix()
		switch {
		case err == nil:
			c.running.Go(func() { c.relay(conn) })
		case errors.Is(err, net.ErrClosed) || wait.pass(c.life) != nil: // other errors, such as too many open files, pass
			return
		}
	}
}

// relay connects one connection with the engine, or drops it.
func (c *Connection) relay(from *net.UnixConn) {
	defer from.Close()
	l, err := c.current()
	if err != nil {
		return
	}
	switch ctx := l.life; c.wayTo(ctx, l) {
	case byForward:
		to, err := c.dialForwarded(ctx)
		if err != nil {
			return // ssh ended just now
		}
		defer to.Close()
		defer context.AfterFunc(ctx, func() { from.Close(); to.Close() })()
		var both sync.WaitGroup
		both.Go(func() { carry(to, from) })
		carry(from, to)
		both.Wait()
	case byCommand:
		f, err := from.File()
		if err != nil {
			return
		}
		defer f.Close()
		cmd := c.command(ctx, dialStdio)
		cmd.Stdin, cmd.Stdout = f, f // ssh itself reads and writes it
		_ = runTied(cmd)             // whoever uses the socket sees it end
	}
}

const dialStdio = "exec docker system dial-stdio"

// carry copies one direction and says where it ends, the other way too when it broke.
func carry(to, from *net.UnixConn) {
	if _, err := io.Copy(to, from); err != nil {
		to.Close()
		from.Close()
		return
	}
	_ = to.CloseWrite() // closed already is as good
}

func (c *Connection) dialForwarded(ctx context.Context) (*net.UnixConn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", c.forwarded())
	if err != nil {
		return nil, err
	}
	return conn.(*net.UnixConn), nil
}

// wayTo finds out, once for a login, how the engine is reached: a server that forbids to forward sockets says the same as one where nothing
// listens. It is unknown while no engine answers.
func (c *Connection) wayTo(ctx context.Context, l *sshLogin) way {
	c.deciding.Lock()
	defer c.deciding.Unlock()
	if l.way == unknown {
		ctx, stop := context.WithTimeout(ctx, askPatience)
		defer stop()
		switch {
		case c.answersForwarded(ctx):
			l.way = byForward
		case !c.answersCommand(ctx):
			c.renew(ctx, l)
		case c.answersForwarded(ctx): // it began to listen in between
			l.way = byForward
		default:
			l.way = byCommand
		}
	}
	return l.way
}

// ping asks an engine whether it is one.
const ping = "GET /_ping HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n"

func (c *Connection) answersForwarded(ctx context.Context) bool {
	conn, err := c.dialForwarded(ctx)
	if err != nil {
		return false
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if _, err := io.WriteString(conn, ping); err != nil {
		return false
	}
	return isAnswer(conn)
}

func (c *Connection) answersCommand(ctx context.Context) bool {
	var out strings.Builder
	cmd := c.command(ctx, dialStdio)
	cmd.Stdin, cmd.Stdout = strings.NewReader(ping), &out
	_ = runTied(cmd) // the answer says enough
	return isAnswer(strings.NewReader(out.String()))
}

func isAnswer(r io.Reader) bool {
	res, err := http.ReadResponse(bufio.NewReader(r), nil)
	return err == nil && res.Body.Close() == nil
}

// renew ends a login that was made before the user was in all of its groups, that of the engine among them: a login keeps those that it began with.
func (c *Connection) renew(ctx context.Context, l *sshLogin) {
	out, err := c.Run(ctx, `of() { id -G "$@" | tr ' ' '\n' | sort; }; [ "$(of)" = "$(of "$(id -un)")" ] || echo old`, nil)
	if err == nil && strings.TrimSpace(string(out)) == "old" {
		l.renewed.Store(true)
		l.stop()
	}
}
