package compose

import (
	"maps"
	"path/filepath"
	"slices"

	"github.com/moby/patternmatcher"
)

// BuildsHolding are the enabled services whose build has a folder, or a file, in its context and does not leave it out, sorted: what is written
// there has their images built anew. A build that cannot be read holds nothing.
func BuildsHolding(p *Project, dir string) []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(p.Services)) {
		if p.Services[name].Build == nil {
			continue
		}
		src, err := ReadBuild(p, name)
		if err != nil || src.Remote {
			continue
		}
		rel, err := filepath.Rel(src.Context, dir)
		if err != nil || !filepath.IsLocal(rel) {
			continue
		}
		patterns, err := ignorePatterns(src.ignoreFiles())
		if err != nil {
			continue
		}
		if m, err := patternmatcher.New(patterns); err == nil {
			if out, err := m.MatchesOrParentMatches(filepath.Join(rel, "object")); err == nil && !out {
				names = append(names, name)
			}
		}
	}
	return names
}
