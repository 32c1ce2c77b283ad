package compose

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/schema"
	"github.com/compose-spec/compose-go/v2/tree"
	"github.com/compose-spec/compose-go/v2/types"
)

// Attribute is one path of the Compose specification and what strake does with it.
type Attribute struct {
	// Path is services.*.image, for example: * is any key, [] an entry of a list.
	Path    string
	Support Support
	// API is the least Engine API that has it, "" for API 1.41. What the engine is too old for is refused by name when a
	// container is to be made with it.
	API string
	// Note is the reason and what to do instead.
	Note string
}

// Attributes is every attribute of the specification's JSON Schema, and after a colon single values that are not supported where
// others are, sorted by path. What the table does not know is refused.
func Attributes() []Attribute {
	var all []Attribute
	for _, p := range schema.AttributePaths() {
		all = append(all, attributeOf(string(p)))
	}
	for _, r := range values() {
		a := r.Attribute
		a.Path += ": " + r.which
		all = append(all, a)
	}
	slices.SortFunc(all, func(a, b Attribute) int { return cmp.Compare(a.Path, b.Path) })
	return all
}

// attributeTable is what supportedTexts and notSupported say, by path.
var attributeTable = sync.OnceValue(func() map[string]Attribute {
	table := map[string]Attribute{}
	for _, t := range supportedTexts() {
		expand(t.below, t.names, func(path, api string) {
			table[path] = Attribute{Path: path, Support: Supported, API: api}
		})
	}
	for path, note := range supportedNotes() {
		a := table[path]
		a.Note = note
		table[path] = a
	}
	for _, a := range notSupported() {
		table[a.Path] = a
	}
	return table
})

// expand calls add for each path that a text of supportedTexts lists.
func expand(below, names string, add func(path, api string)) {
	stack := []string{below}
	last := ""
	for _, word := range strings.Fields(strings.NewReplacer("{", " { ", "}", " } ").Replace(names)) {
		switch word {
		case "{":
			stack = append(stack, last)
		case "}":
			stack = stack[:len(stack)-1]
		default:
			name, api, _ := strings.Cut(word, "@")
			last = stack[len(stack)-1]
			for part := range strings.SplitSeq(name, ".") {
				last = strings.TrimPrefix(last+"."+part, ".")
				add(last, api)
			}
		}
	}
}

// attributeOf is what the table says of a path: of itself or of the nearest parent that holds for it. Support of a parent
// holds only for keys that the user makes up and entries of lists; that it is not supported holds for all that is below.
func attributeOf(path string) Attribute {
	table := attributeTable()
	wild := true
	for p := path; ; {
		if a, ok := table[p]; ok && (p == path || a.Support != Supported || wild) {
			a.Path = path
			return a
		}
		i := strings.LastIndexByte(p, '.')
		if i < 0 {
			return Attribute{Path: path, Support: Refused, Note: "strake does not know it"}
		}
		if last := p[i+1:]; last != tree.PathMatchAll && last != tree.PathMatchList {
			wild = false
		}
		p = p[:i]
	}
}

// supportedPaths is compose-go's form of what is supported.
var supportedPaths = sync.OnceValue(func() []tree.Path {
	var paths []tree.Path
	for _, a := range Attributes() {
		if a.Support == Supported {
			paths = append(paths, tree.Path(a.Path))
		}
	}
	// The schema says nothing of the keys of these mappings, not even that there are any.
	return append(paths, "services.*.storage_opt.*", "services.*.pre_start.[].storage_opt.*")
})

// valueRule is an attribute of which some values are not supported.
type valueRule struct {
	Attribute
	which  string // the values, for people
	detect func(any) bool
}

func is(values ...string) func(any) bool {
	return func(v any) bool { s, ok := v.(string); return ok && slices.Contains(values, s) }
}

func valuePatterns() []loader.UnsupportedAttributePattern {
	var all []loader.UnsupportedAttributePattern
	for _, r := range values() {
		all = append(all, loader.UnsupportedAttributePattern{Path: tree.Path(r.Path), Detect: r.detect})
	}
	return all
}

