package compose

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/consts"
	"github.com/compose-spec/compose-go/v2/dotenv"
	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/compose-spec/compose-go/v2/utils"
)

// settingsFile is merged after the compose files where it lies beside the first of them.
const settingsFile = "strake.yaml"

// stdinName is how standard input is called among files.
const stdinName = "-"

// input is what LoadOptions, the environment and the folder come down to.
type input struct {
	o        LoadOptions
	dir      string // absolute
	env      types.Mapping
	envFiles []string // those that were asked for
	found    []string // what to say of how the files were found
	details  types.ConfigDetails
	name     string
	confined *confined // nil without Root
	explicit bool      // whether the name wins over name: in the files
	profiles []string
}

// resolveInput finds files, environment, name and profiles in the order in which Docker Compose does: the environment, .env of
// the folder, COMPOSE_FILE or the default names, then .env of the first file's folder.
// Source: docker/compose, cmd/compose/compose.go, toProjectOptions.
func resolveInput(o LoadOptions) (*input, error) {
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("find the folder: %w", err)
	}
	knowRawFormat()
	speakDialect()
	in := &input{o: o, dir: dir, env: types.Mapping(utils.GetAsEqualsMap(o.Environ))}
	if _, ok := in.env["PWD"]; !ok {
		in.env["PWD"] = dir
	}
	in.envFiles = o.EnvFiles
	if list := in.env["COMPOSE_ENV_FILES"]; len(in.envFiles) == 0 && list != "" {
		in.envFiles = strings.Split(list, ",")
	}
	in.envFiles = in.absolute(in.envFiles)
	files := in.absolute(o.Files)
	if err := in.readEnv(in.workingDir(files)); err != nil {
		return nil, err
	}
	if files, err = in.findFiles(files); err != nil {
		return nil, err
	}
	in.details.WorkingDir = in.workingDir(files)
	if err := in.readEnv(in.details.WorkingDir); err != nil {
		return nil, err
	}
	if err := in.read(files); err != nil {
		return nil, err
	}
	if o.Root != "" {
		if err := in.confine(); err != nil {
			return nil, err
		}
	}
	in.profiles = o.Profiles
	if len(in.profiles) == 0 {
		for p := range strings.SplitSeq(in.env[consts.ComposeProfiles], ",") {
			in.profiles = append(in.profiles, strings.TrimSpace(p))
		}
	}
	in.details.Environment = in.env
	return in, in.nameIt()
}

// absolute are the paths, resolved against the folder.
func (in *input) absolute(paths []string) []string {
	var all []string
	for _, p := range paths {
		if p != stdinName && !filepath.IsAbs(p) && !isRemote(p) {
			p = filepath.Join(in.dir, p)
		}
		all = append(all, p)
	}
	return all
}

// workingDir is what the project's relative paths are resolved against.
func (in *input) workingDir(files []string) string {
	if in.o.ProjectDir != "" {
		return in.absolute([]string{in.o.ProjectDir})[0]
	}
	for _, f := range files {
		if f != stdinName {
			return filepath.Dir(f)
		}
	}
	return in.dir
}

// readEnv adds what the env files say and the environment does not: those that were asked for, or .env in dir.
func (in *input) readEnv(dir string) error {
	files := in.envFiles
	if len(files) == 0 {
		if v, ok := in.env[consts.ComposeDisableDefaultEnvFile]; ok {
			off, err := strconv.ParseBool(v)
			if err != nil {
				return &HintedError{Err: fmt.Errorf("%s is %q", consts.ComposeDisableDefaultEnvFile, v), Next: "set it to true or false"}
			}
			if off {
				return nil
			}
		}
		file := filepath.Join(dir, ".env")
		s, err := os.Stat(file)
		if err != nil || s.IsDir() {
			return nil // nobody asked for it
		}
		files = []string{file}
	}
	for _, f := range files {
		if err := in.check("env file", f); err != nil {
			return err
		}
		if s, err := os.Stat(f); err != nil {
			return &HintedError{Err: fmt.Errorf("read env file %s: %w", f, reason(err)), Next: "create it, or leave out --env-file (COMPOSE_ENV_FILES) for it"}
		} else if s.IsDir() {
			return &HintedError{Err: fmt.Errorf("read env file %s: it is a folder", f), Next: "name a file of KEY=VALUE lines"}
		}
	}
	values, err := dotenv.GetEnvFromFile(in.env, files)
	if err != nil {
		return &HintedError{Err: fmt.Errorf("read env file: %s", strings.TrimPrefix(err.Error(), "failed to read ")), Next: "write each line as KEY=VALUE"}
	}
	in.env.Merge(values)
	return nil
}

