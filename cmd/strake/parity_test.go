//go:build lab

package main_test

import (
	"context"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/strake-dev/strake/fixtures/lab"
)

// TestParity launches each case of testdata/parity once with Docker Compose and once with strake, under the same name
// and in the same folder, and compares what the engine says of every container, network and volume. Then each tool
// takes over what the other made. The scenarios are the same steps taken with both.
//
// Without STRAKE_SOAK the newest engine with a graph driver gets every case, and each other a sixth of them.
func TestParity(t *testing.T) {
	binary := lab.Program(t)
	cases, scenarios := readCases(t), readScenarios(t)
	hashed, places := new(sync.Map), new(atomic.Int64)
	lab.EachOf(t, lab.Engines(t), func(t *testing.T, e lab.Engine) {
		b := bench{engine: e, hashed: hashed, places: places, strake: binary, environ: lab.Environ(t, e)}
		for i, c := range cases {
			if !isChosen(e, i) {
				continue
			}
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				c.run(t, b)
			})
		}
		for i, s := range scenarios {
			if !isChosen(e, i) {
				continue
			}
			t.Run("scenario/"+s.name, func(t *testing.T) {
				t.Parallel()
				s.run(t, b)
			})
		}
	})
}

// isChosen is whether the i-th case runs on the engine.
func isChosen(e lab.Engine, i int) bool {
	switch {
	case os.Getenv("STRAKE_SOAK") != "" || !e.ContainerdStore && e.Own:
		return true
	case e.ContainerdStore:
		return i%12 == 0
	}
	return i%12 == 6
}

// bench is what both tools run on.
type bench struct {
	engine  lab.Engine
	hashed  *sync.Map     // cases whose hashes are compared already: they do not depend on the engine
	places  *atomic.Int64 // how many there were, so that each has ports of its own
	strake  string
	environ []string
}

// place is a folder and a project name on an engine; both tools are run in it one after the other.
type place struct {
	bench
	dir, project string
	env          []string // beyond the bench's
}

// result is what a program left behind.
type result struct {
	stdout, stderr string
	code           int
}

// commandLimit is the longest that one run of a tool may take.
const commandLimit = 90 * time.Second

func (p place) program(t *testing.T, args ...string) result {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), commandLimit)
	defer stop()
	env := slices.Concat(p.environ, p.env)
	cmd := exec.CommandContext(ctx, "/usr/bin/env", args...)
	cmd.Dir, cmd.Env, cmd.WaitDelay = p.dir, env, 10*time.Second
	var out, errOut strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); cmd.ProcessState == nil {
		t.Fatalf("run %s: %v", strings.Join(args, " "), err)
	}
	if ctx.Err() != nil {
		t.Errorf("%s took longer than %s", strings.Join(args, " "), commandLimit)
	}
	return result{out.String(), errOut.String(), cmd.ProcessState.ExitCode()}
}

// tool is one of the two programs, in a place.
type tool struct {
	name string
	argv []string
}

func (p place) compose() tool { return tool{"Compose", []string{"docker", "compose"}} }
func (p place) tool() tool    { return tool{"strake", []string{p.bench.strake}} }

func (p place) run(t *testing.T, with tool, args ...string) result {
	t.Helper()
	return p.program(t, slices.Concat(with.argv, args)...)
}

// must is run for what has to succeed.
func (p place) must(t *testing.T, with tool, args ...string) result {
	t.Helper()
	r := p.run(t, with, args...)
	if r.code != 0 {
		t.Fatalf("%s %s = exit %d, want 0\n%s%s", with.name, strings.Join(args, " "), r.code, r.stdout, r.stderr)
	}
	return r
}

// shell runs a line of a case: docker and the case's variables are at hand.
func (p place) shell(t *testing.T, line string) result {
	t.Helper()
	return p.program(t, "sh", "-ec", line)
}

// missing are the names that have is lacking of want, and what it has beyond.
func missing[V any](want, have map[string]V) (lacking, beyond []string) {
	for _, k := range slices.Sorted(maps.Keys(want)) {
		if _, ok := have[k]; !ok {
			lacking = append(lacking, k)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(have)) {
		if _, ok := want[k]; !ok {
			beyond = append(beyond, k)
		}
	}
	return lacking, beyond
}
