package gateway

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// TestReplace_LosesNoRequest replaces a service 20 times under load, as an update does: the new one is put in the table,
// the old one drained and ended. Each answer must be whole and come from a service that was in the table.
func TestReplace_LosesNoRequest(t *testing.T) {
	g := start(t, Options{})
	generation := func(n int) (string, *http.Server) {
		s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			_, _ = fmt.Fprintf(w, "generation %d", n)
		})}
		return serve(t, s), s
	}
	upstream, server := generation(0)
	g.set(one(upstream))
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var asked atomic.Int64
	for i := range 8 {
		c := g.client("127.0.0.1")
		wg.Go(func() {
			for ctx.Err() == nil {
				method, body := http.MethodGet, ""
				if i%2 == 0 {
					method, body = http.MethodPost, strings.Repeat("x", 100_000)
				}
				if got := g.do(c, method, "http://a.test/", body); got.StatusCode != http.StatusOK || !strings.HasPrefix(got.body, "generation ") {
					t.Errorf("%s during switches = %d %.80q, want 200 from a generation", method, got.StatusCode, got.body)
				}
				asked.Add(1)
			}
		})
	}
	for n := 1; n <= 20; n++ {
		target := asked.Load() + 40
		eventually(t, "load", func() bool { return asked.Load() >= target })
		next, nextServer := generation(n)
		g.set(one(next))
		if err := g.Drained(t.Context(), upstream); err != nil {
			t.Fatalf("Drained = %v, want nil", err)
		}
		if err := server.Close(); err != nil { // ends what a wrong count would have left
			t.Fatal(err)
		}
		upstream, server = next, nextServer
	}
	cancel()
	wg.Wait()
	t.Logf("%d requests through 20 switches", asked.Load())
}

func TestDrained_WaitsForWhatIsInFlight(t *testing.T) {
	g := start(t, Options{})
	arrived, finish := make(chan struct{}), make(chan struct{})
	old := backend(t, func(w http.ResponseWriter, _ *http.Request) {
		close(arrived)
		<-finish
		_, _ = io.WriteString(w, "old")
	})
	g.set(one(old))
	answer := make(chan string, 1)
	go func() { answer <- g.get("http://a.test/").body }()
	<-arrived
	g.set(one(backend(t, says("new"))))
	if got := g.get("http://a.test/"); got.body != "new" {
		t.Errorf("GET after the switch = %q, want new", got.body)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := g.Drained(ctx, old); err == nil {
		t.Error("Drained with a request in flight = nil, want an error when its time is over")
	}
	close(finish)
	if got := <-answer; got != "old" {
		t.Errorf("the request in flight got %q, want old", got)
	}
	if err := g.Drained(t.Context(), old); err != nil {
		t.Errorf("Drained after the last request = %v, want nil", err)
	}
}

// echo is a service of one WebSocket, which says back what it is told.
func echo(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer c.CloseNow()
	for {
		kind, b, err := c.Read(r.Context())
		if err != nil || c.Write(r.Context(), kind, b) != nil {
			return
		}
	}
}

func TestReplace_LeavesWebSocketsAlone(t *testing.T) {
	for _, scheme := range []string{"http", "https"} {
		t.Run(scheme, func(t *testing.T) {
			g := start(t, Options{HTTPS: "127.0.0.1:0"})
			with := func(b string) Table {
				return Table{Routes: []Route{{Host: "a.test", Stack: "a", Upstream: b}, {Host: "ws.test", Stack: "ws", Upstream: g.socketEcho()}},
					Stacks: []Stack{{Name: "a", State: Ready}, {Name: "ws", State: Ready}}}
			}
			table := with(backend(t, says("0")))
			g.set(table)
			c, _, err := websocket.Dial(t.Context(), scheme+"://ws.test/", &websocket.DialOptions{HTTPClient: g.client("127.0.0.1")})
			if err != nil {
				t.Fatal(err)
			}
			defer c.CloseNow()
			for i := range 10 {
				table.Routes[0].Upstream = backend(t, says(fmt.Sprint(i)))
				g.set(table)
				if got := g.get(scheme + "://a.test/"); got.body != fmt.Sprint(i) {
					t.Errorf("GET after switch %d = %q", i, got.body)
				}
				if err := c.Write(t.Context(), websocket.MessageText, []byte("hello")); err != nil {
					t.Fatalf("write to the WebSocket after %d switches: %v", i, err)
				}
				if _, b, err := c.Read(t.Context()); err != nil || string(b) != "hello" {
					t.Fatalf("read from the WebSocket after %d switches = %q, %v, want hello", i, b, err)
				}
			}
			if v := g.visit("ws"); v.Sockets != 1 || v.InFlight != 1 {
				t.Errorf("visit of ws = %+v, want 1 socket in flight", v)
			}
			c.CloseNow()
			eventually(t, "WebSocket that is counted as closed", func() bool { return g.visit("ws").Sockets == 0 })
		})
	}
}

// socketEcho is the upstream of echo, the same for one gateway.
func (g *testGateway) socketEcho() string { return backend(g.t, echo) }

// visit is what the gateway knows of the use of a stack.
func (g *testGateway) visit(stack string) Visit {
	g.t.Helper()
	visits, err := g.Visits(g.t.Context())
	if err != nil {
		g.t.Fatal(err)
	}
	for _, v := range visits {
		if v.Stack == stack {
			return v
		}
	}
	g.t.Fatalf("Visits = %+v, want %s among them", visits, stack)
	return Visit{}
}

// TestServe_FlushesEvents reads one event before the service sends the next.
func TestServe_FlushesEvents(t *testing.T) {
	g := start(t, Options{HTTPS: "127.0.0.1:0"})
	next := make(chan struct{})
	g.set(one(backend(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 3 {
			_, _ = fmt.Fprintf(w, "data: %d\n\n", i)
			w.(http.Flusher).Flush()
			select {
			case <-next:
			case <-r.Context().Done():
				return
			}
		}
	})))
	for _, url := range []string{"http://a.test/", "https://a.test/"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := g.client("127.0.0.1").Do(r)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(answer.Body)
		for i := range 3 {
			if want := fmt.Sprintf("data: %d", i); !lines.Scan() || lines.Text() != want || !lines.Scan() {
				t.Fatalf("%s: event %d = %q, %v, want %s", url, i, lines.Text(), lines.Err(), want)
			}
			next <- struct{}{}
		}
		_ = answer.Body.Close()
	}
}

