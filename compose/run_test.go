package compose_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/compose/hosttest"
)

const chain = `
services:
  db:
    image: postgres
    healthcheck: {test: [CMD, ready], interval: 5s}
    volumes: [data:/var/lib/db, /var/lib/anonymous]
  migrate: {image: busybox, command: "true", depends_on: {db: {condition: service_healthy}}}
  api:
    image: "app:1"
    environment: {VERSION: "%s"}
    healthcheck: {test: [CMD, ready], interval: 5s}
    depends_on: {migrate: {condition: service_completed_successfully}, db: {condition: service_healthy, restart: true}}
  web: {image: nginx, environment: {VERSION: "%[1]s"}, networks: [front, default], depends_on: {api: {condition: service_healthy}}}
networks: {front: {}}
volumes: {data: {}}
`

// converge runs an up and returns its events as text.
func converge(ctx context.Context, h compose.Host, p *compose.Project, o compose.RunOptions) (compose.State, []string, error) {
	var events []string
	var plan compose.Plan
	o.Note = func(e compose.Event) {
		name := ""
		if e.Step < len(plan) {
			name = plan[e.Step].Name
		}
		events = append(events, fmt.Sprintf("%s %s", name, e.Kind))
	}
	st, _, err := compose.Converge(ctx, h, compose.ScopeOf(p, nil), func(st compose.State) (compose.Plan, error) {
		return compose.Diff(p, st, compose.DiffOptions{Version: "test"})
	}, compose.ConvergeOptions{Run: o, Planned: func(q compose.Plan, _ compose.State) { plan = q }})
	return st, events, err
}

func memory() *hosttest.Memory { return hosttest.NewMemory("postgres", "busybox", "nginx", "app:1") }

// TestRun_AsksInsteadOfWaiting: a chain with intervals of 5 s is ready when its programs are, not when the engine looks.
func TestRun_AsksInsteadOfWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		h := memory()
		var mu sync.Mutex
		asked := map[string]time.Time{}
		overlap := map[string]int{}
		h.Pass = func(name string) error {
			mu.Lock()
			if asked[name].IsZero() {
				asked[name] = time.Now()
			}
			overlap[name]++
			if overlap[name] > 1 {
				t.Errorf("probes of %s overlap", name)
			}
			mu.Unlock()
			time.Sleep(10 * time.Millisecond) // what an exec takes; virtual time
			mu.Lock()
			defer mu.Unlock()
			overlap[name]--
			if time.Since(asked[name]) < 300*time.Millisecond {
				return &compose.ProbeError{ExitCode: 1}
			}
			return nil
		}
		st, _, err := converge(t.Context(), h, project(t, fmt.Sprintf(chain, "1")), compose.RunOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took > 1500*time.Millisecond {
			t.Errorf("up took %s of virtual time, want at most 1.5 s", took)
		}
		if len(st.Containers) != 4 {
			t.Errorf("up left %d containers, want 4", len(st.Containers))
		}
		begin = time.Now() // a second one, before the engine has asked anything: 10 ms for the probes, 600 for what settles
		if _, _, err := converge(t.Context(), h, project(t, fmt.Sprintf(chain, "1")), compose.RunOptions{}); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took > 650*time.Millisecond {
			t.Errorf("a second up took %s of virtual time, want at most 0.65 s", took)
		}
	})
}

// TestRun_WaitsTwiceAsLongAsAProbeTakes: a slow healthcheck does not keep the machine busy, but for the first time that it is asked again.
func TestRun_WaitsTwiceAsLongAsAProbeTakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := memory()
		probes := 0
		h.Pass = func(string) error {
			probes++
			time.Sleep(time.Second) // virtual time
			if probes < 4 {
				return &compose.ProbeError{ExitCode: 1}
			}
			return nil
		}
		begin := time.Now()
		if _, _, err := converge(t.Context(), h, project(t, "services: {db: {image: postgres, healthcheck: {test: [CMD, ready]}}}"), compose.RunOptions{}); err != nil {
			t.Fatal(err)
		}
		if took, want := time.Since(begin), 8050*time.Millisecond; took != want {
			t.Errorf("4 probes of 1 s took %s, want %s: a first pause of 50 ms, and then each is twice the probe", took, want)
		}
	})
}

