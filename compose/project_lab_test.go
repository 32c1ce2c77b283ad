//go:build lab

package compose_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/fixtures/lab"
)

// TestLoad_ReadsAsDockerComposeDoes compares `docker compose config` with Text and its hashes with ConfigHash, for each case of
// testdata/load/parity: its files, flags in `args`, environment in `env`.
func TestLoad_ReadsAsDockerComposeDoes(t *testing.T) {
	files, err := filepath.Glob("testdata/load/parity/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("Glob = %v, %v, want cases", files, err)
	}
	engine := lab.Engines(t)[0]
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			dir := filepath.Join(t.TempDir(), "shop")
			o := compose.LoadOptions{Dir: dir, Environ: lab.Environ(t, engine)}
			var args []string
			for _, f := range archive.Files {
				switch f.Name {
				case "args":
					args = strings.Fields(string(f.Data))
				case "env":
					o.Environ = append(o.Environ, strings.Split(strings.TrimSpace(string(f.Data)), "\n")...)
				default:
					writeFile(t, filepath.Join(dir, f.Name), f.Data)
				}
			}
			loadArgs(t, &o, args)
			if i := slices.Index(args, "--dir"); i >= 0 {
				args = slices.Delete(args, i, i+2)
			}
			o.Environ = append(o.Environ, "PWD="+o.Dir)
			p, err := compose.Load(t.Context(), o)
			if err != nil {
				t.Fatalf("Load = %v, want nil", err)
			}
			text, err := p.Text(true)
			if err != nil {
				t.Fatal(err)
			}
			want := oracle(t, o, append(args, "config", "--format", "json"))
			if diff := cmp.Diff(tree(t, want, false), tree(t, text, true)); diff != "" {
				t.Errorf("Text (- docker compose, + strake):\n%s", diff)
			}
			if bytes.Contains(txtar.Format(archive), []byte("_file:")) {
				return // config --hash of 2.40.3 is not what it labels containers with: TestLoad_HashOfServicesWithEnvFiles
			}
			var hashes bytes.Buffer
			for _, name := range p.ServiceNames() {
				h, err := compose.ConfigHash(p.Services[name])
				if err != nil {
					t.Fatal(err)
				}
				hashes.WriteString(name + " " + h + "\n")
			}
			if diff := cmp.Diff(string(oracle(t, o, append(args, "config", "--hash", "*"))), hashes.String()); diff != "" {
				t.Errorf("hashes (- docker compose, + strake):\n%s", diff)
			}
		})
	}
}

// oracle is what `docker compose` prints, with the environment and the folder of o.
func oracle(t *testing.T, o compose.LoadOptions, args []string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", append([]string{"-c", `exec docker compose "$@"`, "sh"}, args...)...)
	cmd.Dir, cmd.Env, cmd.Stderr = o.Dir, o.Environ, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("docker compose %s: %v", strings.Join(args, " "), err)
	}
	return out
}

// tree is JSON with what the two versions of compose-go write differently and mean the same made equal. created is what a bind mount without
// create_host_path means.
func tree(t *testing.T, text []byte, created bool) any {
	t.Helper()
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	var same func(v any)
	same = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if b, ok := v["bind"].(map[string]any); ok && b["create_host_path"] == nil && v["source"] != nil {
				b["create_host_path"] = created
			}
			for _, e := range v {
				same(e)
			}
		case []any:
			for _, e := range v {
				same(e)
			}
		}
	}
	same(v)
	return v
}
