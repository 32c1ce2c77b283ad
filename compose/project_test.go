package compose_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
	"golang.org/x/tools/txtar"

	"github.com/strake-dev/strake/compose"
)

// loadOutputs are the sections of a story that Load writes.
var loadOutputs = []string{"error", "hint", "warnings", "settings", "config"}

// TestLoad_Golden loads each story of testdata/load: its files, the flags in `args`, standard input in `stdin`, and what must come of
// it in the sections of loadOutputs.
func TestLoad_Golden(t *testing.T) {
	files, err := filepath.Glob("testdata/load/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("Glob = %v, %v, want stories", files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := loadStory(t, archive)
			if *update {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if want := txtar.Format(archive); !*update && !bytes.Equal(got, want) {
				t.Errorf("Load:\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// loadStory is the archive with its outputs as they are now.
func loadStory(t *testing.T, archive *txtar.Archive) []byte {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "shop")
	out := &txtar.Archive{Comment: archive.Comment}
	var args []string
	o := compose.LoadOptions{Dir: dir}
	for _, f := range archive.Files {
		switch {
		case slices.Contains(loadOutputs, f.Name):
			continue
		case f.Name == "args":
			args = strings.Fields(string(f.Data))
		case f.Name == "stdin":
			o.Stdin = bytes.NewReader(f.Data)
		default:
			writeFile(t, filepath.Join(dir, f.Name), f.Data)
		}
		out.Files = append(out.Files, f)
	}
	selected, noDeps := loadArgs(t, &o, args)
	p, err := compose.Load(t.Context(), o)
	if err == nil {
		p, err = p.Select(selected, noDeps)
	}
	add := func(name, text string) {
		if text = strings.TrimRight(text, "\n"); text != "" {
			text = strings.ReplaceAll(text, dir, "$DIR")
			if runtime.GOOS == "windows" {
				text = strings.ReplaceAll(text, `\`, "/")
			}
			out.Files = append(out.Files, txtar.File{Name: name, Data: []byte(text + "\n")})
		}
	}
	if err != nil {
		add("error", err.Error())
		add("hint", strings.Join(hints(t, err), "\n"))
		return txtar.Format(out)
	}
	text, err := p.Text(false)
	if err != nil {
		t.Fatal(err)
	}
	add("warnings", strings.Join(p.Warnings, "\n"))
	add("settings", settingsText(t, p.Settings))
	add("config", string(text))
	return txtar.Format(out)
}

// settingsText is what of the settings is not zero, as YAML.
func settingsText(t *testing.T, s compose.Settings) string {
	t.Helper()
	text, err := yaml.Marshal(s)
	var all map[string]any
	if err == nil {
		err = yaml.Unmarshal(text, &all)
	}
	if written, _ := pruned(all).(map[string]any); err == nil && len(written) > 0 {
		text, err = yaml.Marshal(written)
	} else {
		text = nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// pruned is v without what is empty, nil where nothing is left.
func pruned(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key, e := range v {
			if v[key] = pruned(e); v[key] == nil {
				delete(v, key)
			}
		}
		if len(v) == 0 {
			return nil
		}
	case []any:
		if len(v) == 0 {
			return nil
		}
	case string, int, float64, bool:
		if reflect.ValueOf(v).IsZero() || v == "0s" {
			return nil
		}
	}
	return v
}

// hints are the hints of an error, or of each of those that it joins.
func hints(t *testing.T, err error) []string {
	t.Helper()
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []string
		for _, e := range joined.Unwrap() {
			all = append(all, hints(t, e)...)
		}
		return all
	}
	var h compose.Hinted
	if !errors.As(err, &h) {
		t.Errorf("Load = %v, want an error with a hint", err)
		return nil
	}
	return []string{h.Hint()}
}

// loadArgs reads the flags of a story.
func loadArgs(t *testing.T, o *compose.LoadOptions, args []string) (selected []string, noDeps bool) {
	t.Helper()
	for i := 0; i < len(args); i++ {
		if args[i] == "--no-deps" {
			noDeps = true
			continue
		}
		value := args[i+1]
		switch args[i] {
		case "-f":
			o.Files = append(o.Files, value)
		case "-p":
			o.Name = value
		case "--profile":
			o.Profiles = append(o.Profiles, value)
		case "--env-file":
			o.EnvFiles = append(o.EnvFiles, value)
		case "--env":
			o.Environ = append(o.Environ, value)
		case "--project-directory":
			o.ProjectDir = value
		case "--dir":
			o.Dir = filepath.Join(o.Dir, value)
		case "--select":
			selected = append(selected, value)
		default:
			t.Fatalf("unknown flag %s", args[i])
		}
		i++
	}
	return selected, noDeps
}

func writeFile(t *testing.T, name string, text []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, text, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestLoad_NoFileAnywhere(t *testing.T) {
	dir := t.TempDir()
	_, err := compose.Load(t.Context(), compose.LoadOptions{Dir: dir})
	want := "no compose file in " + dir + " or a folder above it (looked for compose.yaml, compose.yml, docker-compose.yml, docker-compose.yaml)"
	if err == nil || err.Error() != want {
		t.Errorf("Load = %v, want %s", err, want)
	}
	var h compose.Hinted
	if !errors.As(err, &h) || !strings.Contains(h.Hint(), "-f") {
		t.Errorf("Load = %v, want a hint that tells of -f", err)
	}
}

func TestLoad_LabelsServicesAsComposeDoes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "shop")
	writeFile(t, filepath.Join(dir, "compose.yaml"), []byte("services:\n  web: {image: x}\n  tool: {image: x, profiles: [t]}\n"))
	writeFile(t, filepath.Join(dir, "x.env"), nil)
	p, err := compose.Load(t.Context(), compose.LoadOptions{Dir: dir, EnvFiles: []string{"x.env"}})
	if err != nil {
		t.Fatal(err)
	}
	if p, err = p.Select([]string{"tool"}, false); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		compose.LabelProject: "shop", compose.LabelService: "tool", compose.LabelOneOff: "False", compose.LabelWorkingDir: dir,
		compose.LabelConfigFiles: filepath.Join(dir, "compose.yaml"), compose.LabelEnvironmentFile: filepath.Join(dir, "x.env"),
	} {
		if got := p.Services["tool"].CustomLabels[key]; got != want {
			t.Errorf("label %s = %q, want %q", key, got, want)
		}
	}
}

func TestAsWritten_KeepsVariables(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "compose.yaml"), []byte("services:\n  web:\n    image: x:${TAG}\n    ports: [\"${PORT}:80\"]\n    x-strake: {once: \"${ONCE}\"}\n"))
	text, err := compose.AsWritten(t.Context(), compose.LoadOptions{Dir: dir}, false)
	for _, want := range []string{"x:${TAG}", "${PORT}:80", "${ONCE}"} {
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("AsWritten = %s, %v, want it to have %s", text, err, want)
		}
	}
}

// TestLoad_HashOfServicesWithEnvFiles holds the hash that Docker Compose 2.40.3 put on the container of this service; what its
// `config --hash` prints is another.
func TestLoad_HashOfServicesWithEnvFiles(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "compose.yaml"), []byte("services:\n  a: {image: \"strake-lab/busybox:1\", env_file: [h.env], environment: [B=1]}\n"))
	writeFile(t, filepath.Join(dir, "h.env"), []byte("X=1\n"))
	p, err := compose.Load(t.Context(), compose.LoadOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	const want = "f48e601cb919ee78698b0bbd9f3aebdfd1db2882ee020dd715f3c1c964da17a2"
	if got, err := compose.ConfigHash(p.Services["a"]); err != nil || got != want {
		t.Errorf("ConfigHash = %s, %v, want %s", got, err, want)
	}
}

// TestLoad_ForeseesItsScope holds what is foreseen of a project against what it comes to.
func TestLoad_ForeseesItsScope(t *testing.T) {
	const services = "services:\n  web: {image: web:1, networks: [front], volumes: ['data:/data']}\n  db: {image: db:1, platform: linux/amd64, volumes: ['other:/o']}\n" +
		"networks: {front: {name: shared}}\nvolumes: {data: {}, other: {external: true}}\n"
	for name, c := range map[string]struct {
		file, option, project string
		environ               []string
		glance                string
	}{
		"by the folder":      {file: services, project: "shop", glance: "shop"},
		"in the file":        {file: "name: \"mall\"\n" + services, project: "mall", glance: "mall"},
		"in a variable":      {file: "name: ${MALL}\n" + services, environ: []string{"MALL=mall"}, project: "mall"},
		"by the environment": {file: "name: mall\n" + services, environ: []string{"COMPOSE_PROJECT_NAME=kiosk"}, project: "kiosk", glance: "kiosk"},
		"by -p":              {file: "name: mall\n" + services, option: "stall", project: "stall", glance: "stall"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "shop")
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "compose.yaml"), []byte(c.file), 0o644); err != nil {
				t.Fatal(err)
			}
			var got []compose.Scope
			p, err := compose.Load(t.Context(), compose.LoadOptions{Dir: dir, Name: c.option, Environ: c.environ, Foreseen: func(s compose.Scope) { got = append(got, s) }})
			if err != nil || p.Name != c.project {
				t.Fatalf("Load = %v, %v, want project %s", p, err, c.project)
			}
			if c.glance != "" {
				if len(got) == 0 || got[0].Project != c.glance {
					t.Fatalf("foreseen is %v, want %s first", got, c.glance)
				}
				got = got[1:]
			}
			want := compose.ScopeOf(p, nil)
			if len(got) != 1 || got[0].Project != "" || !slices.Equal(got[0].Networks, want.Networks) || !slices.Equal(got[0].Volumes, want.Volumes) || !slices.Equal(got[0].Images, want.Images) {
				t.Errorf("foreseen is %+v, want that of %+v", got, want)
			}
		})
	}
}
