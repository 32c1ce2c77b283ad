// Package pace has memory collected seldom from the start: two collections before main begins, which find next to nothing to free, take a
// quarter of the time of the shortest commands. It is a package of its own, and imports one, because packages are initialised in the order of
// what they import: this one comes before most of those that allocate.
package pace

import (
	"runtime/debug"
	"time"
)

// What a command allocates while it reads the project is rarely worth to be looked through; one that lives for longer, as a gateway does,
// is not to hold more than it needs. Percents of what is in use, as GOGC has them.
const (
	early = 800
	later = 400
	soon  = 5 * time.Second
)

// There is no function that could be called this early.
var _ = debug.SetGCPercent(early)

// Settle has what lives on after a moment be collected more often.
func Settle() { time.AfterFunc(soon, func() { debug.SetGCPercent(later) }) }
