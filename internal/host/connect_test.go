package host_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/host"
)

func TestConnect_LeadsToTheEngineAndRunsScripts(t *testing.T) {
	s := newSSHServer(t)
	c := connected(t, s.target)
	for _, path := range []string{c.Socket(), filepath.Dir(c.Socket()), filepath.Join(filepath.Dir(c.Socket()), "key")} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has %v, %v, want for this user alone", path, info.Mode(), err)
		}
	}
	large := bytes.Repeat([]byte("0123456789abcdef"), 1<<18)
	if got, err := posted(c, large); err != nil || !bytes.Equal(got, append(slices.Clone(large), "OK"...)) {
		t.Errorf("the engine answered %d bytes, %v, want %d", len(got), err, len(large)+2)
	}
	out, err := c.Run(t.Context(), `printf '%s|' "it's" "$HOME"; cat`, strings.NewReader("secret"))
	if want := "it's|" + os.Getenv("HOME") + "|secret"; err != nil || string(out) != want {
		t.Errorf("Run = %q, %v, want %q", out, err, want)
	}
	out, err = c.Run(t.Context(), "echo half; echo no room >&2; exit 3", nil)
	if err == nil || string(out) != "half\n" || !strings.HasSuffix(err.Error(), "i-0test (127.0.0.1): exit status 3: no room") {
		t.Errorf("a script that fails: %q, %v, want what it printed and said", out, err)
	}
	s.with(func() {
		if s.logins != 1 {
			t.Errorf("there were %d logins, want 1 for everything", s.logins)
		}
	})
	dir := filepath.Dir(c.Socket())
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after Close its folder is there: %v", err)
	}
	if _, err := c.Run(t.Context(), "true", nil); err == nil {
		t.Error("Run after Close = nil, want an error")
	}
}

func TestConnect_AnotherHostKeyIsRefusedBeforeAnythingIsSent(t *testing.T) {
	s := newSSHServer(t)
	_, another, _ := keyPair(t)
	s.target.HostKey = another
	_, err := host.Connect(t.Context(), s.target)
	var hinted compose.Hinted
	if !errors.Is(err, host.ErrHostKey) || !errors.As(err, &hinted) {
		t.Errorf("Connect = %v, want ErrHostKey with a hint", err)
	}
	s.with(func() {
		if len(s.tries) > 0 {
			t.Errorf("it tried to log in by %v, want not at all", s.tries)
		}
	})
}

func TestConnect_ARefusedKeyEndsAtOnce(t *testing.T) {
	s := newSSHServer(t)
	s.target.Key, _, _ = keyPair(t)
	_, err := host.Connect(t.Context(), s.target)
	var hinted compose.Hinted
	if !errors.Is(err, host.ErrLogin) || !errors.As(err, &hinted) {
		t.Errorf("Connect = %v, want ErrLogin with a hint", err)
	}
	s.with(func() {
		if slices.Contains(s.tries, "password") || slices.Contains(s.tries, "keyboard-interactive") {
			t.Errorf("it tried %v, want keys alone", s.tries)
		}
	})
}

func TestConnect_WaitsForAMachineThatBoots(t *testing.T) {
	s := newSSHServer(t)
	s.with(func() { s.drop = 3 })
	connected(t, s.target)

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.target.Port = l.Addr().(*net.TCPAddr).Port
	l.Close()
	ctx, stop := context.WithTimeoutCause(t.Context(), time.Second, errors.New("it took too long"))
	defer stop()
	_, err = host.Connect(ctx, s.target)
	if err == nil || !strings.Contains(err.Error(), "Connection refused") || !strings.HasSuffix(err.Error(), "it took too long") {
		t.Errorf("Connect to nobody = %v, want the last attempt's and the context's reasons", err)
	}
}

func TestConnection_IsMadeAgainWhenItBreaksOff(t *testing.T) {
	s := newSSHServer(t)
	c := connected(t, s.target)
	for n := range 2 {
		s.cut()
		eventually(t, 20*time.Second, func() error {
			if got := c.Cuts(); got != n+1 {
				return fmt.Errorf("it was made again %d times, want %d", got, n+1)
			}
			_, err := posted(c, nil)
			return err
		})
		if _, err := c.Run(t.Context(), "true", nil); err != nil {
			t.Errorf("Run after cut %d = %v", n+1, err)
		}
	}
}

func TestConnection_StopsAtAnotherMachine(t *testing.T) {
	s := newSSHServer(t)
	c := connected(t, s.target)
	_, _, another := keyPair(t)
	s.with(func() { s.config.AddHostKey(another) }) // which replaces the one of the same kind
	s.cut()
	eventually(t, 20*time.Second, func() error {
		if _, err := c.Run(t.Context(), "true", nil); !errors.Is(err, host.ErrHostKey) {
			return fmt.Errorf("Run = %v, want ErrHostKey", err)
		}
		return nil
	})
	if _, err := posted(c, nil); err == nil || c.Cuts() != 0 {
		t.Errorf("the engine of another machine answers: %v, %d cuts", err, c.Cuts())
	}
}

func TestConnection_AServerThatForbidsToForwardSockets(t *testing.T) {
	s := newSSHServer(t)
	s.noSockets, s.engineDown = true, true
	c := connected(t, s.target)
	if _, err := posted(c, nil); err == nil {
		t.Error("an engine that is not there answers")
	}
	s.with(func() { s.engineDown = false })
	large := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	for range 3 {
		if got, err := posted(c, large); err != nil || len(got) != len(large)+2 {
			t.Errorf("the engine answered %d bytes, %v, want %d", len(got), err, len(large)+2)
		}
	}
}

// connected is a connection that ends with the test.
func connected(t *testing.T, to host.Target) *host.Connection {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	c, err := host.Connect(ctx, to)
	if err != nil {
		t.Fatalf("Connect = %v, want nil", err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("Close = %v, want nil", err)
		}
	})
	return c
}

// posted is what the engine's stand-in answers to a body: the body and OK.
func posted(c *host.Connection, body []byte) ([]byte, error) {
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", c.Socket())
	}}
	client := http.Client{Transport: transport, Timeout: 30 * time.Second}
	res, err := client.Post("http://engine/", "text/plain", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	return io.ReadAll(res.Body)
}

// eventually asks again until ok has no error, and fails with its last one.
func eventually(t *testing.T, limit time.Duration, ok func() error) {
	t.Helper()
	end := time.After(limit)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ok()
		if err == nil {
			return
		}
		select {
		case <-end:
			t.Fatalf("after %s: %v", limit, err)
		case <-tick.C:
		}
	}
}
