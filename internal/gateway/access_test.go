package gateway

import (
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestServe_TellsTheServiceWhoAsks(t *testing.T) {
	g := start(t, Options{HTTPS: "127.0.0.1:0"})
	var seen http.Header
	var host string
	table := one(backend(t, func(_ http.ResponseWriter, r *http.Request) { seen, host = r.Header.Clone(), r.Host }))
	table.Stacks[0].NoIndex = true
	g.set(table)
	forged := []string{"X-Forwarded-For", "6.6.6.6", "X-Forwarded-Proto", "gopher", "X-Forwarded-Host", "evil", "X-Forwarded-Port", "1",
		"X-Forwarded-User", "admin", "X-Forwarded-Prefix", "/evil", "Forwarded", "for=6.6.6.6", "X-Real-Ip", "6.6.6.6",
		"Cookie", "a=1; strake-x=2; __Secure-strake-y=3; b=4", "Authorization", "Bearer mine"}
	for address, want := range map[string][3]string{
		"http://a.test:7080/": {"a.test:7080", "http", "7080"},
		"http://a.test/":      {"a.test", "http", "80"},
		"https://a.test/":     {"a.test", "https", "443"},
	} {
		got := g.get(address, forged...)
		for name, value := range map[string]string{"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Host": want[0], "X-Forwarded-Proto": want[1],
			"X-Forwarded-Port": want[2], "X-Forwarded-User": "", "X-Forwarded-Prefix": "", "Forwarded": "", "X-Real-Ip": "",
			"Cookie": "a=1; b=4", "Authorization": "Bearer mine"} {
			if v := strings.Join(seen.Values(name), "|"); v != value {
				t.Errorf("%s: the service saw %s %q, want %q", address, name, v, value)
			}
		}
		if host != want[0] {
			t.Errorf("%s: the service saw Host %q, want %q", address, host, want[0])
		}
		if v := got.Header.Get("X-Robots-Tag"); v != "noindex" {
			t.Errorf("%s: X-Robots-Tag %q, want noindex", address, v)
		}
	}
	table.Stacks[0].NoIndex = false
	g.set(table)
	if got := g.get("http://a.test/"); got.Header.Get("X-Robots-Tag") != "" {
		t.Error("a local stack is kept from search engines, want not")
	}
}

func TestServe_KeepsStacksApart(t *testing.T) {
	g := start(t, Options{})
	table := Table{
		Routes: []Route{{Host: "a.test", Stack: "a", Upstream: backend(t, says("a"))}, {Host: "b.test", Stack: "b", Upstream: backend(t, says("b"))}},
		Stacks: []Stack{{Name: "a", State: Ready, Networks: []netip.Prefix{netip.MustParsePrefix("127.0.2.0/24")}},
			{Name: "b", State: Ready, Networks: []netip.Prefix{netip.MustParsePrefix("127.0.3.0/24")}, Access: Access{Mode: ByLink, Key: make([]byte, 32)}}},
	}
	g.set(table)
	for _, c := range []struct {
		at, host string
		want     int
	}{
		{"127.0.0.1", "a.test", 200}, {"127.0.0.1", "b.test", 403}, {"127.0.0.1", "c.test", 404},
		{"127.0.2.1", "a.test", 200}, {"127.0.2.1", "b.test", 403}, {"127.0.2.1", "c.test", 403},
		{"127.0.3.1", "b.test", 200}, {"127.0.3.1", "a.test", 403},
	} {
		if got := g.do(g.client(c.at), http.MethodGet, "http://"+c.host+"/", ""); got.StatusCode != c.want {
			t.Errorf("GET %s at %s = %d %q, want %d", c.host, c.at, got.StatusCode, got.body, c.want)
		}
	}
	if got := g.do(g.client("127.0.2.1"), http.MethodGet, "http://b.test/", "", browser()...); got.Header.Get(StateHeader) != "forbidden" || strings.Contains(got.body, "b.test") {
		t.Errorf("the page for a foreign host = %s %q, want one that does not name it", got.Header.Get(StateHeader), got.body)
	}
}

func TestOrigin(t *testing.T) {
	b := newBoard(time.Now)
	b.replace(Table{Stacks: []Stack{{Name: "a", State: Ready, Networks: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/24")}}},
		Published: []netip.Prefix{netip.MustParsePrefix("10.9.0.0/24")}})
	for _, c := range []struct {
		local, remote, from string
		allowed             bool
	}{
		{"10.1.0.2", "10.1.0.3", "a", true},
		{"10.9.0.2", "10.1.0.3", "a", true}, // by the way of a port that the host publishes
		{"10.9.0.2", "1.2.3.4", "", true},
		{"127.0.0.1", "127.0.0.1", "", true},
		{"10.2.0.2", "10.2.0.3", "", false}, // a network that the table does not know yet
	} {
		s, allowed := b.live.Load().origin(netip.MustParseAddr(c.local), netip.MustParseAddr(c.remote))
		name := ""
		if s != nil {
			name = s.Name
		}
		if name != c.from || allowed != c.allowed {
			t.Errorf("origin(%s, %s) = %q, %v, want %q, %v", c.local, c.remote, name, allowed, c.from, c.allowed)
		}
	}
}

// linked is a table with two stacks that links open.
func linked(t *testing.T) (Table, []byte) {
	key := []byte(strings.Repeat("k", 32))
	up := backend(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "in "+r.URL.RequestURI()+r.Header.Get("Cookie"))
	})
	access := Access{Mode: ByLink, Key: key}
	return Table{Routes: []Route{{Host: "pr-1.s.test", Stack: "s-1", Upstream: up}, {Host: "api--pr-1.s.test", Stack: "s-1", Upstream: up}, {Host: "pr-2.s.test", Stack: "s-2", Upstream: up}},
		Stacks: []Stack{{Name: "s-1", State: Ready, Title: "secret title", Access: access}, {Name: "s-2", State: Ready, Access: access}}}, key
}

func TestServe_OpensWithALink(t *testing.T) {
	g := start(t, Options{HTTPS: "127.0.0.1:0"})
	table, key := linked(t)
	g.set(table)
	soon := time.Now().Add(time.Hour)
	token := SignLink(key, "s-1", soon)
	for name, link := range map[string]string{"none": "", "tampered": token[:len(token)-2] + "xx", "longer": SignLink(key, "s-1", soon.Add(1e12))[:7] + token[7:],
		"of another stack": SignLink(key, "s-2", soon), "over": SignLink(key, "s-1", time.Now().Add(-time.Second)),
		"of another key": SignLink([]byte(strings.Repeat("x", 32)), "s-1", soon), "rubbish": "%00.%ff", "empty key": SignLink(nil, "s-1", soon)} {
		got := g.get("http://pr-1.s.test/?"+LinkParam+"="+link, browser()...)
		if got.StatusCode != http.StatusForbidden || strings.Contains(got.body, "secret") || !strings.Contains(got.body, "signed link") && !strings.Contains(got.body, "This link") {
			t.Errorf("link %s: %d %q, want 403 and how to get one", name, got.StatusCode, got.body)
		}
	}
	for _, scheme := range []string{"http", "https"} {
		got := g.get(scheme+"://pr-1.s.test//deep?a=1&"+LinkParam+"="+token+"&b=2", browser()...)
		if want := scheme + "://pr-1.s.test//deep?a=1&b=2"; got.StatusCode != http.StatusSeeOther || got.Header.Get("Location") != want {
			t.Fatalf("a good link = %d to %s, want 303 to %s", got.StatusCode, got.Header.Get("Location"), want)
		}
		c := got.Cookies()[0]
		if !c.HttpOnly || c.Secure != (scheme == "https") || c.Domain != "s.test" || c.MaxAge < 3590 || c.MaxAge > 3600 {
			t.Errorf("cookie = %v, want it HttpOnly, of the stack's domain, for an hour", c)
		}
		cookie := c.Name + "=" + c.Value
		if got := g.get(scheme+"://api--pr-1.s.test/x", "Cookie", cookie+"; own=1"); got.body != "in /xown=1" {
			t.Errorf("with the cookie = %d %q, want in, without it", got.StatusCode, got.body)
		}
		for name, bad := range map[string]string{"tampered": cookie + "x", "of another stack": cookieName("s-2", scheme == "https") + "=" + c.Value, "a link's token": c.Name + "=" + token} {
			host := "pr-1.s.test"
			if name == "of another stack" {
				host = "pr-2.s.test"
			}
			if got := g.get(scheme+"://"+host+"/", "Cookie", bad); got.StatusCode != http.StatusForbidden {
				t.Errorf("cookie %s = %d, want 403", name, got.StatusCode)
			}
		}
	}
	if got := g.get("http://pr-1.s.test/x?"+LinkParam+"="+token+"&c=3", "User-Agent", "curl/8"); got.body != "in /x?c=3" {
		t.Errorf("a call with a link = %d %q, want in, without the token", got.StatusCode, got.body)
	}
	preflight := []string{"Origin", "http://pr-1.s.test", "Access-Control-Request-Method", "POST"}
	if got := g.do(g.client("127.0.0.1"), http.MethodOptions, "http://api--pr-1.s.test/", "", preflight...); got.StatusCode != http.StatusOK {
		t.Errorf("a preflight = %d, want 200 from the service", got.StatusCode)
	}
	if log := g.log.String(); strings.Contains(log, token) {
		t.Errorf("the log tells a token: %s", log)
	}
}

func TestServe_OpensWithAPassword(t *testing.T) {
	hash, err := HashPassword("sesame")
	if err != nil {
		t.Fatal(err)
	}
	g := start(t, Options{})
	table := one(backend(t, says("in")))
	table.Stacks[0].Access = Access{Mode: ByPassword, Hash: hash, Key: []byte(strings.Repeat("k", 32))}
	g.set(table)
	if got := g.get("http://a.test/deep", browser()...); got.StatusCode != http.StatusUnauthorized || !strings.Contains(got.body, `type="password"`) || !strings.Contains(got.body, `value="/deep"`) {
		t.Errorf("without the password = %d %q, want 401 and the form", got.StatusCode, got.body)
	}
	if got := g.get("http://a.test/", "Accept", "application/json"); got.StatusCode != http.StatusUnauthorized || !strings.Contains(got.body, `"state":"locked"`) {
		t.Errorf("a call without the password = %d %q, want 401 as JSON", got.StatusCode, got.body)
	}
	login := func(password, to string) reply {
		form := url.Values{"password": {password}, "to": {to}}.Encode()
		return g.do(g.client("127.0.0.1"), http.MethodPost, "http://a.test"+loginPath, form, "Content-Type", "application/x-www-form-urlencoded")
	}
	for to, want := range map[string]string{"/deep?x=1": "http://a.test/deep?x=1", "//evil.test": "http://a.test//evil.test", "http://evil.test": "http://a.test/", "": "http://a.test/"} {
		got := login("sesame", to)
		if got.StatusCode != http.StatusSeeOther || got.Header.Get("Location") != want || len(got.Cookies()) != 1 {
			t.Fatalf("the password, to %q = %d to %q, want 303 to %q", to, got.StatusCode, got.Header.Get("Location"), want)
		}
		if c := got.Cookies()[0]; g.get("http://a.test/", "Cookie", c.Name+"="+c.Value).body != "in" {
			t.Error("the cookie does not open, want it to")
		}
	}
	cookie := login("sesame", "/").Cookies()[0]
	for range 10 {
		if got := login("wrong", "/"); got.StatusCode != http.StatusUnauthorized || len(got.Cookies()) != 0 {
			t.Fatalf("a wrong password = %d, want 401", got.StatusCode)
		}
	}
	if got := login("sesame", "/"); got.StatusCode != http.StatusTooManyRequests || got.Header.Get("Retry-After") == "" {
		t.Errorf("after 10 wrong passwords = %d, want 429", got.StatusCode)
	}
	if table.Stacks[0].Access.Hash, err = HashPassword("other"); err != nil {
		t.Fatal(err)
	}
	g.set(table)
	if got := g.get("http://a.test/", "Cookie", cookie.Name+"="+cookie.Value); got.StatusCode != http.StatusUnauthorized {
		t.Errorf("the cookie of a former password = %d, want 401", got.StatusCode)
	}
}

// TestServe_HeedsWhoAsksWithACookie: for a browser all previews are one site, so that a page of another one sends the cookie too.
func TestServe_HeedsWhoAsksWithACookie(t *testing.T) {
	g := start(t, Options{})
	table, key := linked(t)
	g.set(table)
	cookie := g.get("http://pr-1.s.test/?"+LinkParam+"="+SignLink(key, "s-1", time.Now().Add(time.Hour)), browser()...).Cookies()[0]
	for _, c := range []struct {
		name, method string
		header       []string
		want         int
	}{
		{"a form of its own", http.MethodPost, []string{"Origin", "http://pr-1.s.test"}, http.StatusOK},
		{"another host of its own", http.MethodPost, []string{"Origin", "http://api--pr-1.s.test"}, http.StatusOK},
		{"a form that does not say from where", http.MethodPost, []string{"Origin", "null", "Sec-Fetch-Site", "same-origin"}, http.StatusOK},
		{"a program", http.MethodPost, nil, http.StatusOK},
		{"a link on another preview", http.MethodGet, []string{"Origin", "http://pr-2.s.test"}, http.StatusOK},
		{"a form of another preview", http.MethodPost, []string{"Origin", "http://pr-2.s.test", "Sec-Fetch-Site", "same-site"}, http.StatusForbidden},
		{"one that hides from where", http.MethodPost, []string{"Origin", "null", "Sec-Fetch-Site", "same-site"}, http.StatusForbidden},
		{"a WebSocket of another preview", http.MethodGet, []string{"Origin", "http://pr-2.s.test", "Upgrade", "websocket"}, http.StatusForbidden},
	} {
		got := g.do(g.client("127.0.0.1"), c.method, "http://api--pr-1.s.test/", "", append(c.header, "Cookie", cookie.Name+"="+cookie.Value)...)
		if got.StatusCode != c.want {
			t.Errorf("%s = %d, want %d", c.name, got.StatusCode, c.want)
		}
	}
}
