package compose

import (
	"bytes"

	"github.com/compose-spec/compose-go/v2/interpolation"
	"github.com/compose-spec/compose-go/v2/tree"
)

// casts are those of what compose-go reads as numbers and switches that can occur: it looks for each text of the files through all of them,
// which takes longer than everything else of its interpolation. Where other files may be brought in, or a key may be written in another way
// than it reads, all are kept.
func (in *input) casts(all map[tree.Path]interpolation.Cast) map[tree.Path]interpolation.Cast {
	for _, f := range in.details.ConfigFiles {
		for _, word := range []string{"include", "extends", `\x`, `\u`, `\U`, "\\\n", "\\\r", "\x00"} {
			if bytes.Contains(f.Content, []byte(word)) {
				return all
			}
		}
	}
	kept := map[tree.Path]interpolation.Cast{}
	for path, cast := range all {
		if in.mentions(path) {
			kept[path] = cast
		}
	}
	return kept
}

// mentions is whether every key of a path stands somewhere in the files.
func (in *input) mentions(path tree.Path) bool {
	for _, key := range path.Parts() {
		if key == tree.PathMatchAll || key == tree.PathMatchList {
			continue
		}
		found := false
		for _, f := range in.details.ConfigFiles {
			found = found || bytes.Contains(f.Content, []byte(key))
		}
		if !found {
			return false
		}
	}
	return true
}
