//go:build lab

package main_test

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/strake-dev/strake/fixtures/lab"
)

// scenario is a file of testdata/parity/scenarios: a folder in txtar form. Its comment is a script that is run twice, with Compose
// and with strake as the tool, and what there is after each line is compared:
//
//	@ ARGS     the tool runs; "@=" also compares what it prints, line by line in any order
//	% ARGS     the other tool runs, over what the tool made; "%=" as above
//	$ LINE     the shell
//	cd DIR     from now on in the folder below the scenario's own
//	unset VAR  from now on without the variable
type scenario struct {
	name    string
	archive *txtar.Archive
	steps   []string
}

func readScenarios(t *testing.T) []scenario {
	t.Helper()
	files, err := filepath.Glob("testdata/parity/scenarios/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios in testdata/parity: %v", err)
	}
	var all []scenario
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		s := scenario{name: strings.TrimSuffix(filepath.Base(file), ".txtar"), archive: a}
		for line := range strings.Lines(string(a.Comment)) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
				s.steps = append(s.steps, line)
			}
		}
		all = append(all, s)
	}
	return all
}

// outcome is what a line of a scenario did.
type outcome struct {
	failed bool
	said   string            // by what was run, for the message
	print  []string          // where it is compared
	things map[string]string // what there is, and whether it is what was there before
	normal map[string]map[string]string
}

func (s scenario) run(t *testing.T, b bench) {
	p := newPlace(t, b)
	theirs := s.play(t, p, p.compose(), p.tool())
	ours := s.play(t, p, p.tool(), p.compose())
	for i, line := range s.steps {
		var wrong []string
		if theirs[i].failed != ours[i].failed {
			wrong = append(wrong, fmt.Sprintf("fails: Compose %t, strake %t", theirs[i].failed, ours[i].failed))
		}
		if !slices.Equal(theirs[i].print, ours[i].print) {
			wrong = append(wrong, fmt.Sprintf("prints\nCompose: %q\nstrake:  %q", theirs[i].print, ours[i].print))
		}
		wrong = append(wrong, s.leaves(line, theirs[i], ours[i])...)
		if len(wrong) > 0 {
			t.Errorf("after %q (line %d):\n%s\nCompose said:\n%s\nstrake said:\n%s", line, i+1, strings.Join(wrong, "\n"), theirs[i].said, ours[i].said)
		}
	}
}

// leaves are the differences in what a line left: what there is, and how it is made.
func (s scenario) leaves(line string, theirs, ours outcome) []string {
	var wrong []string
	names := maps.Clone(theirs.things)
	maps.Copy(names, ours.things)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if a, b := cmp.Or(theirs.things[name], "nothing"), cmp.Or(ours.things[name], "nothing"); a != b {
			wrong = append(wrong, fmt.Sprintf("%s, %s: %s: Compose %s, strake %s", s.name, line, name, a, b))
		}
	}
	both := map[string]map[string]string{}
	for name := range theirs.normal {
		if ours.normal[name] != nil {
			both[name] = theirs.normal[name]
		}
	}
	maps.DeleteFunc(ours.normal, func(name string, _ map[string]string) bool { return both[name] == nil })
	return append(slices.DeleteFunc(wrong, isExplained), differences(both, ours.normal)...)
}

