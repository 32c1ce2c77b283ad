package gateway

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// minKeyBytes is the least size of a key that signs links and cookies.
const minKeyBytes = 16

// passwordSession is how long a password opens a stack for one browser.
const passwordSession = 7 * 24 * time.Hour

// cookiePrefix begins the names of the gateway's cookies; services never see them. Over TLS the name begins with
// __Secure- too: a browser that holds a secure cookie does not let a page without TLS replace one of the same name.
const cookiePrefix = "strake-"

// restricted reports whether not everybody may visit.
func (a Access) restricted() bool { return a.Mode != "" && a.Mode != Public }

// HashPassword is the hash of a password for Access. Passwords of more than 72 bytes are refused, as bcrypt ignores the rest.
func HashPassword(password string) (string, error) {
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.DefaultCost)
	if err != nil {
		return "", fmt.Errorf("hash the password: %w", err)
	}
	return string(hash), nil
}

// SignLink is the value of LinkParam that lets its bearer visit stack until expires, rounded down to seconds. key is that
// of the stack's Access.
func SignLink(key []byte, stack string, expires time.Time) string {
	return sign(key, "link", stack, "", expires)
}

// sign is a token: when it ends, and a code over purpose, stack and secret that only who has key can make.
func sign(key []byte, purpose, stack, secret string, expires time.Time) string {
	end := strconv.FormatInt(expires.Unix(), 36)
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "strake 1\n%q\n%q\n%q\n%s", purpose, stack, secret, end)
	return end + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// signed reports whether token is sign's of the same, and when it ends, if that is later than now.
func signed(token string, key []byte, purpose, stack, secret string, now time.Time) (time.Time, bool) {
	end, _, _ := strings.Cut(token, ".")
	unix, err := strconv.ParseInt(end, 36, 64)
	if err != nil || len(key) < minKeyBytes {
		return time.Time{}, false
	}
	expires := time.Unix(unix, 0)
	ok := hmac.Equal([]byte(token), []byte(sign(key, purpose, stack, secret, expires)))
	return expires, ok && now.Before(expires)
}

// cookieName is the name of the cookie that opens a stack.
func cookieName(stack string, secure bool) string {
	sum := sha256.Sum256([]byte(stack))
	name := cookiePrefix + hex.EncodeToString(sum[:6])
	if secure {
		name = "__Secure-" + name
	}
	return name
}

// stripCookies takes the gateway's cookies out of a request.
func stripCookies(r *http.Request) {
	for i, line := range r.Header["Cookie"] {
		if !strings.Contains(line, cookiePrefix) {
			continue
		}
		var kept []string
		for c := range strings.SplitSeq(line, ";") {
			c = strings.TrimSpace(c)
			if !strings.HasPrefix(strings.TrimPrefix(c, "__Secure-"), cookiePrefix) {
				kept = append(kept, c)
			}
		}
		r.Header["Cookie"][i] = strings.Join(kept, "; ")
	}
	if len(r.Header["Cookie"]) > 0 && strings.Join(r.Header["Cookie"], "") == "" {
		delete(r.Header, "Cookie")
	}
}

// open sets the cookie that opens s until expires.
func (p *proxy) open(w http.ResponseWriter, r *http.Request, s *stack, expires time.Time) {
	http.SetCookie(w, &http.Cookie{Name: cookieName(s.Name, r.TLS != nil), Path: "/", Domain: s.cookieDomain,
		Value:  sign(s.Access.Key, "cookie "+string(s.Access.Mode), s.Name, s.Access.Hash, expires),
		MaxAge: int(expires.Sub(p.Now()) / time.Second), HttpOnly: true, Secure: r.TLS != nil, SameSite: http.SameSiteLaxMode})
}

// permitted reports whether a request may visit s. If not, it is answered.
func (p *proxy) permitted(w http.ResponseWriter, r *http.Request, s *stack, v visit) bool {
	if !s.Access.restricted() {
		return true
	}
	for _, c := range r.CookiesNamed(cookieName(s.Name, r.TLS != nil)) {
		if !p.isOwn(r, s) {
			break
		}
		if _, ok := signed(c.Value, s.Access.Key, "cookie "+string(s.Access.Mode), s.Name, s.Access.Hash, p.Now()); ok {
			return p.withoutToken(w, r, s, v, time.Time{})
		}
	}
	if token := r.URL.Query().Get(LinkParam); token != "" && s.Access.Mode == ByLink {
		if expires, ok := signed(token, s.Access.Key, "link", s.Name, "", p.Now()); ok {
			return p.withoutToken(w, r, s, v, expires)
		}
	}
	switch {
	case isPreflight(r) && s.State == Ready: // it comes without cookies, and what it asks about needs them
		return true
	case s.Access.Mode == ByPassword && r.URL.Path == loginPath:
		p.login(w, r, s, v)
	default:
		p.answer(w, r, locked(s, r, ""))
	}
	return false
}

