package cli

import (
	"testing"
	"time"
)

func TestSpan_IsShort(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0:                              "0.0s",
		1240 * time.Millisecond:        "1.2s",
		time.Minute:                    "1m",
		70 * time.Second:               "1m10s",
		90 * time.Second:               "1m30s",
		time.Hour:                      "1h0m",
		time.Hour + 10*time.Minute + 9: "1h10m",
	} {
		if got := span(d); got != want {
			t.Errorf("span(%s) = %s, want %s", d, got, want)
		}
	}
}
