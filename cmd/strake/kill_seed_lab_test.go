//go:build lab

package main_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/strake-dev/strake/fixtures/lab"
)

// sealed is a stack with both ways of sealing: data in a server's own folder, and in a volume of a service that the project builds.
// Each line of its data is written by another part of the build.
const sealed = `
x-strake: {migrate: {service: migrate}}
services:
  store:
    image: strake-lab/volume:1
    command: [sh, -c, "test -e /data/rows || echo first $$VERSION > /data/rows; exec probe wait"]
    environment: {VERSION: "${VERSION}"}
    volumes: [rows:/data]
    x-strake: {seed: {with: [fill]}}
  files:
    build: .
    command: [probe, wait]
    volumes: [uploads:/uploads]
    x-strake: {seed: {}}
  migrate: {image: strake-lab/busybox:1, command: [sh, -c, "sleep 0.2; echo migrated"], depends_on: [store]}
  fill:
    image: strake-lab/busybox:1
    command: [sh, -c, "sleep 0.2; echo filled $$VERSION > /uploads/one; sleep 0.1; echo more $$VERSION > /uploads/two"]
    environment: {VERSION: "${VERSION}"}
    volumes: [uploads:/uploads]
volumes: {rows: {}, uploads: {}}
`

// newSeeded is a stack of sealed.
func newSeeded(t *testing.T, e lab.Engine) stack {
	t.Helper()
	s := newStack(t, e, sealed)
	writeDockerfile(t, s)
	return s
}

