package compose

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/schema"
	"github.com/compose-spec/compose-go/v2/template"
	"github.com/compose-spec/compose-go/v2/tree"

	"github.com/strake-dev/strake/compose/regex"
)

// ErrNoFile is returned by Load where no file is named and none is found.
var ErrNoFile = errors.New("no compose file")

// explain turns an error of compose-go into one that says where and what to do. What it does not know it leaves as it is.
// compose-go's errors are texts, so that their texts are what is looked at; a test holds each.
func (src *sources) explain(err error) error {
	var hinted *HintedError
	var remote *RemoteError
	switch {
	case err == nil || src == nil:
		return err
	case errors.As(err, &remote):
		remote.File, remote.Line = src.mentioned(remote.Path)
		return err
	case errors.As(err, &hinted):
		return err
	}
	for _, known := range []func(error) error{src.missingVariable, src.unreadable, src.notYAML, func(error) error { return src.invalid() }, src.notFound, src.shape,
		func(error) error { return src.unreadableValues() }} {
		if e := known(err); e != nil {
			return e
		}
	}
	return &HintedError{Err: errors.New(strings.TrimSuffix(err.Error(), ": invalid compose project")), Next: "correct the file; strake config -q checks it"}
}

// unpanicked, when it is deferred, makes an error of a panic of compose-go: before it checks a file it takes some of its values for
// texts. What is wrong with them is then found by explain.
func unpanicked(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("a value that compose-go did not expect: %v", r)
	}
}

// hintf is an error that says where in the files it is.
func (src *sources) hintf(place, next, format string, args ...any) error {
	return &HintedError{Err: errors.New(place + fmt.Sprintf(format, args...)), Next: next}
}

var (
	atPath      = regex.New(`error while interpolating (\S+): `)
	badTemplate = regex.New(`(?s)^invalid interpolation format for (\S+?)\.?\n.*\n(.*)$`)
	notThere    = regex.New(`^(env|label) file (.*) not found: `)
	badEnvFile  = regex.New(`^failed to read (.*?): ((?s).*)$`)
	envLine     = regex.New(`^line (\d+): (.*)`)
	badFormat   = regex.New(`^unsupported env_file format "(.*)"$`)
	notExtended = regex.New(`^cannot extend service "(.*)" in (.*): service "(.*?)" not found`)
)

// missingVariable is about ${…}.
func (src *sources) missingVariable(err error) error {
	path := ""
	if m := atPath.FindStringSubmatch(err.Error()); m != nil {
		path = m[1]
	}
	var missing *template.MissingRequiredError
	if errors.As(err, &missing) {
		says := "variable " + missing.Variable + " must be set"
		if missing.Reason != "" {
			says += ": " + missing.Reason
		}
		return src.hintf(src.placeOf(path, false), "set "+missing.Variable+" in the environment or in "+filepath.Join(src.folder(), ".env"), "%s", says)
	}
	if m := badTemplate.FindStringSubmatch(err.Error()); m != nil {
		return src.hintf(src.placeOf(m[1], false), "close the braces, or write $$ for a $ that is meant as such", "%s: %s has a variable that does not parse", m[1], m[2])
	}
	return nil
}

// unreadable is about files that are named and not there.
func (src *sources) unreadable(err error) error {
	if m := notThere.FindStringSubmatch(err.Error()); m != nil {
		key := m[1] + "_file"
		next := "create it, or take " + key + " out"
		if key == "env_file" {
			next = "create it, or write env_file: [{path: …, required: false}]"
		}
		if near := nearestName(filepath.Dir(m[2]), filepath.Base(m[2]), false); near != "" {
			next += "; did you mean " + near + "?"
		}
		return src.hintf(src.mention(filepath.Base(m[2])), next, "%s: there is no file %s", key, m[2])
	}
	if m := badEnvFile.FindStringSubmatch(err.Error()); m != nil {
		if line := envLine.FindStringSubmatch(m[2]); line != nil {
			return src.hintf(src.show(m[1])+":"+line[1]+": ", "write each line as KEY=VALUE", "env file: %s", line[2])
		}
		return src.hintf(src.mention(filepath.Base(m[1])), "name a file of KEY=VALUE lines", "read env file %s: %s", m[1], reason(err))
	}
	if m := badFormat.FindStringSubmatch(err.Error()); m != nil {
		return src.hintf(src.mention("format: "+m[1]), "write raw, or take format out", "env_file has no format %s", m[1])
	}
	var path *fs.PathError
	if errors.As(err, &path) {
		next := "correct the path in include or extends; it is relative to the file that it stands in"
		if near := nearestName(filepath.Dir(path.Path), filepath.Base(path.Path), false); near != "" {
			next += "; did you mean " + near + "?"
		}
		return src.hintf(src.mention(filepath.Base(path.Path)), next, "read compose file %s: %s", path.Path, reason(err))
	}
	return nil
}

