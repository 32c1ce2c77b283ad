package compose_test

import (
	"flag"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	"golang.org/x/tools/txtar"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/compose/hosttest"
)

var update = flag.Bool("update", false, "rewrite golden files")

// project reads a compose file without touching the file system.
func project(t *testing.T, text string) *compose.Project {
	t.Helper()
	p, err := loader.LoadWithContext(t.Context(), types.ConfigDetails{WorkingDir: "/src", Environment: types.Mapping{"TOKEN": "s3cret"},
		ConfigFiles: []types.ConfigFile{{Filename: "compose.yaml", Content: []byte(text)}}},
		func(o *loader.Options) {
			o.SetProjectName("shop", true)
			o.ResolvePaths = false
			o.SkipResolveEnvironment = true
		})
	if err != nil {
		t.Fatal(err)
	}
	settings := compose.Settings{Services: map[string]compose.ServiceSettings{}}
	for name, s := range p.Services {
		s.CustomLabels = types.Labels{compose.LabelProject: "shop", compose.LabelService: name}
		p.Services[name] = s
		if x, ok := s.Extensions["x-strake"].(map[string]any); ok && x["once"] == true {
			settings.Services[name] = compose.ServiceSettings{Once: true}
		}
	}
	return &compose.Project{Project: p, Settings: settings}
}

// TestPlan_Golden runs each story of testdata/plan on a Host in memory. A story is a sequence of turns `N do`, each with
// what is done, the compose file `N.yaml` if it changes, and the plan `N.plan` that must come of it.
func TestPlan_Golden(t *testing.T) {
	files, err := filepath.Glob("testdata/plan/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("Glob = %v, %v, want stories", files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			synctest.Test(t, func(t *testing.T) { tell(t, file, archive) })
		})
	}
}