// reason is err without the path that an fs.PathError repeats.
func reason(err error) error {
	var p *fs.PathError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fs.ErrNotExist
	case errors.As(err, &p):
		return p.Err
	}
	return err
}

// findFiles are the compose files: the given ones, COMPOSE_FILE, or the default names in the folder or the nearest one above.
func (in *input) findFiles(files []string) ([]string, error) {
	if len(files) > 0 {
		return files, nil
	}
	if list := in.env[consts.ComposeFilePath]; list != "" {
		sep := in.env[consts.ComposePathSeparator]
		if sep == "" {
			sep = string(os.PathListSeparator)
		}
		return in.absolute(strings.Split(list, sep)), nil
	}
	start := in.dir
	if in.o.ProjectDir != "" {
		start = in.workingDir(nil)
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		if main := in.pick(dir, cli.DefaultFileNames, "compose files"); main != "" {
			files = []string{main}
			if override := in.pick(dir, cli.DefaultOverrideFileNames, "override files"); override != "" {
				files = append(files, override)
			}
			return files, nil
		}
		if filepath.Dir(dir) == dir || in.o.Root != "" && !Within(in.o.Root, filepath.Dir(dir)) {
			names := cli.DefaultFileNames
			return nil, &HintedError{Err: fmt.Errorf("%w in %s or a folder above it (looked for %s)", ErrNoFile, start, strings.Join(names, ", ")),
				Next: "go to the project's folder, or name the file with -f"}
		}
	}
}

// pick is the first of names in dir, "" if none is there; it notes that there were several.
func (in *input) pick(dir string, names []string, what string) string {
	var found []string
	for _, n := range names {
		if _, err := os.Stat(filepath.Join(dir, n)); err == nil {
			found = append(found, n)
		}
	}
	if len(found) == 0 {
		return ""
	}
	if len(found) > 1 {
		in.found = append(in.found, fmt.Sprintf("%s has several %s (%s): %s is used", dir, what, strings.Join(found, ", "), found[0]))
	}
	return filepath.Join(dir, found[0])
}

// read reads the files, and strake.yaml beside the first of them.
func (in *input) read(files []string) error {
	for _, f := range files {
		if isRemote(f) {
			return remoteRefused("compose file", f)
		}
	}
	beside := in.details.WorkingDir
	if files[0] != stdinName {
		beside = filepath.Dir(files[0])
	}
	extra := filepath.Join(beside, settingsFile)
	if _, err := os.Stat(extra); err == nil && !slices.Contains(files, extra) {
		files = append(slices.Clone(files), extra)
	}
	for _, f := range files {
		if f != stdinName {
			if err := in.check("compose file", f); err != nil {
				return err
			}
		}
		text, err := in.content(f)
		if err != nil {
			next := "correct -f or COMPOSE_FILE"
			if near := nearestName(filepath.Dir(f), filepath.Base(f), false); near != "" {
				next += "; did you mean " + near + "?"
			}
			return &HintedError{Err: fmt.Errorf("read compose file %s: %w", f, reason(err)), Next: next}
		}
		in.details.ConfigFiles = append(in.details.ConfigFiles, types.ConfigFile{Filename: f, Content: text})
	}
	return nil
}

func (in *input) content(file string) ([]byte, error) {
	switch {
	case file != stdinName:
		return os.ReadFile(file)
	case in.o.Stdin == nil:
		return []byte{}, nil
	}
	return io.ReadAll(in.o.Stdin)
}

// files are the names of the files that were read.
func (in *input) files() []string {
	var names []string
	for _, f := range in.details.ConfigFiles {
		names = append(names, f.Filename)
	}
	return names
}

