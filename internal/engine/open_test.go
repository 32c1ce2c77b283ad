package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strake-dev/strake/compose"
)

// fakeEngine answers pings with an API version, on a socket of its own, and counts the requests.
func fakeEngine(t *testing.T, apiVersion string) (host string, requests func() []string) {
	t.Helper()
	return fakeEngineWith(t, apiVersion, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/version") {
			fmt.Fprint(w, `{"Version":"18.09.1"}`)
		}
	})
}

// fakeEngineWith is fakeEngine with answers to all else.
func fakeEngineWith(t *testing.T, apiVersion string, answer http.HandlerFunc) (host string, requests func() []string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "eng") // short: a socket's path has 107 bytes at most
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	path := filepath.Join(dir, "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(chan string, 100)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Method + " " + r.URL.Path
		w.Header().Set("Api-Version", apiVersion)
		answer(w, r)
	})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	}()
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		<-done
	})
	return "unix://" + path, func() []string {
		var out []string
		for len(seen) > 0 {
			out = append(out, <-seen)
		}
		return out
	}
}

func environ(pairs ...string) func(string) string {
	return func(key string) string {
		for _, p := range pairs {
			if v, ok := strings.CutPrefix(p, key+"="); ok {
				return v
			}
		}
		return ""
	}
}

