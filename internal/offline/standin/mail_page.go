package standin

import (
	"bytes"
	"crypto/rand"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

//go:embed mail.html
var mailText string

// mailView is what mail.html is filled with: the list, or one message.
type mailView struct {
	Nonce  string
	List   []letter
	Letter *letter
	Newest int // the number of the newest message, for the page to see that there is another
}

// handler routes the pages and the documents.
func (m *Mail) handler() http.Handler {
	page := template.Must(template.New("mail").Funcs(template.FuncMap{"size": sizeText, "ago": func(t time.Time) string { return agoText(m.Now().Sub(t)) },
		"join": func(s []string) string { return strings.Join(s, ", ") }, "stamp": func(t time.Time) string { return t.Format(time.RFC3339) }}).Parse(mailText))
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+HealthPath, func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { m.render(w, page, mailView{List: m.letters()}) })
	mux.HandleFunc("GET /api/messages", func(w http.ResponseWriter, _ *http.Request) {
		all := m.letters()
		writeJSON(w, all)
	})
	mux.HandleFunc("DELETE /api/messages", func(w http.ResponseWriter, _ *http.Request) { m.drop(""); w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("POST /clear", func(w http.ResponseWriter, r *http.Request) {
		m.drop(r.FormValue("id"))
		http.Redirect(w, r, "/", http.StatusSeeOther)
	})
	one := func(pattern string, show func(http.ResponseWriter, *http.Request, message)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			found, ok := m.message(r.PathValue("id"))
			if !ok {
				http.Error(w, "no such message", http.StatusNotFound)
				return
			}
			show(w, r, found)
		})
	}
	one("GET /m/{id}", func(w http.ResponseWriter, _ *http.Request, one message) {
		l := one.read()
		m.render(w, page, mailView{Letter: &l})
	})
	one("GET /api/messages/{id}", func(w http.ResponseWriter, _ *http.Request, one message) { writeJSON(w, one.read()) })
	one("GET /m/{id}/html", func(w http.ResponseWriter, _ *http.Request, one message) { writeHTML(w, one.read().shown()) })
	one("GET /m/{id}/raw", func(w http.ResponseWriter, _ *http.Request, one message) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write(one.raw) // the reader has gone
	})
	one("GET /m/{id}/part/{n}", writePart)
	return http.NewCrossOriginProtection().Handler(mux) // what another page of the browser sends changes nothing here
}

// ServeHTTP shows what was caught. All of it is for programs too: /api/messages, /api/messages/{id}.
func (m *Mail) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !m.AnyHost && !isOwnHost(r.Host) {
		http.Error(w, "ask at localhost", http.StatusMisdirectedRequest)
		return
	}
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	m.pages.ServeHTTP(w, r)
}

// isOwnHost is whether a Host header names this machine or a service of the stack: an address, localhost or below it, or a single label.
func isOwnHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.Trim(host, "[]"), ".")
	_, err := netip.ParseAddr(host)
	return err == nil || !strings.Contains(host, ".") || strings.HasSuffix(strings.ToLower(host), ".localhost")
}

// letters are all messages as the list shows them, the newest first; of their texts it is the beginning.
func (m *Mail) letters() []letter {
	all := []letter{}
	for _, one := range m.messages() {
		all = append(all, one.summary)
	}
	return all
}

// render fills the page. It may load nothing but what it has from here.
func (m *Mail) render(w http.ResponseWriter, page *template.Template, v mailView) {
	v.Nonce = rand.Text()
	if len(v.List) > 0 {
		v.Newest = v.List[0].ID
	}
	var b bytes.Buffer
	if err := page.Execute(&b, v); err != nil {
		m.Log.Error("page not made", "why", err)
		http.Error(w, "the page was not made", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; connect-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; "+
		"style-src 'nonce-"+v.Nonce+"'; script-src 'nonce-"+v.Nonce+"'")
	_, _ = w.Write(b.Bytes()) // the reader has gone
}

// writeHTML writes what somebody else wrote: it runs nothing, asks nobody, and its links open beside it.
func writeHTML(w http.ResponseWriter, text string) {
	const sandbox = "allow-popups allow-popups-to-escape-sandbox"
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "sandbox "+sandbox+"; default-src 'none'; img-src data:; font-src data:; style-src 'unsafe-inline'; form-action 'none'")
	_, _ = fmt.Fprint(w, `<!doctype html><base target="_blank">`, text) // the reader has gone
}

// writePart sends an attachment, as a file that no browser opens by itself.
func writePart(w http.ResponseWriter, r *http.Request, one message) {
	n, err := strconv.Atoi(r.PathValue("n"))
	parts := one.read().Parts
	if err != nil || n < 0 || n >= len(parts) {
		http.Error(w, "no such attachment", http.StatusNotFound)
		return
	}
	p := parts[n]
	name := strings.Map(func(c rune) rune {
		if c < ' ' || slices.Contains([]rune(`/\`), c) {
			return '_'
		}
		return c
	}, p.Name)
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": name}))
	w.Header().Set("Content-Security-Policy", "sandbox; default-src 'none'")
	_, _ = w.Write(p.body) // the reader has gone
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	_ = e.Encode(v) // the reader has gone
}

// sizeText is a size for people.
func sizeText(n int) string {
	switch {
	case n < 1<<10:
		return fmt.Sprint(n, " B")
	case n < 1<<20:
		return fmt.Sprintf("%d KiB", (n+1<<9)>>10)
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}

// agoText is a span that has passed, for people.
func agoText(d time.Duration) string {
	switch {
	case d < time.Minute:
		return "now"
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 24*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d d", int(d.Hours()/24))
}
