package pace

import (
	"bufio"
	"os"
	"slices"
	"strings"
	"testing"
)

// TestRoom_IsInLargePages looks for memory that is to be in large pages: nothing else asks for them.
func TestRoom_IsInLargePages(t *testing.T) {
	_, err := os.Stat("/sys/kernel/mm/transparent_hugepage")
	has := err == nil // a kernel without them gives none
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() // it was only read
	large := 0
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if flags, ok := strings.CutPrefix(lines.Text(), "VmFlags:"); ok && slices.Contains(strings.Fields(flags), "hg") {
			large++
		}
	}
	if has != (large > 0) || has && !isRoomy {
		t.Errorf("%d mappings are to be in large pages (%t), and the kernel has them: %t", large, isRoomy, has)
	}
}