// play runs the script with a tool.
func (s scenario) play(t *testing.T, p place, with, other tool) []outcome {
	t.Helper()
	p.lay(t, s.archive)
	text := strings.Join(p.env, "\n")
	for _, f := range s.archive.Files {
		text += string(f.Data)
	}
	var all []outcome
	was := &past{ids: map[string]string{}, started: map[string]string{}, volumes: map[string]string{}, gone: map[string]any{}}
	for _, line := range s.steps {
		key, rest, _ := strings.Cut(line, " ")
		var r result
		switch key[:1] {
		case "@":
			r = p.run(t, with, p.words(rest)...)
		case "%":
			r = p.run(t, other, p.words(rest)...)
		case "$":
			if r = p.shell(t, rest); r.code != 0 {
				t.Fatalf("%s: exit %d\n%s", line, r.code, r.stderr)
			}
		case "c":
			p.dir = filepath.Join(p.dir, p.words(rest)[0])
		case "u":
			p.env = slices.DeleteFunc(slices.Clone(p.env), func(v string) bool { return strings.HasPrefix(v, rest+"=") })
		default:
			t.Fatalf("no step: %s", line)
		}
		now := p.look(t)
		words := was.with(now).words()
		o := outcome{failed: r.code != 0, said: r.stdout + r.stderr, normal: map[string]map[string]string{}}
		if strings.HasSuffix(key, "=") {
			for print := range strings.Lines(r.stdout) {
				o.print = append(o.print, withoutSlug(words.Replace(strings.TrimSpace(print))))
			}
			slices.Sort(o.print)
		}
		for name, flat := range was.with(now).normal(t, text) {
			if _, is := now[name]; !is && !strings.HasPrefix(name, "volume <") {
				continue
			}
			o.normal[withoutSlug(name)] = map[string]string{}
			for path, v := range flat {
				o.normal[withoutSlug(name)][withoutSlug(path)] = withoutSlug(v)
			}
		}
		o.things = was.compare(t, p, now)
		all = append(all, o)
	}
	if err := lab.Sweep(t, p.engine, p.project); err != nil {
		t.Fatal(err)
	}
	was.removeVolumes(t, p)
	return all
}

// words are a line's words, with the place's variables filled in.
func (p place) words(line string) []string {
	return strings.Fields(os.Expand(line, func(name string) string {
		for _, v := range p.env {
			if value, ok := strings.CutPrefix(v, name+"="); ok {
				return value
			}
		}
		return ""
	}))
}

// slug is the random end of a one-off container's name.
var slug = regexp.MustCompile(`-run-[0-9a-f]{12}`)

func withoutSlug(s string) string { return slug.ReplaceAllString(s, "-run-<slug>") }

// past is what was there after the line before.
type past struct {
	ids, started map[string]string
	volumes      map[string]string // those without a name that were ever seen, by the engine's name
	gone         map[string]any    // containers that were ever seen, by name and id
}

// with is now and all containers that were there before, for their ids.
func (w *past) with(now seen) seen {
	all := seen{}
	for name, one := range w.gone {
		all[name] = one.(map[string]any)
	}
	for name, one := range now {
		delete(all, name+" "+text(one["Id"]))
		all[name] = one
	}
	return all
}

// compare says of each thing whether it is new, started anew, or as it was, and then remembers it.
func (w *past) compare(t *testing.T, p place, now seen) map[string]string {
	t.Helper()
	out := map[string]string{}
	words := now.words()
	ids, started := map[string]string{}, map[string]string{}
	for _, name := range now.names() {
		one := now[name]
		id, begun := text(one["Id"]), text(at(one, "State", "StartedAt"))
		if strings.HasPrefix(name, "volume ") {
			id = text(one["Name"]) + text(one["CreatedAt"])
		}
		if strings.HasPrefix(name, "container ") {
			w.gone[name+" "+id] = map[string]any{"Id": one["Id"]}
		}
		how := "new"
		if w.ids[name] == id {
			how = "kept"
			if w.started[name] != begun {
				how = "started again"
			}
		}
		ids[name], started[name] = id, begun
		out[withoutSlug(words.Replace(name))] = strings.TrimSpace(how + " " + text(at(one, "State", "Status")))
		if volume := text(one["Name"]); anonymous.MatchString(volume) {
			w.volumes[volume] = words.Replace(volume)
		}
	}
	w.ids, w.started = ids, started
	for volume, word := range w.volumes {
		if _, used := now["volume "+volume]; used {
			continue
		}
		var gone any
		if p.get(t, "/volumes/"+volume, &gone) {
			out[word+", no longer used"] = "there"
		}
	}
	var images []struct{ RepoTags []string }
	p.get(t, "/images/json", &images)
	for _, image := range images {
		for _, tag := range image.RepoTags {
			if strings.HasPrefix(tag, p.project) {
				out["image "+tag] = "there"
			}
		}
	}
	return out
}

// removeVolumes removes what nothing refers to any more.
func (w *past) removeVolumes(t *testing.T, p place) {
	t.Helper()
	for volume := range w.volumes {
		var still any
		if p.get(t, "/volumes/"+volume, &still) {
			p.program(t, "docker", "volume", "rm", "-f", volume)
		}
	}
}