// notFound is about a service that is extended and not there.
func (src *sources) notFound(err error) error {
	m := notExtended.FindStringSubmatch(err.Error())
	if m == nil {
		return nil
	}
	return src.hintf(src.place([]string{"services", m[1], "extends"}, false), nearOr(m[3], src.names("services"), "name a service of that file"), "service %s extends %s, which is not in %s", m[1], m[3], src.show(m[2]))
}

func nearOr(name string, known []string, otherwise string) string {
	if near := Nearest(name, known); near != "" {
		return "did you mean " + near + "?"
	}
	return otherwise
}

// shape is about what does not fit together.
func (src *sources) shape(err error) error {
	text := err.Error()
	if chain, ok := strings.CutPrefix(text, "dependency cycle detected: "); ok {
		chain = circle(strings.Split(chain, " -> "))
		name, _, _ := strings.Cut(chain, " -> ")
		return src.hintf(src.place([]string{"services", name, "depends_on"}, true), "take one of these depends_on out", "services depend on each other in a circle: %s", chain)
	}
	if chain, ok := strings.CutPrefix(text, "include cycle detected:\n"); ok {
		return src.hintf("", "take one of these include out", "files include each other in a circle: %s", strings.ReplaceAll(chain, "\n include ", " -> "))
	}
	if chain, ok := strings.CutPrefix(text, "Circular reference:\n"); ok {
		return src.hintf("", "take one of these extends out", "services extend each other in a circle: %s", circle(strings.Split(strings.TrimSpace(chain), "\n  extends ")))
	}
	switch text {
	case "empty compose file":
		return src.hintf("", "add services:", "%s is empty", src.show(src.files[0].Filename))
	case "top-level object must be a mapping":
		return src.hintf("", "begin it with services:", "%s is no mapping", src.show(src.files[0].Filename))
	case "project name must not be empty":
		return src.hintf("", "give one with -p, COMPOSE_PROJECT_NAME or name: in the file", "the project has no name, and its folder's has no letter or digit")
	}
	return nil
}

// circle writes a chain that ends where it was before as a circle that begins at its least name; compose-go begins anywhere.
func circle(chain []string) string {
	last := chain[len(chain)-1]
	round := chain[slices.Index(chain, last) : len(chain)-1]
	if len(round) == 0 {
		return strings.Join(chain, " -> ")
	}
	at := slices.Index(round, slices.Min(round))
	return strings.Join(slices.Concat(round[at:], round[:at+1]), " -> ")
}

// placeOf is place of a path with dots.
func (src *sources) placeOf(path string, key bool) string {
	if path == "" {
		return ""
	}
	path = strings.NewReplacer("[", "", "]", "").Replace(path)
	if p := src.place(strings.Split(path, "."), key); p != "" {
		return p
	}
	return src.place(strings.Split(tree.Path(path).Parent().String(), "."), key)
}

// mention is the first line of the given files that has a text, as "file:line: ".
func (src *sources) mention(text string) string {
	if file, line := src.mentioned(text); line > 0 {
		return fmt.Sprintf("%s:%d: ", file, line)
	}
	return ""
}

// mentioned is the first line of the given files that has a text; 0 is none.
func (src *sources) mentioned(text string) (file string, line int) {
	for _, f := range src.files {
		if before, _, ok := bytes.Cut(f.Content, []byte(text)); ok {
			return src.show(f.Filename), bytes.Count(before, []byte("\n")) + 1
		}
	}
	return "", 0
}

// folder is the folder of the first file.
func (src *sources) folder() string { return filepath.Dir(src.show(src.files[0].Filename)) }

// names are the keys of a section in all files, sorted.
func (src *sources) names(section string) []string {
	found := map[string]bool{}
	for _, f := range src.all() {
		if n := child(f.root, section); n != nil {
			for i := 0; i+1 < len(n.Content); i += 2 {
				found[n.Content[i].Value] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// keysBelow are the names that the specification has below a path of a file; those of the table that are refused count too.
func keysBelow(path []string) []string {
	at := tree.NewPath()
	for _, part := range path {
		if _, err := strconv.Atoi(part); err == nil && len(path) > 2 {
			part = tree.PathMatchList
		}
		at = at.Next(part)
	}
	var known []string
	for _, p := range schema.AttributePaths() {
		if last := p.Last(); p.Parent() == "" && at == "" || at != "" && at.Matches(p.Parent()) && last != tree.PathMatchAll && last != tree.PathMatchList {
			known = append(known, last)
		}
	}
	return known
}

// compileSchema makes ready in the background what the first Load of a process needs and what takes it longest; the function
// that it returns waits for it.
func compileSchema() (wait func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = schema.Validate(nil) // nothing is no compose file: only the compiled schema, which it keeps, is wanted
		supportedPaths()
	}()
	return func() { <-done }
}