// TestRun_NotReady: each way in which a container is not ready ends the run with an error that says what was seen last.
func TestRun_NotReady(t *testing.T) {
	failing := func(string) error { return &compose.ProbeError{ExitCode: 1, Output: "no route\nto db"} }
	tests := []struct {
		name, services, want string
		pass                 func(string) error
		during               func(h *hosttest.Memory)
		o                    compose.RunOptions
	}{
		{name: "never passes", services: "{db: {image: postgres, healthcheck: {test: [CMD, ready]}}}", pass: failing, o: compose.RunOptions{WaitTimeout: time.Minute},
			want: "shop-db-1 is not ready: it is still running after 1m0s (healthcheck exited with code 1: to db)"},
		{name: "engine says unhealthy", services: "{db: {image: postgres, healthcheck: {test: [CMD, ready]}}}", pass: failing,
			during: func(h *hosttest.Memory) { h.SetHealth("shop-db-1", compose.Unhealthy) },
			want:   "shop-db-1 is not ready: it is unhealthy (healthcheck exited with code 1: to db)"},
		{name: "one-shot fails", services: `{migrate: {image: busybox, command: exit 3}, web: {image: nginx, depends_on: {migrate: {condition: service_completed_successfully}}}}`,
			want: "shop-migrate-1 is not completed: it exited with code 3"},
		{name: "exits while it is waited for", services: "{db: {image: postgres, healthcheck: {test: [CMD, ready]}}}", pass: failing,
			during: func(h *hosttest.Memory) { h.Exit("shop-db-1", 137) },
			want:   "shop-db-1 is not ready: it exited with code 137 (healthcheck exited with code 1: to db)"},
		{name: "a built image without a healthcheck", services: `{db: {build: .}, web: {image: nginx, depends_on: {db: {condition: service_healthy}}}}`,
			want: "shop-db-1 is waited for until it is healthy, but it has no healthcheck"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := memory()
				h.Pass = tt.pass
				if tt.during != nil {
					timer := time.AfterFunc(2*time.Second, func() { tt.during(h) })
					defer timer.Stop()
				}
				_, events, err := converge(t.Context(), h, project(t, "services: "+tt.services), tt.o)
				if err == nil || err.Error() != tt.want {
					t.Errorf("up = %v, want %s", err, tt.want)
				}
				if slices.Contains(events, "shop-web-1 started") && slices.Contains(events, "shop-web-1 done") && strings.Contains(tt.services, "completed") && isRunning(t, h, "shop-web-1") {
					t.Errorf("a dependent of a failed service was started: %s", events)
				}
			})
		})
	}
}

func isRunning(t *testing.T, h compose.Host, name string) bool {
	t.Helper()
	st, err := h.Observe(t.Context(), compose.Scope{Project: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(st.Containers, func(c compose.Container) bool { return c.Name == name && c.Status == compose.Running })
}

// TestRun_OptionalDependency: what is not required may fail, with a warning.
func TestRun_OptionalDependency(t *testing.T) {
	h := memory()
	_, events, err := converge(t.Context(), h, project(t, `services: {migrate: {image: busybox, command: exit 3},
  web: {image: nginx, depends_on: {migrate: {condition: service_completed_successfully, required: false}}}}`), compose.RunOptions{})
	if err != nil {
		t.Errorf("up = %v, want nil", err)
	}
	if !isRunning(t, h, "shop-web-1") {
		t.Errorf("up = %v, want web to run: %s", err, events)
	}
	if !slices.Contains(events, "shop-migrate-1 warning") {
		t.Errorf("events = %s, want a warning about migrate", events)
	}
}

// TestRun_Interrupted: a cancelled run says why, begins nothing more, and the next one converges.
func TestRun_Interrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := memory()
		h.Pass = func(string) error { return &compose.ProbeError{ExitCode: 1} }
		ctx, cancel := context.WithCancelCause(t.Context())
		interrupted := errors.New("interrupted")
		time.AfterFunc(3*time.Second, func() { cancel(interrupted) })
		p := project(t, fmt.Sprintf(chain, "1"))
		if _, _, err := converge(ctx, h, p, compose.RunOptions{}); !errors.Is(err, interrupted) {
			t.Errorf("up = %v, want interrupted", err)
		}
		if isRunning(t, h, "shop-api-1") {
			t.Error("api was started although db never became healthy")
		}
		h.Pass = func(string) error { return nil }
		if _, _, err := converge(t.Context(), h, p, compose.RunOptions{}); err != nil {
			t.Errorf("the next up = %v, want nil", err)
		}
	})
}

