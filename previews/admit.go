package previews

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/strake-dev/strake/compose"
)

// BudgetError is returned by an Open for which there is no room.
type BudgetError struct {
	Allowed int
	There   []string // the IDs of those that are there, the one that was visited longest ago first
}

// Error says how many there may be.
func (e *BudgetError) Error() string {
	return fmt.Sprintf("there are %d previews, and the budget allows %d", len(e.There), e.Allowed)
}

// Hint names what to close first.
func (e *BudgetError) Hint() string {
	if len(e.There) == 0 {
		return "raise x-strake.previews.budget.previews"
	}
	return "run strake preview close " + e.There[0] + ", which was not looked at for the longest time, or raise x-strake.previews.budget.previews"
}

// Room is what a host has left, in bytes, and how many CPUs it has; 0 is unknown.
type Room struct {
	Disk, Memory int64
	CPUs         int
}

// What has to be free before a preview is opened, in bytes.
const (
	leastDisk   = 2 << 30
	leastMemory = 512 << 20
)

// RoomError is returned by an Open for which the host has too little left.
type RoomError struct {
	What        string // "disk", "memory"
	Free, Least int64  // bytes
	First       string // the ID of the preview that was not looked at for the longest time; "" where there is none
}

// Error says how little is left.
func (e *RoomError) Error() string {
	return fmt.Sprintf("the host has %d MiB of %s left, and a preview is not begun below %d MiB", e.Free>>20, e.What, e.Least>>20)
}

// Hint is what gives room.
func (e *RoomError) Hint() string {
	if e.First == "" {
		return "stop or remove what needs it; strake doctor shows more"
	}
	return "run strake preview close " + e.First + ", which was not looked at for the longest time"
}

// admit refuses a new preview where there is no room for it.
func (m *Manager) admit(ctx context.Context, project string, policy compose.PreviewSettings, room Room) error {
	all, err := m.List(ctx, project)
	if err != nil {
		return err
	}
	// The one that is being opened has a record without content, which is not listed. What was refused before anything was made takes no place.
	all = slices.DeleteFunc(all, func(p Preview) bool { return p.State == Failed && p.Active == "" && len(p.Phases) == 0 })
	leastSeenFirst(all)
	first := ""
	if len(all) > 0 {
		first = all[0].ID
	}
	switch {
	case room.Disk > 0 && room.Disk < leastDisk:
		return &RoomError{"disk", room.Disk, leastDisk, first}
	case room.Memory > 0 && room.Memory < leastMemory:
		return &RoomError{"memory", room.Memory, leastMemory, first}
	case len(all) < policy.Budget.Previews:
		return nil
	}
	full := &BudgetError{Allowed: policy.Budget.Previews}
	for _, p := range all {
		full.There = append(full.There, p.ID)
	}
	return full
}

// leastSeenFirst sorts previews by when they were last looked at or made; those that failed come first.
func leastSeenFirst(all []Preview) {
	slices.SortFunc(all, func(a, b Preview) int {
		seen := func(p Preview) int64 { return max(p.LastVisit.Unix(), p.Updated.Unix(), p.Created.Unix()) }
		works := func(p Preview) int {
			if p.State == Failed {
				return 0
			}
			return 1
		}
		return cmp.Or(works(a)-works(b), cmp.Compare(seen(a), seen(b)), cmp.Compare(a.ID, b.ID))
	})
}
