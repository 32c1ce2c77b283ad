package compose

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/strake-dev/strake/compose/regex"
)

var (
	parseError = regex.New(`(?s)^failed to parse (.*?): (?:yaml: )?(.*)$`)
	yamlLine   = regex.New(`^(?s:.*)\bline (\d+)(?:, column (\d+))?: ([^\n]*)$`)
	yamlStart  = regex.New(`^(?:construct errors|unmarshal errors):\s*line \d+: `)
	yamlOffset = regex.New(`^offset (\d+): (.*)$`)
)

// yamlMeanings are what the YAML parser says, and what most often is the matter.
var yamlMeanings = []saying{
	{regex.New(`^mapping key "(.*)" already defined at line (\d+)$`), "$1 stands here and at line $2", "keep one of the two, or make one of both"},
	{regex.New(`^(?:found a tab character|\t)`), "a tab in the indentation", "indent with spaces"},
	{regex.New("^([@`%])$"), "a value may not begin with $1", "put it in quotes"},
	{regex.New(`^mapping values are not allowed in this context$`), "a second key in one line, or a line that is indented too far", "put the value in quotes if its colon is part of it; otherwise correct the indentation"},
	{regex.New(`^unknown anchor '(.*)' referenced$`), "*$1 means what is called &$1, and nothing is", "define &$1 above, or put it in quotes if the * is meant as such"},
	{regex.New(`^did not find expected ',' or '(.)'$`), "a bracket is not closed with $1, or a comma is missing", "look at this line and the ones below it"},
	{regex.New(`^found unexpected end of stream$`), "a quote is not closed", "look for the quote above that opens and does not close"},
	{regex.New(`^(?:did not find expected key|did not find expected '-' indicator|could not find expected ':')$`), "lines that belong together and begin at different columns, or a key without a colon",
		"look at the indentation of this line and of the next"},
	{regex.New(`UTF-8`), "this is not UTF-8", "save the file as UTF-8"},
	{regex.New(`^control characters are not allowed$`), "a character that no text has", "take it out; or name a compose file, if this is none"},
	{regex.New(`^(?:yaml: )?map merge requires map`), "<< takes a mapping", "write the name of an anchor with its *: <<: *name"},
}

// notYAML is about files that do not parse.
func (src *sources) notYAML(err error) error {
	m := parseError.FindStringSubmatch(err.Error())
	if m == nil {
		return nil
	}
	content := src.content(m[1])
	place, text := src.show(m[1])+": ", strings.TrimSpace(yamlStart.ReplaceAllString(m[2], ""))
	if l := yamlLine.FindStringSubmatch(text); l != nil {
		place, text = src.show(m[1])+":"+l[1]+": ", strings.TrimSpace(l[3])
		if l[2] != "" {
			place = src.show(m[1]) + ":" + l[1] + ":" + l[2] + ": "
		}
		if text == "found character that cannot start any token" {
			text = unexpected(content, l[1], l[2])
		}
	} else if o := yamlOffset.FindStringSubmatch(text); o != nil {
		at, _ := strconv.Atoi(o[1]) // the pattern has digits only
		before := content[:min(at, len(content))]
		place, text = fmt.Sprintf("%s:%d:%d: ", src.show(m[1]), bytes.Count(before, []byte("\n"))+1, len(before)-bytes.LastIndexByte(before, '\n')), o[2]
	} else if at := bytes.Index(content, []byte("<<:")); at >= 0 && strings.Contains(text, "map merge") {
		place = fmt.Sprintf("%s:%d: ", src.show(m[1]), bytes.Count(content[:at], []byte("\n"))+1)
	}
	what, next, ok := meant(yamlMeanings, text)
	if !ok {
		what, next = text, "look at this line and the one above it: indentation, quotes, brackets"
	}
	return src.hintf(place, next, "no valid YAML: %s", what)
}

// content is what a file holds, nil if it cannot be read.
func (src *sources) content(name string) []byte {
	for _, f := range src.files {
		if f.Filename == name {
			return f.Content
		}
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil // its error was another one
	}
	return text
}

// unexpected is the character of a line that the parser stopped at: a tab of its indentation, or what stands at the column.
func unexpected(content []byte, line, column string) string {
	n, _ := strconv.Atoi(line) // the pattern has digits only
	lines := strings.Split(string(content), "\n")
	if n < 1 || n > len(lines) {
		return "found character that cannot start any token"
	}
	text := lines[n-1]
	indent := text[:len(text)-len(strings.TrimLeft(text, " \t"))]
	at, err := strconv.Atoi(column)
	switch {
	case strings.Contains(indent, "\t"):
		return "\t"
	case err == nil && at >= 1 && at <= len(text):
		return text[at-1 : at]
	}
	return strings.TrimSpace(text)
}
