package compose

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/compose-spec/compose-go/v2/schema"
	"github.com/compose-spec/compose-go/v2/tree"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// specification is the schema that compose-go checks files against: it names one thing that is wrong with them, this one all.
var specification = sync.OnceValue(func() *jsonschema.Schema {
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("compose-spec.json", decodeNumbers([]byte(schema.Schema))); err != nil {
		panic(err) // compose-go reads the same text
	}
	return compiler.MustCompile("compose-spec.json")
})

// decodeNumbers reads JSON that is known to be some, numbers as they are written.
func decodeNumbers(text []byte) any {
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		panic(err)
	}
	return v
}

// invalid is everything that the specification does not allow in the files, nil if that is nothing.
func (src *sources) invalid() error {
	var all []problem
	for _, d := range src.documents() {
		if d.checkSpecification(); len(d.problems) == 0 {
			d.problems = d.keys
		}
		all = append(all, d.problems...)
	}
	return joined(all)
}

// checkSpecification notes what the specification does not allow in the document.
func (d *document) checkSpecification() {
	if d.value == nil {
		return
	}
	var invalid *jsonschema.ValidationError
	if err := specification().Validate(d.value); !errors.As(err, &invalid) {
		return
	}
	for _, e := range causes(invalid) {
		d.explain(e)
	}
}

// causes are the errors that others are made of. Where a value may be one of several things, they are those of the one that it comes
// nearest to, or one error that names all the types that it may have.
func causes(e *jsonschema.ValidationError) []*jsonschema.ValidationError {
	if len(e.Causes) == 0 {
		return []*jsonschema.ValidationError{e}
	}
	var all []*jsonschema.ValidationError
	for _, c := range e.Causes {
		all = append(all, causes(c)...)
	}
	switch e.ErrorKind.(type) {
	case *kind.OneOf, *kind.AnyOf:
	default:
		return all
	}
	var wrongType *kind.Type
	var nearest []*jsonschema.ValidationError
	for _, c := range all {
		if t, ok := c.ErrorKind.(*kind.Type); ok && len(c.InstanceLocation) == len(e.InstanceLocation) {
			if wrongType == nil {
				wrongType = &kind.Type{Got: t.Got}
			}
			wrongType.Want = append(wrongType.Want, t.Want...)
			continue
		}
		nearest = append(nearest, c)
	}
	if len(nearest) > 0 {
		return nearest
	}
	return []*jsonschema.ValidationError{{InstanceLocation: e.InstanceLocation, ErrorKind: wrongType}}
}

// explain notes an error of the schema in words.
func (d *document) explain(e *jsonschema.ValidationError) {
	path, name := e.InstanceLocation, cmp.Or(settingPath(e.InstanceLocation), "the file")
	value := describe(d.valueAt(path))
	switch k := e.ErrorKind.(type) {
	case *kind.AdditionalProperties:
		for _, key := range k.Properties {
			d.unknownKey(path, key)
		}
	case *kind.FalseSchema:
		d.unknownKey(path[:len(path)-1], path[len(path)-1])
	case *kind.Type:
		d.wrongType(path, k.Want)
	case *kind.Enum:
		known := texts(k.Want)
		got, _ := k.Got.(string)
		next := "write " + strings.Join(known, ", ")
		if near := Nearest(got, known); near != "" {
			next = "did you mean " + near + "?"
		}
		d.add(path, fmt.Sprintf("%s is %s, and must be %s", name, value, choice(known)), next)
	case *kind.Required:
		missing := strings.Join(k.Missing, " and ")
		d.add(path, name+" has no "+missing, "add "+missing+":")
	case *kind.Pattern:
		what, next := "does not fit", "write it as "+k.Want
		switch path[len(path)-1] {
		case "pull_policy":
			what, next = "is no policy", nearOr(k.Got, pullPolicies(), "write "+strings.Join(pullPolicies(), ", ")+" or every_<duration>, such as every_12h")
		case "container_name":
			what, next = "is no name of a container", "write at least two letters, digits, _ . or -, a letter or digit first"
		}
		d.add(path, name+" is "+value+", which "+what, next)
	case *kind.Minimum:
		d.add(path, fmt.Sprintf("%s is %s, and must be at least %s", name, value, k.Want.RatString()), "correct the number")
	case *kind.Maximum:
		d.add(path, fmt.Sprintf("%s is %s, and must be at most %s", name, value, k.Want.RatString()), "correct the number")
	case *kind.UniqueItems:
		twice := append(path[:len(path):len(path)], strconv.Itoa(k.Duplicates[1]))
		d.add(twice, fmt.Sprintf("%s has %s twice", name, describe(d.valueAt(twice))), "take one of the two out")
	default:
		d.add(path, name+" is not as the specification wants it", "see https://github.com/compose-spec/compose-spec")
	}
}

func pullPolicies() []string {
	return []string{"always", "never", "build", "if_not_present", "missing", "refresh", "daily", "weekly"}
}

