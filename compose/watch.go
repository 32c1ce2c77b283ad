package compose

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/moby/patternmatcher"
)

// What a WatchRule's Action can be. Source: Compose specification, develop.watch.
const (
	WatchSync        = types.WatchActionSync
	WatchRebuild     = types.WatchActionRebuild
	WatchRestart     = types.WatchActionRestart
	WatchSyncRestart = types.WatchActionSyncRestart
	WatchSyncExec    = types.WatchActionSyncExec
)

// WatchRule is one entry of a service's develop.watch, ready to be asked about paths.
type WatchRule struct {
	WatchTrigger
	Service string
	ignore  *patternmatcher.PatternMatcher
	include *patternmatcher.PatternMatcher // nil: everything
}

// alwaysIgnored are the temporary files of editors and version control, which are never what a person edits.
func alwaysIgnored() []string {
	return []string{".git", "**/.git", "**/*~", "**/.*.sw?", "**/.*.sw??", "**/4913", "**/.#*", "**/#*#", "**/*___jb_tmp___", "**/*___jb_old___"}
}

// WatchRules are the rules of the named services (nil: all), by service and in the file's order. A rule's path that is a
// build context leaves out what its .dockerignore leaves out.
func WatchRules(p *Project, services []string) ([]WatchRule, error) {
	var rules []WatchRule
	for _, name := range slices.Sorted(maps.Keys(p.Services)) {
		s := p.Services[name]
		if s.Develop == nil || len(services) > 0 && !slices.Contains(services, name) {
			continue
		}
		for _, trigger := range s.Develop.Watch {
			r := WatchRule{WatchTrigger: trigger, Service: name}
			if strings.HasPrefix(string(r.Action), "sync") && r.Target == "" {
				return nil, fmt.Errorf("service %s: develop.watch of %s has the action %s and no target", name, trigger.Path, trigger.Action)
			}
			patterns := append(alwaysIgnored(), trigger.Ignore...)
			if s.Build != nil && !IsRemoteContext(s.Build.Context) && within(s.Build.Context, trigger.Path) {
				more, err := ignoredIn(p, name, trigger.Path)
				if err != nil {
					return nil, err
				}
				patterns = append(patterns, more...)
			}
			var err error
			if r.ignore, err = patternmatcher.New(patterns); err != nil {
				return nil, fmt.Errorf("service %s: ignore of develop.watch of %s: %w", name, trigger.Path, err)
			}
			if len(trigger.Include) > 0 {
				if r.include, err = patternmatcher.New(trigger.Include); err != nil {
					return nil, fmt.Errorf("service %s: include of develop.watch of %s: %w", name, trigger.Path, err)
				}
			}
			rules = append(rules, r)
		}
	}
	return rules, nil
}

// ignoredIn are the .dockerignore patterns of a service's build, for paths relative to root. They are known only where
// root is the context itself: patterns of another folder would mean other files.
func ignoredIn(p *Project, service, root string) ([]string, error) {
	src, err := ReadBuild(p, service)
	if err != nil || filepath.Clean(src.Context) != filepath.Clean(root) {
		return nil, nil // a build that cannot be read says so when it is built
	}
	return ignorePatterns(src.ignoreFiles())
}

// within is whether path is root or lies below it.
func within(root, path string) bool {
	rel, err := filepath.Rel(root, path)
	return err == nil && filepath.IsLocal(rel)
}

// Match is whether the rule is about the file at an absolute path, and the path inside the container that belongs to
// it ("" without a Target).
func (r WatchRule) Match(path string) (target string, ok bool) {
	rel, err := filepath.Rel(r.Path, path)
	if err != nil || !filepath.IsLocal(rel) {
		return "", false
	}
	rel = filepath.ToSlash(rel)
	if rel != "." {
		if ignored, err := r.ignore.MatchesOrParentMatches(rel); err != nil || ignored {
			return "", false
		}
		if r.include != nil {
			if included, err := r.include.MatchesOrParentMatches(rel); err != nil || !included {
				return "", false
			}
		}
	}
	switch {
	case r.Target == "":
		return "", true
	case rel == ".":
		return r.Target, true
	}
	return strings.TrimSuffix(r.Target, "/") + "/" + rel, true
}

// Skips is whether a folder need not be looked into: nothing below it can match.
func (r WatchRule) Skips(folder string) bool {
	rel, err := filepath.Rel(r.Path, folder)
	if err != nil || !filepath.IsLocal(rel) || rel == "." {
		return false
	}
	ignored, err := r.ignore.MatchesOrParentMatches(filepath.ToSlash(rel))
	return err == nil && ignored && !r.ignore.Exclusions()
}
