package standin_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/smtp"
	"strings"
	"testing"
	"time"

	"github.com/strake-dev/strake/internal/offline/standin"
)

// postbox is a stand-in for mail: where it takes messages, and where it shows them.
type postbox struct {
	t    *testing.T
	smtp string
	page string
}

// mailRoom is how many bytes of messages the stand-in of a test keeps.
const mailRoom = 1 << 20

func newPostbox(t *testing.T) postbox {
	t.Helper()
	m := standin.NewMail(standin.MailOptions{Most: mailRoom, Now: time.Now, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- m.ServeSMTP(t.Context(), l) }()
	server := httptest.NewServer(m)
	t.Cleanup(func() { // t.Context has ended
		server.Close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return postbox{t, l.Addr().String(), server.URL}
}

func (p postbox) send(auth smtp.Auth, to []string, lines ...string) {
	p.t.Helper()
	if err := smtp.SendMail(p.smtp, auth, "app@example.com", to, []byte(strings.Join(lines, "\r\n"))); err != nil {
		p.t.Fatal(err)
	}
}

// list is what /api/messages says.
func (p postbox) list() []caught {
	p.t.Helper()
	var all []caught
	_, text, _ := ask(p.t, "GET", p.page+"/api/messages", "")
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		p.t.Fatalf("%v: %s", err, text)
	}
	return all
}

// caught is a message as programs see it.
type caught struct {
	ID                        int
	From, Subject, Text, HTML string
	To                        []string
	Attachments               []struct {
		Name, Type string
		Size       int
	}
	Problem string
}

// letterInParts has a text, HTML with a picture of its own, and an attachment.
var letterInParts = []string{"From: =?utf-8?q?J=C3=B6tline?= <app@example.com>", "To: ada@example.com", "Subject: =?utf-8?b?R3LDvMOfZQ==?=", "MIME-Version: 1.0",
	"Content-Type: multipart/mixed; boundary=m", "", "--m", "Content-Type: multipart/related; boundary=r", "", "--r", "Content-Type: multipart/alternative; boundary=a", "",
	"--a", "Content-Type: text/plain; charset=iso-8859-1", "Content-Transfer-Encoding: quoted-printable", "", "Gr=FC=DFe & more", "--a",
	"Content-Type: text/html; charset=utf-8", "", `<p>Grüße <img src="cid:logo@x"> <a href="https://example.com/">there</a><script>alert(1)</script></p>`, "--a--", "--r",
	"Content-Type: image/png", "Content-ID: <logo@x>", "Content-Disposition: inline; filename=logo.png", "Content-Transfer-Encoding: base64", "", "iVBORw0KGgo=", "--r--",
	"--m", "Content-Type: text/csv; name=x", `Content-Disposition: attachment; filename*=utf-8''%C3%BC%2F..%2Fx.csv`, "", "a,b", "--m--", ""}

func TestMail_ShowsWhatIsSent(t *testing.T) {
	p := newPostbox(t)
	if _, text, _ := ask(t, "GET", p.page, ""); !strings.Contains(text, "No mail yet") {
		t.Errorf("the page without mail says %.300s", text)
	}
	p.send(nil, []string{"ada@example.com"}, "Subject: first", "", "hello")
	p.send(nil, []string{"ada@example.com", "hidden@example.com"}, letterInParts...)
	all := p.list()
	if len(all) != 2 || all[1].Subject != "first" || all[1].From != "app@example.com" || all[0].Subject != "Grüße" || all[0].From != "Jötline <app@example.com>" ||
		strings.Join(all[0].To, " ") != "ada@example.com hidden@example.com" || all[0].HTML != "" {
		t.Fatalf("the list is %+v, want Grüße and first", all)
	}
	at := fmt.Sprintf("%s/m/%d", p.page, all[0].ID)
	var one caught
	_, text, _ := ask(t, "GET", fmt.Sprintf("%s/api/messages/%d", p.page, all[0].ID), "")
	if err := json.Unmarshal([]byte(text), &one); err != nil {
		t.Fatal(err)
	}
	if one.Text != "Grüße & more" || !strings.Contains(one.HTML, "cid:logo@x") || one.Problem != "" || len(one.Attachments) != 2 || one.Attachments[1].Name != "ü/../x.csv" {
		t.Errorf("the message is %+v", one)
	}
	if _, text, _ := ask(t, "GET", p.page, ""); !strings.Contains(text, "Grüße &amp; more") || !strings.Contains(text, "📎 2") || strings.Contains(text, "No mail yet") {
		t.Errorf("the list shows %s", text[strings.Index(text, "<main>"):])
	}
	_, text, h := ask(t, "GET", at, "")
	if !strings.Contains(text, `sandbox="allow-popups allow-popups-to-escape-sandbox"`) || !strings.Contains(text, "Jötline &lt;app@example.com&gt;") || strings.Contains(text, "alert(1)") ||
		!strings.Contains(h.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("the page of the message is %s", text[strings.Index(text, "<main>"):])
	}
	_, text, h = ask(t, "GET", at+"/html", "")
	if policy := h.Get("Content-Security-Policy"); !strings.HasPrefix(policy, "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'") || !strings.Contains(text, `src="data:image/png;base64,iVBORw0KGgo="`) {
		t.Errorf("its HTML is %s under %s", text, policy)
	}
	_, text, h = ask(t, "GET", at+"/part/1", "")
	if got := h.Get("Content-Disposition"); text != "a,b" || !strings.HasPrefix(got, "attachment;") || strings.Contains(got, "%2F") || h.Get("Content-Type") != "application/octet-stream" {
		t.Errorf("its attachment is %q, %s, %s", text, got, h.Get("Content-Type"))
	}
	if _, text, _ := ask(t, "GET", at+"/raw", ""); !strings.HasPrefix(text, "From: =?utf-8?q?J=C3=B6tline?=") {
		t.Errorf("its source is %.100s", text)
	}
	for _, path := range []string{"/m/99", "/m/x", "/m/1/part/0", "/api/messages/99", "/x"} {
		if status, _, _ := ask(t, "GET", p.page+path, ""); status != 404 {
			t.Errorf("%s = %d, want 404", path, status)
		}
	}
}

// loginAuth signs in as many libraries do.
type loginAuth struct{}

func (loginAuth) Start(*smtp.ServerInfo) (string, []byte, error) { return "LOGIN", nil, nil }
func (loginAuth) Next(from []byte, more bool) ([]byte, error) {
	if more {
		return from, nil
	}
	return nil, nil
}

func TestMail_TakesAnyNameAndPassword(t *testing.T) {
	p := newPostbox(t)
	host, _, _ := net.SplitHostPort(p.smtp)
	p.send(smtp.PlainAuth("", "name", "password", host), []string{"a@b.c"}, "Subject: plain", "", "x")
	p.send(loginAuth{}, []string{"a@b.c"}, "Subject: login", "", "x")
	if all := p.list(); len(all) != 2 {
		t.Errorf("caught are %+v, want 2", all)
	}
}

func TestMail_ReadsCharacterSets(t *testing.T) {
	p := newPostbox(t)
	for charset, text := range map[string]string{"iso-8859-15": "\xa4", "windows-1252": "\x80", "CP1252": "\x80", "utf-8": "€"} {
		p.send(nil, []string{"a@b.c"}, fmt.Sprintf("Subject: =?%s?b?%s?=", charset, base64.StdEncoding.EncodeToString([]byte(text))), "Content-Type: text/plain; charset="+charset, "", text)
	}
	p.send(nil, []string{"a@b.c"}, "Subject: €", "Content-Type: text/plain; charset=us-ascii", "", "€") // as it is often said
	for _, one := range p.list() {
		if one.Text != "€" || one.Subject != "€" {
			t.Errorf("text %q and subject %q, want €", one.Text, one.Subject)
		}
	}
}

func TestMail_ShowsWhatItCannotRead(t *testing.T) {
	p := newPostbox(t)
	p.send(nil, []string{"a@b.c"}, "Subject: cut", "Content-Type: multipart/mixed; boundary=m", "", "--m", "Content-Type: text/plain", "", "begin")
	p.send(nil, []string{"a@b.c"}, "Subject: =?klingon?q?x?=", "Content-Type: text/plain; charset=klingon", "", "body")
	p.send(nil, []string{"a@b.c"}, "no head at all")
	p.send(nil, []string{"a@b.c"}, "", "only a body")
	all := p.list()
	if len(all) != 4 {
		t.Fatalf("caught are %d, want 4", len(all))
	}
	for _, one := range all {
		if status, _, _ := ask(t, "GET", fmt.Sprintf("%s/m/%d", p.page, one.ID), ""); status != 200 {
			t.Errorf("the page of %q = %d", one.Subject, status)
		}
	}
	if status, _, _ := ask(t, "GET", p.page, ""); status != 200 {
		t.Errorf("the list = %d", status)
	}
}

func TestMail_RemovesForItsOwnPageAlone(t *testing.T) {
	p := newPostbox(t)
	for range 3 {
		p.send(nil, []string{"a@b.c"}, "Subject: x", "", "x")
	}
	clear := func(site, body string) int {
		r, err := http.NewRequestWithContext(t.Context(), "POST", p.page+"/clear", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", site)
		answer, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close() // nothing is in it
		return answer.StatusCode
	}
	if status := clear("cross-site", ""); status != 403 || len(p.list()) != 3 {
		t.Errorf("another page's request = %d, %d are left, want 403 and 3", status, len(p.list()))
	}
	if status := clear("same-origin", fmt.Sprint("id=", p.list()[0].ID)); status != 303 || len(p.list()) != 2 {
		t.Errorf("removing one = %d, %d are left, want 303 and 2", status, len(p.list()))
	}
	if status, _, _ := ask(t, "DELETE", p.page+"/api/messages", ""); status != 204 || len(p.list()) != 0 {
		t.Errorf("removing all = %d, %d are left", status, len(p.list()))
	}
}

func TestMail_KeepsTheNewest(t *testing.T) {
	p := newPostbox(t)
	body := strings.Repeat(strings.Repeat("A", 76)+"\r\n", mailRoom/5/78+1)
	for i := range 8 { // of a little more than a fifth each, as they have heads
		p.send(nil, []string{"a@b.c"}, fmt.Sprint("Subject: ", i), "", body)
	}
	all := p.list()
	if len(all) != 4 || all[0].Subject != "7" || all[3].Subject != "4" {
		t.Errorf("kept are %d, want the 4 newest", len(all))
	}
	c, err := smtp.Dial(p.smtp)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() // only asked
	if err := c.Hello("test"); err != nil {
		t.Fatal(err)
	}
	id, err := c.Text.Cmd("MAIL FROM:<a@b.c> SIZE=%d", 64<<20)
	if err != nil {
		t.Fatal(err)
	}
	c.Text.StartResponse(id)
	defer c.Text.EndResponse(id)
	if _, _, err := c.Text.ReadResponse(250); err == nil || !strings.HasPrefix(err.Error(), "552") {
		t.Errorf("a message of 64 MiB: %v, want 552", err)
	}
}

// TestMail_AnswersOnlyItsOwnNames: a page elsewhere whose name is made to lead to this machine reads no mail.
func TestMail_AnswersOnlyItsOwnNames(t *testing.T) {
	for host, want := range map[string]int{"127.0.0.1:8025": 200, "[::1]:8025": 200, "localhost": 200, "mail--shop.localhost:7080": 200, "mail:8025": 200,
		"evil.example.com": http.StatusMisdirectedRequest, "localhost.evil.com:8025": http.StatusMisdirectedRequest} {
		for _, any := range []bool{false, true} {
			m := standin.NewMail(standin.MailOptions{AnyHost: any, Now: time.Now, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
			r := httptest.NewRequest(http.MethodGet, "/api/messages", nil)
			r.Host = host
			w := httptest.NewRecorder()
			m.ServeHTTP(w, r)
			if any {
				want = http.StatusOK
			}
			if w.Code != want {
				t.Errorf("GET of %s with AnyHost %v = %d, want %d", host, any, w.Code, want)
			}
		}
	}
}
