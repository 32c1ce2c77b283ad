package compose

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/template"
	"go.yaml.in/yaml/v4"

	"github.com/strake-dev/strake/compose/regex"
)

// place is a line of a file of the project; the zero value is nowhere.
type place struct {
	file string // as Finding has it
	line int
}

func (p place) split() (string, int) { return p.file, p.line }

// places finds where things stand in a project's files, each of which it reads once.
type places struct {
	p        *Project
	files    []sourceFile // later ones win
	envFiles map[string][]envFile
	texts    map[string][]byte
}

// newPlaces parses the compose files of a project.
func newPlaces(p *Project) *places {
	l := &places{p: p, envFiles: map[string][]envFile{}, texts: map[string][]byte{}}
	if p.sources != nil {
		l.files = p.sources.all()
		slices.Reverse(l.files)
	}
	return l
}

// shown is a file's name as findings have it.
func (l *places) shown(file string) string {
	if file == stdinName {
		return file
	}
	if rel, err := filepath.Rel(l.p.WorkingDir, file); err == nil && filepath.IsLocal(rel) {
		return filepath.ToSlash(rel)
	}
	return file
}

// of is where a path stands, or the nearest above it that is written; of a service also where what it extends says it.
func (l *places) of(path ...string) place {
	for n := len(path); n > 0; n-- {
		if at := l.exactly(path[:n]); at.line > 0 {
			return at
		}
	}
	return place{}
}

// exactly is where a path stands, and nowhere if it is not written.
func (l *places) exactly(path []string) place {
	at := place{}
	l.each(path, func(f sourceFile, n *yaml.Node) bool {
		at = place{l.shown(f.name), n.Line}
		return true
	}, true)
	return at
}

// each calls look for the node that a path leads to in each file that has it, the one that wins first, until it returns true; key asks for the
// key's node instead of the value's. What a service extends comes after it.
func (l *places) each(path []string, look func(sourceFile, *yaml.Node) bool, key bool) {
	names := []string{""}
	if len(path) > 2 && path[0] == "services" {
		names = l.bases(path[1])
	}
	for _, name := range names {
		if name != "" {
			path = slices.Concat([]string{"services", name}, path[2:])
		}
		for _, f := range l.files {
			n := find(f.root, path, key)
			for n != nil && n.Kind == yaml.AliasNode && !key {
				n = n.Alias
			}
			if n != nil && look(f, n) {
				return
			}
		}
	}
}

// bases are a service and those that it extends.
func (l *places) bases(service string) []string {
	all := []string{service}
	for i := 0; i < len(all) && i < 8; i++ {
		for _, f := range l.files {
			e := child(child(child(f.root, "services"), all[i]), "extends")
			if s := child(e, "service"); s != nil {
				e = s
			}
			if e != nil && e.Kind == yaml.ScalarNode && !slices.Contains(all, e.Value) {
				all = append(all, e.Value)
			}
		}
	}
	return all
}

// entry is the entry of a list at a path that has a text in it, or the path's own place.
func (l *places) entry(text string, path ...string) place {
	at := place{}
	l.each(path, func(f sourceFile, list *yaml.Node) bool {
		for _, item := range list.Content {
			if mentions(item, text) {
				at = place{l.shown(f.name), item.Line}
				return true
			}
		}
		return false
	}, false)
	if at.line == 0 {
		return l.of(path...)
	}
	return at
}

// mentions is whether a text stands in a node or below it.
func mentions(n *yaml.Node, text string) bool {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n.Kind == yaml.ScalarNode && strings.Contains(n.Value, text) ||
		n.Kind == yaml.MappingNode && slices.ContainsFunc(n.Content, func(c *yaml.Node) bool { return c.Kind == yaml.ScalarNode && c.Value == text })
}

// variable is where a service's variable is set: in environment, else in its env files, the last of which wins.
func (l *places) variable(service, name string) place {
	at := place{}
	path := []string{"services", service, "environment"}
	l.each(path, func(f sourceFile, n *yaml.Node) bool {
		if _, key := entry(n, name); key != nil {
			at = place{l.shown(f.name), key.Line}
			return true
		}
		for _, item := range n.Content {
			if n.Kind == yaml.SequenceNode && (item.Value == name || strings.HasPrefix(item.Value, name+"=")) {
				at = place{l.shown(f.name), item.Line}
				return true
			}
		}
		return false
	}, false)
	if at.line > 0 {
		return at
	}
	for _, f := range l.envFilesOf(service) {
		if line := f.lines[name]; line > 0 {
			return place{l.shown(f.name), line}
		}
	}
	return l.of(path...)
}

// envFile is a file of variables and the line of each.
type envFile struct {
	name  string
	lines map[string]int
}

var envFileLine = regex.New(`^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_.-]*)\s*[=:]`)

// envFilesOf are the env files of a service that are there, the one that wins first.
func (l *places) envFilesOf(service string) []envFile {
	if known, ok := l.envFiles[service]; ok {
		return known
	}
	var all []envFile
	add := func(f sourceFile, n *yaml.Node) {
		if path := child(n, "path"); path != nil {
			n = path
		}
		if n.Kind != yaml.ScalarNode {
			return
		}
		name, err := template.SubstituteWithOptions(n.Value, l.p.sources.env.Resolve, template.WithoutLogging)
		if err != nil {
			return // Load said so
		}
		for _, dir := range []string{l.p.WorkingDir, filepath.Dir(f.name)} { // an included file's are below its own folder
			file := name
			if !filepath.IsAbs(file) {
				file = filepath.Join(dir, file)
			}
			if text := l.text(file); text != nil {
				all = append(all, envFile{file, linesOf(text)})
				return
			}
		}
	}
	l.each([]string{"services", service, "env_file"}, func(f sourceFile, n *yaml.Node) bool {
		if n.Kind != yaml.SequenceNode {
			add(f, n)
			return false
		}
		for _, item := range slices.Backward(n.Content) {
			add(f, item)
		}
		return false
	}, false)
	l.envFiles[service] = all
	return all
}

// linesOf are the lines of a file of KEY=VALUE, by key; the last counts.
func linesOf(text []byte) map[string]int {
	lines := map[string]int{}
	for i, line := range bytes.Split(text, []byte("\n")) {
		if m := envFileLine.FindSubmatch(line); m != nil {
			lines[string(m[1])] = i + 1
		}
	}
	return lines
}

// largestText is more than any file of settings has.
const largestText = 256 << 10

// text is what a regular file of sane size holds, nil for every other.
func (l *places) text(file string) []byte {
	if known, ok := l.texts[file]; ok {
		return known
	}
	var text []byte
	if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() && info.Size() <= largestText {
		text, _ = os.ReadFile(file) // what cannot be read is not looked at
	}
	l.texts[file] = text
	return text
}
