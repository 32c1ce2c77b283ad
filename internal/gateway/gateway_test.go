package gateway

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// testGateway is a proxy that runs, and its client.
type testGateway struct {
	*Client
	t    *testing.T
	dir  string
	at   Listening
	log  *syncBuffer
	stop func()
}

// syncBuffer is a log to look into while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// start runs a proxy until the test ends. It listens on all loopback addresses, so that 127.0.0.2 can be a network of its
// own.
func start(t *testing.T, o Options) *testGateway {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	log := new(syncBuffer)
	o.Log = slog.New(slog.NewJSONHandler(log, nil))
	if o.HTTP == "" {
		o.HTTP = "0.0.0.0:0"
	}
	ctx, cancel := context.WithCancel(t.Context())
	started := make(chan Listening, 1)
	o.Started = func(l Listening) { started <- l }
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, o) }()
	g := &testGateway{Client: NewClient(o.Dir), t: t, dir: o.Dir, log: log}
	g.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Serve = %v, want nil", err)
		}
		g.Client.Close()
	})
	select {
	case g.at = <-started:
	case err := <-ended:
		t.Fatalf("Serve = %v, want it to run", err)
	case <-time.After(20 * time.Second):
		t.Fatal("Serve did not listen within 20 s")
	}
	t.Cleanup(g.stop)
	eventually(t, "a proxy that is ready", func() bool {
		r, err := g.Ready(t.Context())
		return err == nil && r.Ready
	})
	return g
}

// eventually waits until is returns true.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(15 * time.Second); !is(); {
		if time.Now().After(end) {
			t.Fatalf("no %s within 15 s", what)
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		}
	}
}

func (g *testGateway) set(table Table) {
	g.t.Helper()
	if err := g.Replace(g.t.Context(), table); err != nil {
		g.t.Fatalf("Replace = %v, want nil", err)
	}
}

// client is an HTTP client that reaches the gateway at address, whatever host it asks for. It follows no redirect.
func (g *testGateway) client(address string) *http.Client {
	tr := &http.Transport{ForceAttemptHTTP2: true, DisableCompression: true, MaxIdleConnsPerHost: 32, DialContext: func(ctx context.Context, _, asked string) (net.Conn, error) {
		at := g.at.HTTP
		if _, port, _ := net.SplitHostPort(asked); port == "443" {
			at = g.at.HTTPS
		}
		_, port, err := net.SplitHostPort(at.String())
		if err != nil {
			return nil, err
		}
		var d net.Dialer
		return d.DialContext(ctx, "tcp", net.JoinHostPort(address, port))
	}}
	if g.at.Root != "" {
		root, err := os.ReadFile(g.at.Root)
		if err != nil {
			g.t.Fatal(err)
		}
		tr.TLSClientConfig = &tls.Config{RootCAs: x509.NewCertPool()}
		tr.TLSClientConfig.RootCAs.AppendCertsFromPEM(root)
	}
	g.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// reply is an answer that was read.
type reply struct {
	*http.Response
	body string
}

// get asks the gateway at 127.0.0.1 for a URL, with headers in pairs.
func (g *testGateway) get(url string, headers ...string) reply {
	g.t.Helper()
	return g.do(g.client("127.0.0.1"), http.MethodGet, url, "", headers...)
}

func (g *testGateway) do(c *http.Client, method, url, body string, headers ...string) reply {
	g.t.Helper()
	r, err := http.NewRequestWithContext(g.t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		}
		r.Header.Set(headers[i], headers[i+1])
	}
	answer, err := c.Do(r)
	if err != nil {
		g.t.Fatal(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return reply{answer, string(b)}
}

// browser are the headers of a browser that shows the answer.
func browser(more ...string) []string {
	return append([]string{"Accept", "text/html,application/xhtml+xml", "Sec-Fetch-Mode", "navigate", "User-Agent",
		"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"}, more...)
}

// backend runs a service, and gives its upstream.
func backend(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// says is a service that answers a word.
func says(word string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, word) }
}

// one is a table with one ready stack, "a", at a.test.
func one(upstream string) Table {
	return Table{Routes: []Route{{Host: "a.test", Stack: "a", Upstream: upstream}}, Stacks: []Stack{{Name: "a", State: Ready}}}
}

func TestServe_RoutesByHostAndPath(t *testing.T) {
	g := start(t, Options{})
	seen := backend(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.URL.RequestURI()+" "+r.Header.Get("X-Forwarded-Prefix"))
	})
	g.set(Table{Stacks: []Stack{{Name: "a", State: Ready}, {Name: "b", State: Ready}}, Routes: []Route{
		{Host: "a.test", Stack: "a", Upstream: backend(t, says("web"))},
		{Host: "a.test", Path: "/api", Stack: "a", Upstream: seen},
		{Host: "a.test", Path: "/api/v2", Strip: true, Stack: "a", Upstream: seen},
		{Host: "b.test", Stack: "b", Upstream: backend(t, says("other"))},
	}})
	for url, want := range map[string]string{
		"http://a.test/":             "web",
		"http://a.test/apix":         "web",
		"http://a.test/api":          "/api ",
		"http://a.test/api/x?q=1":    "/api/x?q=1 ",
		"http://a.test/api/v2":       "/ /api/v2",
		"http://a.test/api/v2/x%2Fy": "/x%2Fy /api/v2",
		"http://b.test/api":          "other",
	} {
		if got := g.get(url); got.body != want || got.StatusCode != http.StatusOK {
			t.Errorf("GET %s = %d %q, want 200 %q", url, got.StatusCode, got.body, want)
		}
	}
}

