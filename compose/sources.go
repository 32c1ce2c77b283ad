package compose

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/schema"
	"github.com/compose-spec/compose-go/v2/template"
	"github.com/compose-spec/compose-go/v2/tree"
	"github.com/compose-spec/compose-go/v2/types"
	"go.yaml.in/yaml/v4"

	"github.com/strake-dev/strake/compose/regex"
)

// sources are the files of a project, for saying where in them something stands. Nothing is parsed until that is asked for.
type sources struct {
	files []types.ConfigFile
	env   types.Mapping
	base  string // paths below it are shown relative to it
	raw   bool   // variables are not filled in
	root  string // files outside of it are not looked into; "" is none

	included []string // by the files, absolute; filled while loading
}

// sources are those of the input.
func (in *input) sources() *sources {
	return &sources{files: in.details.ConfigFiles, env: in.env, base: in.dir, raw: in.o.NoInterpolate, root: in.o.Root}
}

// listen notes what is included.
func (src *sources) listen(event string, data map[string]any) {
	paths, _ := data["path"].(types.StringList)
	dir, _ := data["workingdir"].(string)
	if event != "include" {
		return
	}
	for _, p := range paths {
		if !filepath.IsAbs(p) {
			p = filepath.Join(dir, p)
		}
		src.included = append(src.included, p)
	}
}

var topSettings = regex.New(`(?m)^["']?x-strake["']?\s*:`)

// unread warns of included files that have an x-strake of their own, of which compose-go takes no notice.
func (src *sources) unread() []string {
	var warnings []string
	for _, file := range src.included {
		if src.root != "" && !Within(src.root, file) {
			continue
		}
		text, err := os.ReadFile(file)
		if err == nil && topSettings.Match(text) {
			warnings = append(warnings, src.show(file)+": x-strake of an included file is not read; move it to the file that includes it")
		}
	}
	return warnings
}

// show is a file's name as people know it.
func (src *sources) show(file string) string {
	if rel, err := filepath.Rel(src.base, file); err == nil && filepath.IsLocal(rel) {
		return rel
	}
	return file
}

// at is where a path of the model stands. Later files win, as they do in the model; included and extended ones are looked
// through last. key is whether the key is meant, not its value.
func (src *sources) at(path []string, key bool) position {
	if src == nil {
		return position{}
	}
	files := src.all()
	for i := len(files) - 1; i >= 0; i-- {
		if at := find(files[i].root, path, key); at != nil {
			return position{i + 1, src.show(files[i].name), at.Line, at.Column}
		}
	}
	return position{}
}

// place is at as a text.
func (src *sources) place(path []string, key bool) string { return src.at(path, key).String() }

// sourceFile is a file's documents.
type sourceFile struct {
	name string
	root *yaml.Node
}

// all are the files that were given and before them what they include and extend, as far as that can be told.
func (src *sources) all() []sourceFile {
	var files, deeper []sourceFile
	seen := map[string]bool{}
	var add func(to *[]sourceFile, name string, text []byte)
	add = func(to *[]sourceFile, name string, text []byte) {
		if seen[name] {
			return
		}
		seen[name] = true
		decoder := yaml.NewDecoder(bytes.NewReader(text))
		for {
			var doc yaml.Node
			if decoder.Decode(&doc) != nil || len(doc.Content) == 0 {
				return // the end, or what is not YAML, of which another error tells
			}
			*to = append(*to, sourceFile{name, doc.Content[0]})
			for _, other := range src.references(doc.Content[0], name) {
				if text, err := os.ReadFile(other); err == nil {
					add(&deeper, other, text)
				}
			}
		}
	}
	for _, f := range src.files {
		add(&files, f.Filename, f.Content)
	}
	return append(deeper, files...)
}

