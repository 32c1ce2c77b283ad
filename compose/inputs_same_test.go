package compose_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/strake-dev/strake/compose"
)

// TestInputs_SameImage: inputs that were found to make the same image count as those that are on it.
func TestInputs_SameImage(t *testing.T) {
	dir, o := t.TempDir(), compose.InputOptions{CacheDir: t.TempDir()}
	for name, text := range map[string]string{"compose.yaml": "services: {web: {build: .}}", "Dockerfile": "FROM scratch\nCOPY app /\n", "app": "1", "README": "one"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	p, err := compose.Load(t.Context(), compose.LoadOptions{Dir: dir, Name: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	inputs := func() string {
		t.Helper()
		all, err := compose.Inputs(t.Context(), p, nil, o)
		if err != nil {
			t.Fatal(err)
		}
		return all["web"]
	}
	first := inputs()
	if err := os.WriteFile(filepath.Join(dir, "README"), []byte("two"), 0o644); err != nil {
		t.Fatal(err)
	}
	second := inputs()
	if first == second {
		t.Fatal("an edit in the context did not change the digest")
	}
	if err := compose.RememberSame(&compose.ImageStep{Project: p, Service: "web", Inputs: second, Was: first}, o); err != nil {
		t.Fatal(err)
	}
	if got := inputs(); got != first {
		t.Errorf("Inputs = %s, want %s: the image that was made of them is the same", got, first)
	}
}
