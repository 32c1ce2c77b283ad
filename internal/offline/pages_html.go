package offline

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"slices"
	"strings"

	"golang.org/x/net/html"
)

// loading are the attributes by which elements load something. Source: HTML Living Standard, "Attributes" index; SVG 2, xlink:href.
var loading = map[string][]string{
	"script": {"src"}, "img": {"src", "srcset"}, "source": {"src", "srcset"}, "video": {"src", "poster"}, "audio": {"src"}, "track": {"src"},
	"embed": {"src"}, "object": {"data"}, "iframe": {"src"}, "frame": {"src"}, "input": {"src"}, "body": {"background"},
	"image": {"href", "xlink:href"}, "use": {"href", "xlink:href"}, "feimage": {"href", "xlink:href"},
}

// fetchedRels are the kinds of links that a browser follows by itself. Source: HTML Living Standard, "Link types".
var fetchedRels = []string{"stylesheet", "icon", "apple-touch-icon", "mask-icon", "manifest", "preload", "modulepreload", "prefetch", "preconnect", "dns-prefetch"}

// leaving are words in addresses that pages name and a walk does not ask for: it changes nothing.
var leaving = []string{"logout", "log-out", "signout", "sign-out", "delete", "remove"}

// html looks at a page.
func (f *file) html(text []byte) error {
	z := html.NewTokenizer(bytes.NewReader(text))
	line, within, kind := 1, "", ""
	for {
		token := z.Next()
		raw := slices.Clone(z.Raw())
		switch token {
		case html.ErrorToken:
			if z.Err() != io.EOF {
				return z.Err()
			}
			return nil
		case html.StartTagToken, html.SelfClosingTagToken:
			tag := z.Token()
			within, kind = "", ""
			if token == html.StartTagToken {
				within, kind = tag.Data, strings.ToLower(attribute(tag, "type"))
			}
			f.tag(tag, raw, line)
		case html.TextToken:
			f.inline(within, kind, raw, line)
		case html.EndTagToken:
			within = ""
		}
		line += bytes.Count(raw, []byte("\n"))
	}
}

// attribute is the value of a tag's attribute, "" where it has none.
func attribute(t html.Token, name string) string {
	for _, a := range t.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// tag looks at what an element loads, or leads to. raw is as it is written, which begins at a line.
func (f *file) tag(t html.Token, raw []byte, line int) {
	at := func(value string) int {
		if i := bytes.Index(raw, []byte(value)); i > 0 {
			return line + bytes.Count(raw[:i], []byte("\n"))
		}
		return line // it is written with entities
	}
	for _, a := range t.Attr {
		switch {
		case a.Key == "style":
			f.css([]byte(a.Val), at(a.Val))
		case t.Data == "base" && a.Key == "href":
			if u, err := f.url.Parse(a.Val); err == nil {
				f.base = u
			}
		case t.Data == "link" && a.Key == "href" && isFetched(attribute(t, "rel")):
			f.add("link href", a.Val, at(a.Val))
		case (t.Data == "a" || t.Data == "area") && a.Key == "href":
			f.lead(a.Val)
		case t.Data == "input" && attribute(t, "type") != "image":
		case a.Key == "srcset" && slices.Contains(loading[t.Data], "srcset"):
			for _, candidate := range strings.Split(a.Val, ",") {
				if words := strings.Fields(candidate); len(words) > 0 {
					f.add(t.Data+" srcset", words[0], at(words[0]))
				}
			}
		case slices.Contains(loading[t.Data], a.Key):
			f.add(t.Data+" "+a.Key, a.Val, at(a.Val))
		}
	}
}

// isFetched is whether one of a link's rel words is a kind that a browser follows by itself.
func isFetched(rel string) bool {
	return slices.ContainsFunc(strings.Fields(strings.ToLower(rel)), func(word string) bool { return slices.Contains(fetchedRels, word) })
}

// lead follows a link of the application's own.
func (f *file) lead(ref string) {
	u, err := f.base.Parse(strings.TrimSpace(ref))
	if err != nil || slices.ContainsFunc(leaving, func(word string) bool { return strings.Contains(strings.ToLower(u.Path), word) }) {
		return
	}
	f.follow(u)
}

// inline looks at the text of a style or script element.
func (f *file) inline(within, kind string, text []byte, line int) {
	switch {
	case within == "style":
		f.css(text, line)
	case within == "script" && kind == "importmap":
		f.importMap(text, line)
	case within == "script" && slices.Contains([]string{"", "module", "text/javascript", "application/javascript"}, kind):
		if err := f.js(text, line); err != nil {
			f.report.Unread = append(f.report.Unread, Unread{f.url.String(), err.Error()})
		}
	}
}

// importMap looks at where names of modules lead. Source: HTML Living Standard, "Import maps".
func (f *file) importMap(text []byte, line int) {
	var m struct {
		Imports map[string]string
		Scopes  map[string]map[string]string
	}
	if json.Unmarshal(text, &m) != nil {
		return // a browser does not read it either
	}
	for _, one := range slices.AppendSeq([]map[string]string{m.Imports}, maps.Values(m.Scopes)) {
		for _, ref := range one {
			f.add("importmap", ref, line+bytes.Count(text[:max(0, bytes.Index(text, []byte(ref)))], []byte("\n")))
		}
	}
}
