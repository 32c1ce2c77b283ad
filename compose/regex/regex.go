// Package regex has regular expressions that are compiled when they are first used. Most of those that strake knows serve what went wrong,
// and compiling all of them before main begins takes longer than everything else that its own packages do there.
package regex

import (
	"regexp"
	"sync"
)

// Regex is a regular expression; New makes one. It may be used by several goroutines.
type Regex struct {
	text string
	once sync.Once
	made *regexp.Regexp
}

// New is the regular expression of a text, which is looked at no sooner than it is needed: one that is wrong panics then, as
// regexp.MustCompile does. A test compiles every one of the repository.
func New(text string) *Regex { return &Regex{text: text} }

// compiled is the expression, which is compiled once.
func (r *Regex) compiled() *regexp.Regexp {
	r.once.Do(func() { r.made = regexp.MustCompile(r.text) })
	return r.made
}

// Match is regexp.Regexp.Match.
func (r *Regex) Match(b []byte) bool { return r.compiled().Match(b) }

// MatchString is regexp.Regexp.MatchString.
func (r *Regex) MatchString(s string) bool { return r.compiled().MatchString(s) }

// FindAllString is regexp.Regexp.FindAllString.
func (r *Regex) FindAllString(s string, n int) []string { return r.compiled().FindAllString(s, n) }

// FindSubmatch is regexp.Regexp.FindSubmatch.
func (r *Regex) FindSubmatch(b []byte) [][]byte { return r.compiled().FindSubmatch(b) }

// FindStringSubmatch is regexp.Regexp.FindStringSubmatch.
func (r *Regex) FindStringSubmatch(s string) []string { return r.compiled().FindStringSubmatch(s) }

// FindAllStringSubmatch is regexp.Regexp.FindAllStringSubmatch.
func (r *Regex) FindAllStringSubmatch(s string, n int) [][]string {
	return r.compiled().FindAllStringSubmatch(s, n)
}

// FindStringSubmatchIndex is regexp.Regexp.FindStringSubmatchIndex.
func (r *Regex) FindStringSubmatchIndex(s string) []int {
	return r.compiled().FindStringSubmatchIndex(s)
}

// FindAllStringSubmatchIndex is regexp.Regexp.FindAllStringSubmatchIndex.
func (r *Regex) FindAllStringSubmatchIndex(s string, n int) [][]int {
	return r.compiled().FindAllStringSubmatchIndex(s, n)
}

// Find is regexp.Regexp.Find.
func (r *Regex) Find(b []byte) []byte { return r.compiled().Find(b) }

// ReplaceAllString is regexp.Regexp.ReplaceAllString.
func (r *Regex) ReplaceAllString(s, with string) string {
	return r.compiled().ReplaceAllString(s, with)
}

// ReplaceAllStringFunc is regexp.Regexp.ReplaceAllStringFunc.
func (r *Regex) ReplaceAllStringFunc(s string, with func(string) string) string {
	return r.compiled().ReplaceAllStringFunc(s, with)
}

// ExpandString is regexp.Regexp.ExpandString.
func (r *Regex) ExpandString(to []byte, template, s string, match []int) []byte {
	return r.compiled().ExpandString(to, template, s, match)
}
