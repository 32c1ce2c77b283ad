package offline

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// site is an application of a few files.
func site(t *testing.T, files map[string]string) *url.URL {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, ok := files[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		kind := "text/html; charset=utf-8"
		switch {
		case strings.HasSuffix(r.URL.Path, ".css"):
			kind = "text/css"
		case strings.HasSuffix(r.URL.Path, ".js"):
			kind = "text/javascript"
		case strings.HasSuffix(r.URL.Path, ".png"):
			kind = "image/png"
		}
		w.Header().Set("Content-Type", kind)
		fmt.Fprint(w, text)
	}))
	t.Cleanup(s.Close)
	u, err := url.Parse(s.URL + "/")
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// told are the resources of a report as path:line kind host, of a site.
func told(r PagesReport, at *url.URL) []string {
	var all []string
	for _, one := range r.Resources {
		all = append(all, fmt.Sprintf("%s:%d %s %s", strings.TrimPrefix(one.File, strings.TrimSuffix(at.String(), "/")), one.Line, one.Kind, one.Host))
	}
	return all
}

func TestPages_FindsWhatABrowserLoadsFromElsewhere(t *testing.T) {
	for _, c := range []struct {
		name, page string
		want       []string
	}{
		{"a script", "<p>\n<script src='https://cdn.example.com/a.js'></script>", []string{"/:2 script src cdn.example.com"}},
		{"without a scheme, over lines", "<script\n async\n src=//cdn.example.com/a.js></script>", []string{"/:3 script src cdn.example.com"}},
		{"a style sheet and an icon", `<link rel="stylesheet" href="https://a.example/x.css"><link rel="shortcut icon" href="https://b.example/i">`,
			[]string{"/:1 link href a.example", "/:1 link href b.example"}},
		{"pictures of several sizes", `<img srcset="https://a.example/1 1x, https://b.example/2 2x" src=/own.png>`, []string{"/:1 img srcset a.example", "/:1 img srcset b.example"}},
		{"a frame, a film and its poster", "<iframe src=https://a.example></iframe>\n<video src=https://b.example/v poster=https://c.example/p></video>",
			[]string{"/:1 iframe src a.example", "/:2 video src b.example", "/:2 video poster c.example"}},
		{"a base", "<base href=https://a.example/x/><img src=y.png>", []string{"/:1 img src a.example"}},
		{"styles in the page", "<style>\n@import 'https://a.example/x.css';\nb{background:url(https://b.example/y.png)}</style><p style=\"background:url('https://c.example/z')\">",
			[]string{"/:2 @import a.example", "/:3 url() b.example", "/:3 url() c.example"}},
		{"an import map", "<script type=importmap>{\"imports\":\n{\"x\":\"https://a.example/x.js\"}}</script>", []string{"/:2 importmap a.example"}},
		{"scripts in the page", "<script type=module>\nimport 'https://a.example/x.js'\nconst y = await import(\"https://b.example/y.js\")\nfetch(`https://c.example/z`)\n</script>",
			[]string{"/:2 import a.example", "/:3 import b.example", "/:4 fetch c.example"}},
		{"an element that a script makes", "<script>\nvar s=document.createElement('script');\ns.src='https://a.example/tag.js';document.head.append(s)\nnew WebSocket('wss://b.example/')\n" +
			"navigator.sendBeacon(\"https://c.example/\",1)\nnew XMLHttpRequest().open('GET','https://d.example/')</script>",
			[]string{"/:3 .src a.example", "/:4 WebSocket b.example", "/:5 sendBeacon c.example", "/:6 XMLHttpRequest d.example"}},
		{"a drawing", `<svg><use xlink:href="https://a.example/s.svg#x"/></svg>`, []string{"/:1 use xlink:href a.example"}},
		{"nothing", `<html xmlns="http://www.w3.org/1999/xhtml"><link rel=canonical href=https://a.example><a href=https://b.example>elsewhere</a>
			<!-- <script src=https://c.example></script> --><svg xmlns="http://www.w3.org/2000/svg"></svg><script type="application/ld+json">{"@context":"https://schema.org"}</script>
			<script>const ns = "http://www.w3.org/2000/svg"; location.href = "https://d.example"; /* fetch("https://e.example") */ window.open("https://f.example")</script>
			<form action="https://g.example"></form><img src="data:image/png;base64,AAAA"><img src="http://api.localhost:7080/x"><input value="https://h.example">
			<style>@namespace url(http://www.w3.org/1999/xhtml); /* url(https://i.example) */ b{background:url(data:image/png;base64,AA)}</style>`, nil},
	} {
		at := site(t, map[string]string{"/": c.page})
		r, err := Pages(t.Context(), []*url.URL{at}, PagesOptions{})
		if err != nil || !slices.Equal(sorted(told(r, at)), sorted(c.want)) {
			t.Errorf("%s: Pages = %q, %v, want %q", c.name, told(r, at), err, c.want)
		}
	}
}

