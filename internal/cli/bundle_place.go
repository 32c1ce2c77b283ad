package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/strake-dev/strake/compose"
)

// bundleScratch is how the folders begin in which bundles are until they are whole.
const bundleScratch = ".strake-bundle-"

// bundleWarnings say what a bundle does where it is written to.
func bundleWarnings(p *compose.Project, file string) []string {
	names := compose.BuildsHolding(p, file)
	if len(names) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("%s is in the build context of %s, which is built anew for it: write it elsewhere, or add %s to its .dockerignore",
		file, strings.Join(names, ", "), filepath.Base(file))}
}

// clearBundles removes what saves left in a folder that were killed. One that was written to in the last day may be under way.
func clearBundles(dir string, now time.Time) (warnings []string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil // who writes there says it
	}
	for _, e := range entries {
		left := filepath.Join(dir, e.Name())
		if !e.IsDir() || !strings.HasPrefix(e.Name(), bundleScratch) || now.Sub(lastWritten(left)) <= 24*time.Hour {
			continue
		}
		if err := os.RemoveAll(left); err != nil {
			warnings = append(warnings, fmt.Sprintf("what a save left that was killed is still there: %v", err))
		}
	}
	return warnings
}

// lastWritten is when a folder, or a file in it, was written last.
func lastWritten(dir string) (last time.Time) {
	names := []string{dir}
	if entries, err := os.ReadDir(dir); err == nil {
		for _, e := range entries {
			names = append(names, filepath.Join(dir, e.Name()))
		}
	}
	for _, name := range names {
		if info, err := os.Lstat(name); err == nil && info.ModTime().After(last) {
			last = info.ModTime()
		}
	}
	return last
}
