package gateway

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// sleeper is a controller that only counts.
type sleeper struct {
	woken atomic.Int64
	fails atomic.Bool
}

func (s *sleeper) Wake(_ context.Context, stack string) error {
	if stack != "a" {
		return errors.New("no such stack")
	}
	s.woken.Add(1)
	if s.fails.Load() {
		return errors.New("the engine does not answer")
	}
	return nil
}

func (s *sleeper) Progress(context.Context, string) (Progress, error) {
	return Progress{State: Waking, Lines: []string{"start db"}}, nil
}

// control runs w as the controller of g until the test ends.
func (g *testGateway) control(w Waker) {
	ctx, cancel := context.WithCancel(g.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- ServeWaker(ctx, g.dir, w) }()
	g.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			g.t.Errorf("ServeWaker = %v, want nil", err)
		}
	})
	eventually(g.t, "controller", func() bool {
		_, err := dialWaker(g.dir).Progress(g.t.Context(), "a")
		return err == nil
	})
}

// asleep is one's table with the stack asleep.
func asleep(upstream string) Table {
	table := one(upstream)
	table.Stacks[0].State = Asleep
	return table
}

func TestServe_WakesForAPage(t *testing.T) {
	g := start(t, Options{})
	w := new(sleeper)
	g.control(w)
	up := backend(t, says("in"))
	g.set(asleep(up))
	for range 3 {
		got := g.get("http://a.test/deep", browser()...)
		if got.StatusCode != http.StatusServiceUnavailable || got.Header.Get("Retry-After") == "" || !strings.Contains(got.body, "Waking up") || !strings.Contains(got.body, progressPath) {
			t.Errorf("a page of a sleeper = %d %q, want 503 and the waking page", got.StatusCode, got.body)
		}
	}
	if n := w.woken.Load(); n != 1 {
		t.Errorf("woken %d times for 3 pages, want once", n)
	}
	if got := g.get("http://a.test" + progressPath); got.body != `{"state":"waking","lines":["start db"]}`+"\n" {
		t.Errorf("progress = %q", got.body)
	}
	g.set(one(up))
	if got := g.get("http://a.test" + progressPath); got.body != `{"state":"ready"}`+"\n" {
		t.Errorf("progress = %q, want ready", got.body)
	}
	g.set(asleep(up))
	g.get("http://a.test/", browser()...)
	if n := w.woken.Load(); n != 2 {
		t.Errorf("woken %d times in two sleeps, want twice", n)
	}
}

func TestServe_HoldsCallsUntilAwake(t *testing.T) {
	g := start(t, Options{})
	w := new(sleeper)
	g.control(w)
	up := backend(t, func(rw http.ResponseWriter, r *http.Request) { says("in "+r.Method)(rw, r) })
	g.set(asleep(up))
	var wg sync.WaitGroup
	c := g.client("127.0.0.1")
	for range 10 {
		wg.Go(func() {
			if got := g.do(c, http.MethodPost, "http://a.test/api", "body"); got.body != "in POST" {
				t.Errorf("a held call = %d %q, want in", got.StatusCode, got.body)
			}
		})
	}
	eventually(t, "wake", func() bool { return w.woken.Load() > 0 })
	table := asleep(up)
	table.Stacks[0].State = Waking
	g.set(table)
	g.set(one(up))
	wg.Wait()
	if n := w.woken.Load(); n != 1 {
		t.Errorf("woken %d times for 10 calls, want once", n)
	}
}

func TestServe_EndsAHoldInTime(t *testing.T) {
	g := start(t, Options{Hold: 50 * time.Millisecond})
	w := new(sleeper)
	g.control(w)
	g.set(asleep(""))
	got := g.get("http://a.test/api", "Accept", "application/json")
	if got.StatusCode != http.StatusServiceUnavailable || got.Header.Get("Retry-After") == "" || !strings.Contains(got.body, `"state":"waking"`) {
		t.Errorf("a call of one that does not wake = %d %q, want 503 with Retry-After", got.StatusCode, got.body)
	}
}

