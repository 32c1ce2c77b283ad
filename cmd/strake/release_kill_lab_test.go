//go:build lab

package main_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/strake-dev/strake/fixtures/lab"
)

// killAt runs a command that is killed when it asks the registry for the nth time, counted from 1; 0 kills it never. It returns how often it asked.
func (r repository) killAt(t *testing.T, g *gate, n int, args ...string) (asked int, code int) {
	t.Helper()
	cmd := r.command(t, r.env, args...)
	var count atomic.Int64
	started := make(chan struct{})
	g.before(func(*http.Request) bool {
		i := int(count.Add(1))
		if n == 0 || i < n {
			return true
		}
		<-started
		_ = cmd.Process.Kill() // it may be dead already
		return false
	})
	defer g.before(nil)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	close(started)
	_ = cmd.Wait() // its code says how it ended
	return int(count.Load()), cmd.ProcessState.ExitCode()
}

// isOneRelease looks that an environment has as its release what its tags are on, or has none.
func (r repository) isOneRelease(t *testing.T, registry, after, name, tag string) (commit string) {
	t.Helper()
	st := r.status(t)[name]
	if st.Release == nil {
		return ""
	}
	now := map[string]string{}
	for service := range st.Release.Images {
		now[service] = digestAt(t, registry, service, tag)
	}
	if !maps.Equal(now, st.Release.Images) {
		t.Fatalf("%s: status says that %s is at %s with %v, and its tags are on %v", after, name, st.Release.Commit, st.Release.Images, now)
	}
	return st.Release.Commit
}

// TestRelease_KilledBetweenAnyTwoRequests: a promotion and a rollback that are killed are no release, and the same again completes them.
func TestRelease_KilledBetweenAnyTwoRequests(t *testing.T) {
	lab.EachInSoak(t, func(t *testing.T, e lab.Engine) {
		g, registry := gatedRegistry(t)
		r := releaseRepositoryOf(t, e, fmt.Sprintf(released, registry))
		one := r.git(t, "rev-parse", "HEAD")
		r.must(t, 0, "build", "--push")
		r.must(t, 0, "promote", "prod", "--yes")
		r.write(t, "web/page", "web v2")
		r.write(t, "api/page", "api v2")
		two := r.commit(t, "v2")
		r.must(t, 0, "build", "--push")
		forwards, back := []string{"promote", "prod", two, "--yes"}, []string{"rollback", "prod", one, "--yes"}
		most := 0
		for range 2 { // the ledger grows, and so does what is asked of it
			for _, args := range [][]string{forwards, back} {
				asked, code := r.killAt(t, g, 0, args...)
				if code != 0 {
					t.Fatalf("strake %v = exit %d", args, code)
				}
				most = max(most, asked)
			}
		}
		draws := make([]int, most)
		for i := range draws {
			draws[i] = i + 1
		}
		rand.New(rand.NewPCG(3, 5)).Shuffle(len(draws), func(i, j int) { draws[i], draws[j] = draws[j], draws[i] })
		draws = draws[:min(len(draws), int(lab.Count(5, 1000)))]
		incomplete := 0
		for _, n := range draws {
			for _, c := range []struct {
				args       []string
				from, goal string
			}{{forwards, one, two}, {back, two, one}} {
				_, code := r.killAt(t, g, n, c.args...)
				after := fmt.Sprintf("strake %v killed at request %d of %d (exit %d)", c.args, n, most, code)
				at := r.isOneRelease(t, registry, after, "prod", "release")
				if code == 0 && at != c.goal || code != 0 && at != "" && at != c.from && at != c.goal {
					t.Fatalf("%s left prod at %q", after, at)
				}
				if at == "" {
					incomplete++
				}
				r.must(t, 0, c.args...)
				if at := r.isOneRelease(t, registry, after, "prod", "release"); at != c.goal {
					t.Fatalf("%s and run again left prod at %q, want %s", after, at, c.goal)
				}
			}
		}
		t.Logf("%d requests at most; killed at %v, of which %d left it incomplete", most, slices.Sorted(slices.Values(draws)), incomplete)
		if incomplete == 0 {
			t.Error("none was killed while it moved tags")
		}
	})
}
