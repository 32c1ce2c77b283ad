package compose_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strake-dev/strake/compose"
)

// TestLoad_RemembersWhatItChecked: a second load of the same files is the same, and a file that changed for the worse, or
// whose variables did, is found out although its former state was remembered.
func TestLoad_RemembersWhatItChecked(t *testing.T) {
	dir, cache := t.TempDir(), t.TempDir()
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "compose.yaml"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	load := func(env ...string) (string, error) {
		p, err := compose.Load(t.Context(), compose.LoadOptions{Dir: dir, Name: "shop", CacheDir: cache, Environ: env})
		if err != nil {
			return "", err
		}
		text, err := p.MarshalYAML()
		return string(text), err
	}
	good := "services: {web: {image: nginx, ports: [\"${PORT:-80}\"]}}\n"
	write(good)
	first, err := load()
	if err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(cache); err != nil || len(entries) != 1 {
		t.Errorf("the cache holds %v, %v, want one note", entries, err)
	}
	if second, err := load(); err != nil || second != first {
		t.Errorf("the second load = %s, %v, want %s", second, err, first)
	}
	if _, err := load("PORT=http"); err == nil {
		t.Error("a variable that makes the file wrong was not found out")
	}
	write(strings.ReplaceAll(good, "image:", "imag:"))
	if _, err := load(); err == nil || !strings.Contains(err.Error(), "imag") {
		t.Errorf("a wrong key = %v, want it named", err)
	}
	write("services: {web: {image: nginx, privileged: true, deploy: {mode: global}}}\n")
	for range 2 {
		p, err := compose.Load(t.Context(), compose.LoadOptions{Dir: dir, Name: "shop", CacheDir: cache})
		if err != nil || len(p.Warnings) == 0 {
			t.Errorf("Load of something that is not done = %v, want a warning every time", err)
		}
	}
}
