//go:build lab

package main_test

import (
	"strings"
	"testing"

	"github.com/strake-dev/strake/fixtures/lab"
)

// TestSeed_SaveRefusesWhatElseWrites: what runs beside and can write to the data is named, whosever it is; what only reads it is left alone.
func TestSeed_SaveRefusesWhatElseWrites(t *testing.T) {
	lab.Each(t, func(t *testing.T, e lab.Engine) {
		s := newSeeded(t, e)
		s.must(t, 1, "up", "--seed")
		refused := func(name string) {
			t.Helper()
			if out, code := s.strake(t, []string{"VERSION=1"}, "seed", "save", "kept"); code != 1 || !strings.Contains(out, "container "+name+" runs") {
				t.Errorf("seed save beside %s, which writes to the data: exit %d, want 1 and its name\n%s", name, code, out)
			}
		}
		beside := func(name, volume string, do func(name string)) {
			t.Helper()
			lab.Docker(t, e, "run", "-d", "--name", name, "-v", volume, "strake-lab/busybox:1", "sleep", "86400")
			defer lab.Docker(t, e, "rm", "-f", name) // also where the test fails
			do(name)
		}
		beside(s.name+"-by-hand", s.name+"_rows:/rows", refused)
		beside(s.name+"-uploader", s.name+"_uploads:/x", refused)
		s.must(t, 1, "run", "-d", "--name", s.name+"-once", "fill", "sleep", "86400")
		refused(s.name + "-once")
		lab.Docker(t, e, "rm", "-f", s.name+"-once")
		beside(s.name+"-reader", s.name+"_rows:/rows:ro", func(name string) {
			started := lab.Docker(t, e, "inspect", "-f", "{{.State.StartedAt}}", name)
			s.must(t, 1, "seed", "save", "kept")
			if got := lab.Docker(t, e, "inspect", "-f", "{{.State.Running}} {{.State.StartedAt}}", name); got != "true "+started {
				t.Errorf("what only reads the data is %s after seed save, want true %s", got, started)
			}
		})
		s.checkData(t, 0, "first 1", "more 1")
		s.must(t, 1, "seed", "rm", "kept", "--yes")
		s.must(t, 1, "down", "-v", "-t", "0")
	})
}
