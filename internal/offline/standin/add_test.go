package standin_test

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/offline/standin"
)

var update = flag.Bool("update", false, "rewrite golden files")

// TestAdd_Golden adds the stand-ins of each story of testdata/add; `args` is preview where it is one.
func TestAdd_Golden(t *testing.T) {
	files, err := filepath.Glob("testdata/add/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("Glob = %v, %v, want stories", files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			out := &txtar.Archive{Comment: archive.Comment}
			o := standin.AddOptions{Program: "strake-program:0123456789abcdef"}
			text := ""
			for _, f := range archive.Files {
				switch f.Name {
				case "config", "error", "routes":
					continue
				case "args":
					o.Preview = strings.TrimSpace(string(f.Data)) == "preview"
				case "compose.yaml":
					text = string(f.Data)
				}
				out.Files = append(out.Files, f)
			}
			p := loaded(t, text)
			before := configText(t, p)
			with, err := standin.Add(p, o)
			if err != nil {
				out.Files = append(out.Files, txtar.File{Name: "error", Data: []byte(err.Error() + "\n")})
			} else {
				out.Files = append(out.Files, txtar.File{Name: "config", Data: []byte(strings.ReplaceAll(configText(t, with), p.WorkingDir, "$DIR"))})
			}
			if after := configText(t, p); after != before {
				t.Errorf("Add changed the project that it was given:\n%s\nit was\n%s", after, before)
			}
			got := txtar.Format(out)
			if *update {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
			} else if want := txtar.Format(archive); !bytes.Equal(got, want) {
				t.Errorf("Add:\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func loaded(t *testing.T, text string) *compose.Project {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "compose.yaml"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	p, err := compose.Load(t.Context(), compose.LoadOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func configText(t *testing.T, p *compose.Project) string {
	t.Helper()
	text, err := p.MarshalYAML()
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func added(t *testing.T, text string) *compose.Project {
	t.Helper()
	p, err := standin.Add(loaded(t, text), standin.AddOptions{Program: "strake-program:1"})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestAdd_SelectTakesStandInsForTheFilesOwn(t *testing.T) {
	p := added(t, `{name: shop, x-strake: {standins: {s3: {}, mail: {}}}, services: {web: {image: x, x-strake: {uses: [s3]}}, tool: {image: x, profiles: [t], x-strake: {uses: [mail]}}, db: {image: x}}}`)
	for names, want := range map[string]string{"web": "s3 web", "tool": "mail tool", "db": "db", "mail": "mail"} {
		some, err := p.Select([]string{names}, false)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(slices.Sorted(maps.Keys(some.Services)), " "); got != want {
			t.Errorf("Select(%s) has %s, want %s", names, got, want)
		}
		if s, ok := some.Services["s3"]; ok {
			all, err := compose.ConfigHash(p.Services["s3"])
			one, err2 := compose.ConfigHash(s)
			if err != nil || err2 != nil || all != one {
				t.Errorf("the hash of s3 is %s with all and %s with %s, %v, %v, want the same", all, one, names, err, err2)
			}
		}
	}
	if got := p.Services["s3"].CustomLabels[compose.LabelService]; got != "s3" {
		t.Errorf("the label of the service is %q, want s3", got)
	}
}

func TestAdd_RoutesThePageOfMailBesideTheOthers(t *testing.T) {
	for text, want := range map[string]string{
		`web: {image: x, ports: ["80"]}`:                               "mail=mail:8025 web=:80 main",
		`shop: {image: x, ports: ["80"]}`:                              "mail=mail:8025 shop=:80 main",
		`shop: {image: x, x-strake: {route: {port: 80, path: /shop}}}`: "mail=mail:8025 shop=:80 main",
		`db: {image: x}`: "mail=:8025 main",
	} {
		all, err := compose.Routes(added(t, `{name: shop, x-strake: {standins: {mail: {}, s3: {}}}, services: {`+text+`}}`))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range all {
			one := fmt.Sprintf("%s=%s:%d", r.Service, r.Host, r.Port)
			if r.Main {
				one += " main"
			}
			got = append(got, one)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("routes of %s are %s, want %s", text, got, want)
		}
	}
}
