package compose_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/strake-dev/strake/compose"
)

// pinned is an image with which nothing is wrong, $PINNED in the cases.
const pinned = "nginx:1.27@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

// TestCheck_FindsWhatIsPlanted has a project in each archive: good-* are those in which nothing is found, of the others the section want has
// each finding with its place. Whatever is called SECRETVALUE in them must never be in a finding.
func TestCheck_FindsWhatIsPlanted(t *testing.T) {
	files, err := filepath.Glob("testdata/check/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 40 {
		t.Fatalf("there are %d cases, want 40 at least", len(files))
	}
	seen := map[string]bool{}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			want := ""
			dir := t.TempDir()
			for _, f := range archive.Files {
				if f.Name == "want" {
					want = string(f.Data)
					continue
				}
				writeFile(t, filepath.Join(dir, f.Name), f.Data)
			}
			found := checked(t, dir)
			for _, f := range found {
				seen[f.Rule] = true
			}
			got := foundText(found)
			if *update {
				archive.Files = slices.DeleteFunc(archive.Files, func(f txtar.File) bool { return f.Name == "want" })
				if got != "" {
					archive.Files = append(archive.Files, txtar.File{Name: "want", Data: []byte(got)})
				}
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != want {
				t.Errorf("Check found:\n%swant:\n%s", got, want)
			}
			if good := strings.HasPrefix(t.Name(), "TestCheck_FindsWhatIsPlanted/good-"); good != (got == "") {
				t.Errorf("Check of a project that is good: %t found:\n%s", good, got)
			}
			if text, err := json.Marshal(found); err != nil || strings.Contains(string(text), "SECRETVALUE") {
				t.Errorf("Check found %s, %v, want no secret in it", text, err)
			}
		})
	}
	for _, r := range compose.CheckRules() {
		if !seen[r.ID] && !r.Elsewhere && r.ID != "preview-refused" {
			t.Errorf("no case finds %s", r.ID)
		}
	}
}

// checked is what Check finds in the project of a folder; what keeps it from being loaded is a finding too, if it is one.
func checked(t *testing.T, dir string) []compose.Finding {
	t.Helper()
	p, err := compose.Load(t.Context(), compose.LoadOptions{Dir: dir, Environ: []string{"PINNED=" + pinned}})
	if f, ok := compose.CheckRemote(err); ok {
		return []compose.Finding{f}
	}
	if err != nil {
		t.Fatal(err)
	}
	found, err := compose.Check(t.Context(), p, compose.CheckOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// foundText is a line for each finding.
func foundText(all []compose.Finding) string {
	var b strings.Builder
	for _, f := range all {
		service := f.Service
		if service == "" {
			service = "-"
		}
		fmt.Fprintf(&b, "%s %s %s %s:%d %s\n", f.Level, f.Rule, service, f.File, f.Line, f.What)
	}
	return b.String()
}

// The fixtures of the repository work without a network and in previews.
func TestCheck_FindsNoErrorInFixtures(t *testing.T) {
	files, err := filepath.Glob("../fixtures/*/compose.yaml")
	if err != nil || len(files) < 3 {
		t.Fatalf("Glob(fixtures) = %v, %v, want three at least", files, err)
	}
	for _, file := range files {
		for _, f := range checked(t, filepath.Dir(file)) {
			if f.Level != compose.LevelAdvice {
				t.Errorf("%s: %s", file, foundText([]compose.Finding{f}))
			}
		}
	}
}

func TestCheck_SortsInWhatOthersFoundAndIgnoresIt(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "compose.yaml"), []byte(`x-strake:
  check: {ignore: [{rule: preview-refused, service: web, reason: it is in no preview}, {rule: image-missing, reason: only where it is asked for}]}
services:
  web: {image: "`+pinned+`"}
  api: {image: "`+pinned+`"}
`))
	p, err := compose.Load(t.Context(), compose.LoadOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	also := []compose.Finding{{Rule: "preview-refused", Level: compose.LevelError, Service: "web", What: "one"}, {Rule: "preview-refused", Level: compose.LevelError, Service: "api", What: "two"}}
	found, err := compose.Check(t.Context(), p, compose.CheckOptions{Also: also})
	if want := "error preview-refused api compose.yaml:5 two\n"; err != nil || foundText(found) != want {
		t.Errorf("Check = %s, %v, want %s", foundText(found), err, want)
	}
}

const (
	rulesBegin = "<!-- rules: made by go test -run TestCheckRules_ReadmeTable -update -->\n"
	rulesEnd   = "<!-- end of rules -->\n"
)

func TestCheckRules_ReadmeTable(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(strings.ReplaceAll(string(text), "\r\n", "\n"), rulesBegin)
	_, after, closed := strings.Cut(rest, rulesEnd)
	if !ok || !closed {
		t.Fatal("README.md has no place for the table of rules")
	}
	table := "| rule | level | what is found | why | how to mend it |\n| --- | --- | --- | --- | --- |\n"
	for _, r := range compose.CheckRules() {
		level := string(r.Levels[0])
		if r.When != "" {
			level += "; " + r.When
		}
		fix := r.Fix
		if fix == "" {
			fix = "each says"
		}
		table += fmt.Sprintf("| `%s` | %s | %s | %s | %s |\n", r.ID, level, r.Finds, r.Why, fix)
	}
	want := before + rulesBegin + table + rulesEnd + after
	if *update {
		if err := os.WriteFile("README.md", []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if want != string(text) {
		t.Error("the table of rules in README.md is stale: run go test ./compose -run TestCheckRules_ReadmeTable -update")
	}
}

func BenchmarkCheck(b *testing.B) {
	p, err := compose.Load(b.Context(), compose.LoadOptions{Dir: "../fixtures/saas"})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := compose.Check(b.Context(), p, compose.CheckOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}