// writeDockerfile writes what files is built from.
func writeDockerfile(t *testing.T, s stack) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, "Dockerfile"), []byte("FROM strake-lab/busybox:1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestSeed_KilledAnywhere: a command about seeds that is killed at a random moment leaves no seed that is not whole, and nothing that
// the next one does not put right.
func TestSeed_KilledAnywhere(t *testing.T) {
	lab.Each(t, func(t *testing.T, e lab.Engine) {
		s := newSeeded(t, e)
		whole := s.took(t, 0, "seed", "build")
		s.must(t, 0, "up", "--seed")
		saving := s.took(t, 0, "seed", "save", "kept")
		resetting := 0 // how many changes a reset makes
		s.watch(t, func() { s.must(t, 0, "seed", "reset", "--yes") }, func() { resetting++ })
		s.must(t, 0, "down", "-v", "-t", "0")
		refused, seeds := 0, lab.Draws(t, e, 5, 40)
		for _, seed := range seeds {
			rnd := rand.New(rand.NewPCG(seed, 11))
			version := int(seed) + 1
			for range 1 + rnd.IntN(2) {
				s.kill(t, version, time.Duration(rnd.Int64N(int64(whole))), "seed", "build")
			}
			if rnd.IntN(2) == 0 { // whatever is there now is not taken for the seed unless it is whole
				s.must(t, version, "seed", "build")
				s.checkNothingLeft(t, seed)
			}
			mode := []string{"volume", "layer"}[rnd.IntN(2)]
			s.kill(t, version, time.Duration(rnd.Int64N(int64(whole))), "up", "--seed", "--seed-mode", mode)
			s.must(t, version, "up", "--seed", "--seed-mode", mode)
			s.checkData(t, seed, fmt.Sprint("first ", version), fmt.Sprint("more ", version))
			lab.Docker(t, e, "exec", s.name+"-store-1", "sh", "-c", "echo changed > /data/rows")
			s.kill(t, version, time.Duration(rnd.Int64N(int64(saving))), "seed", "save", "kept", "--force")
			s.must(t, version, "seed", "save", "kept", "--force")
			s.checkData(t, seed, "changed", fmt.Sprint("more ", version)) // what the killed one stopped runs again
			s.killAt(t, version, 1+rnd.IntN(resetting), "seed", "reset", "--yes")
			if s.checkNotMixed(t, seed, version, mode, rnd) {
				refused++
			}
			s.must(t, version, "seed", "reset", "--yes")
			s.checkData(t, seed, fmt.Sprint("first ", version), fmt.Sprint("more ", version))
			s.must(t, version, "seed", "reset", "--yes", "--to", "kept")
			s.checkData(t, seed, "changed", fmt.Sprint("more ", version))
			s.checkNothingLeft(t, seed)
			s.must(t, version, "down", "-v", "-t", "0")
		}
		t.Logf("of %d resets of %d changes that were killed and that others took over from, %d were unfinished", len(seeds), resetting, refused)
		if refused == 0 && len(seeds) >= 5 { // of a few it may be none
			t.Errorf("none of %d resets was killed half-way", len(seeds))
		}
	})
}

// checkNotMixed has other commands take over from a reset that was killed, and looks that none makes its data look whole: an up that goes on has
// the data from before the reset or all of the seed's, and did not make it the long way. It returns whether up refused to go on.
func (s stack) checkNotMixed(t *testing.T, seed uint64, version int, mode string, rnd *rand.Rand) bool {
	t.Helper()
	env := []string{fmt.Sprint("VERSION=", version)}
	takers := [][]string{{"stop", "-t", "0"}, {"start"}, {"restart", "-t", "0", "store"}, {"seed", "save", "half", "--force"}, {"up", "migrate"}, {"up", "--seed"}, {"run", "--rm", "migrate"}, {"seed", "build"}}
	if mode == "volume" { // else the data goes with the containers
		takers = append(takers, []string{"down", "-t", "0"})
	}
	for range 1 + rnd.IntN(2) {
		taker := takers[rnd.IntN(len(takers))]
		if out, code := s.strake(t, env, taker...); code != 0 && !strings.Contains(out, "finishes it") {
			t.Fatalf("seed %d: %q after a killed reset: exit %d\n%s", seed, taker, code, out)
		}
	}
	out, code := s.strake(t, env, "up")
	if code != 0 && !strings.Contains(out, "finishes it") {
		t.Fatalf("seed %d: up after a killed reset: exit %d\n%s", seed, code, out)
	}
	told, _ := s.strake(t, env, "ps")
	if strings.Contains(told, "finishes it") != (code != 0) {
		t.Fatalf("seed %d: up after a killed reset: exit %d, and ps says\n%s", seed, code, told)
	}
	if fill := lab.Docker(t, s.Engine, "ps", "-aq", "--filter", "name="+s.name+"-fill"); fill != "" {
		t.Fatalf("seed %d: after a killed reset something ran fill", seed)
	}
	if code != 0 {
		return true
	}
	rows := lab.Docker(t, s.Engine, "exec", s.name+"-store-1", "cat", "/data/rows")
	if rows != "changed" && rows != fmt.Sprint("first ", version) {
		t.Fatalf("seed %d: up goes on after a killed reset, and store holds %q", seed, rows)
	}
	s.checkData(t, seed, rows, fmt.Sprint("more ", version))
	return false
}

// took is how long a command takes that must succeed.
func (s stack) took(t *testing.T, version int, args ...string) time.Duration {
	t.Helper()
	begin := time.Now()
	s.must(t, version, args...)
	return time.Since(begin)
}

// must runs a command that must succeed.
func (s stack) must(t *testing.T, version int, args ...string) string {
	t.Helper()
	out, code := s.strake(t, []string{fmt.Sprint("VERSION=", version)}, args...)
	if code != 0 {
		t.Fatalf("strake %s of version %d: exit %d\n%s", strings.Join(args, " "), version, code, out)
	}
	return out
}

// checkData looks at what the stack's services hold.
func (s stack) checkData(t *testing.T, seed uint64, rows, two string) {
	t.Helper()
	if got := lab.Docker(t, s.Engine, "exec", s.name+"-store-1", "cat", "/data/rows"); got != rows {
		t.Fatalf("seed %d: store holds %q, want %q", seed, got, rows)
	}
	if got := lab.Docker(t, s.Engine, "exec", s.name+"-files-1", "cat", "/uploads/two"); got != two {
		t.Fatalf("seed %d: files holds %q, want %q", seed, got, two)
	}
}

// checkNothingLeft looks for what a build needs only while it runs.
func (s stack) checkNothingLeft(t *testing.T, seed uint64) {
	t.Helper()
	var left []string
	project := "label=com.docker.compose.project=" + s.name + "-seed"
	for _, args := range [][]string{
		{"ps", "-aq", "--filter", project}, {"network", "ls", "-q", "--filter", project}, {"volume", "ls", "-q", "--filter", project},
		{"ps", "-aq", "--filter", "label=dev.strake.claim=" + s.name + "-seed"},
		{"images", "-q", s.name + "-seed-*:building"}, {"images", "-q", s.name + "-seed-*:sealing"},
	} {
		if out := lab.Docker(t, s.Engine, args...); out != "" {
			left = append(left, strings.Join(args, " ")+": "+out)
		}
	}
	if len(left) > 0 {
		t.Fatalf("seed %d: left: %q", seed, left)
	}
}

// TestSeed_TwoBuildsAtOnce: of two builds of one key one builds, the other waits and uses it.
func TestSeed_TwoBuildsAtOnce(t *testing.T) {
	lab.Each(t, func(t *testing.T, e lab.Engine) {
		s := newSeeded(t, e)
		said := make(chan string, 2)
		for range 2 {
			cmd := s.command(t, []string{"VERSION=1"}, "seed", "build")
			go func() {
				out, err := cmd.CombinedOutput()
				said <- fmt.Sprint(string(out), err)
			}()
		}
		one, two := <-said, <-said
		built := strings.Count(one, "was built in") + strings.Count(two, "was built in")
		there := strings.Count(one, "is there already") + strings.Count(two, "is there already")
		if built != 1 || there != 1 {
			t.Errorf("two builds at once: %d built and %d found it, want one each\n%s\n%s", built, there, one, two)
		}
		s.checkNothingLeft(t, 0)
	})
}