// TestServe_StreamsUploads sends as the service reads: what holds the body back would wait for ever.
func TestServe_StreamsUploads(t *testing.T) {
	g := start(t, Options{HTTPS: "127.0.0.1:0"})
	got := make(chan byte)
	g.set(one(backend(t, func(w http.ResponseWriter, r *http.Request) {
		b := make([]byte, 1)
		for n := 0; ; n++ {
			if _, err := io.ReadFull(r.Body, b); err != nil {
				_, _ = fmt.Fprint(w, n)
				return
			}
			got <- b[0]
		}
	})))
	for _, url := range []string{"http://a.test/", "https://a.test/"} {
		body, send := io.Pipe()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, url, body)
		if err != nil {
			t.Fatal(err)
		}
		total := make(chan string, 1)
		c := g.client("127.0.0.1")
		go func() {
			answer, err := c.Do(r)
			if err != nil {
				total <- err.Error()
				return
			}
			defer answer.Body.Close()
			b, _ := io.ReadAll(answer.Body) // what is missing shows
			total <- answer.Proto + " " + string(b)
		}()
		for i := range byte(3) {
			if _, err := send.Write([]byte{i}); err != nil {
				t.Fatal(err)
			}
			if b := <-got; b != i {
				t.Errorf("byte %d = %d", i, b)
			}
		}
		_ = send.Close()
		want := "HTTP/1.1 3"
		if strings.HasPrefix(url, "https") {
			want = "HTTP/2.0 3"
		}
		if n := <-total; n != want {
			t.Errorf("PUT %s = %q, want %q", url, n, want)
		}
	}
}

// TestClaim_FailsOnAFormerTable is the moment between reading the table and counting the request: who drains an upstream
// relies on it.
func TestClaim_FailsOnAFormerTable(t *testing.T) {
	b := newBoard(time.Now)
	b.replace(one("old:80"))
	l := b.live.Load()
	r := l.find("a.test", "/")
	b.replace(one("new:80"))
	if b.claim(l, r) || r.flight.n.Load() != 0 {
		t.Errorf("a claim on a former table holds, or is counted: %d", r.flight.n.Load())
	}
}
