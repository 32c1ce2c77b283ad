package compose

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/override"
	"github.com/compose-spec/compose-go/v2/paths"
	"github.com/compose-spec/compose-go/v2/transform"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/compose-spec/compose-go/v2/validation"

	"github.com/strake-dev/strake/compose/regex"
)

// unreadableValues is everything in the files that is of the right type and does not parse, such as ports, sizes and durations.
// compose-go's errors of those do not say where they stand, so that each piece of the files is read by itself, as compose-go
// reads the whole. The pieces have to be as the specification wants them.
func (src *sources) unreadableValues() error {
	var all []problem
	for _, d := range src.documents() {
		d.readPieces()
		all = append(all, d.problems...)
	}
	return joined(all)
}

// readPieces notes what compose-go does not read: of a service each attribute by itself, and of a list each entry.
func (d *document) readPieces() {
	for _, section := range []string{"services", "networks", "volumes", "configs", "secrets"} {
		entries, _ := d.valueAt([]string{section}).(map[string]any)
		for name, entry := range entries {
			if section != "services" {
				d.readPiece([]string{section, name}, entry)
				continue
			}
			attributes, _ := entry.(map[string]any)
			for key, value := range attributes {
				list, ok := value.([]any)
				if !ok {
					d.readPiece([]string{section, name, key}, value)
				}
				for i := range list {
					d.readPiece([]string{section, name, key, strconv.Itoa(i)}, list[i:i+1])
				}
			}
		}
	}
}

// readPiece notes what is wrong with what stands at a path; of an entry of a list, piece is a list of that entry alone.
func (d *document) readPiece(path []string, piece any) {
	for i := min(len(path), 3) - 1; i >= 0; i-- {
		piece = map[string]any{path[i]: piece}
	}
	err := readAlone(piece, d.src.folder())
	if err == nil {
		return
	}
	found := decodingError.FindAllStringSubmatch(err.Error(), -1)
	if found == nil {
		found = [][]string{{"", "", err.Error()}}
	}
	for _, m := range found {
		at := path
		if _, below, ok := strings.Cut(m[1], "]."+path[min(2, len(path)-1)]+"."); ok && len(path) == 3 {
			at = slices.Concat(path, strings.FieldsFunc(below, func(r rune) bool { return strings.ContainsRune(".[]", r) }))
		}
		says, next := valueMeaning(strings.TrimSpace(m[2]))
		value := d.valueAt(at)
		switch value.(type) {
		case []any, map[string]any:
			says = settingPath(at) + ": " + says
		default:
			says = settingPath(at) + " is " + describe(value) + ": " + says
		}
		d.add(at, says, next)
	}
}

// readAlone reads a model that has one thing in it, as Load reads a whole one that was checked against the specification.
func readAlone(piece any, dir string) (err error) {
	defer unpanicked(&err)
	model := asYAML(piece).(map[string]any)
	for _, step := range []func(map[string]any) (map[string]any, error){
		override.EnforceUnicity,
		func(m map[string]any) (map[string]any, error) { return transform.Canonical(m, false) },
		transform.SetDefaultValues,
		func(m map[string]any) (map[string]any, error) { return m, validation.Validate(m) },
		func(m map[string]any) (map[string]any, error) { return m, paths.ResolveRelativePaths(m, dir, nil) },
		func(m map[string]any) (map[string]any, error) { return m, loader.Transform(m, &types.Project{}) },
	} {
		if model, err = step(model); err != nil {
			return err
		}
	}
	return nil
}

// asYAML is a copy of a document's value with its numbers as a YAML file has them.
func asYAML(v any) any {
	switch v := v.(type) {
	case map[string]any:
		read := map[string]any{}
		for key, e := range v {
			read[key] = asYAML(e)
		}
		return read
	case []any:
		read := make([]any, len(v))
		for i, e := range v {
			read[i] = asYAML(e)
		}
		return read
	case json.Number:
		if n, err := strconv.Atoi(v.String()); err == nil {
			return n
		}
		n, _ := v.Float64() // the largest float where it is larger
		return n
	}
	return v
}

// decodingError is a line of compose-go's: 'services[web].mem_limit' invalid size: 'lots'.
var decodingError = regex.New(`(?m)^'([^']*)' (.+)$`)

