package cli

import (
	"strings"
	"testing"
)

func TestSeedCost_GoesByWhatTheFileSystemCanClone(t *testing.T) {
	for _, c := range []struct {
		driver, kind, cloning string
		verdict               verdict
		says, do              string
	}{
		{"overlay2", "ext4", "", isFine, "copies its file, 1 to 4 s per GB", "XFS with reflink"},
		{"overlayfs", "extfs", "", isFine, "copies its file", "XFS with reflink"},
		{"overlay2", "overlayfs", "", isFine, "copies its file", "XFS with reflink"},
		{"overlay2", "xfs", "with reflink", isFine, "clones its file, 0.15 s", ""},
		{"overlay2", "xfs", "without reflink", isFine, "copies its file", "XFS with reflink"},
		{"overlay2", "xfs", "", isFine, "or copies it where the XFS was made without reflink", ""},
		{"btrfs", "btrfs", "", isFine, "clones its file", ""},
		{"overlay2", "", "", isFine, "unknown", ""},
		{"vfs", "ext4", "", isDoubted, "copies the whole image", "overlay2"},
		{"native", "overlayfs", "", isDoubted, "copies the whole image", "overlay2"},
	} {
		got := seedCost(c.driver, c.kind, c.cloning)
		if got.Check != "seeds" || got.Verdict != c.verdict || !strings.Contains(got.Found, c.says) || !strings.Contains(got.Do, c.do) || (c.do == "") != (got.Do == "") {
			t.Errorf("seedCost(%s, %s, %s) = %+v, want %s, %q and %q", c.driver, c.kind, c.cloning, got, c.verdict, c.says, c.do)
		}
	}
}
