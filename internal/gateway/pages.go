package gateway

import (
	"bytes"
	"crypto/rand"
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

//go:embed page.html
var pageText string

// answer is what the gateway says in place of a service.
type answer struct {
	status int
	state  string // for StateHeader
	retry  int    // Retry-After in seconds; 0: none
	stack  *stack // nil: none that the visitor may know of
	title  string // for a person
	text   string // for a person; one sentence or two
	short  string // for a program
	lines  bool   // show the stack's lines
	watch  bool   // the page follows the stack's progress, and loads again when its state changes
	form   bool   // the page asks for the password
	wrong  string // what was wrong with the last one
	again  bool   // the page offers to try again
}

// stateOf says why a stack that is not ready has no service to show.
func stateOf(s *stack) answer {
	a := answer{status: http.StatusServiceUnavailable, state: string(s.State), retry: 5, stack: s, watch: true,
		short: s.Name + " is " + string(s.State)}
	switch s.State {
	case Asleep, Waking:
		a.state, a.retry = string(Waking), 2
		a.title, a.text = "Waking up", "Nobody was here for a while, so it went to sleep. It will be back in a moment, with all its data."
		a.short = s.Name + " is waking up"
	case Opening:
		a.lines = true
		a.title, a.text = "Opening", "It is being made ready. This page shows it as soon as it is."
	case Failed:
		a.lines, a.retry = true, 60
		a.title, a.text = "It did not start", "The last attempt to open it failed. A new push tries again."
	case Closing:
		a.status, a.watch = http.StatusGone, false
		a.title, a.text = "Closing", "It is being closed and its data removed."
	default:
		a.status, a.watch, a.retry = http.StatusGone, false, 0
		a.title, a.text = "Closed", "It was closed, and what it had is removed."
		a.short = s.Name + " is closed"
	}
	return a
}

// unreachable says that a ready stack's service does not answer.
func unreachable(s *stack) answer {
	return answer{status: http.StatusBadGateway, state: "unreachable", stack: s, again: true, title: "No answer",
		text: "It is running, but the service behind this address does not answer.", short: "the service of " + s.Name + " does not answer"}
}

// forbidden says that a stack asked for what is not its own. Whether that exists it does not say.
func forbidden() answer {
	return answer{status: http.StatusForbidden, state: "forbidden", title: "Not from here",
		text: "A service may ask the gateway only for its own stack's addresses.", short: "this address is not of your stack"}
}

// unknown says that no route has this host.
func unknown(host string) answer {
	what := "There is nothing at this address."
	if host != "" {
		what = "There is nothing at " + host + "."
	}
	return answer{status: http.StatusNotFound, state: "unknown", title: "Nothing here",
		text: what + " It may have been closed, or its name may be written differently.", short: "no such host"}
}

// noPage says that the gateway has no such page of its own.
func noPage(s *stack) answer {
	return answer{status: http.StatusNotFound, state: "unknown", stack: s, title: "Nothing here",
		text: "The gateway has no such page.", short: "no such page"}
}

// locked says what a visitor needs to get in. It tells nothing of the stack.
func locked(s *stack, r *http.Request, wrong string) answer {
	a := answer{status: http.StatusForbidden, state: "locked", title: "By invitation", short: "access needs a signed link"}
	switch {
	case s.Access.Mode == ByPassword:
		a.status, a.form, a.wrong = http.StatusUnauthorized, true, wrong
		a.title, a.text, a.short = "Password", "This address is not open to everybody.", "access needs a password"
	case r.URL.Query().Get(LinkParam) != "":
		a.text = "This link has ended, or is not whole. Ask whoever sent it for a new one; “strake preview url” makes one."
	default:
		a.text = "This address opens with a signed link. Ask a member of the project for one; “strake preview url” makes it."
	}
	return a
}

// answer sends a: as a page to who looks at one, else as JSON or a line of text.
func (p *proxy) answer(w http.ResponseWriter, r *http.Request, a answer) {
	h := w.Header()
	h.Del("Server")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Robots-Tag", "noindex")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set(StateHeader, a.state)
	if a.retry > 0 {
		h.Set("Retry-After", strconv.Itoa(a.retry))
	}
	if isPage(r) || a.form && r.Method == http.MethodPost {
		p.page(w, r, a)
		return
	}
	if strings.Contains(r.Header.Get("Accept"), "json") || strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
		h.Set("Content-Type", "application/json")
		w.WriteHeader(a.status)
		_ = json.NewEncoder(w).Encode(map[string]string{"error": a.short, "state": a.state}) // the visitor has gone
		return
	}
	h.Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(a.status)
	fmt.Fprintln(w, a.short)
}

// page is what page.html is filled with.
type page struct {
	Title, Text, State, Name, Commit, URL, Wrong, To, Nonce string
	Lines                                                   []string
	Watch, Form, Again                                      bool
}

func (p *proxy) page(w http.ResponseWriter, r *http.Request, a answer) {
	data := page{Title: a.title, Text: a.text, State: a.state, Wrong: a.wrong, Form: a.form, Again: a.again,
		Watch: a.watch && isPerson(r), Nonce: rand.Text(), To: r.URL.RequestURI()}
	if a.form && r.Method == http.MethodPost {
		data.To = r.PostFormValue("to")
	}
	if s := a.stack; s != nil {
		data.Name, data.Commit, data.URL = s.Name, s.Commit, s.URL
		if s.Title != "" {
			data.Name = s.Title
		}
		if a.lines {
			data.Lines = s.Lines
		}
	}
	var b bytes.Buffer
	if err := p.pages.Execute(&b, data); err != nil {
		p.Log.Error("page not made", "why", err)
		http.Error(w, a.short, a.status)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Content-Security-Policy", "default-src 'none'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors *; "+
		"style-src 'nonce-"+data.Nonce+"'; script-src 'nonce-"+data.Nonce+"'")
	w.WriteHeader(a.status)
	_, _ = w.Write(b.Bytes()) // the visitor has gone
}
