package release_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/release"
)

// claims are those of a clone of a new repository.
func claims(t *testing.T) release.Claims {
	t.Helper()
	origin, clone := t.TempDir(), t.TempDir()
	environ := append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null")
	run := func(ctx context.Context, args ...string) (string, error) {
		cmd := exec.CommandContext(ctx, "git", append([]string{"-C", clone}, args...)...)
		cmd.Env = environ
		out, err := cmd.CombinedOutput()
		if err != nil {
			return "", fmt.Errorf("git %s: %s", args[0], out)
		}
		return strings.TrimSpace(string(out)), nil
	}
	for _, args := range [][]string{{"-C", origin, "init", "-q", "--bare"}, {"init", "-q"}, {"remote", "add", "origin", origin}} {
		if _, err := run(t.Context(), args...); err != nil {
			t.Fatal(err)
		}
	}
	return release.Claims{Git: run, Remote: "origin", Owner: compose.Owner{Machine: "m", PID: 1, Host: "laptop", User: "ada", Command: "strake promote prod", Since: time.Now().UTC()},
		Alive: func(o compose.Owner) bool { return o.PID != 99 }, Now: time.Now}
}

func TestClaims_OneOfEightWins(t *testing.T) {
	c := claims(t)
	var all sync.WaitGroup
	var winners, held atomic.Int32
	release1 := make(chan struct{})
	for i := range 8 {
		all.Go(func() {
			mine := c
			mine.Owner.PID = i + 1
			err := mine.Hold(t.Context(), "prod", func() error {
				winners.Add(1)
				<-release1
				return nil
			})
			var by *release.HeldError
			switch {
			case errors.As(err, &by) && errors.Is(err, compose.ErrHeld) && by.Owner.User == "ada":
				if held.Add(1) == 7 {
					close(release1)
				}
			case err != nil:
				t.Errorf("Hold = %v", err)
			}
		})
	}
	all.Wait()
	if winners.Load() != 1 || held.Load() != 7 {
		t.Errorf("%d held the claim and %d were told who does, want 1 and 7", winners.Load(), held.Load())
	}
	if err := c.Hold(t.Context(), "prod", func() error { return nil }); err != nil {
		t.Errorf("Hold after all = %v", err)
	}
}

func TestClaims_OfTheDeadAreTaken(t *testing.T) {
	c := claims(t)
	for name, owner := range map[string]compose.Owner{"dead": {PID: 99, Since: time.Now()}, "long ago": {PID: 1, Since: time.Now().Add(-2 * time.Hour)}} {
		dead := c
		dead.Owner = owner
		leave := errors.New("killed")
		ctx, kill := context.WithCancel(t.Context())
		dead.Git = func(_ context.Context, args ...string) (string, error) { // gives nothing back
			if ctx.Err() != nil {
				return "", leave
			}
			return c.Git(t.Context(), args...)
		}
		if err := dead.Hold(t.Context(), "prod", func() error { kill(); return nil }); !errors.Is(err, leave) {
			t.Fatalf("%s: Hold that is killed = %v", name, err)
		}
		done := false
		if err := c.Hold(t.Context(), "prod", func() error { done = true; return nil }); err != nil || !done {
			t.Errorf("%s: Hold after it = %v", name, err)
		}
		kill()
	}
}
