package compose

import (
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/strake-dev/strake/compose/regex"
)

var remoteName = regex.New(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)

// checkLanes refuses ways to an environment that cannot be, or of which it is not known which one counts.
func checkLanes(e EnvironmentSettings, all map[string]EnvironmentSettings, wrong func(next, says string, path ...string)) {
	if e.Remote != "" && !remoteName.MatchString(e.Remote) {
		wrong("write the name that git remote shows", fmt.Sprintf(" is %q, which is no name of a remote", e.Remote), "remote")
	}
	if e.File != "" && (!fs.ValidPath(e.File) || !slices.Contains([]string{".yaml", ".yml"}, path.Ext(e.File))) {
		wrong("write one such as deploy/prod.yaml", fmt.Sprintf(" is %q, which is no path of a YAML file in the project", e.File), "file")
	}
	var ways []string
	for _, way := range []struct{ name, value string }{{"branch", e.Branch}, {"remote", e.Remote}, {"file", e.File}} {
		if way.value != "" {
			ways = append(ways, way.name)
		}
	}
	if len(ways) > 1 {
		wrong("leave one of them", " is a second way to say which commit it runs, beside "+ways[0], ways[1])
	}
	if e.Hotfix == "" {
		return
	}
	flat := func(text string) string { return strings.ReplaceAll(text, "/", ":") } // * is / too
	if _, err := path.Match(flat(e.Hotfix), ""); err != nil {
		wrong("write one such as hotfix*", fmt.Sprintf(" is %q, which is no pattern", e.Hotfix), "hotfix")
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if is, err := path.Match(flat(e.Hotfix), flat(all[name].Branch)); err == nil && is && all[name].Branch != "" {
			wrong("write a narrower one, such as hotfix*", fmt.Sprintf(" is %q, which the branch %s of %s is like", e.Hotfix, all[name].Branch, name), "hotfix")
		}
	}
}
