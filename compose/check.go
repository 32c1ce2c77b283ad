package compose

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// Level is how bad a Finding is.
type Level string

// The levels of findings, the worst first.
const (
	// LevelError is what does not work: without a network, in a preview that the project asks for, or at all.
	LevelError Level = "error"
	// LevelWarning is what works here and now, and elsewhere or without a network it may not.
	LevelWarning Level = "warning"
	// LevelAdvice is what is worth knowing, or what a file alone does not prove.
	LevelAdvice Level = "advice"
)

// Levels are all levels, the worst first.
func Levels() []Level { return []Level{LevelError, LevelWarning, LevelAdvice} }

// Finding is one thing that an audit of a project's files found. Its JSON names are stable. No value of a variable is part of it, nor what
// stands before the @ of an address.
type Finding struct {
	Rule    string `json:"rule"` // one of CheckRules
	Level   Level  `json:"level"`
	Service string `json:"service,omitempty"` // "" where it is of the project; the first by name where several have it at one place
	// File is relative to the project's folder, with slashes, or absolute where it lies outside; "" where the place is not known.
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"` // from 1; 0 where it is not known
	What string `json:"what"`
	Why  string `json:"why"`
	Fix  string `json:"fix"`
}

// CheckOptions are what Check is told beside the project. The zero value asks for nothing more than the files say.
type CheckOptions struct {
	// Also are findings of others, such as of previews or of an engine, which are sorted in and can be ignored as those of Check are. Those
	// without a File and Line are placed at their Service. Where Check finds the same by the same rule, only the worse level of one counts.
	Also []Finding
}

