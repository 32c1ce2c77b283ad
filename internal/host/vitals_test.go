package host

import (
	"testing"
	"time"
)

func TestVitals_AreWhatTheMachineSays(t *testing.T) {
	text := "filesystem xfs\nfree 1024\nreflink 1\nmemory 8000000 kB\navailable 4000000 kB\ntimer active\nends 2026-12-02 19:25:03 UTC\n"
	want := Vitals{FileSystem: "xfs", Reflink: "1", DiskFree: 1 << 20, Memory: 8000000 << 10, Available: 4000000 << 10, Armed: true, Ends: time.Date(2026, 12, 2, 19, 25, 3, 0, time.UTC)}
	if got := vitalsIn(text); got != want {
		t.Errorf("vitalsIn(%q) = %+v, want %+v", text, got, want)
	}
	if got := vitalsIn("filesystem ext4\ntimer inactive\nends never\n"); got != (Vitals{FileSystem: "ext4"}) {
		t.Errorf("of a machine that says less there is %+v", got)
	}
}
