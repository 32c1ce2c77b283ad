package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestVariables_AreAllThatTheSourceReads: a variable that is not listed would be taken for a misspelt one.
func TestVariables_AreAllThatTheSourceReads(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	read := map[string]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?:getenv|lookupEnv|originOf)\((?:s, )?"(STRAKE_\w+)"\)`).FindAllStringSubmatch(string(text), -1) {
			if !strings.HasSuffix(file, "_test.go") {
				read[m[1]] = true
			}
		}
	}
	for name := range read {
		if !slices.Contains(variables(), name) {
			t.Errorf("%s is read and not among variables() = %v", name, variables())
		}
	}
	if len(read) != len(variables()) {
		t.Errorf("the source reads %v, want all of %v", read, variables())
	}
}
