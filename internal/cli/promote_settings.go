package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/release"
)

// settingChange is one thing that the compose files of two releases say differently, or one of them alone.
type settingChange struct {
	Setting string `json:"setting"` // such as services.web.environment.DEBUG
	Change  string `json:"change"`  // added, changed or removed
}

// settings are what the compose files say differently at one commit and at another, values left out: some are secrets. What is under x-strake.environments
// is the default branch's to say, at any release.
func (r *releasing) settings(ctx context.Context, s Streams, o projectOptions, before, after string) ([]settingChange, error) {
	var models [2]any
	var both errgroup.Group
	for i, commit := range []string{before, after} {
		both.Go(func() error {
			with := o.loadOptions(s)
			with.CacheDir = ""
			text, err := r.source.Written(ctx, commit, with)
			if err == nil {
				err = json.Unmarshal(text, &models[i])
			}
			if err != nil && !errors.Is(err, compose.ErrNoFile) {
				return fmt.Errorf("read the compose files as %s has them: %w", release.Short(commit), err)
			}
			return nil
		})
	}
	if err := both.Wait(); err != nil {
		return nil, err
	}
	return append([]settingChange{}, settingChanges("", models[0], models[1])...), nil // known, though there may be none
}

// settingChanges are the differences of two values of a compose file, each by the path of the deepest thing that has a name.
func settingChanges(path string, before, after any) []settingChange {
	was, isTree := named(path, before)
	is, areTrees := named(path, after)
	if path != "" && !isTree && !areTrees {
		switch {
		case reflect.DeepEqual(before, after):
			return nil
		case before == nil:
			return []settingChange{{path, "added"}}
		case after == nil:
			return []settingChange{{path, "removed"}}
		}
		return []settingChange{{path, "changed"}}
	}
	var all []settingChange
	names := slices.AppendSeq(slices.Collect(maps.Keys(was)), maps.Keys(is))
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		old, had := was[name]
		now, has := is[name]
		at := strings.TrimPrefix(path+"."+name, ".")
		switch {
		case at == "x-strake.environments" || at == "name":
		case had && has:
			all = append(all, settingChanges(at, old, now)...)
		case has:
			all = append(all, settingChange{at, "added"})
		default:
			all = append(all, settingChange{at, "removed"})
		}
	}
	return all
}

// named are the parts of a value that have names: those of a mapping, and of a list of NAME=VALUE where the specification takes one for a mapping.
// Source: Compose Specification, "services", environment, labels and build.args.
func named(path string, value any) (map[string]any, bool) {
	tree, isTree := value.(map[string]any)
	list, isList := value.([]any)
	if !slices.Contains([]string{"environment", "labels", "args"}, path[strings.LastIndexByte(path, '.')+1:]) {
		return tree, isTree
	}
	lines := map[string]any{}
	for name, value := range tree {
		lines[name] = fmt.Sprint(value)
	}
	for _, line := range list {
		name, value, hasValue := strings.Cut(fmt.Sprint(line), "=")
		if lines[name] = fmt.Sprint(nil); hasValue {
			lines[name] = value
		}
	}
	return lines, isTree || isList
}

// mostSettings is how many settings a plan lists.
const mostSettings = 20

// printSettings lists what the compose files say differently.
func printSettings(to io.Writer, changes []settingChange, err error) {
	switch {
	case err != nil:
		fmt.Fprintf(to, "changes ? settings: %s\n", harmless(err.Error()))
	case len(changes) > 0:
		fmt.Fprintf(to, "changes %s:\n", plural(len(changes), "setting"))
	}
	for _, c := range changes[:min(len(changes), mostSettings)] {
		fmt.Fprintf(to, "  %-8s %s\n", c.Change, harmless(strings.ReplaceAll(c.Setting, "\n", " ")))
	}
	if more := len(changes) - mostSettings; more > 0 {
		fmt.Fprintf(to, "  and %d more\n", more)
	}
}
