package compose_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strake-dev/strake/compose"
)

// TestRun_SeesWhatExitsSoon: a program that a wrong setting ends half a second after its start is not called running.
func TestRun_SeesWhatExitsSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := memory()
		go func() {
			time.Sleep(500 * time.Millisecond) // virtual time
			h.Exit("shop-web-1", 3)
		}()
		_, _, err := converge(t.Context(), h, project(t, "services: {web: {image: postgres}}"), compose.RunOptions{})
		var unready *compose.NotReadyError
		if !errors.As(err, &unready) {
			t.Errorf("up of what exits after half a second = %v, want a NotReadyError", err)
		}
	})
}