func TestServe_WakesAgainAfterAFailure(t *testing.T) {
	now := time.Now()
	var late atomic.Int64
	g := start(t, Options{Now: func() time.Time { return now.Add(time.Duration(late.Load())) }})
	w := new(sleeper)
	w.fails.Store(true)
	g.control(w)
	g.set(asleep(""))
	g.get("http://a.test/", browser()...)
	w.fails.Store(false)
	late.Store(int64(2 * time.Second))
	g.get("http://a.test/", browser()...)
	g.get("http://a.test/", browser()...)
	if n := w.woken.Load(); n != 2 {
		t.Errorf("woken %d times, want a second time after the failed one", n)
	}
}

func TestServe_SleepsOnForMachines(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var late atomic.Int64
	g := start(t, Options{Now: func() time.Time { return at.Add(time.Duration(late.Load())) }})
	w := new(sleeper)
	g.control(w)
	g.set(asleep(""))
	late.Store(int64(time.Hour))
	for _, agent := range []string{"Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)", "Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)",
		"facebookexternalhit/1.1", "Twitterbot/1.0", "WhatsApp/2.23.20.0", "TelegramBot (like TwitterBot)", "LinkedInBot/1.0", "kube-probe/1.30",
		"ELB-HealthChecker/2.0", "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"} {
		got := g.get("http://a.test/", "User-Agent", agent, "Accept", "text/html")
		if got.StatusCode != http.StatusServiceUnavailable || strings.Contains(got.body, "<script") || !strings.Contains(got.body, "og:title") {
			t.Errorf("%s = %d %q, want 503 and a short page", agent, got.StatusCode, got.body)
		}
	}
	g.get("http://a.test/", browser(ProbeHeader, "dashboard")...)
	g.get("http://a.test/", browser("Sec-Purpose", "prefetch")...)
	g.get("http://a.test/healthz", "User-Agent", "curl/8.5.0")
	if n, v := w.woken.Load(), g.visit("a"); n != 0 || !v.Last.Equal(at) {
		t.Errorf("after machines: woken %d times, last visit %v, want never and %v", n, v.Last, at)
	}
	g.get("http://a.test/", browser()...)
	if n, v := w.woken.Load(), g.visit("a"); n != 1 || !v.Last.Equal(at.Add(time.Hour)) {
		t.Errorf("after a person: woken %d times, last visit %v, want once and %v", n, v.Last, at.Add(time.Hour))
	}
}

func TestServe_SaysWhyThereIsNoService(t *testing.T) {
	g := start(t, Options{})
	for state, want := range map[State]int{Opening: 503, Failed: 503, Closing: 410, Gone: 410} {
		table := one("")
		table.Stacks[0] = Stack{Name: "a", State: state, Title: "Pull request 42", Commit: "0123abc", Lines: []string{"panic: <b>no</b>"}}
		g.set(table)
		got := g.get("http://a.test/", browser()...)
		for _, text := range []string{"Pull request 42", "0123abc"} {
			if got.StatusCode != want || got.Header.Get(StateHeader) != string(state) || !strings.Contains(got.body, text) {
				t.Errorf("%s = %d %s %q, want %d with %s", state, got.StatusCode, got.Header.Get(StateHeader), got.body, want, text)
			}
		}
		if shown := strings.Contains(got.body, "panic: &lt;b&gt;no&lt;/b&gt;"); shown != (state == Opening || state == Failed) {
			t.Errorf("%s: the lines are shown: %v", state, shown)
		}
		if got := g.get("http://a.test/"); got.StatusCode != want || strings.Contains(got.body, "<") {
			t.Errorf("a call to %s = %d %q, want %d and a line of text", state, got.StatusCode, got.body, want)
		}
	}
	g.set(one("127.0.0.1:1"))
	if got := g.get("http://a.test/?secret=1", browser("Cookie", "secret=1")...); got.StatusCode != http.StatusBadGateway || !strings.Contains(got.body, "does not answer") {
		t.Errorf("an upstream that is down = %d %q, want 502 and a page", got.StatusCode, got.body)
	}
	if log := g.log.String(); !strings.Contains(log, "service not reached") || strings.Contains(log, "secret") {
		t.Errorf("log = %s, want it to tell of the upstream, without the query", log)
	}
}
