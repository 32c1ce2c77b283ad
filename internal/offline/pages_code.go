package offline

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/tdewolff/parse/v2"
	"github.com/tdewolff/parse/v2/css"
	"github.com/tdewolff/parse/v2/js"
)

// css looks at a style sheet that begins at a line of the file.
func (f *file) css(text []byte, line int) {
	z := css.NewLexer(parse.NewInputBytes(slices.Clone(text)))
	rule, function := "", false // the at-rule whose head this is, and whether url( was opened
	for {
		token, raw := z.Next()
		switch token {
		case css.ErrorToken:
			return
		case css.AtKeywordToken:
			rule = strings.ToLower(string(raw))
		case css.SemicolonToken, css.LeftBraceToken:
			rule, function = "", false
		case css.FunctionToken:
			function = strings.EqualFold(string(raw), "url(")
		case css.URLToken:
			if rule != "@namespace" { // it is a name and not an address
				f.add("url()", strings.Trim(strings.TrimSpace(string(raw[len("url("):len(raw)-1])), `"'`), line)
			}
		case css.StringToken:
			switch {
			case rule == "@import":
				f.add("@import", strings.Trim(string(raw), `"'`), line)
			case function && rule != "@namespace":
				f.add("url()", strings.Trim(string(raw), `"'`), line)
			}
		}
		line += bytes.Count(raw, []byte("\n"))
	}
}

// js looks at a script that begins at a line of the file. One that is no JavaScript is an error: a browser does not run it.
func (f *file) js(text []byte, line int) error {
	in := parse.NewInputBytes(slices.Clone(text))
	ast, err := js.Parse(in, js.Options{})
	if err != nil {
		what, _, _ := strings.Cut(err.Error(), "\n")
		return fmt.Errorf("the script at line %d: %s", line, what)
	}
	js.Walk(&script{file: f, text: in.Bytes(), line: line, said: map[string]int{}}, ast)
	return nil
}

// script looks for what a script loads.
type script struct {
	*file
	text []byte
	line int
	said map[string]int // by literal: behind the last one that was noted
}

// callers load what their first argument names; XMLHttpRequest.open its second.
var callers = []string{"fetch", "importScripts", "sendBeacon", "WebSocket", "EventSource", "Worker", "SharedWorker"}

// Enter looks at a node.
func (s *script) Enter(n js.INode) js.IVisitor {
	switch n := n.(type) {
	case *js.ImportStmt:
		s.literal("import", n.Module)
	case *js.ExportStmt:
		s.literal("import", n.Module)
	case *js.CallExpr:
		s.call(calledName(n.X), n.Args.List)
	case *js.NewExpr:
		if n.Args != nil {
			s.call(calledName(n.X), n.Args.List)
		}
	case *js.BinaryExpr: // element.src = "…"
		if dot, ok := n.X.(*js.DotExpr); ok && n.Op == js.EqToken && slices.Contains([]string{"src", "href"}, nameOf(dot.Y)) && nameOf(dot.X) != "location" {
			s.address("."+nameOf(dot.Y), n.Y)
		}
	}
	return s
}

// Exit is called when a node is done.
func (s *script) Exit(js.INode) {}

// call looks at a call of a function by its name.
func (s *script) call(name string, args []js.Arg) {
	switch {
	case len(args) == 0:
	case name == "import" || slices.Contains(callers, name):
		s.address(name, args[0].Value)
	case name == "open" && len(args) > 1 && isMethod(args[0].Value):
		s.address("XMLHttpRequest", args[1].Value)
	case name == "setAttribute" && len(args) > 1 && slices.Contains([]string{`"src"`, `'src'`}, textOf(args[0].Value)):
		s.address(".src", args[1].Value)
	}
}

// address notes an expression that is a literal address of another origin; what a path leads to is not followed, as it may change things.
func (s *script) address(kind string, e js.IExpr) {
	if text := textOf(e); strings.Contains(text, "//") {
		s.literal(kind, []byte(text))
	}
}

// literal notes a string literal as it is written.
func (s *script) literal(kind string, written []byte) {
	if len(written) < 2 {
		return
	}
	from := s.said[string(written)]
	at := from + max(0, bytes.Index(s.text[from:], written)) // the tree does not say where; of several that are equal this is the next
	s.said[string(written)] = min(at+len(written), len(s.text))
	ref := strings.Trim(string(written), "\"'`")
	if kind == "import" && !strings.HasPrefix(ref, ".") && !strings.HasPrefix(ref, "/") && !strings.Contains(ref, "://") {
		return // the name of a module
	}
	s.add(kind, ref, s.line+bytes.Count(s.text[:at], []byte("\n")))
}

// calledName is the last name of what is called.
func calledName(e js.IExpr) string {
	if dot, ok := e.(*js.DotExpr); ok {
		return nameOf(dot.Y)
	}
	return nameOf(e)
}

// nameOf is an expression's name, "" if it is more than one.
func nameOf(e js.IExpr) string {
	switch e := e.(type) {
	case *js.Var:
		return string(e.Name())
	case js.LiteralExpr:
		return string(e.Data)
	case *js.LiteralExpr:
		return string(e.Data)
	}
	return ""
}

// textOf is a string literal as it is written, also a template without substitutions.
func textOf(e js.IExpr) string {
	switch e := e.(type) {
	case *js.LiteralExpr:
		if e.TokenType == js.StringToken {
			return string(e.Data)
		}
	case *js.TemplateExpr:
		if len(e.List) == 0 {
			return string(e.Tail)
		}
	}
	return ""
}

// isMethod is whether an expression is a method of HTTP.
func isMethod(e js.IExpr) bool {
	return slices.Contains([]string{"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"}, strings.ToUpper(strings.Trim(textOf(e), "\"'`")))
}
