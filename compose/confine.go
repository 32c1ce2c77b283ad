package compose

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Within is whether a path is a folder or leads to something in it, once every symbolic link on the way is followed; what is not there
// yet is where it would be made. A relative path is taken from root. A path that cannot be followed to its end is not within.
func Within(root, path string) bool {
	base, err := followed(root)
	if err != nil {
		return false
	}
	if !filepath.IsAbs(path) {
		path = root + string(filepath.Separator) + path
	}
	for _, p := range []string{path, filepath.Clean(path)} { // who opens it may clean it first, which is another path where a/.. and a is a link
		if end, err := followed(p); err != nil || !isIn(base, end) {
			return false
		}
	}
	return true
}

// isIn is whether a clean path is a folder or below it.
func isIn(folder, path string) bool {
	rel, err := filepath.Rel(folder, path)
	return err == nil && filepath.IsLocal(rel)
}

// followed is an absolute path without symbolic links. Unlike filepath.EvalSymlinks it goes on where nothing is there, so that a link to
// what does not exist yet is followed too.
func followed(path string) (string, error) {
	if !filepath.IsAbs(path) {
		dir, err := os.Getwd()
		if err != nil {
			return "", err
		}
		path = dir + string(filepath.Separator) + path
	}
	volume := filepath.VolumeName(path)
	done, rest := volume+string(filepath.Separator), path[len(volume):]
	for links := 0; rest != ""; {
		part, after, _ := strings.Cut(strings.TrimLeft(rest, string(filepath.Separator)), string(filepath.Separator))
		rest = after
		if part == "" || part == "." {
			continue
		}
		if part == ".." {
			done = filepath.Dir(done)
			continue
		}
		next := filepath.Join(done, part)
		info, err := os.Lstat(next)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		if err != nil || info.Mode()&fs.ModeSymlink == 0 {
			done = next
			continue
		}
		if links++; links > 255 {
			return "", fmt.Errorf("%s: too many symbolic links", path)
		}
		target, err := os.Readlink(next)
		if err != nil {
			return "", err
		}
		if filepath.IsAbs(target) {
			done = filepath.VolumeName(target) + string(filepath.Separator)
			target = target[len(filepath.VolumeName(target)):]
		}
		rest = target + string(filepath.Separator) + rest
	}
	return done, nil
}

// ErrOutside is returned, with words of its own, by a Load that is confined to a folder where the project would read what is not in it.
var ErrOutside = errors.New("a file is outside of the folder that the project must be in")

// outsideError is an ErrOutside that says which file.
type outsideError struct{ says string }

func (e *outsideError) Error() string     { return e.says }
func (e *outsideError) Is(err error) bool { return err == ErrOutside }

// outside is the error for a file that a confined load must not read.
func outside(what, path, root string) error {
	return &HintedError{Err: &outsideError{fmt.Sprintf("%s %s is outside of %s, in which all that this project reads must be", what, path, root)},
		Next: "keep a copy in the project, and name it by a path that does not lead out, also not by a symbolic link"}
}

// check refuses a path that leads out of the folder that the load is confined to.
func (in *input) check(what, path string) error {
	if in.o.Root == "" || Within(in.o.Root, path) {
		return nil
	}
	return outside(what, path, in.o.Root)
}