// isOwn reports whether what a browser sends a cookie with may have been asked for by the visitor or by a page of the stack: for a
// browser, other stacks are the same site, and their pages could change things here or read along over a WebSocket.
// Source: https://fetch.spec.whatwg.org/#append-a-request-origin-header, https://w3c.github.io/webappsec-fetch-metadata/#sec-fetch-site-header
func (p *proxy) isOwn(r *http.Request, s *stack) bool {
	origin, from := r.Header.Get("Origin"), r.Header.Get("Sec-Fetch-Site")
	reads := (r.Method == http.MethodGet || r.Method == http.MethodHead) && r.Header.Get("Upgrade") == ""
	if reads || origin == "" || from == "same-origin" || from == "none" {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && slices.ContainsFunc(p.board.live.Load().hosts[hostOf(u.Host)], func(rt *route) bool { return rt.stack.Name == s.Name })
}

// withoutToken takes a link's token out of the URL, so that no service, history or referrer gets it: a page is sent to the
// clean URL, with a cookie until expires if that is set; a call goes on. It reports whether the request goes on.
func (p *proxy) withoutToken(w http.ResponseWriter, r *http.Request, s *stack, v visit, expires time.Time) bool {
	if s.Access.Mode != ByLink || !strings.Contains(r.URL.RawQuery, LinkParam+"=") {
		return true
	}
	r.URL.RawQuery = withoutParam(r.URL.RawQuery, LinkParam)
	if !v.page || v.machine {
		return true // an unfurler keeps no cookies
	}
	if !expires.IsZero() {
		p.open(w, r, s, expires)
	}
	redirect(w, r, r.URL.RequestURI())
	return false
}

// withoutParam is a query without one parameter; the others stay as they are written.
func withoutParam(query, name string) string {
	var kept []string
	for pair := range strings.SplitSeq(query, "&") {
		key, _, _ := strings.Cut(pair, "=")
		if k, err := url.QueryUnescape(key); err != nil || k != name {
			kept = append(kept, pair)
		}
	}
	return strings.Join(kept, "&")
}

// redirect sends a browser to a path of the host that it asked.
func redirect(w http.ResponseWriter, r *http.Request, path string) {
	scheme := "http://"
	if r.TLS != nil {
		scheme = "https://"
	}
	if !strings.HasPrefix(path, "/") {
		path = "/"
	}
	h := w.Header()
	h.Set("Location", scheme+r.Host+path)
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	w.WriteHeader(http.StatusSeeOther)
}

// loginPath takes the password, as a form: password, and to, the path to go on to.
const loginPath = Reserved + "login"

// login answers a password: with the cookie and the way on, or with the form again.
func (p *proxy) login(w http.ResponseWriter, r *http.Request, s *stack, v visit) {
	if r.Method != http.MethodPost {
		redirect(w, r, "/")
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, 4<<10)
	if !p.wrong.allow(p.Now(), s.Name, v.remote.String()) {
		w.Header().Set("Retry-After", "60")
		a := locked(s, r, "Too many attempts. Wait a minute.")
		a.status = http.StatusTooManyRequests
		p.answer(w, r, a)
		return
	}
	if bcrypt.CompareHashAndPassword([]byte(s.Access.Hash), []byte(r.PostFormValue("password"))) != nil {
		p.answer(w, r, locked(s, r, "That is not the password."))
		return
	}
	p.wrong.forgive(s.Name, v.remote.String())
	p.open(w, r, s, p.Now().Add(passwordSession))
	redirect(w, r, cmp.Or(r.PostFormValue("to"), "/"))
}

// throttle limits wrong passwords: in one minute 10 of one address, and 60 of all, for one stack. Each costs the machine
// some 60 ms of hashing.
type throttle struct {
	mu    sync.Mutex
	until time.Time
	tries map[[2]string]int
}

// allow counts an attempt, unless it is one too many.
func (t *throttle) allow(now time.Time, stack, address string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now.After(t.until) || t.tries == nil {
		t.until, t.tries = now.Add(time.Minute), make(map[[2]string]int)
	}
	one, all := [2]string{stack, address}, [2]string{stack}
	if t.tries[one] >= 10 || t.tries[all] >= 60 {
		return false
	}
	t.tries[one]++
	t.tries[all]++
	return true
}

// forgive takes back an attempt that was right.
func (t *throttle) forgive(stack, address string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tries[[2]string{stack, address}]--
	t.tries[[2]string{stack}]--
}
