//go:build lab

package offline

import (
	"net/url"
	"slices"
	"testing"

	"github.com/strake-dev/strake/fixtures/lab"
)

// TestBrowse_FindsWhatOnlyABrowserAsksFor: an address that a script puts together stands in no file.
func TestBrowse_FindsWhatOnlyABrowserAsksFor(t *testing.T) {
	at := site(t, map[string]string{
		"/":       "<link rel=stylesheet href=/s.css><p class=x>x</p><script src=https://cdn.example.com/a.js></script>\n<script src=/app.js></script><a href=/plain>plain</a>",
		"/s.css":  "@font-face{font-family:f;src:url(https://fonts.example.com/f.woff2)} .x{font-family:f}",
		"/app.js": "const host = ['track', 'example', 'com'].join('.'); setTimeout(() => fetch('https://' + host + '/v1?x=' + 1), 2000); fetch('/own')",
		"/plain":  "<p>nothing</p>",
	})
	r, err := Pages(t.Context(), []*url.URL{at}, PagesOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := Browse(t.Context(), lab.Chromium(t), &r, []string{"fonts.example.com"}); err != nil {
		t.Fatal(err)
	}
	want := []string{"/:0 request track.example.com", "/:1 script src cdn.example.com", "/s.css:1 url() fonts.example.com"}
	if got := told(r, at); !slices.Equal(got, want) || slices.ContainsFunc(r.Resources, func(one Resource) bool { return !one.Asked }) || len(r.Wanted()) != 2 {
		t.Errorf("Browse = %+v, want %q, all of them asked for and two not allowed", r.Resources, want)
	}
}