func sorted(all []string) []string { return slices.Sorted(slices.Values(all)) }

func TestPages_WalksTheApplicationsOwnFiles(t *testing.T) {
	at := site(t, map[string]string{
		"/":           `<link rel=stylesheet href=/style.css><script src=app.js></script><a href=/second>2</a><a href=/logout>out</a><a href=/gone>gone</a><a href=//other.example/>o</a>`,
		"/style.css":  "@import \"more.css\";\n@font-face{src:url(https://fonts.example/f.woff2)}",
		"/more.css":   "b{background:url(\"https://img.example/x.png\")}",
		"/app.js":     "import './part.js'",
		"/part.js":    "// a part\nfetch('https://api.example/v1')",
		"/second":     `<a href=/>1</a><img src=https://img.example/y.png>`,
		"/logout":     `<img src=https://never.example/>`,
		"/unfinished": "",
	})
	r, err := Pages(t.Context(), []*url.URL{at}, PagesOptions{Allow: []string{"*.example.com", "img.example"}})
	want := []string{"/more.css:1 url() img.example", "/part.js:2 fetch api.example", "/second:1 img src img.example", "/style.css:2 url() fonts.example"}
	if err != nil || !slices.Equal(sorted(told(r, at)), want) {
		t.Errorf("Pages = %q, %v, want %q", told(r, at), err, want)
	}
	if len(r.Pages) != 2 || r.Files != 4 || len(r.Unread) != 1 || !strings.Contains(r.Unread[0].Why, "404") || len(r.Wanted()) != 2 {
		t.Errorf("Pages read %q and %d files, not %v, and %d are not allowed; want 2, 4, that one is gone, and 2", r.Pages, r.Files, r.Unread, len(r.Wanted()))
	}
	if r, err := Pages(t.Context(), []*url.URL{at}, PagesOptions{Most: 2}); err != nil || !r.More {
		t.Errorf("Pages of at most 2 files = %+v, %v, want that there are more", r, err)
	}
	nobody := *at
	nobody.Path = "/nothing"
	if _, err := Pages(t.Context(), []*url.URL{&nobody}, PagesOptions{}); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("Pages of what is not there = %v, want that it answers 404", err)
	}
}

// TestRequestsIn_LeavesOutTheBrowsersOwn: what Chromium 156 logged, cut to what counts.
func TestRequestsIn_LeavesOutTheBrowsersOwn(t *testing.T) {
	const log = `{"constants":{"logEventTypes":{"URL_REQUEST_START_JOB":108,"REQUEST_ALIVE":2}},"events":[
		{"type":108,"params":{"url":"http://127.0.0.1/","initiator":"not an origin"}},{"type":2,"params":{"url":"https://x.example/"}},
		{"type":108,"params":{"url":"https://cdn.example/a.js","initiator":"http://127.0.0.1"}},{"type":108,"params":{"url":"https://update.example/","initiator":"not an origin"}}]}`
	if got, err := requestsIn([]byte(log)); err != nil || !slices.Equal(got, []string{"https://cdn.example/a.js"}) {
		t.Errorf("requestsIn = %q, %v, want what the page asked for", got, err)
	}
	for _, wrong := range []string{"", "{}", "{\"constants\":{}"} {
		if _, err := requestsIn([]byte(wrong)); err == nil {
			t.Errorf("requestsIn(%q) = nil, want an error", wrong)
		}
	}
}
