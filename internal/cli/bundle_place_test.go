package cli

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/strake-dev/strake/compose"
)

func TestBundleWarnings_NameTheBuildThatHoldsTheFile(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte("FROM scratch\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	api := types.ServiceConfig{Name: "api"}
	api.Build = &types.BuildConfig{Context: dir, Dockerfile: "Dockerfile"}
	p := &compose.Project{Project: &types.Project{Name: "shop", WorkingDir: dir, Services: types.Services{"api": api}}}
	file := filepath.Join(dir, "shop.tar.zst")
	if got := bundleWarnings(p, file); len(got) != 1 || !strings.Contains(got[0], "context of api") || !strings.Contains(got[0], "add shop.tar.zst to its .dockerignore") {
		t.Errorf("bundleWarnings(%s) = %q, want one that names api and the file", file, got)
	}
	if got := bundleWarnings(p, filepath.Join(t.TempDir(), "shop.tar.zst")); len(got) > 0 {
		t.Errorf("bundleWarnings of a file elsewhere = %q, want none", got)
	}
	if err := os.WriteFile(filepath.Join(dir, ".dockerignore"), []byte("*.tar.zst\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := bundleWarnings(p, file); len(got) > 0 {
		t.Errorf("bundleWarnings of a file that is ignored = %q, want none", got)
	}
}

func TestClearBundles_RemovesWhatIsOlderThanADay(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	at := func(name string, age time.Duration) {
		t.Helper()
		if err := os.Chtimes(filepath.Join(dir, name), now.Add(-age), now.Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{".strake-bundle-1", ".strake-bundle-2", ".strake-bundle-3", "other"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name, "bundle"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		at(name+"/bundle", 25*time.Hour)
		at(name, 25*time.Hour)
	}
	at(".strake-bundle-2", 23*time.Hour)
	at(".strake-bundle-3/bundle", time.Minute)
	if got := clearBundles(dir, now); len(got) > 0 {
		t.Errorf("clearBundles warns: %q", got)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, e := range entries {
		left = append(left, e.Name())
	}
	if want := []string{".strake-bundle-2", ".strake-bundle-3", "other"}; !slices.Equal(left, want) {
		t.Errorf("clearBundles left %q, want %q", left, want)
	}
}