func TestOpen_AsksOnceAndNegotiates(t *testing.T) {
	for _, c := range []struct{ engine, pinned, want string }{{"1.41", "", "1.41"}, {"1.48", "", "1.48"}, {"1.99", "", "1.51"}, {"1.51", "1.44", "1.44"}} {
		host, requests := fakeEngine(t, c.engine)
		e, err := Open(t.Context(), Options{Config: t.TempDir(), Getenv: environ("DOCKER_HOST="+host, "DOCKER_API_VERSION="+c.pinned)})
		if err != nil {
			t.Fatal(err)
		}
		if got := e.api.ClientVersion(); got != c.want {
			t.Errorf("an engine of API %s, pinned to %q: negotiated %s, want %s", c.engine, c.pinned, got, c.want)
		}
		if got := requests(); len(got) != 1 || got[0] != "HEAD /_ping" {
			t.Errorf("Open made the requests %q, want one ping", got)
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestOpen_SaysWhichEngineIsTooOld(t *testing.T) {
	host, _ := fakeEngine(t, "1.39")
	_, err := Open(t.Context(), Options{Host: host, Config: t.TempDir()})
	checkRefused(t, err, "Docker Engine 18.09.1 speaks API 1.39, strake needs 1.41 (Docker Engine 20.10) or newer", "upgrade the engine")
	host, _ = fakeEngine(t, "1.51")
	_, err = Open(t.Context(), Options{Host: host, Config: t.TempDir(), Getenv: environ("DOCKER_API_VERSION=1.30")})
	checkRefused(t, err, "DOCKER_API_VERSION asks for Engine API 1.30", "unset DOCKER_API_VERSION")
}

func TestOpen_DoesNotWaitForASilentEngine(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() // nothing was written
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = Open(ctx, Options{Host: "tcp://" + l.Addr().String(), Config: t.TempDir()})
	checkRefused(t, err, "no engine answers at tcp://"+l.Addr().String()+" (--host): no answer in time", "it does not hang")
}

func TestOpen_SaysWhyNoEngineAnswers(t *testing.T) {
	gone := "unix://" + filepath.Join(t.TempDir(), "none.sock")
	_, err := Open(t.Context(), Options{Config: t.TempDir(), Getenv: environ("DOCKER_HOST=" + gone)})
	checkRefused(t, err, "no engine answers at "+gone+" (DOCKER_HOST): there is no such socket", "start")

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := "tcp://" + l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = Open(t.Context(), Options{Host: closed, Config: t.TempDir()})
	checkRefused(t, err, "no engine answers at "+closed+" (--host)", "check the address and port")
}

func TestUnreachable_ByKind(t *testing.T) {
	here := endpoint{origin: "default", local: true}
	here.Host = "unix://" + t.TempDir()
	far := endpoint{origin: "context far"}
	far.Host = "tcp://far:2376"
	ssh := endpoint{origin: "DOCKER_HOST"}
	ssh.Host = "ssh://me@far"
	for _, c := range []struct {
		where             endpoint
		said, want, hints string
	}{
		{here, "permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock", "permission denied", "group docker"},
		{here, "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?", "nothing listens", "start"},
		{far, "dial tcp: lookup far: no such host", "unknown host name", "context far"},
		{far, "tls: failed to verify certificate: x509: certificate signed by unknown authority", "x509", "DOCKER_CERT_PATH"},
		{far, "net/http: HTTP/1.x transport connection broken: malformed HTTP response", "malformed", "DOCKER_TLS_VERIFY"},
		{ssh, "command [ssh ...] has exited with exit status 255, stderr=Permission denied (publickey).", "publickey", "ssh me@far docker version"},
		{here, "unexpected EOF", "hung up", "starting"},
	} {
		checkRefused(t, unreachable(c.where, errors.New(c.said)), c.want, c.hints)
	}
}

func TestOpen_ContextsByName(t *testing.T) {
	host, _ := fakeEngine(t, "1.51")
	dir := t.TempDir()
	// The folder of a context is the digest of its name. Source: docker/cli, cli/context/store.
	meta := filepath.Join(dir, "contexts", "meta", contextDir("staging"))
	if err := os.MkdirAll(meta, 0o755); err != nil {
		t.Fatal(err)
	}
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(meta, "meta.json"), fmt.Sprintf(`{"Name":"staging","Metadata":{},"Endpoints":{"docker":{"Host":%q}}}`, host))
	_, err := Open(t.Context(), Options{Config: dir, Context: "stagin"})
	checkRefused(t, err, "there is no docker context stagin", "did you mean staging?")

	write(filepath.Join(dir, "config.json"), `{"currentContext":"staging"}`)
	for _, o := range []Options{{Context: "staging"}, {}, {Getenv: environ("DOCKER_CONTEXT=staging")}, {Context: "staging", Getenv: environ("DOCKER_HOST=unix:///nowhere")}} {
		o.Config = dir
		e, err := Open(t.Context(), o)
		if err != nil {
			t.Errorf("Open(%+v) = %v, want nil", o, err)
			continue
		}
		if e.where.Host != host || e.where.context != "staging" {
			t.Errorf("Open(%+v) is at %s of context %s, want %s", o, e.where.Host, e.where.context, host)
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A socket that was forwarded is like any other one, but what it leads to is elsewhere.
func TestOpen_ASocketThatLeadsToAnotherMachine(t *testing.T) {
	host, _ := fakeEngine(t, "1.51")
	e, err := Open(t.Context(), Options{Host: host, Config: t.TempDir(), Remote: "i-0test"})
	if err != nil {
		t.Fatal(err)
	}
	if e.Local() || e.SocketThere() != "/var/run/docker.sock" {
		t.Errorf("Local = %v, SocketThere = %s, want another machine's own", e.Local(), e.SocketThere())
	}
	l, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() // nothing was written
	taken := hostPort{"", "tcp", l.Addr().(*net.TCPAddr).Port}
	if p, err := e.nextFree(t.Context(), taken, nil, nil); err != nil || p != taken {
		t.Errorf("nextFree of a port that is taken on this machine = %s, %v, want that port", p, err)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	gone := "unix://" + filepath.Join(t.TempDir(), "none.sock")
	_, err = Open(t.Context(), Options{Host: gone, Config: t.TempDir(), Remote: "i-0test"})
	checkRefused(t, err, "no engine answers at i-0test (over SSH)", "check that the machine runs")
}

func contextDir(name string) string { return digest.FromString(name).Encoded() }

// checkRefused tests an error's text and hint.
func checkRefused(t *testing.T, err error, want, hints string) {
	t.Helper()
	var h compose.Hinted
	if err == nil || !strings.Contains(err.Error(), want) || !errors.As(err, &h) || !strings.Contains(h.Hint(), hints) {
		t.Errorf("error = %v, want one with %q and the hint %q", err, want, hints)
		if h != nil {
			t.Logf("the hint is %q", h.Hint())
		}
	}
}
