package compose

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/compose-spec/compose-go/v2/interpolation"
	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/template"
	"github.com/compose-spec/compose-go/v2/tree"
	"github.com/compose-spec/compose-go/v2/types"
	"go.yaml.in/yaml/v4"
)

// document is a document of a file as the loader sees it: anchors merged, variables filled in, texts that stand for numbers and
// switches read as such. It is read again where a project does not load, for saying where all that is wrong stands.
type document struct {
	sourceFile
	src      *sources
	order    int // as in position
	value    any // null, a switch, a number (json.Number), a text, a list or a mapping
	problems []problem
	keys     []problem // keys that are no texts: where nothing else is wrong
	casts    map[tree.Path]interpolation.Cast
}

// documents are those of the files that were given or included.
func (src *sources) documents() []*document {
	var all []*document
	casts := loader.ToOptions(&types.ConfigDetails{}, nil).Interpolate.TypeCastMapping
	for i, f := range src.all() {
		given := slices.ContainsFunc(src.files, func(g types.ConfigFile) bool { return g.Filename == f.name })
		if !given && !slices.Contains(src.included, f.name) {
			continue // of an extended file only one service counts
		}
		d := &document{sourceFile: f, src: src, order: i + 1, casts: casts}
		dropReset(f.root)
		var v any
		if f.root.Decode(&v) != nil {
			continue // compose-go says what is wrong with it
		}
		text, err := json.Marshal(d.read(v, tree.NewPath(), nil))
		if err != nil {
			continue // .nan and its like
		}
		d.value = decodeNumbers(text)
		all = append(all, d)
	}
	return all
}

// entryPath is the path of the first entry that is meant of the list at a path, or that path.
func (src *sources) entryPath(path []string, isMeant func(any) bool) []string {
	if src == nil {
		return path
	}
	for _, d := range src.documents() {
		list, _ := d.valueAt(path).([]any)
		if i := slices.IndexFunc(list, isMeant); i >= 0 {
			return append(path[:len(path):len(path)], strconv.Itoa(i))
		}
	}
	return path
}

// dropReset takes out what is tagged !reset: it has any value.
func dropReset(n *yaml.Node) {
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); {
		if n.Content[i+1].Tag == "!reset" {
			n.Content = slices.Delete(n.Content, i, i+2)
			continue
		}
		i += 2
	}
	for _, c := range n.Content {
		dropReset(c)
	}
}

// at is where a path of the document stands, or the nearest above it that is found.
func (d *document) at(path []string, key bool) position {
	for {
		if n := find(d.root, path, key); n != nil {
			return position{d.order, d.src.show(d.name), n.Line, n.Column}
		}
		if len(path) == 0 {
			return position{}
		}
		path = path[:len(path)-1]
	}
}

// add notes what is wrong with the value at a path.
func (d *document) add(path []string, says, next string) {
	d.problems = append(d.problems, problem{d.at(path, false), says, next})
}

// read is v with its texts read; p is its path as compose-go writes it.
func (d *document) read(v any, p tree.Path, path []string) any {
	below := func(key string) []string { return append(path[:len(path):len(path)], key) }
	switch v := v.(type) {
	case map[string]any:
		read := map[string]any{}
		for key, e := range v {
			read[key] = d.read(e, p.Next(key), below(key))
		}
		return read
	case map[any]any:
		read := map[string]any{}
		for key, e := range v {
			name := fmt.Sprint(key)
			if _, ok := key.(string); !ok {
				at := d.at(below(name), true)
				d.keys = append(d.keys, problem{at, fmt.Sprintf("%s: the key %s is no text", settingPath(path), name), `put it in quotes: "` + name + `"`})
			}
			read[name] = d.read(e, p.Next(name), below(name))
		}
		return read
	case []any:
		read := make([]any, len(v))
		for i, e := range v {
			read[i] = d.read(e, p.Next(tree.PathMatchList), below(strconv.Itoa(i)))
		}
		return read
	case string:
		return d.text(v, p, path)
	}
	return v
}

// text is a text with its variables filled in, or what it stands for.
func (d *document) text(written string, p tree.Path, path []string) any {
	if d.src.raw {
		return written
	}
	text, err := template.SubstituteWithOptions(written, d.src.env.Resolve, template.WithoutLogging)
	if err != nil {
		return written
	}
	for pattern, cast := range d.casts {
		if !p.Matches(pattern) {
			continue
		}
		v, err := cast(text)
		if err == nil {
			return v
		}
		var number *strconv.NumError
		want := "true or false"
		if errors.As(err, &number) {
			want = "a whole number"
			if number.Func == "ParseFloat" {
				want = "a number"
			}
		}
		says, next := fmt.Sprintf("%s is %q, and must be %s", settingPath(path), text, want), "write "+want
		if written != text {
			says, next = fmt.Sprintf("%s is %q (%s), and must be %s", settingPath(path), text, written, want), "set the variable, or give it a default: ${NAME:-…}"
		}
		d.add(path, says, next)
	}
	return text
}
