package engine

import (
	"testing"

	"github.com/docker/docker/api/types/system"
)

// TestClones_WhereFilesShareBlocksAndLayersCanBeRead.
func TestClones_WhereFilesShareBlocksAndLayersCanBeRead(t *testing.T) {
	for _, c := range []struct {
		driver, backing, security string
		want                      bool
	}{
		{"overlay2", "xfs", "name=seccomp,profile=builtin", true},
		{"overlay2", "btrfs", "", true},
		{"overlay2", "extfs", "", false},
		{"btrfs", "btrfs", "", false},
		{"overlayfs", "", "", false}, // the containerd store: its layers have no known folders
		{"overlay2", "xfs", "name=rootless", false},
		{"overlay2", "xfs", "name=selinux", false},
		{"overlay2", "xfs", "name=userns", false},
	} {
		info := system.Info{Driver: c.driver, DriverStatus: [][2]string{{"Backing Filesystem", c.backing}}, SecurityOptions: []string{c.security}}
		if got := clones(info); got != c.want {
			t.Errorf("clones(%s on %s, %q) = %v, want %v", c.driver, c.backing, c.security, got, c.want)
		}
	}
}
