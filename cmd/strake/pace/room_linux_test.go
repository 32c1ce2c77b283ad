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
	if _, err := os.Stat("/sys/kernel/mm/transparent_hugepage"); err != nil {
		t.Skip("this kernel has no large pages")
	}
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
	if large == 0 || !isRoomy {
		t.Errorf("%d mappings are to be in large pages (%t), want one", large, isRoomy)
	}
}
