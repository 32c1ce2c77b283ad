package cli

import (
	"strings"

	"github.com/strake-dev/strake/internal/engine"
)

// fileSystem says on which file system the engine's data is, and what that costs stacks that start from a seed.
func (d disk) fileSystem(f engine.Facts) []finding {
	kind, cloning := d.kind, d.cloning
	if kind == "" {
		kind = f.BackingFilesystem
	}
	if kind == "" {
		return []finding{{"file system", isFine, "unknown", ""}, seedCost(f.StorageDriver, "", "")}
	}
	found := kind + " under the engine's data"
	if cloning != "" {
		found += ", " + cloning
	}
	return []finding{{"file system", isFine, found, ""}, seedCost(f.StorageDriver, strings.ToLower(kind), cloning)}
}

// What a seed costs in layer mode, where a server opens files of a layer below to write, and in volumes. The figures are of
// fixtures/bench: a copy of what was read lately, and of what was not.
const (
	seedFirst   = "with --seed-mode layer the first read or write of a table "
	seedCopies  = seedFirst + "copies its file, 1 to 4 s per GB" + seedVolumes
	seedClones  = seedFirst + "clones its file, 0.15 s" + seedVolumes
	seedVolumes = "; with volumes all is copied at the start"
	useXFS      = "for large databases put the engine's data on XFS with reflink, or btrfs, where that is a clone of 0.15 s"
)

// seedCost says what starting from a seed costs with this storage driver on this file system; cloning is fileSystemOf's.
func seedCost(driver, kind, cloning string) finding {
	switch {
	case driver == "vfs" || driver == "native":
		return finding{"seeds", isDoubted, "storage driver " + driver + " copies the whole image for each container: a seed starts as slowly as its data is copied",
			"use the storage driver overlay2 (overlayfs with containerd)"}
	case kind == "":
		return finding{"seeds", isFine, seedFirst + "clones its file on XFS with reflink and btrfs, 0.15 s, and copies it elsewhere, 1 to 4 s per GB; which it is here is unknown", ""}
	case kind == "btrfs" || kind == "xfs" && cloning == "with reflink":
		return finding{"seeds", isFine, seedClones, ""}
	case kind == "xfs" && cloning == "":
		return finding{"seeds", isFine, seedFirst + "clones its file, 0.15 s, or copies it where the XFS was made without reflink, 1 to 4 s per GB" + seedVolumes, ""}
	}
	return finding{"seeds", isFine, seedCopies, useXFS}
}