// tell runs one story; time is virtual in it.
func tell(t *testing.T, file string, archive *txtar.Archive) {
	t.Helper()
	s := &story{t: t, host: hosttest.NewMemory("nginx", "postgres", "busybox", "app:1")}
	for i := range archive.Files {
		f := &archive.Files[i]
		name, kind, _ := strings.Cut(f.Name, ".")
		switch kind {
		case "yaml":
			s.project = project(t, string(f.Data))
			if s.dir != "" {
				s.project.WorkingDir = s.dir
			}
		case "do":
			s.plan = s.turn(strings.Fields(string(f.Data)))
		case "plan":
			if *update {
				f.Data = []byte(s.plan)
			} else if got, want := s.plan, string(f.Data); got != want {
				t.Errorf("turn %s:\ngot\n%swant\n%s", name, got, want)
			}
		}
	}
	if *update {
		if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// ids are what replacements' names begin with; which id it is depends on what ran at once.
var ids = regexp.MustCompile(`\b[0-9a-f]{12}(_|[0-9]{52}\b)`)

// story is one sequence of turns.
type story struct {
	t       *testing.T
	host    *hosttest.Memory
	project *compose.Project
	plan    string
	dir     string // "": the project lies in none
}

// turn does one line: a verb and its words. Verbs that plan answer with the plan and run it.
func (s *story) turn(words []string) string {
	s.t.Helper()
	ctx := s.t.Context()
	o := compose.DiffOptions{Scale: map[string]int{}, Inputs: map[string]string{}, Version: "test"}
	var rest []string
	for _, w := range words[1:] {
		key, value, _ := strings.Cut(w, "=")
		switch key {
		case "force":
			o.Recreate = "force"
		case "no-deps":
			o.NoDeps = true
		case "renew":
			o.RenewAnonVolumes = true
		case "remove-orphans":
			o.RemoveOrphans = true
		case "no-start":
			o.NoStart = true
		case "offline":
			o.Offline = true
		case "build":
			o.Build = compose.BuildMode(value)
		case "pull":
			o.Pull = value
		case "scale":
			name, n, _ := strings.Cut(value, ":")
			o.Scale[name], _ = strconv.Atoi(n)
		case "inputs":
			name, digest, _ := strings.Cut(value, ":")
			o.Inputs[name] = digest
		default:
			rest = append(rest, w)
		}
	}
	o.Services = rest
	plan := func(st compose.State) (compose.Plan, error) { return compose.Diff(s.project, st, o) }
	switch words[0] {
	case "up":
	case "down":
		plan = func(st compose.State) (compose.Plan, error) {
			return compose.Down(s.project, st, compose.DownOptions{Volumes: slices.Contains(rest, "volumes"), Images: "local", RemoveOrphans: o.RemoveOrphans})
		}
	case "stop":
		plan = func(st compose.State) (compose.Plan, error) { return compose.Stop(s.project, st, rest, nil) }
	case "start":
		plan = func(st compose.State) (compose.Plan, error) { return compose.Start(s.project, st, rest) }
	case "restart":
		plan = func(st compose.State) (compose.Plan, error) {
			return compose.Restart(s.project, st, rest, nil, o.NoDeps)
		}
	case "renew-data":
		plan = func(st compose.State) (compose.Plan, error) {
			return compose.Renew(s.project, st, rest, []string{"migrate"}, compose.DiffOptions{Version: "test", Recreate: "never"})
		}
	case "run":
		plan = func(st compose.State) (compose.Plan, error) {
			p, _, err := compose.OneOff(s.project, st, s.project.Services[rest[0]], compose.DiffOptions{NoDeps: o.NoDeps, Version: "test"}, "0123456789ab")
			return p, err
		}
	case "remote": // of the engine; paths of the project are those of a folder that the story has
		s.host.Remote = true
		s.dir = s.t.TempDir()
		return ""
	case "write":
		writeFile(s.t, filepath.Join(s.dir, rest[0]), []byte(strings.Join(rest[1:], " ")+"\n"))
		return ""
	case "exit":
		code, _ := strconv.Atoi(rest[1])
		s.host.Exit(rest[0], code)
		return ""
	case "new-image":
		s.host.SetImage(rest[0], compose.Image{})
		return ""
	case "leave": // what a run leaves that was killed after so many steps
		n, _ := strconv.Atoi(rest[0])
		if slices.Contains(rest, "unforced") {
			s.kill(n, compose.DiffOptions{Version: "test"})
		} else {
			s.kill(n, compose.DiffOptions{Version: "test", Recreate: "force"})
		}
		return ""
	default:
		s.t.Fatalf("%s is no verb", words[0])
	}
	var text string
	scope := compose.ScopeOf(s.project, nil)
	_, _, err := compose.Converge(ctx, s.host, scope, plan, compose.ConvergeOptions{Planned: func(p compose.Plan, _ compose.State) { text = p.String(); s.checkOrder(p) }})
	if err != nil {
		text += "error: " + err.Error() + "\n"
	}
	if s.dir != "" {
		text = strings.ReplaceAll(text, s.dir, "<dir>")
	}
	return ids.ReplaceAllString(text, "<id>$1")
}

// checkOrder wants each step to wait for earlier ones only.
func (s *story) checkOrder(p compose.Plan) {
	s.t.Helper()
	for i, step := range p {
		for _, after := range step.After {
			if after >= i {
				s.t.Errorf("step %d (%s) waits for step %d", i, step, after)
			}
		}
	}
}

// kill does the first n steps of an up, one after the other.
func (s *story) kill(n int, o compose.DiffOptions) {
	s.t.Helper()
	ctx := s.t.Context()
	st, err := s.host.Observe(ctx, compose.ScopeOf(s.project, nil))
	if err != nil {
		s.t.Fatal(err)
	}
	st.Project = "shop"
	p, err := compose.Diff(s.project, st, o)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, step := range p[:n] {
		if err := s.host.Do(ctx, step, nil); step.Op.Changes() && err != nil {
			s.t.Fatal(err)
		}
	}
}

// TestDiff_IsDeterministic: equal arguments give equal plans, whatever the order of maps.
func TestDiff_IsDeterministic(t *testing.T) {
	text, err := os.ReadFile("testdata/plan/dependencies.txtar")
	if err != nil {
		t.Fatal(err)
	}
	archive := txtar.Parse(text)
	p := project(t, string(archive.Files[0].Data))
	want, err := compose.Diff(p, compose.State{Images: images("busybox")}, compose.DiffOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		got, err := compose.Diff(p, compose.State{Images: images("busybox")}, compose.DiffOptions{})
		if err != nil || got.String() != want.String() {
			t.Fatalf("Diff = %s, %v, want %s", got, err, want)
		}
	}
}

func images(refs ...string) map[string]compose.Image {
	m := map[string]compose.Image{}
	for _, r := range refs {
		m[r] = compose.Image{ID: "sha256:" + r}
	}
	return maps.Clone(m)
}

// TestDiff_OldEngine: what the engine lacks is refused by name, before anything is planned.
func TestDiff_OldEngine(t *testing.T) {
	p := project(t, "services: {web: {image: nginx, annotations: {a: b}}}")
	for api, want := range map[string]string{
		"1.41": "services.web.annotations needs Engine API 1.43, this engine has 1.41",
		"1.43": "", "1.51": "", "": "", "2.0": "",
	} {
		got := ""
		if _, err := compose.Diff(p, compose.State{Engine: compose.Engine{APIVersion: api}, Images: images("nginx")}, compose.DiffOptions{}); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("Diff on API %s = %q, want %q", api, got, want)
		}
	}
}
