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

// TestWait_TellsWhatRanToItsEnd: ready and done are different things to say.
func TestWait_TellsWhatRanToItsEnd(t *testing.T) {
	for _, tt := range []struct {
		service string
		exited  bool
		took    time.Duration
	}{
		{"{image: nginx}", false, time.Second},
		{`{image: busybox, command: "exit 0"}`, true, 200 * time.Millisecond},
		{`{image: busybox, command: "exit 0", restart: on-failure}`, true, 3 * time.Second}, // which may be restarted for all that is known at first
	} {
		synctest.Test(t, func(t *testing.T) {
			begin := time.Now()
			var last compose.Event
			p := project(t, "services: {job: "+tt.service+"}")
			_, _, err := compose.Converge(t.Context(), memory(), compose.ScopeOf(p, nil), func(st compose.State) (compose.Plan, error) {
				return compose.Diff(p, st, compose.DiffOptions{Version: "test"})
			}, compose.ConvergeOptions{Run: compose.RunOptions{Note: func(e compose.Event) { last = e }}})
			if err != nil || last.Kind != compose.StepDone || last.Exited != tt.exited {
				t.Errorf("%s: Converge = %v, last event %s, exited %v, want %v", tt.service, err, last.Kind, last.Exited, tt.exited)
			}
			if took := time.Since(begin); took > tt.took {
				t.Errorf("%s: it took %s, want at most %s", tt.service, took, tt.took)
			}
		})
	}
}
