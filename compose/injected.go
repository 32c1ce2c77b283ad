package compose

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
)

// SecretTarget is where a service sees a secret: its target, below /run/secrets when that is relative.
func SecretTarget(r FileReference) string { return targetIn("/run/secrets/", r) }

// ConfigTarget is where a service sees a config: its target, below / when that is relative.
func ConfigTarget(r FileReference) string { return targetIn("/", r) }

func targetIn(dir string, r FileReference) string {
	if r.Target == "" {
		return dir + r.Source
	}
	windows := strings.HasPrefix(r.Target, `\\`) || (len(r.Target) > 2 && r.Target[1:3] == `:\`)
	if path.IsAbs(r.Target) || windows {
		return r.Target
	}
	return dir + r.Target
}

// injected are the texts that are copied into a service's containers between create and start, by target: secrets and
// configs whose text is in the compose file or the environment.
func injected(p *Project, s Service) map[string]string {
	texts := map[string]string{}
	add := func(target string, o FileObject) {
		text := o.Content
		if text == "" && o.Environment != "" {
			text = p.Environment[o.Environment]
		}
		if text != "" {
			texts[target] = text
		}
	}
	for _, r := range s.Secrets {
		add(SecretTarget(FileReference(r)), FileObject(p.Secrets[r.Source]))
	}
	for _, r := range s.Configs {
		add(ConfigTarget(FileReference(r)), FileObject(p.Configs[r.Source]))
	}
	return texts
}

// absentFiles are the files of secrets and configs that are not on this machine, by path.
func absentFiles(p *types.Project) map[string]bool {
	absent := map[string]bool{}
	look := func(o FileObject) {
		if o.File == "" {
			return
		}
		if _, err := os.Stat(o.File); errors.Is(err, fs.ErrNotExist) {
			absent[o.File] = true
		}
	}
	for _, o := range p.Secrets {
		look(FileObject(o))
	}
	for _, o := range p.Configs {
		look(FileObject(o))
	}
	return absent
}

// InjectedPaths are where the texts of secrets and configs are copied into a service's containers, sorted. Files of secrets and
// configs are mounted and not among them.
func InjectedPaths(p *Project, s Service) []string {
	return slices.Sorted(maps.Keys(injected(p, s)))
}

// filesDiffer says which injected file of a container has another text than it should have. A file that the container
// changed itself, or that something else put there, is not judged.
func (p *planner) filesDiffer(s Service, c Container) string {
	texts := injected(p.want, s)
	for _, target := range slices.Sorted(maps.Keys(texts)) {
		if had := c.Files[target]; had != "" && had != digest([]byte(texts[target])) {
			return "the text of " + target + " changed"
		}
	}
	return ""
}

// lacksFiles is whether one of the texts that a container of a service is created with is not in it: the run that created it was killed before
// it was put there, which is the last of a create.
func (p *planner) lacksFiles(s Service, c Container) bool {
	for target, text := range injected(p.want, s) {
		if c.Files[target] != digest([]byte(text)) {
			return true
		}
	}
	return false
}