// checkNamed refuses the files that services of the model name and that loading reads.
func (in *input) checkNamed(model map[string]any) error {
	services, _ := model["services"].(map[string]any)
	if in.o.Root == "" {
		return nil
	}
	var errs []error
	var look func(service, key string, v any)
	look = func(service, key string, v any) {
		switch v := v.(type) {
		case string:
			if !filepath.IsAbs(v) {
				v = filepath.Join(in.details.WorkingDir, v)
			}
			errs = append(errs, in.check(key+" of service "+service, v))
		case []any:
			for _, e := range v {
				look(service, key, e)
			}
		case map[string]any:
			look(service, key, v["path"])
		}
	}
	for name, s := range services {
		s, _ := s.(map[string]any)
		look(name, "env_file", s["env_file"])
		look(name, "label_file", s["label_file"])
		hooks, _ := s["pre_start"].([]any)
		for _, h := range hooks {
			h, _ := h.(map[string]any)
			look(name, "env_file", h["env_file"])
			look(name, "label_file", h["label_file"])
		}
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	return errors.Join(errs...)
}

// confined refuses what include and extends name where it leads out of a folder. compose-go does not say from which folder a path of a
// nested file is taken, so that it is tried from all that it can be: where it leads to something outside from one of them it is refused.
type confined struct {
	root string
	// bases are the folders from which relative paths may be taken; looked are the files of which that is known.
	bases, looked []string
	why           error
}

// Accept is whether the path must be refused.
func (c *confined) Accept(path string) bool {
	if isRemote(path) {
		return false // refuseRemote says it
	}
	for _, base := range slices.Clone(c.bases) {
		at := path
		if !filepath.IsAbs(at) {
			at = filepath.Join(base, at)
		}
		info, err := os.Stat(at)
		if err != nil {
			continue // nothing is read from there
		}
		if !Within(c.root, at) {
			c.why = outside("include or extends", path, c.root)
			return true
		}
		if info.Mode().IsRegular() && !slices.Contains(c.looked, at) {
			c.looked = append(c.looked, at)
			if c.why = c.enter(at); c.why != nil {
				return true
			}
		}
	}
	return false
}

// enter notes the folders that paths of a file may be taken from, and refuses what includes of it read beside other compose files: the
// .env of those folders, and env_file.
func (c *confined) enter(file string) error {
	if err := c.addBase(filepath.Dir(file)); err != nil {
		return err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	for _, doc := range yamlDocuments(text) {
		list := child(doc, "include")
		for list != nil && list.Kind == yaml.AliasNode {
			list = list.Alias
		}
		if list == nil {
			continue
		}
		for _, item := range list.Content {
			if err := c.enterInclude(item); err != nil {
				return err
			}
		}
	}
	return nil
}

// enterInclude does enter for one entry of include.
func (c *confined) enterInclude(item *yaml.Node) error {
	for _, key := range []string{"project_directory", "env_file"} {
		v := child(item, key)
		for v != nil && v.Kind == yaml.AliasNode {
			v = v.Alias
		}
		if v == nil {
			continue
		}
		paths := []*yaml.Node{v}
		if v.Kind == yaml.SequenceNode {
			paths = v.Content
		}
		for _, p := range paths {
			if p.Kind != yaml.ScalarNode || strings.Contains(p.Value, "$") {
				return &HintedError{Err: fmt.Errorf("%s of include is no plain path", key), Next: "write the path without variables: where it leads has to be known before it is followed"}
			}
			for _, base := range slices.Clone(c.bases) {
				at := p.Value
				if !filepath.IsAbs(at) {
					at = filepath.Join(base, at)
				}
				if _, err := os.Stat(at); err != nil || at == os.DevNull {
					continue
				}
				if !Within(c.root, at) {
					return outside(key+" of include", p.Value, c.root)
				}
				if key == "project_directory" {
					if err := c.addBase(at); err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}

// addBase notes a folder from which paths may be taken.
func (c *confined) addBase(dir string) error {
	if slices.Contains(c.bases, dir) {
		return nil
	}
	c.bases = append(c.bases, dir)
	if env := filepath.Join(dir, ".env"); !Within(c.root, env) {
		return outside("env file", env, c.root)
	}
	return nil
}

// Load refuses.
func (c *confined) Load(context.Context, string) (string, error) { return "", c.why }

// Dir is never asked for, as Load fails first.
func (c *confined) Dir(path string) string { return path }

// yamlDocuments are the documents of a file, as far as they can be read.
func yamlDocuments(text []byte) []*yaml.Node {
	var all []*yaml.Node
	decoder := yaml.NewDecoder(strings.NewReader(string(text)))
	for {
		var doc yaml.Node
		if decoder.Decode(&doc) != nil || len(doc.Content) == 0 {
			return all
		}
		all = append(all, doc.Content[0])
	}
}

// confine makes ready what refuses the includes and extends of the files.
func (in *input) confine() error {
	in.confined = &confined{root: in.o.Root}
	if err := in.confined.addBase(in.details.WorkingDir); err != nil {
		return err
	}
	for _, f := range in.files() {
		if f == stdinName {
			continue
		}
		in.confined.looked = append(in.confined.looked, f)
		if err := in.confined.enter(f); err != nil {
			return err
		}
	}
	return nil
}