// TestConverge_AfterAKillAnywhere: whatever step an up dies at, the next one leaves exactly the wanted stack, and no data
// is lost on the way.
func TestConverge_AfterAKillAnywhere(t *testing.T) {
	seeds := uint64(25)
	if os.Getenv("STRAKE_SOAK") != "" {
		seeds = 2000
	}
	for seed := range seeds {
		synctest.Test(t, func(t *testing.T) { killAndConverge(t, seed) })
	}
}

// killAndConverge kills a few ups of three versions of chain and checks what the last of each leaves.
func killAndConverge(t *testing.T, seed uint64) {
	t.Helper()
	errKilled := errors.New("killed")
	rnd := rand.New(rand.NewPCG(seed, 1))
	h := memory()
	h.Pass = func(string) error { return nil }
	var anonymous string
	for version := range 3 {
		p := project(t, fmt.Sprintf(chain, fmt.Sprint(version)))
		for range rnd.IntN(3) {
			left := 1 + rnd.IntN(25)
			h.Before = func(_ int, s compose.Step) error {
				if left--; left < 0 && s.Op != compose.DropClaim {
					return errKilled
				}
				return nil
			}
			_, _, err := converge(t.Context(), h, p, compose.RunOptions{Parallel: 1 + rnd.IntN(4)})
			if err != nil && !errors.Is(err, errKilled) {
				t.Fatalf("seed %d: a killed up = %v", seed, err)
			}
		}
		h.Before = nil
		st, _, err := converge(t.Context(), h, p, compose.RunOptions{})
		if err != nil {
			t.Fatalf("seed %d: the up after the kills = %v", seed, err)
		}
		got := checkStack(t, seed, st)
		if anonymous != "" && got != anonymous {
			t.Fatalf("seed %d: the anonymous volume of db is %s, was %s", seed, got, anonymous)
		}
		anonymous = got
	}
}

// checkStack compares with what chain wants and returns db's anonymous volume.
func checkStack(t *testing.T, seed uint64, st compose.State) (anonymous string) {
	t.Helper()
	var got []string
	for _, c := range st.Containers {
		got = append(got, fmt.Sprintf("%s %s %d", c.Name, c.Status, len(c.Networks)))
		for _, m := range c.Mounts {
			if m.Target == "/var/lib/anonymous" {
				anonymous = m.Name
			}
		}
	}
	want := []string{"shop-api-1 running 1", "shop-db-1 running 1", "shop-migrate-1 exited 1", "shop-web-1 running 2"}
	if !slices.Equal(got, want) {
		t.Fatalf("seed %d: the stack is %q, want %q", seed, got, want)
	}
	return anonymous
}