// references are the files that a document includes and extends.
func (src *sources) references(root *yaml.Node, file string) []string {
	var raw []string
	texts := func(n *yaml.Node) {
		switch {
		case n == nil:
		case n.Kind == yaml.ScalarNode:
			raw = append(raw, n.Value)
		case n.Kind == yaml.SequenceNode:
			for _, item := range n.Content {
				if item.Kind == yaml.ScalarNode {
					raw = append(raw, item.Value)
				}
			}
		}
	}
	if list := child(root, "include"); list != nil {
		texts(list)
		for _, item := range list.Content {
			texts(child(item, "path"))
		}
	}
	if services := child(root, "services"); services != nil {
		for i := 1; i < len(services.Content); i += 2 {
			if e := child(services.Content[i], "extends"); e != nil {
				texts(child(e, "file"))
			}
		}
	}
	var files []string
	for _, r := range raw {
		name, err := template.SubstituteWithOptions(r, src.env.Resolve, template.WithoutLogging)
		if err != nil || isRemote(name) {
			continue // it cannot be looked into
		}
		if !filepath.IsAbs(name) {
			name = filepath.Join(filepath.Dir(file), name)
		}
		if src.root == "" || Within(src.root, name) {
			files = append(files, name)
		}
	}
	return files
}

// child is the value of a key of a mapping, nil if there is none.
func child(n *yaml.Node, key string) *yaml.Node {
	v, _ := entry(n, key)
	return v
}

// entry is the value of a key of a mapping and the key's own node; merged mappings (<<) count.
func entry(n *yaml.Node, key string) (value, name *yaml.Node) {
	for n != nil && n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n == nil || n.Kind != yaml.MappingNode {
		return nil, nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1], n.Content[i]
		}
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value != "<<" {
			continue
		}
		merged := []*yaml.Node{n.Content[i+1]}
		if n.Content[i+1].Kind == yaml.SequenceNode {
			merged = n.Content[i+1].Content
		}
		for _, m := range merged {
			if v, k := entry(m, key); v != nil {
				return v, k
			}
		}
	}
	return nil, nil
}

// find is the node that a path leads to: by keys, by numbers of entries or by the text of an entry of a list.
func find(n *yaml.Node, path []string, key bool) *yaml.Node {
	at := n
	for _, part := range path {
		for n.Kind == yaml.AliasNode {
			n = n.Alias
		}
		if n.Kind == yaml.SequenceNode {
			if n = item(n, part); n == nil {
				return nil
			}
			at = n
			continue
		}
		value, name := entry(n, part)
		if value == nil {
			return nil
		}
		n, at = value, name
	}
	if !key && n.Kind != yaml.AliasNode && n.Line > 0 {
		return n
	}
	return at
}

func item(list *yaml.Node, part string) *yaml.Node {
	if i, err := strconv.Atoi(part); err == nil && i >= 0 && i < len(list.Content) {
		return list.Content[i]
	}
	for _, n := range list.Content {
		if name, _, _ := strings.Cut(n.Value, ":"); n.Kind == yaml.ScalarNode && name == part {
			return n
		}
	}
	return nil
}

// settingErrors is one error for all that is wrong with x-strake, nil if nothing is.
func (src *sources) settingErrors(wrong []wrongSetting) error {
	var all []problem
	for _, w := range wrong {
		all = append(all, problem{src.at(w.path, w.key), w.says, w.next})
	}
	return joined(all)
}

// checkPlaces refuses x-strake where it means nothing: anywhere but at the top level and in services.
func (src *sources) checkPlaces(model map[string]any) error {
	var wrong []wrongSetting
	var walk func(v any, p tree.Path, path []string)
	walk = func(v any, p tree.Path, path []string) {
		switch v := v.(type) {
		case map[string]any:
			for key, e := range v {
				at := append(path[:len(path):len(path)], key)
				switch {
				case key == settingsKey && len(path) > 0 && !(len(path) == 2 && path[0] == "services") && !keyed(p):
					wrong = append(wrong, wrongSetting{at, true, settingPath(at) + " means nothing here", "settings of strake stand at the top level and in services"})
				case !strings.HasPrefix(key, "x-"):
					walk(e, p.Next(key), at)
				}
			}
		case []any:
			for i, e := range v {
				walk(e, p.Next(tree.PathMatchList), append(path[:len(path):len(path)], strconv.Itoa(i)))
			}
		}
	}
	walk(model, tree.NewPath(), nil)
	return src.settingErrors(wrong)
}

// keyed is whether the keys of the mapping at p are the user's own, as those of labels are.
func keyed(p tree.Path) bool {
	for _, known := range schema.AttributePaths() {
		if known.Last() == tree.PathMatchAll && p.Matches(known.Parent()) {
			return true
		}
	}
	return false
}