func TestServe_BeginsWithTheTableOfItsLastRun(t *testing.T) {
	dir := t.TempDir()
	g := start(t, Options{Dir: dir})
	g.set(one(backend(t, says("web"))))
	g.stop()
	g = start(t, Options{Dir: dir})
	if got := g.get("http://a.test/"); got.body != "web" {
		t.Errorf("GET after a restart = %d %q, want web", got.StatusCode, got.body)
	}
	if fi, err := os.Stat(dir + "/" + TableFile); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("mode of the kept table = %v, %v, want 0600", fi, err)
	}
}

func TestServe_StartsWithACorruptTable(t *testing.T) {
	for name, text := range map[string]string{"cut": `{"routes":[{"ho`, "invalid": `{"routes":[{"host":"a.test","stack":"none"}]}`, "empty": ""} {
		dir := t.TempDir()
		if err := os.WriteFile(dir+"/"+TableFile, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		g := start(t, Options{Dir: dir})
		if r, err := g.Ready(t.Context()); err != nil || r.Lost == "" {
			t.Errorf("%s: Ready = %+v, %v, want it to say that the table is lost", name, r, err)
		}
		if b, err := os.ReadFile(dir + "/" + TableFile + ".bad"); err != nil || string(b) != text {
			t.Errorf("%s: the file put aside = %q, %v, want %q", name, b, err, text)
		}
		g.set(one(backend(t, says("web"))))
		if got := g.get("http://a.test/"); got.body != "web" {
			t.Errorf("%s: GET = %d %q, want web", name, got.StatusCode, got.body)
		}
		g.stop()
	}
}

func TestReplace_RefusesAnInvalidTable(t *testing.T) {
	g := start(t, Options{})
	g.set(one(backend(t, says("web"))))
	bad := one("{env.HOME}:80")
	bad.Routes = append(bad.Routes, Route{Host: "A.test:80", Stack: "a"}, Route{Host: "c.test", Stack: "none"})
	err := g.Replace(t.Context(), bad)
	for _, want := range []string{"{env.HOME}:80", "A.test:80", `"none"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Replace = %v, want it to name %s", err, want)
		}
	}
	if got := g.get("http://a.test/"); got.body != "web" {
		t.Errorf("GET after a refused table = %q, want web", got.body)
	}
}

func TestServe_OneAtATime(t *testing.T) {
	start(t, Options{})
	if err := Serve(t.Context(), Options{Dir: t.TempDir()}); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("a second Serve = %v, want an error", err)
	}
}

// TestServe_HostileHosts asks for what no host is, byte by byte.
func TestServe_HostileHosts(t *testing.T) {
	g := start(t, Options{})
	g.set(one(backend(t, says("web"))))
	for host, want := range map[string]string{
		"a.test": "200", "A.TEST": "200", "a.test.": "200", "a.test:7080": "200",
		"": "400", "a.test@evil": "4", "evil@a.test": "4", "a..test": "404", ".a.test": "404", "a.test:x": "4", "x.a.test": "404",
		"[::1]:80": "404", "127.0.0.1": "404", "a.test/../b": "4", "{env.HOME}": "4", "a.test\x00": "400", "a test": "4",
		strings.Repeat("a", 300): "404", "<script>alert(1)</script>": "4", "ä.test": "4", "a.test:99999999": "4",
	} {
		c, err := net.Dial("tcp", strings.Replace(g.at.HTTP.String(), "0.0.0.0", "127.0.0.1", 1))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: "+host+"\r\nAccept: text/html\r\nConnection: close\r\n\r\n")
		b, _ := io.ReadAll(c) // a reset ends the answer too
		_ = c.Close()
		if !strings.HasPrefix(string(b), "HTTP/1.1 "+want) || strings.Contains(string(b), "<script>alert") {
			t.Errorf("Host %q: answer %.200q, want %s", host, b, want)
		}
	}
}

// serve runs s on a free port of loopback, and gives its upstream.
func serve(t *testing.T, s *http.Server) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.Serve(ln) }() // ends with Close
	t.Cleanup(func() { _ = s.Close() })
	return ln.Addr().String()
}

// TestValid_LeavesOutWhatIsWrong: what is wrong with one route is not the others' loss.
func TestValid_LeavesOutWhatIsWrong(t *testing.T) {
	good := Route{Host: "pr-1.test", Stack: "a", Upstream: "web:80"}
	twice, long, lost := good, good, good
	twice.Stack, long.Host, lost.Host, lost.Stack = "b", strings.Repeat("x", 64)+".test", "pr-2.test", "none"
	got, wrong := Valid(Table{Stacks: []Stack{{Name: "a", State: Ready}, {Name: "b", State: Ready}, {Name: "b", State: Failed}, {Name: "c", State: "none"}},
		Routes: []Route{good, twice, long, lost}})
	if len(got.Routes) != 1 || got.Routes[0] != good || got.Validate() != nil {
		t.Errorf("Valid = %+v, want the first route alone", got.Routes)
	}
	if names := slices.Sorted(maps.Keys(wrong)); !slices.Equal(names, []string{"a", "b", "c", "none"}) || !strings.Contains(fmt.Sprint(wrong["b"]), "named twice") {
		t.Errorf("Valid finds wrong %v, want what is wrong with a, b, c and none", wrong)
	}
}
