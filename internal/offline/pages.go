package offline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Resource is one thing that a browser loads from elsewhere than the application. Its JSON names are stable.
type Resource struct {
	File  string `json:"file"`           // the URL of the page, style sheet or script that names it
	Line  int    `json:"line,omitempty"` // in File, from 1; 0 where it is not known
	Kind  string `json:"kind"`           // what names it: "script src", "link href", "url()", "@import", "import", "fetch", … or "request"
	URL   string `json:"url"`
	Host  string `json:"host"`            // without a port
	Asked bool   `json:"asked,omitempty"` // a browser asked for it
	// Allowed is whether x-strake.offline.allow names its host.
	Allowed bool `json:"allowed,omitempty"`
}

// Unread is a file of the application's own that could not be looked at.
type Unread struct {
	File string `json:"file"`
	Why  string `json:"why"`
}

// PagesReport is what a walk found. Its JSON names are stable.
type PagesReport struct {
	Pages     []string   `json:"pages"`     // that were read, in the order of the walk
	Files     int        `json:"files"`     // style sheets and scripts that were read
	Resources []Resource `json:"resources"` // sorted by file and line
	Unread    []Unread   `json:"unread"`
	Browser   string     `json:"browser,omitempty"` // the program that drove the pages; "" for none
	More      bool       `json:"more,omitempty"`    // there are pages beyond Most, which were not looked at
}

// PagesOptions say how far a walk goes. The zero value is a walk of 200 files with a client of its own.
type PagesOptions struct {
	Client *http.Client      // nil: one that waits for 10 s; its redirects are not followed
	Header map[string]string // sent with each request
	Most   int               // files that are read at most; 0 is 200
	Allow  []string          // hosts, or *.example.com for all below one, that may be loaded from
}

const (
	mostFiles   = 200
	mostBytes   = 8 << 20 // of one file
	pagePatient = 10 * time.Second
)

// Pages reads pages from where it is told to begin, and all that they lead to at the same origins: pages, style sheets and scripts. It asks
// nobody else. A page that cannot be read is in Unread; where none of the first can be, that is the error.
func Pages(ctx context.Context, begin []*url.URL, o PagesOptions) (PagesReport, error) {
	w := &walk{o: o, client: o.Client, seen: map[string]bool{}, origins: map[string]bool{}}
	w.report = PagesReport{Pages: []string{}, Resources: []Resource{}, Unread: []Unread{}}
	if w.client == nil {
		w.client = &http.Client{Timeout: pagePatient, Transport: &http.Transport{DialContext: dialLocal}}
	}
	client := *w.client
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	w.client = &client
	for _, u := range begin {
		w.origins[originOf(u)] = true
		w.follow(u)
	}
	for len(w.queue) > 0 && ctx.Err() == nil {
		u := w.queue[0]
		w.queue = w.queue[1:]
		if w.report.Files+len(w.report.Pages) >= cmp.Or(o.Most, mostFiles) {
			w.report.More = true
			break
		}
		if err := w.read(ctx, u); err != nil {
			w.report.Unread = append(w.report.Unread, Unread{u.String(), err.Error()})
		}
	}
	if err := context.Cause(ctx); err != nil {
		return w.report, err
	}
	if len(w.report.Pages) == 0 && len(w.report.Unread) > 0 {
		return w.report, fmt.Errorf("read %s: %s", w.report.Unread[0].File, w.report.Unread[0].Why)
	}
	w.report.finish(o.Allow)
	return w.report, nil
}

// dialLocal dials, and knows that names below localhost are this machine's, as browsers do and not every resolver. Source: RFC 6761, 6.3.
func dialLocal(ctx context.Context, network, address string) (net.Conn, error) {
	if host, port, err := net.SplitHostPort(address); err == nil && strings.HasSuffix(strings.TrimSuffix(host, "."), ".localhost") {
		address = net.JoinHostPort("127.0.0.1", port)
	}
	return new(net.Dialer).DialContext(ctx, network, address)
}

// finish sorts what was found, each once.
func (r *PagesReport) finish(allow []string) {
	slices.SortFunc(r.Resources, func(a, b Resource) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.URL, b.URL), cmp.Compare(a.Kind, b.Kind))
	})
	r.Resources = slices.CompactFunc(r.Resources, func(a, b Resource) bool {
		return a.File == b.File && a.Line == b.Line && a.URL == b.URL && a.Kind == b.Kind
	})
	for i := range r.Resources {
		r.Resources[i].Allowed = isAllowed(r.Resources[i].Host, allow)
	}
}

