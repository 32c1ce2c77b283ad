package previews_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/previews"
)

var update = flag.Bool("update", false, "rewrite golden files")

const commit = "0123456789abcdef0123456789abcdef01234567"

// outputs are the sections of a story that Overlay writes.
var outputs = []string{"refused", "hint", "error", "warnings", "labels", "config"}

// TestOverlay_Golden makes a preview of each story of testdata/overlay and testdata/refuse: its files, of which one that begins with -> is a symbolic
// link, what the default branch says in `policy`, and what must come of it in the sections of outputs. Beside the tree lies outside.
func TestOverlay_Golden(t *testing.T) {
	for _, folder := range []string{"overlay", "refuse"} {
		files, err := filepath.Glob("testdata/" + folder + "/*.txtar")
		if err != nil || len(files) == 0 {
			t.Fatalf("Glob = %v, %v, want stories", files, err)
		}
		for _, file := range files {
			t.Run(folder+"/"+strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
				archive, err := txtar.ParseFile(file)
				if err != nil {
					t.Fatal(err)
				}
				got := story(t, archive, folder == "refuse")
				if *update {
					if err := os.WriteFile(file, got, 0o644); err != nil {
						t.Fatal(err)
					}
				}
				if want := txtar.Format(archive); !*update && !bytes.Equal(got, want) {
					t.Errorf("Overlay:\n%s\nwant\n%s", got, want)
				}
			})
		}
	}
}

// story is the archive with its outputs as they are now.
func story(t *testing.T, archive *txtar.Archive, refused bool) []byte {
	t.Helper()
	out := &txtar.Archive{Comment: archive.Comment}
	dir := t.TempDir()
	root := filepath.Join(dir, "tree")
	write(t, filepath.Join(dir, "outside/secret"), "SECRET=SECRET\n")
	var policy compose.Settings
	for _, f := range archive.Files {
		switch {
		case slices.Contains(outputs, f.Name):
			continue
		case f.Name == "policy":
			policy = load(t, filepath.Join(dir, "policy"), string(f.Data)).Settings
		default:
			write(t, filepath.Join(root, f.Name), string(f.Data))
		}
		out.Files = append(out.Files, f)
	}
	add := func(name, text string) {
		if text = strings.TrimRight(text, "\n"); text != "" {
			text = strings.ReplaceAll(strings.ReplaceAll(text, root, "$ROOT"), dir, "$DIR")
			out.Files = append(out.Files, txtar.File{Name: name, Data: []byte(text + "\n")})
		}
	}
	p, err := preview(t, root, policy)
	var no *previews.RefusedError
	switch {
	case errors.As(err, &no):
		add("refused", no.Error())
		var hints []string
		for _, r := range no.Refused {
			hints = append(hints, r.Hint())
		}
		add("hint", strings.Join(hints, "\n"))
	case err != nil:
		add("error", err.Error())
		var h compose.Hinted
		if errors.As(err, &h) {
			add("hint", h.Hint())
		}
	case refused:
		t.Error("Overlay = nil, want it refused")
	default:
		text, err := p.Text(false)
		if err != nil {
			t.Fatal(err)
		}
		add("warnings", strings.Join(p.Warnings, "\n"))
		add("labels", labels(p))
		add("config", string(text))
	}
	return txtar.Format(out)
}

// preview loads the tree and makes generation 2 of pull request 42 of it.
func preview(t *testing.T, root string, policy compose.Settings) (*compose.Project, error) {
	t.Helper()
	environ := []string{"AWS_SECRET_ACCESS_KEY=SECRET", "HOME=/home/developer", "MODE=of the opener", "COMPOSE_FILE=/nowhere.yaml", "COMPOSE_PROFILES=debug"}
	p, err := compose.Load(t.Context(), previews.LoadOptions(root, root, "shop-pr-42-g2", policy.Previews, environ))
	if err != nil {
		return nil, err
	}
	secrets, err := previews.Secrets(policy.Previews, filepath.Dir(root), environ)
	if err != nil {
		return nil, err
	}
	n := byte(0)
	return previews.Overlay(p, previews.OverlayOptions{
		Stack: "shop-pr-42", Generation: 2, Root: root, Commit: commit, Labels: map[string]string{"dev.strake.preview": "shop-pr-42"},
		URL: "http://pr-42.shop.localhost:7080", URLs: map[string]string{"web": "http://pr-42.shop.localhost:7080", "my-api": "http://my-api--pr-42.shop.localhost:7080"},
		Policy: policy, Secrets: secrets, HostCPUs: 8,
		Subnet: func(string) (netip.Prefix, error) {
			n += 16
			return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 213, 0, n}), 28), nil
		},
	})
}

// labels are those that strake puts on what it makes.
func labels(p *compose.Project) string {
	var b strings.Builder
	line := func(what string, all map[string]string) {
		fmt.Fprintf(&b, "%s:", what)
		for _, key := range slices.Sorted(maps.Keys(all)) {
			if !strings.HasPrefix(key, "com.docker.compose.project.") {
				fmt.Fprintf(&b, " %s=%s", key, all[key])
			}
		}
		b.WriteString("\n")
	}
	for _, name := range p.ServiceNames() {
		line("service "+name, p.Services[name].CustomLabels)
	}
	for _, key := range p.NetworkNames() {
		line("network "+key, p.Networks[key].CustomLabels)
	}
	for _, key := range p.VolumeNames() {
		line("volume "+key, p.Volumes[key].CustomLabels)
	}
	return b.String()
}

func load(t *testing.T, dir, text string) *compose.Project {
	t.Helper()
	write(t, filepath.Join(dir, "compose.yaml"), text)
	p, err := compose.Load(t.Context(), compose.LoadOptions{Dir: dir, Name: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// write makes a file, or a symbolic link of a text that begins with ->.
func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	err := os.WriteFile(file, []byte(text), 0o644)
	if target, ok := strings.CutPrefix(text, "-> "); ok {
		if err = os.Remove(file); err == nil {
			err = os.Symlink(strings.TrimSpace(target), file)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestOverlay_LeavesTheProjectAlone(t *testing.T) {
	root := t.TempDir()
	write(t, filepath.Join(root, "app/Dockerfile"), "FROM scratch\n")
	p := load(t, root, `
services:
  web: {build: ./app, ports: ["80:80"], container_name: the-web, volumes: [".:/src", data:/data], deploy: {resources: {limits: {cpus: "9"}}}, pre_start: [{command: a}], environment: {A: b}, networks: {default: {ipv4_address: 10.0.0.9}}}
  other: {build: {context: ., tags: [x], cache_to: [y]}, profiles: [p]}
volumes: {data: {name: production}}
`)
	before, err := p.Text(false)
	if err != nil {
		t.Fatal(err)
	}
	out, err := previews.Overlay(p, previews.OverlayOptions{Stack: "shop-pr-1", Generation: 1, Root: root, Commit: commit})
	if err != nil {
		t.Fatal(err)
	}
	after, err := p.Text(false)
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("Overlay made of the project\n%s, %v, want\n%s", after, err, before)
	}
	if _, err := out.Select([]string{"other"}, false); err == nil {
		t.Error("Select brought back a service that the preview does not have")
	}
	if out.Name != "shop-pr-1" {
		t.Errorf("Overlay named it %s, want shop-pr-1", out.Name)
	}
}
