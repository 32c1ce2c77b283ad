package release

import (
	"bytes"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/compose/regex"
)

// wishKey is where a file says which commit an environment is to run.
const wishKey = "commit"

// Wish is the commit that a file, such as deploy/prod.yaml, wants an environment to run.
func Wish(name, environment string, text []byte) (commit string, err error) {
	_, value, err := wishNode(name, text)
	if err != nil {
		return "", err
	}
	if value == nil || !commitName.MatchString(value.Value) {
		return "", &compose.HintedError{Err: fmt.Errorf("%s names no commit: commit has to be one in full", name), Next: "strake promote " + environment + " --propose writes it"}
	}
	return value.Value, nil
}

// WithWish is the text of a file that wants a commit. Everything else in it stays as it is, comments too; of an empty text a new file is made.
func WithWish(name, environment string, text []byte, commit string) ([]byte, error) {
	changed, err := withWish(name, environment, text, commit)
	if err != nil {
		return nil, err
	}
	if got, err := Wish(name, environment, changed); err != nil || got != commit {
		return nil, fmt.Errorf("%s writes %s in a way that cannot be changed in its place", name, wishKey)
	}
	return changed, nil
}

// withWish is WithWish, whose text may want something else if the file is written in an odd way.
func withWish(name, environment string, text []byte, commit string) ([]byte, error) {
	if len(bytes.TrimSpace(text)) == 0 {
		return fmt.Appendf(nil, "# What %s runs: strake promote %s --propose writes it, and its merge promotes it.\n%s: %s\n", environment, environment, wishKey, scalar(commit)), nil
	}
	key, value, err := wishNode(name, text)
	if err != nil {
		return nil, err
	}
	if key == nil {
		end := ""
		if !bytes.HasSuffix(text, []byte("\n")) {
			end = "\n"
		}
		return fmt.Appendf(nil, "%s%s%s: %s\n", text, end, wishKey, scalar(commit)), nil
	}
	lines := strings.SplitAfter(string(text), "\n")
	line := lines[value.Line-1]
	at := value.Column - 1
	switch {
	case value.Value == "": // nothing, null or ""
		if at = strings.Index(line, wishKey) + len(wishKey); key.Style != 0 {
			at++
		}
		at += strings.Index(line[at:], ":") + 1
		_, comment, _ := strings.Cut(line[at:], "#")
		end := "\n"
		if comment != "" {
			end = " #" + comment
		}
		line = line[:at] + " " + scalar(commit) + end
	case at >= len(line) || !strings.Contains(line[at:], value.Value):
		return nil, fmt.Errorf("%s writes %s in a way that cannot be changed in its place", name, wishKey)
	default:
		with := commit
		if value.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) == 0 {
			with = scalar(commit)
		}
		line = line[:at] + strings.Replace(line[at:], value.Value, with, 1)
	}
	lines[value.Line-1] = line
	return []byte(strings.Join(lines, "")), nil
}

// IsLeft is whether an environment was taken from what its file wants, by a hotfix or a rollback, while the file wanted that already: what somebody did on
// purpose is not undone by the next who promotes. last is nil for no release.
func IsLeft(last *Entry, wish string) bool {
	return last != nil && wish != "" && last.Wish == wish && last.Commit != wish
}

// CheckWish is a *PolicyError for a promotion of what a file wants, where the environment was taken from it.
func (m Move) CheckWish(file string) error {
	if !IsLeft(m.Last, m.Wish) {
		return nil
	}
	last := *m.Last
	return refuse(fmt.Sprintf("strake promote %s --propose %s writes what it runs into the file; strake rollback %s %s goes back to what it says", m.Environment, Short(last.Commit), m.Environment, Short(m.Wish)),
		"%s was taken from %s to %s by %s, and %s is as it was then", m.Environment, Short(m.Wish), Short(last.Commit), last.Actor, file)
}

// wishNode is the key of a file that says which commit is wanted and its value; nil where it says none.
func wishNode(name string, text []byte) (key, value *yaml.Node, err error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(doc.Content) == 0 {
		return nil, nil, nil
	}
	root := doc.Content[0]
	if root.Kind != yaml.MappingNode || root.Style&yaml.FlowStyle != 0 {
		return nil, nil, &compose.HintedError{Err: fmt.Errorf("%s is no mapping of YAML in lines", name), Next: "write a line commit: and the commit in full"}
	}
	for i := 0; i+1 < len(root.Content); i += 2 {
		if root.Content[i].Value == wishKey {
			if key != nil {
				return nil, nil, &compose.HintedError{Err: fmt.Errorf("%s says commit twice, in the lines %d and %d", name, key.Line, root.Content[i].Line), Next: "leave one of them"}
			}
			if value = root.Content[i+1]; value.Kind != yaml.ScalarNode || value.Anchor != "" {
				return nil, nil, fmt.Errorf("%s: commit is no text", name)
			}
			key = root.Content[i]
		}
	}
	return key, value, nil
}

// scalar is a commit as YAML reads it as a text whatever its digits are.
func scalar(commit string) string {
	if numberLike.MatchString(commit) {
		return `"` + commit + `"`
	}
	return commit
}

var numberLike = regex.New(`^[0-9]+(e[0-9]+)?$`)
