package previews

import "time"

// touchLink does nothing where links have no times that can be set.
func touchLink(string, time.Time) error { return nil }
