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
			err := mine.Hold(t.Context(), "prod", func(context.Context, func(context.Context) error) error {
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
	if err := c.Hold(t.Context(), "prod", func(context.Context, func(context.Context) error) error { return nil }); err != nil {
		t.Errorf("Hold after all = %v", err)
	}
}

func TestClaims_WhatWasDoneIsDoneThoughItsClaimStays(t *testing.T) {
	c := claims(t)
	git, told := c.Git, ""
	c.Git = func(ctx context.Context, args ...string) (string, error) {
		if args[0] == "push" && strings.HasPrefix(args[len(args)-1], ":") {
			return "", errors.New("the origin does not answer")
		}
		return git(ctx, args...)
	}
	c.Warn = func(text string) { told = text }
	if err := c.Hold(t.Context(), "prod", func(context.Context, func(context.Context) error) error { return nil }); err != nil || !strings.Contains(told, "give back the claim of prod") {
		t.Errorf("Hold = %v, and warns of %q, want that it was done", err, told)
	}
	c.Owner.PID = 99 // it is gone
	c.Alive = func(compose.Owner) bool { return false }
	failed := errors.New("failed")
	c.Git = git
	if err := c.Hold(t.Context(), "prod", func(context.Context, func(context.Context) error) error { return failed }); !errors.Is(err, failed) {
		t.Errorf("Hold of what fails = %v", err)
	}
}

func TestClaims_OfTheDeadAreTaken(t *testing.T) {
	c := claims(t)
	for name, owner := range map[string]compose.Owner{"dead": {PID: 99, Host: "laptop", Since: time.Now()}, "long ago": {PID: 1, Since: time.Now().Add(-2 * time.Hour)}, "yet to come": {PID: 1, Host: "far", Since: time.Now().Add(time.Hour)}} {
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
		if err := dead.Hold(t.Context(), "prod", func(context.Context, func(context.Context) error) error { kill(); return nil }); !errors.Is(err, leave) {
			t.Fatalf("%s: Hold that is killed = %v", name, err)
		}
		done := false
		if err := c.Hold(t.Context(), "prod", func(context.Context, func(context.Context) error) error { done = true; return nil }); err != nil || !done {
			t.Errorf("%s: Hold after it = %v", name, err)
		}
		kill()
	}
}

func TestClaims_OfTheDeadOnAnotherMachineAreHeld(t *testing.T) {
	c := claims(t)
	other := c
	other.Owner.PID, other.Owner.Host = 99, "runner"
	err := other.Hold(t.Context(), "prod", func(ctx context.Context, _ func(context.Context) error) error {
		return c.Hold(ctx, "prod", func(context.Context, func(context.Context) error) error { return nil })
	})
	var held *release.HeldError
	if !errors.As(err, &held) || held.Owner.Host != "runner" {
		t.Errorf("Hold while a process of another machine does, whose number is nobody's here = %v, want a HeldError", err)
	}
}

func TestClaims_WhoseAnswerWasLost(t *testing.T) {
	c := claims(t)
	lost, deaf := c, c
	lost.Git = func(ctx context.Context, args ...string) (string, error) {
		out, err := c.Git(ctx, args...)
		if args[0] == "push" && strings.HasSuffix(args[3], ":") {
			err = errors.Join(err, errCut)
		}
		return out, err
	}
	done := false
	if err := lost.Hold(t.Context(), "prod", func(context.Context, func(context.Context) error) error { done = true; return nil }); err != nil || !done {
		t.Errorf("Hold of a claim that was made though the answer was lost = %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	deaf.Git = func(ctx context.Context, args ...string) (string, error) {
		if args[0] == "ls-remote" {
			cancel()
			return "", errCut
		}
		return lost.Git(ctx, args...)
	}
	if err := deaf.Hold(ctx, "prod", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Hold of a claim that is interrupted before it is known = %v, want %v", err, context.Canceled)
	}
	if list, err := c.Git(t.Context(), "ls-remote", "origin"); err != nil || list != "" {
		t.Errorf("after it the origin has %q, %v, want no claim", list, err)
	}
}

func TestClaims_ThatAreTakenAwayAreNoneAnyMore(t *testing.T) {
	c := claims(t)
	err := c.Hold(t.Context(), "prod", func(ctx context.Context, still func(context.Context) error) error {
		if err := still(ctx); err != nil {
			t.Errorf("still while it is held = %v", err)
		}
		if _, err := c.Git(ctx, "push", "-q", "origin", ":refs/strake/claims/prod"); err != nil {
			t.Fatal(err)
		}
		if err := still(ctx); !errors.Is(err, compose.ErrHeld) {
			t.Errorf("still after it was taken away = %v, want ErrHeld", err)
		}
		other := c
		other.Owner.User = "eve"
		return other.Hold(ctx, "prod", func(ctx context.Context, _ func(context.Context) error) error { return still(ctx) })
	})
	var held *release.HeldError
	if !errors.As(err, &held) || held.Owner.User != "eve" {
		t.Errorf("still after another took it = %v, want a HeldError", err)
	}
}

func TestRefs_AreFoundByTheirNamesInFull(t *testing.T) {
	got := release.Refs("1\trefs/a/refs/heads/stg\n2\trefs/heads/refs/heads/stg\n3\trefs/heads/stg\n")
	if got["refs/heads/stg"] != "3" || len(got) != 3 || len(release.Refs("")) != 0 {
		t.Errorf("Refs = %v, want each by its name", got)
	}
}