// Check audits what the files of a project say, for the enabled services: what needs a network, what ties the stack to this machine, what
// another machine would do otherwise. It asks no engine and no network, and reads only the project's files: compose files, Dockerfiles, env files,
// and files of configs and mounts that are settings; never a secret.
//
// Findings are sorted by level, file and line, each place once. Those that x-strake.check.ignore names are left out; an entry that names
// none is itself a finding. A Dockerfile that cannot be read is a finding too. The only error is that of a ctx that ended.
func Check(ctx context.Context, p *Project, o CheckOptions) ([]Finding, error) {
	c := &checker{p: p, places: newPlaces(p), built: map[string]bool{}, hosts: knownHosts(p)}
	for _, s := range p.AllServices() {
		if s.Build != nil {
			c.built[familiar(ImageName(p, s))] = true
			for _, tag := range s.Build.Tags {
				c.built[familiar(tag)] = true
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.Services)) {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		s := p.Services[name]
		for _, look := range []func(Service){c.image, c.build, c.variables, c.settingsFiles, c.healthcheck, c.commands, c.containment, c.dependencies, c.seeds} {
			look(s)
		}
	}
	c.networks()
	for _, f := range o.Also {
		if c.raise(f) {
			continue
		}
		if f.File == "" && f.Service != "" {
			f.File, f.Line = c.places.of("services", f.Service).split()
		}
		c.found = append(c.found, f)
	}
	c.ignore()
	return c.sorted(), ctx.Err()
}

// Where is where a path of keys such as services, web, image stands in the project's files, as a Finding has it. Where it is not written there
// it is the nearest above it that is; "" is nowhere.
func (p *Project) Where(path ...string) (file string, line int) {
	return newPlaces(p).of(path...).split()
}

// checker is one run of Check.
type checker struct {
	p      *Project
	places *places
	built  map[string]bool // images that the project builds, as familiar names them
	hosts  map[string]bool // names by which containers of the project are reached, and those that its files give addresses to
	found  []Finding
}

// add notes a finding of a rule at its first level.
func (c *checker) add(rule, service string, at place, what string) {
	c.addAs("", rule, service, at, what)
}

// addAs is add at a level that is not the rule's first; "" is the first. Why and Fix are the rule's.
func (c *checker) addAs(level Level, rule, service string, at place, what string) {
	r, ok := ruleNamed(rule)
	if !ok {
		panic("no rule " + rule) // a test runs every rule
	}
	f := Finding{Rule: rule, Level: cmp.Or(level, r.Levels[0]), Service: service, What: what, Why: r.Why, Fix: r.Fix}
	f.File, f.Line = at.split()
	c.found = append(c.found, f)
}

// raise gives what was found by the rule of another finding in its service the other's level, if that is worse. It is whether anything was.
func (c *checker) raise(other Finding) bool {
	found := false
	for i, f := range c.found {
		if f.Rule == other.Rule && f.Service == other.Service && f.Service != "" {
			found = true
			if slices.Index(Levels(), other.Level) < slices.Index(Levels(), f.Level) {
				c.found[i].Level = other.Level
			}
		}
	}
	return found
}

// ignore leaves out what x-strake.check.ignore names, and finds entries that name nothing.
func (c *checker) ignore() {
	ignores := c.p.Settings.Check.Ignore
	used := make([]bool, len(ignores))
	c.found = slices.DeleteFunc(c.found, func(f Finding) bool {
		gone := false
		for i, ig := range ignores {
			if ig.Rule == f.Rule && (ig.Service == "" || ig.Service == f.Service) {
				used[i], gone = true, true
			}
		}
		return gone
	})
	for i, ig := range ignores {
		if r, ok := ruleNamed(ig.Rule); used[i] || !ok || r.Elsewhere {
			continue
		}
		if _, off := c.p.DisabledServices[ig.Service]; off {
			continue // its findings are there when its profile is
		}
		what := "the entry for " + ig.Rule + " ignores nothing"
		if ig.Service != "" {
			what = "the entry for " + ig.Rule + " of service " + ig.Service + " ignores nothing"
		}
		c.add("unused-ignore", ig.Service, c.places.of(settingsKey, "check", "ignore", fmt.Sprint(i)), what)
	}
}

// sorted are the findings, each once for its place: what several services share by an anchor is one thing to mend.
func (c *checker) sorted() []Finding {
	slices.SortStableFunc(c.found, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(slices.Index(Levels(), a.Level), slices.Index(Levels(), b.Level)), cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.What, b.What), cmp.Compare(a.Service, b.Service))
	})
	return slices.CompactFunc(c.found, func(a, b Finding) bool {
		return a.Rule == b.Rule && a.What == b.What && a.File == b.File && a.Line == b.Line && (a.Line > 0 || a.Service == b.Service)
	})
}

// RemoteError is returned by Load where files include or extend what is not a local file.
type RemoteError struct {
	What string // compose file, include or extends
	Path string // as the file says it, which may hold credentials: Host is without
	// File is the file that names it, relative to the folder of LoadOptions where it lies inside, and Line from 1; "" and 0 where that is not known.
	File string
	Line int
}

// Error does not say more of Path than its host where it has credentials.
func (e *RemoteError) Error() string {
	return fmt.Sprintf("%s %s is remote, which strake does not fetch", e.What, withoutUser(e.Path))
}

// CheckRemote is the finding for an error of Load, where that is a *RemoteError: the only thing that can be said of such a project before it
// is changed. It returns false for every other error.
func CheckRemote(err error) (Finding, bool) {
	var remote *RemoteError
	if !errors.As(err, &remote) {
		return Finding{}, false
	}
	r, _ := ruleNamed("remote-include")
	return Finding{Rule: r.ID, Level: r.Levels[0], File: filepath.ToSlash(remote.File), Line: remote.Line,
		What: remote.What + " names " + withoutUser(remote.Path), Why: r.Why, Fix: r.Fix}, true
}

// withoutUser is an address without what stands before its @, where that is more than a name.
func withoutUser(address string) string {
	scheme, rest, ok := strings.Cut(address, "://")
	if !ok {
		return address
	}
	authority, path, _ := strings.Cut(rest, "/")
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		authority = authority[i+1:]
	}
	path, _, _ = strings.Cut(path, "?")
	return strings.TrimSuffix(scheme+"://"+authority+"/"+path, "/")
}
