// Package pace has memory collected seldom and taken in large pages from the start: two collections before main begins, which find next to
// nothing to free, take a quarter of the time of the shortest commands, and small pages a tenth. It is a package of its own, and imports one, because packages are initialised in the order of
// what they import: this one comes before most of those that allocate.
package pace

import (
	"runtime/debug"
	"time"
)

// What a command allocates while it reads the project is rarely worth to be looked through; one that lives for longer, as a gateway does,
// is not to hold more than it needs. Percents of what is in use, as GOGC has them; early makes up for what room wastes.
const (
	early = 1000
	later = 400
	soon  = 5 * time.Second
)

// There is no function that could be called this early.
var (
	_       = debug.SetGCPercent(early)
	isRoomy = room() // for what comes before main
)

// Settle makes room for what a command allocates, and has what lives on after a moment be collected more often.
func Settle() {
	room()
	time.AfterFunc(soon, func() { debug.SetGCPercent(later) })
}
