package compose_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strake-dev/strake/compose"
)

// TestWait_SeesThatTheEngineGaveUp: what a restart policy does not restart any more is not waited for to the end.
func TestWait_SeesThatTheEngineGaveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		p := project(t, `services: {migrate: {image: busybox, command: exit 7, restart: "on-failure:3"},
  web: {image: nginx, depends_on: {migrate: {condition: service_completed_successfully}}}}`)
		_, _, err := converge(t.Context(), memory(), p, compose.RunOptions{})
		var unready *compose.NotReadyError
		if !errors.As(err, &unready) || !strings.Contains(err.Error(), "exited with code 7 and is not restarted") {
			t.Errorf("Converge = %v, want that migrate is not restarted", err)
		}
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("that took %s, want a few seconds", took)
		}
	})
}

// hung is a Host whose healthchecks never answer.
type hung struct{ compose.Host }

func (h hung) Do(ctx context.Context, s compose.Step, note func(compose.Event)) error {
	if s.Op == compose.Probe {
		<-ctx.Done()
		return context.Cause(ctx)
	}
	return h.Host.Do(ctx, s, note)
}

// TestWait_EndsDuringAProbe: a healthcheck that hangs does not make a wait longer than it may be.
func TestWait_EndsDuringAProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		p := project(t, `services: {db: {image: postgres, healthcheck: {test: [CMD, ready]}}}`)
		_, _, err := converge(t.Context(), hung{memory()}, p, compose.RunOptions{WaitTimeout: 3 * time.Second})
		var unready *compose.NotReadyError
		if !errors.As(err, &unready) || !strings.HasSuffix(unready.State, " after 3s") {
			t.Errorf("Converge = %v, want that db is not ready after 3s", err)
		}
		if took := time.Since(begin); took > 4*time.Second {
			t.Errorf("that took %s, want 3s", took)
		}
	})
}
