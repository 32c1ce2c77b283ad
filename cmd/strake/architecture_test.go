package main

import (
	"go/build/constraint"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/strake-dev/strake/"

// imports is the import table: for each package the packages of ours that it may import. Packages below one that is
// listed belong to it, and may import it. Those that are not written yet are listed as planned.
func imports() map[string][]string {
	all := []string{"compose", "previews", "internal/engine", "internal/host", "internal/seed", "internal/gateway", "internal/release",
		"internal/deploy", "internal/migrate", "internal/offline", "internal/github", "internal/hub"}
	return map[string][]string{
		"cmd/strake":       {"internal/cli"},
		"compose":          {},
		"compose/hosttest": {"compose"},
		"previews":         {"compose"},
		"internal/engine":  {"compose"},
		"internal/host":    {"compose", "internal/engine"},
		"internal/seed":    {"compose"},
		"internal/gateway": {"compose"},
		"internal/release": {"compose"},
		"internal/deploy":  {"compose", "internal/release"},
		"internal/migrate": {"compose"},
		"internal/offline": {"compose"},
		"internal/github":  {"previews"},
		"internal/hub":     {"previews", "internal/github"},
		"internal/cli":     all,
		"fixtures":         append(all, "internal/cli"),
	}
}

// reserved are the outside SDKs that only the named packages may import, by the beginning of their path. The longest
// beginning counts. Test files are free: they make an SDK's values and leave them nowhere.
func reserved() map[string][]string {
	return map[string][]string{
		"github.com/compose-spec/compose-go/":                 {"compose"},
		"github.com/moby/patternmatcher":                      {"compose"},
		"mvdan.cc/sh/":                                        {"compose"},
		"github.com/moby/buildkit/":                           {"internal/engine"},
		"github.com/moby/buildkit/frontend/dockerfile/":       {"compose", "internal/engine"},
		"github.com/docker/docker/":                           {"internal/engine"},
		"github.com/docker/cli/":                              {"internal/engine"},
		"github.com/urfave/cli/":                              {"internal/cli"},
		"github.com/aws/aws-sdk-go-v2/service/ec2":            {"internal/host"},
		"github.com/aws/aws-sdk-go-v2/service/ssm":            {"internal/host"},
		"github.com/aws/aws-sdk-go-v2/service/route53":        {"internal/host"},
		"github.com/aws/aws-sdk-go-v2/service/scheduler":      {"internal/host"},
		"github.com/aws/aws-sdk-go-v2/service/s3":             {"internal/seed"},
		"github.com/aws/aws-sdk-go-v2/service/ecr":            {"internal/release"},
		"github.com/aws/aws-sdk-go-v2/service/sts":            {"internal/release"},
		"github.com/aws/aws-sdk-go-v2/service/ecs":            {"internal/deploy"},
		"github.com/aws/aws-sdk-go-v2/service/elasticloadbal": {"internal/deploy"},
		"github.com/aws/aws-sdk-go-v2/service/codedeploy":     {"internal/deploy"},
		"github.com/aws/aws-sdk-go-v2/service/cloudwatch":     {"internal/deploy"},
		"github.com/jackc/pgx/":                               {"internal/seed", "internal/migrate"},
		"github.com/caddyserver/caddy/":                       {"internal/gateway"},
		"github.com/caddyserver/certmagic":                    {"internal/gateway"},
		"github.com/mholt/acmez/":                             {"internal/gateway"},
		"github.com/google/go-containerregistry/":             {"internal/release"},
		"github.com/miekg/dns":                                {"internal/offline", "fixtures"},
		"github.com/google/nftables":                          {"internal/offline"},
		"github.com/tdewolff/parse/":                          {"internal/offline"},
		"github.com/rclone/gofakes3":                          {"internal/offline"},
		"github.com/emersion/":                                {"internal/offline"},
		"golang.org/x/net/html":                               {"internal/offline"},
		"github.com/google/go-github/":                        {"internal/github"},
	}
}

// topLevel is what the repository's first level may hold beside dotfiles.
func topLevel() []string {
	return []string{"cmd", "internal", "previews", "fixtures", "compose", "go.mod", "go.sum", "Taskfile.yml", "README.md", "LICENSE", "bin"}
}

// source is one Go file: its path below the repository's root, and what it imports.
type source struct {
	file    string
	imports []string
}

// sources reads every Go file of the repository, whatever its build constraints say.
func sources(t *testing.T, root string) []source {
	t.Helper()
	var all []source
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "node_modules") {
			return fs.SkipDir
		}
		if d.IsDir() || filepath.Ext(path) != ".go" {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		s := source{file: filepath.ToSlash(rel)}
		for _, i := range f.Imports {
			name, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			s.imports = append(s.imports, name)
		}
		all = append(all, s)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// owner is the listed package that a folder belongs to, "" if there is none.
func owner(dir string) string {
	table := imports()
	for dir != "." && dir != "" {
		if _, ok := table[dir]; ok {
			return dir
		}
		dir = filepath.ToSlash(filepath.Dir(dir))
	}
	return ""
}

func TestArchitecture_Imports(t *testing.T) {
	for _, s := range sources(t, "../..") {
		dir := filepath.ToSlash(filepath.Dir(s.file))
		from := owner(dir)
		if from == "" {
			t.Errorf("%s: package %s is not in the import table: add it there and say why in the same commit", s.file, dir)
			continue
		}
		for _, name := range s.imports {
			if ours, ok := strings.CutPrefix(name, module); ok {
				if why := mayNot(s.file, from, owner(ours)); why != "" {
					t.Errorf("%s imports %s: %s", s.file, ours, why)
				}
			} else if only := onlyIn(name); only != nil && !slices.Contains(only, from) && !strings.HasSuffix(s.file, "_test.go") {
				t.Errorf("%s imports %s: only %s may, so that the SDK's types stay there", s.file, name, strings.Join(only, " and "))
			}
		}
	}
}

// mayNot is why a file of package from must not import package to, "" if it may.
func mayNot(file, from, to string) string {
	allowed := imports()[from]
	if strings.HasSuffix(file, "_test.go") {
		allowed = append(allowed, "fixtures", "compose", "compose/hosttest") // what tests are made of
	}
	switch {
	case to == "":
		return "it is not in the import table"
	case to == from || slices.Contains(allowed, to):
		return ""
	case len(allowed) == 0:
		return from + " imports no package of ours"
	}
	return from + " may import only " + strings.Join(allowed, ", ")
}

// onlyIn are the packages that alone may import an outside package; nil: all may.
func onlyIn(name string) []string {
	var only []string
	longest := 0
	for beginning, packages := range reserved() {
		if (strings.HasPrefix(name, beginning) || name == strings.TrimSuffix(beginning, "/")) && len(beginning) > longest {
			only, longest = packages, len(beginning)
		}
	}
	return only
}

func TestArchitecture_TopLevel(t *testing.T) {
	entries, err := os.ReadDir("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") && !slices.Contains(topLevel(), e.Name()) {
			t.Errorf("%s does not belong at the top level: there are only dotfiles and %s", e.Name(), strings.Join(topLevel(), ", "))
		}
	}
}

// The rules themselves: each of these imports must be refused.
func TestArchitecture_RefusesWhatTheTableForbids(t *testing.T) {
	if mayNot("compose/run.go", owner("compose"), owner("internal/engine")) == "" {
		t.Error("compose may import internal/engine, want refused")
	}
	if mayNot("compose/run.go", owner("compose"), owner("compose/hosttest")) == "" {
		t.Error("compose may import its own test contract outside tests, want refused")
	}
	if mayNot("internal/cli/up.go", owner("internal/cli"), owner("internal/helpers")) == "" {
		t.Error("a package outside the table may be imported, want refused")
	}
	for _, name := range []string{"github.com/docker/docker/client", "github.com/compose-spec/compose-go/v2/types"} {
		if only := onlyIn(name); slices.Contains(only, "internal/cli") || only == nil {
			t.Errorf("onlyIn(%s) = %v, want without internal/cli", name, only)
		}
	}
	if only := onlyIn("github.com/moby/buildkit/frontend/dockerfile/parser"); !slices.Contains(only, "compose") {
		t.Errorf("onlyIn(the Dockerfile parser) = %v, want compose among them", only)
	}
}

// Go files have at most 400 lines, as the house style says; generated tables say that they are.
func TestArchitecture_FileLength(t *testing.T) {
	for _, s := range sources(t, "../..") {
		text, err := os.ReadFile(filepath.Join("../..", s.file))
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(text), "\n"); n > 400 && !isGenerated(string(text)) {
			t.Errorf("%s has %d lines, want 400 at most: take apart what it does", s.file, n)
		}
	}
}

// The SDK of EC2 has 700 operations, and an interface that its client is given as has all of them in the program: it was 35 MB larger.
func TestArchitecture_NoClientOfEC2IsAnInterface(t *testing.T) {
	given := regexp.MustCompile(`ec[2r]\.New\w+(Paginator|Waiter)\(`)
	for _, s := range sources(t, "../..") {
		if strings.HasSuffix(s.file, "_test.go") {
			continue
		}
		text, err := os.ReadFile(filepath.Join("../..", s.file))
		if err != nil {
			t.Fatal(err)
		}
		if found := given.Find(text); found != nil {
			t.Errorf("%s calls %s, which takes the client as an interface: ask for pages with internal/host's pages", s.file, found)
		}
	}
}

func isGenerated(text string) bool {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "// Code generated ") && strings.HasSuffix(strings.TrimSpace(line), "DO NOT EDIT.") {
			return true
		}
		if !strings.HasPrefix(line, "//") && !constraint.IsGoBuild(line) && strings.TrimSpace(line) != "" {
			return false
		}
	}
	return false
}