// valueMeanings are what compose-go says of values that it cannot read.
var valueMeanings = []saying{
	{regex.New(`^invalid hostPort: (.*)$`), "$1 is no host port", "write a port from 1 to 65535, or as many as the container's: 8080-8081:80-81"},
	{regex.New(`^invalid containerPort: (.*)$`), "$1 is no port of a container", "write a port from 1 to 65535, the host's first: 8080:80"},
	{regex.New(`^invalid proto: (.*)$`), "$1 is no protocol", "write tcp, udp or sctp"},
	{regex.New(`(?i)invalid ip address(?:: (.*)| (\S+): .*)$`), "$1$2 is no IP address", "write one such as 127.0.0.1, or none for all of the host's"},
	{regex.New(`^no port specified`), "it says no port", "write host:container, such as 8080:80, or take it out"},
	{regex.New(`^invalid ranges specified for container and host Ports: (\S+) and (\S+)`), "$2 and $1 are not equally many ports", "write as many ports of the host as of the container, or one of the container"},
	{regex.New(`is missing a target port$`), "it has no target", "add target:, the port of the container"},
	{regex.New(`is missing a mount target$`), "it has no target", "add target:, the path in the container"},
	{regex.New(`field Source must not be empty$`), "a bind mount has no source", "add source:, the path on the host"},
	{regex.New(`^invalid empty volume spec`), "it names no volume", "write source:target, such as data:/var/lib/data, or take it out"},
	{regex.New(`^invalid spec: .*: (too many colons|empty section between colons)$`), "$1", "write source:target or source:target:ro; source:, target: and read_only: below each other where a path has a colon"},
	{regex.New(`(?:invalid|unexpected value) type \S+ for (.*)$`), "it has the wrong type for $1", "put it in quotes, or correct it"},
	{regex.New(`^a value that compose-go did not expect: `), "something in it has another type than it must have", "put numbers and switches in it in quotes, and look for lists and mappings where a text belongs"},
	{regex.New(`^invalid (?:size|suffix): `), "that is no size", "write a number and a unit, such as 512m or 2g"},
	{regex.New(`^time: |^(?:not a valid|invalid) duration`), "that is no duration", "write numbers and units, such as 1m30s or 500ms"},
	{regex.New(`^invalid boolean:`), "that is neither true nor false", "write true or false"},
	{regex.New(`^expected type 'string', got unconvertible type`), "a text is wanted in it", "put numbers and switches in quotes"},
	{regex.New(`^cannot parse value as 'uint`), "a number in it is too small or too large", "correct the number"},
	{regex.New(`^strconv\.ParseFloat: `), "that is no number", "write a number, such as 0.5"},
	{regex.New(`^strconv\.(?:ParseInt|Atoi): `), "that is no whole number", "write a whole number"},
	{regex.New(`^invalid additional host, missing IP: (.*)$`), "$1 has no address", "write host=address, such as $1=10.0.0.5 or $1=host-gateway"},
	{regex.New(`^confusing device mapping`), "it has too many colons", "write source:target:permissions, or source:, target: and permissions: below each other"},
	{regex.New(`^invalid ssh key (.*)$`), "$1 is no ssh key of a build", "write default, or name=path of a key or socket"},
	{regex.New(`^environment variable (.*) is declared with a trailing space$`), "there is a space before the =", "write it as NAME=value"},
	{regex.New(`: (\S+) attributes are mutually exclusive$`), "it has more than one of $1", "keep one of them"},
	{regex.New(`: one of (\S+) must be set$`), "it has none of $1", "write one of them"},
	{regex.New(`: conflicting parameters "external" and "(.*)" specified$`), "external and $1 exclude each other", "take $1 out: an external one is as it was made; or take external out"},
	{regex.New(`"count" and "device_ids" attributes are exclusive$`), "count and device_ids exclude each other", "keep one of them"},
	{regex.New(`value can't be blank$`), "it is empty", "write a path"},
	{regex.New(`the only value allowed is 'all' or a number`), "that is no number of devices", "write all or a number"},
}

// saying is what compose-go means by one of its texts, and what to do about it; $1 and $2 are what the pattern caught.
type saying struct {
	pattern    *regex.Regex
	what, next string
}

// meant is the first of the sayings that fits a text, filled in.
func meant(sayings []saying, text string) (what, next string, ok bool) {
	for _, s := range sayings {
		if m := s.pattern.FindStringSubmatchIndex(text); m != nil {
			fill := func(template string) string { return string(s.pattern.ExpandString(nil, template, text, m)) }
			return fill(s.what), fill(s.next), true
		}
	}
	return "", "", false
}

// valueMeaning says what compose-go means, and what to do; what it does not know stays as it is.
func valueMeaning(text string) (what, next string) {
	if what, next, ok := meant(valueMeanings, text); ok {
		return what, next
	}
	return text, "correct the value"
}