// Wanted is what is loaded from elsewhere and not allowed.
func (r *PagesReport) Wanted() []Resource {
	return slices.DeleteFunc(slices.Clone(r.Resources), func(one Resource) bool { return one.Allowed })
}

// isAllowed is whether a host is one of those named, or below one that is written as *.example.com.
func isAllowed(host string, allow []string) bool {
	return slices.ContainsFunc(allow, func(a string) bool {
		below, wild := strings.CutPrefix(a, "*.")
		return strings.EqualFold(a, host) || wild && strings.HasSuffix(strings.ToLower(host), "."+strings.ToLower(below))
	})
}

// walk is one run of Pages.
type walk struct {
	o       PagesOptions
	client  *http.Client
	origins map[string]bool // whose files are the application's own
	queue   []*url.URL
	seen    map[string]bool
	report  PagesReport
}

// follow puts a file of the application's own into the queue.
func (w *walk) follow(u *url.URL) {
	plain := *u
	plain.Fragment, plain.RawFragment = "", ""
	if w.origins[originOf(&plain)] && !w.seen[plain.String()] {
		w.seen[plain.String()] = true
		w.queue = append(w.queue, &plain)
	}
}

// read looks at one file.
func (w *walk) read(ctx context.Context, u *url.URL) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "text/html,*/*")
	for k, v := range w.o.Header {
		req.Header.Set(k, v)
	}
	answer, err := w.client.Do(req)
	if err != nil {
		var asked *url.Error
		if errors.As(err, &asked) {
			err = asked.Err // the URL is said beside it
		}
		return err
	}
	defer answer.Body.Close() // only read
	if to, err := answer.Location(); err == nil {
		f := &file{walk: w, url: u, base: u}
		f.add("redirect", to.String(), 0)
		w.follow(to)
		return nil
	}
	if answer.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("it answers %s", answer.Status)
	}
	kind, _, err := mime.ParseMediaType(answer.Header.Get("Content-Type"))
	if err != nil {
		return nil // without a type a browser shows it, and loads nothing for it
	}
	text, err := io.ReadAll(io.LimitReader(answer.Body, mostBytes+1))
	if err != nil {
		return err
	}
	if len(text) > mostBytes {
		return fmt.Errorf("it is larger than %d MiB", mostBytes>>20)
	}
	f := &file{walk: w, url: u, base: u}
	switch kind {
	case "text/html", "application/xhtml+xml":
		w.report.Pages = append(w.report.Pages, u.String())
		return f.html(text)
	case "text/css":
		w.report.Files++
		f.css(text, 1)
	case "text/javascript", "application/javascript", "application/x-javascript":
		w.report.Files++
		return f.js(text, 1)
	}
	return nil
}

// file is one file of the application's own that is looked at.
type file struct {
	*walk
	url, base *url.URL
}

// add notes what the file names at a line, by what it names it: loaded from elsewhere, or to be looked at too.
func (f *file) add(kind, ref string, line int) {
	u, err := f.base.Parse(strings.TrimSpace(ref))
	if err != nil {
		return // a browser does not load it either
	}
	switch u.Scheme {
	case "http", "https", "ws", "wss":
	default:
		return
	}
	switch {
	case f.origins[originOf(u)]:
		if u.Scheme == "http" || u.Scheme == "https" {
			f.follow(u)
		}
	case !isHere(u.Hostname()):
		f.report.Resources = append(f.report.Resources, Resource{File: f.url.String(), Line: line, Kind: kind, URL: u.String(), Host: u.Hostname()})
	}
}

// originOf is a URL's origin, of a WebSocket that of its page.
func originOf(u *url.URL) string {
	scheme := u.Scheme
	switch scheme {
	case "ws":
		scheme = "http"
	case "wss":
		scheme = "https"
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[scheme]
	}
	return scheme + "://" + net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

// isHere is whether a host is this machine by its name, as all other services of a stack are. Source: RFC 6761, section 6.3.
func isHere(host string) bool {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	ip := net.ParseIP(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || ip != nil && (ip.IsLoopback() || ip.IsUnspecified())
}