// finding is a place in a project's files that says what strake does not do.
type finding struct {
	path  tree.Path // services.web.deploy.mode
	value string    // the value, where only it is not supported
	what  Attribute
}

// names are the section and the key in it that the finding is in.
func (f finding) names() (section, key string) {
	parts := f.path.Parts()
	if len(parts) > 1 {
		key = tree.Path(parts[1]).String()
	}
	return parts[0], key
}

// place is the path of what is meant, or of the list that it is in.
func (f finding) place() []string {
	var path []string
	for _, part := range f.path.Parts() {
		if part == tree.PathMatchList {
			break
		}
		path = append(path, tree.Path(part).String())
	}
	return path
}

// matters is whether what the finding is in is enabled and used.
func (f finding) matters(p *types.Project) bool {
	section, key := f.names()
	used := true
	switch section {
	case "services":
		_, used = p.Services[key]
	case "secrets":
		_, used = p.Secrets[key]
	case "configs":
		_, used = p.Configs[key]
	}
	return used
}

// findings says of what compose-go reported what the table says of it.
func findings(reported []loader.UnsupportedAttribute) []finding {
	var all []finding
	for _, u := range reported {
		f := finding{path: u.Path}
		for _, r := range values() {
			if u.Path.Matches(tree.Path(r.Path)) {
				f.what, f.value = r.Attribute, fmt.Sprint(u.Value)
			}
		}
		if f.value == "" {
			f.what = attributeOf(pattern(u.Path))
		}
		if u.Value != false && u.Value != nil && !slices.Contains(all, f) { // external: false says nothing
			all = append(all, f)
		}
	}
	return all
}

// pattern is the schema's path that a path of a file is an instance of.
func pattern(p tree.Path) string {
	for _, known := range schema.AttributePaths() {
		if p.Matches(known) {
			return string(known)
		}
	}
	return string(p)
}

// judge returns warnings for what is ignored, and one error that lists what is refused, each with its reason; lenient makes
// warnings of those too. What is in services that are not enabled does not matter, nor a secret that nobody uses.
func (src *sources) judge(p *types.Project, all []finding, lenient bool) ([]string, error) {
	var (
		warnings []string
		refused  []problem
	)
	for _, f := range all {
		if !f.matters(p) {
			continue
		}
		says := strings.ReplaceAll(f.path.String(), ".[]", "")
		if f.value != "" {
			says += ": " + f.value
		}
		switch {
		case f.what.Support == Ignored:
			warnings = append(warnings, fmt.Sprintf("%s is ignored: %s", says, f.what.Note))
		case lenient:
			warnings = append(warnings, fmt.Sprintf("%s is not supported: %s", says, f.what.Note))
		default:
			refused = append(refused, problem{at: src.at(f.place(), f.value == ""), says: says + " is not supported: " + f.what.Note})
		}
	}
	if err := joined(refused); err != nil {
		return nil, &HintedError{Err: err, Next: "take it out, or keep it in a file that only Docker Compose is given"}
	}
	return append(warnings, ownedFiles(p)...), nil
}

// ownedFiles warns of owners and modes of secrets and configs that are files: they are mounted as they are.
func ownedFiles(p *types.Project) []string {
	var warnings []string
	check := func(service, kind, file string, r types.FileReferenceConfig) {
		if file != "" && cmp.Or(r.UID, r.GID) != "" || file != "" && r.Mode != nil {
			warnings = append(warnings, fmt.Sprintf("uid, gid and mode of %s %s in service %s are ignored: it is mounted from %s as that file is", kind, r.Source, service, file))
		}
	}
	for _, name := range p.ServiceNames() {
		for _, r := range p.Services[name].Secrets {
			check(name, "secret", p.Secrets[r.Source].File, types.FileReferenceConfig(r))
		}
		for _, r := range p.Services[name].Configs {
			check(name, "config", p.Configs[r.Source].File, types.FileReferenceConfig(r))
		}
	}
	return warnings
}
