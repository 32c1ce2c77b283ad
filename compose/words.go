package compose

import (
	"strconv"

	"mvdan.cc/sh/v3/syntax"
)

// Word is a text as a shell takes it for one word, in quotes where it needs them: for names from outside in commands that people paste.
func Word(text string) string {
	if quoted, err := syntax.Quote(text, syntax.LangBash); err == nil {
		return quoted
	}
	return strconv.Quote(text) // what no shell takes is at least seen
}

// words are texts, each as Word has it.
func words(texts []string) []string {
	var all []string
	for _, text := range texts {
		all = append(all, Word(text))
	}
	return all
}
