package host

import (
	"testing"
	"time"
)

func TestLease_EndsWithinWhatItMayLast(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 600, time.UTC)
	if l := (Lease{}).For(now, 8*time.Hour, 24*time.Hour); l.Expires != now.Add(8*time.Hour) || l.Ends != now.Add(24*time.Hour) {
		t.Errorf("For(8h, 24h) = %s, %s", l.Expires, l.Ends)
	}
	if l := (Lease{}).For(now, 48*time.Hour, 24*time.Hour); l.Expires != l.Ends {
		t.Errorf("For(48h, 24h) ends at %s, want %s", l.Expires, l.Ends)
	}
	whole := now.Truncate(time.Second)
	m := Machine{Expires: whole.Add(2 * time.Hour), Ends: whole.Add(5 * time.Hour)}
	for span, want := range map[time.Duration]time.Duration{time.Hour: 2 * time.Hour, 3 * time.Hour: 3 * time.Hour, 9 * time.Hour: 5 * time.Hour} {
		if got := m.Renewed(now, span); !got.Equal(whole.Add(want)) {
			t.Errorf("Renewed(%s) = %s, want %s", span, got, whole.Add(want))
		}
	}
	m.Ends = time.Time{} // not known
	if got := m.Renewed(now, 9*time.Hour); !got.Equal(whole.Add(9 * time.Hour)) {
		t.Errorf("Renewed without Ends = %s", got)
	}
}
