package seed

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestBuild_SaysThatAStepStillRuns(t *testing.T) {
	for after, want := range map[time.Duration]int{time.Second: 0, 31 * time.Second: 1, 31*time.Second + 2*time.Minute: 3} {
		synctest.Test(t, func(t *testing.T) {
			var said []string
			b := &build{o: BuildOptions{Note: func(text string) { said = append(said, text) }}}
			if err := b.saying("migrate still runs", func() error { <-time.After(after); return nil }); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(said, slices.Repeat([]string{"migrate still runs"}, want)) {
				t.Errorf("saying of what takes %v said %q, want it %d times", after, said, want)
			}
		})
	}
}