// nameIt finds the project's name: -p, COMPOSE_PROJECT_NAME, and the folder's, over which name: in a file wins.
func (in *input) nameIt() error {
	in.name, in.explicit = in.o.Name, true
	from := "-p"
	if in.name == "" {
		in.name, from = in.env[consts.ComposeProjectName], consts.ComposeProjectName
	}
	if in.name == "" {
		in.name, in.explicit = loader.NormalizeProjectName(filepath.Base(in.details.WorkingDir)), false
		return nil
	}
	return CheckProjectName(from, in.name)
}

// foreseen is the project's name as far as a glance tells; "" where a file says it in a way that takes more.
func (in *input) foreseen() string {
	name := in.name
	for _, f := range in.details.ConfigFiles {
		for line := range bytes.Lines(f.Content) {
			if said, ok := bytes.CutPrefix(line, []byte("name:")); ok && !in.explicit {
				name = strings.Trim(string(bytes.TrimSpace(said)), `"'`)
			}
		}
	}
	if loader.NormalizeProjectName(name) != name {
		return ""
	}
	return name
}

// CheckProjectName refuses a name that no project can have; from is where it is said. The error is a *HintedError.
func CheckProjectName(from, name string) error {
	ok := loader.NormalizeProjectName(name)
	if ok == name {
		return nil
	}
	next := "use lower-case letters, digits, - and _, and begin with a letter or a digit"
	if ok != "" {
		next += "; for example " + ok
	}
	return &HintedError{Err: fmt.Errorf("%s %q is no project name", from, name), Next: next}
}

// options are compose-go's.
func (in *input) options() func(*loader.Options) {
	return func(o *loader.Options) {
		o.SetProjectName(in.name, in.explicit)
		o.Profiles = in.profiles
		o.ResolvePaths = true
		loader.WithDiscardEnvFiles(o) // Docker Compose's config hash is without them
		o.SkipInterpolation = in.o.NoInterpolate
		o.SkipResolveEnvironment = in.o.AllowUnsupported // as far as it goes: resolved later
		o.ConvertWindowsPaths = utils.StringToBool(in.env["COMPOSE_CONVERT_WINDOWS_PATHS"])
		o.Interpolate.TypeCastMapping = in.casts(o.Interpolate.TypeCastMapping)
		o.ResourceLoaders = []loader.ResourceLoader{refuseRemote{}}
		if in.confined != nil {
			o.ResourceLoaders = append(o.ResourceLoaders, in.confined)
		}
	}
}

// model is the merged, interpolated and normalised file as a tree, and what is in it that strake does not do. Files that are
// known to be checked are not checked again.
func (in *input) model(ctx context.Context, src *sources, checked bool) (_ map[string]any, found []finding, err error) {
	defer unpanicked(&err)
	listen := func(o *loader.Options) { o.Listeners = []loader.Listener{src.listen} }
	if checked {
		model, err := loader.LoadModelWithContext(ctx, in.details, in.options(), listen, loader.WithSkipValidation)
		return model, nil, err
	}
	model, err := loader.LoadModelWithContext(ctx, in.details, in.options(), listen, loader.WithUnsupportedAttributesCheck(valuePatterns(), nil),
		loader.WithSupportedAttributes(supportedPaths(), func(all []loader.UnsupportedAttribute) { found = findings(all) }))
	return model, found, err
}

// refuseRemote is the loader of what an include, an extends or -f names and is not a local file: it refuses.
type refuseRemote struct{}

var _ loader.ResourceLoader = refuseRemote{}

// Accept is whether the path is not local.
func (refuseRemote) Accept(path string) bool { return isRemote(path) }

// Load refuses.
func (refuseRemote) Load(_ context.Context, path string) (string, error) {
	return "", remoteRefused("include or extends", path)
}

// Dir is never asked for, as Load fails first.
func (refuseRemote) Dir(path string) string { return path }

// isRemote is whether a path names a git repository or an OCI artifact, the two that Docker Compose fetches.
func isRemote(path string) bool {
	for _, prefix := range []string{"oci://", "http://", "https://", "git://", "ssh://", "git@", "github.com/"} {
		if strings.HasPrefix(path, prefix) {
			return true
		}
	}
	return false
}

func remoteRefused(what, path string) error {
	return &HintedError{Err: &RemoteError{What: what, Path: path},
		Next: "keep a copy in the project (a git submodule, for example) and name its path"}
}