// TestConverge_Claim: of two runs at once the second waits and then finds nothing to do; a dead holder is cleared away.
func TestConverge_Claim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := memory()
		h.Pass = func(string) error { time.Sleep(time.Second); return nil } // virtual time
		p := project(t, fmt.Sprintf(chain, "1"))
		o := compose.ConvergeOptions{Owner: compose.Owner{Command: "strake up", User: "ann", Host: "box", PID: 1}, Alive: func(o compose.Owner) bool { return o.PID == 1 }}
		plan := func(st compose.State) (compose.Plan, error) { return compose.Diff(p, st, compose.DiffOptions{}) }
		dead, _ := h, 0
		if err := dead.Do(t.Context(), compose.Step{Op: compose.TakeClaim, Name: compose.ClaimName("shop"),
			Labels: map[string]string{compose.LabelClaim: "shop", compose.LabelOwner: `{"command":"strake up","pid":7}`}}, nil); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		plans := make([]compose.Plan, 2)
		held := make([]*compose.HeldError, 2)
		for i := range plans {
			wg.Go(func() {
				o := o
				o.Held = func(e *compose.HeldError) { held[i] = e }
				var err error
				if _, plans[i], err = compose.Converge(t.Context(), h, compose.ScopeOf(p, nil), plan, o); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		o.NoWait = true
		var busy *compose.HeldError
		if _, _, err := compose.Converge(t.Context(), h, compose.ScopeOf(p, nil), plan, o); !errors.As(err, &busy) || busy.Owner.User != "ann" {
			t.Errorf("Converge without waiting = %v, want held by ann", err)
		}
		wg.Wait()
		if (held[0] == nil) == (held[1] == nil) {
			t.Errorf("held = %v, want exactly one that waited", held)
		}
		if created(plans[0]) == created(plans[1]) {
			t.Errorf("both runs created the stack, or neither: %v", plans)
		}
	})
}

func created(p compose.Plan) bool {
	return slices.ContainsFunc(p, func(s compose.Step) bool { return s.Op == compose.CreateContainer })
}

// TestConverge_SeesWhatWentAwayMeanwhile: an up does not say that all is well when a container that it had nothing to do with
// was removed while it ran.
func TestConverge_SeesWhatWentAwayMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := memory()
		file := `services: {a: {image: nginx, environment: {V: "%s"}}, b: {image: busybox, command: serve}}`
		if _, _, err := converge(t.Context(), h, project(t, fmt.Sprintf(file, "1")), compose.RunOptions{}); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(100*time.Millisecond, func() {
			if err := h.Do(t.Context(), compose.Step{Op: compose.RemoveContainer, Name: "shop-b-1", Target: "shop-b-1"}, nil); err != nil {
				t.Error(err)
			}
		})
		_, _, err := converge(t.Context(), h, project(t, fmt.Sprintf(file, "2")), compose.RunOptions{})
		if err == nil || !strings.Contains(err.Error(), "shop-b-1") {
			t.Errorf("up = %v, want it to name shop-b-1", err)
		}
	})
}

// lagging is a Host whose list still shows a container running for a while after it told of its exit, as engines do.
type lagging struct {
	*hosttest.Memory
	until time.Time
}

// Observe lists what has exited as running until then.
func (l lagging) Observe(ctx context.Context, s compose.Scope) (compose.State, error) {
	state, err := l.Memory.Observe(ctx, s)
	for i := range state.Containers {
		if c := &state.Containers[i]; time.Now().Before(l.until) && c.Status == compose.Exited {
			c.Status, c.ExitCode = compose.Running, 0
		}
	}
	return state, err
}

// TestRun_DoesNotWaitForWhatHasExited: a one-shot that exited a moment before the run, and is listed as running, is seen to
// have completed or failed.
func TestRun_DoesNotWaitForWhatHasExited(t *testing.T) {
	for _, code := range []int{0, 3} {
		synctest.Test(t, func(t *testing.T) {
			h := memory()
			p := project(t, "services: {job: {image: nginx}}")
			if _, _, err := converge(t.Context(), h, p, compose.RunOptions{}); err != nil {
				t.Fatal(err)
			}
			h.Exit("shop-job-1", code)
			begin := time.Now()
			wait := compose.Plan{{Op: compose.Wait, Name: "shop-job-1", Target: "shop-job-1", Service: "job", Until: compose.UntilCompleted, Limit: time.Hour}}
			err := compose.Run(t.Context(), lagging{h, begin.Add(300 * time.Millisecond)}, wait, compose.RunOptions{Project: "shop"})
			if (err == nil) != (code == 0) {
				t.Errorf("Run = %v after exit code %d", err, code)
			}
			if took := time.Since(begin); took > 5*time.Second {
				t.Errorf("Run took %v, want seconds", took)
			}
		})
	}
}