// unknownKey notes a key that the specification has not.
func (d *document) unknownKey(parent []string, key string) {
	path := append(parent[:len(parent):len(parent)], key)
	isA := func(below ...string) bool { return slices.Contains(keysBelow(below), key) }
	if isA(parent...) {
		return // something else is wrong with it
	}
	says := settingPath(path) + " is not a key of compose files"
	next := "correct the key, or begin it with x- if another program reads it"
	value, _ := d.valueAt(path).(map[string]any)
	isService := value["image"] != nil || value["build"] != nil
	near := Nearest(key, keysBelow(parent))
	switch {
	case len(parent) == 1 && !strings.HasPrefix(key, "x-"):
		says, next = fmt.Sprintf("%s: %q is no name", settingPath(parent), key), "use letters, digits, . _ and -"
	case len(parent) == 0 && isA("services", tree.PathMatchAll) && !isA():
		next = "it is a key of services: indent it below the name of one"
	case len(parent) > 1 && isA(parent[:len(parent)-1]...):
		next = "it is a key of " + settingPath(parent[:len(parent)-1]) + ": indent it as far as " + parent[len(parent)-1]
	case isService && len(parent) == 0:
		next = "if it is a service, indent it below services:"
	case isService && len(parent) == 2 && parent[0] == "services":
		next = "if it is a service, indent it as far as " + parent[1]
	case near != "":
		next = "did you mean " + near + "?"
	}
	d.problems = append(d.problems, problem{d.at(path, true), says, next})
}

// wrongType notes a value that has none of the types that are wanted.
func (d *document) wrongType(path, want []string) {
	value := d.valueAt(path)
	last := "the file"
	if len(path) > 0 {
		last = path[len(path)-1]
	}
	wants := func(t string) bool { return slices.Contains(want, t) }
	if len(want) == 2 && wants("boolean") && wants("string") {
		want = []string{"boolean"} // the text is for one with a variable
	}
	says, next := fmt.Sprintf("%s is %s, and must be %s", cmp.Or(settingPath(path), last), describe(value), typeNames(want)), "correct the value"
	_, isList := value.([]any)
	_, isMapping := value.(map[string]any)
	switch text, isText := value.(string); {
	case len(path) == 2 && path[0] == "services":
		d.notAService(path, value)
		return
	case len(path) == 0:
		next = "begin it with services:"
	case value == nil:
		says, next = settingPath(path)+" is empty, and must be "+typeNames(want), "write what belongs to it below it, indented further than "+last+", or take it out"
	case (isList || isMapping) && wants("string"):
		next = "write one value" + map[bool]string{true: ", or begin each of its lines with -"}[wants("array")]
	case isList && wants("object"):
		next = "take the - of its lines away, and write each as key: value"
	case isMapping && wants("array"):
		next = "begin each of its lines with -"
	case wants("string") && strings.HasSuffix(last, "interval"), wants("string") && strings.HasSuffix(last, "period"), wants("string") && last == "timeout":
		next = "write it with its unit: " + plain(value) + "s"
	case wants("string"):
		next = `put it in quotes: "` + plain(value) + `"`
	case wants("object") && !(isText && wants("array")):
		next = "write lines of key: value below it, indented"
	case wants("array"):
		next = fmt.Sprintf("write %s: [%s]", last, strings.Trim(plain(value), `"`))
	case wants("boolean"):
		next = "write true or false"
	case wants("number") || wants("integer"):
		next = "write a number"
	case isText && text == "":
		next = "write a value, or take it out"
	}
	d.add(path, says, next)
}

// notAService notes what stands where a service should: most often something is indented too little.
func (d *document) notAService(path []string, value any) {
	name := path[1]
	text, isText := value.(string)
	_, isList := value.([]any)
	next := "write its keys below it, indented: image: …"
	says := settingPath(path) + " is " + describe(value) + ", and must be a service"
	switch {
	case slices.Contains(keysBelow([]string{"services", tree.PathMatchAll}), name):
		says = settingPath(path) + " is " + describe(value) + ": what stands right below services is the name of a service, and " + name + " is a key of one"
		next = "indent " + name + " further, below the name of its service"
	case value == nil:
		next = "write its keys below it, indented further than " + name + ": image: …, or take it out"
	case isText && strings.Contains(text, ":") && slices.Contains(keysBelow(path), strings.SplitN(text, ":", 2)[0]):
		key, rest, _ := strings.Cut(text, ":")
		next = "put a space after the colon: " + key + ": " + rest
	case isText:
		next = "write its keys below it, indented: image: " + text
	case isList:
		next = "take the - of its lines away"
	}
	d.add(path, says, next)
}

// valueAt is the value that a path leads to, nil if none.
func (d *document) valueAt(path []string) any {
	v := d.value
	for _, part := range path {
		switch in := v.(type) {
		case map[string]any:
			v = in[part]
		case []any:
			i, err := strconv.Atoi(part)
			if err != nil || i < 0 || i >= len(in) {
				return nil
			}
			v = in[i]
		default:
			return nil
		}
	}
	return v
}

// typeNames says in words which types of JSON are wanted.
func typeNames(want []string) string {
	words := []struct{ name, says string }{{"string", "a text"}, {"boolean", "true or false"}, {"integer", "a whole number"}, {"number", "a number"},
		{"array", "a list"}, {"object", "a mapping"}, {"null", "empty"}}
	var all []string
	for _, w := range words {
		if slices.Contains(want, w.name) && !(w.name == "integer" && slices.Contains(want, "number")) {
			all = append(all, w.says)
		}
	}
	return choice(all)
}

// choice is the words with or before the last.
func choice(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

// plain is a value as it is written.
func plain(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(text)
}

func texts(values []any) []string {
	var all []string
	for _, v := range values {
		all = append(all, fmt.Sprint(v))
	}
	return all
}
