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
		if got := m.Renewed("pr-1", now, span); !got.Equal(whole.Add(want)) {
			t.Errorf("Renewed(%s) = %s, want %s", span, got, whole.Add(want))
		}
	}
	m.Ends = time.Time{} // not known
	if got := m.Renewed("pr-1", now, 9*time.Hour); !got.Equal(whole.Add(9 * time.Hour)) {
		t.Errorf("Renewed without Ends = %s", got)
	}
	shared := Machine{Preview: "shared.1", Expires: whole.Add(9 * time.Hour), Shares: []Share{{Preview: "pr-1", Expires: whole.Add(time.Hour), Ends: whole.Add(4 * time.Hour)}, {Preview: "pr-2", Expires: whole.Add(11 * time.Hour)}}}
	if got := shared.Renewed("pr-1", now, 100*time.Hour); !got.Equal(whole.Add(4 * time.Hour)) {
		t.Errorf("Renewed of a preview on a shared machine = %s, want not beyond what the preview may last", got)
	}
	if got := shared.lasts(); !got.Equal(whole.Add(11 * time.Hour)) {
		t.Errorf("a shared machine lasts until %s, want the last of its previews' ends", got)
	}
}
