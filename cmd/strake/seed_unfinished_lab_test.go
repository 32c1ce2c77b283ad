//go:build lab

package main_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/strake-dev/strake/fixtures/lab"
)

// TestSeed_UnfinishedIsTold: of a reset and of a save that did not come to their end every command says, or refuses, what concerns it.
func TestSeed_UnfinishedIsTold(t *testing.T) {
	lab.Each(t, func(t *testing.T, e lab.Engine) {
		s := newStack(t, e, strings.Replace(sealed, "services:\n", "services:\n  web: {image: strake-lab/busybox:1, command: [sleep, \"86400\"], init: true}\n", 1))
		writeDockerfile(t, s)
		s.must(t, 1, "up", "--seed")
		s.must(t, 1, "seed", "save", "kept")
		mark := func(kind, text string) {
			lab.Docker(t, e, "create", "--name", "strake-"+kind+"-"+s.name, "--label", "dev.strake.seed.project="+s.name, "--label", "dev.strake.seed.key=kept",
				"--label", "dev.strake.seed."+kind+"="+text, "strake-empty:1", "claim")
		}
		mark("reset", "seed reset --to kept in volume mode")
		for _, c := range []struct {
			args []string
			code int
			said string // "" for nothing of it
		}{
			{[]string{"ps"}, 0, "finishes it"},
			{[]string{"ps", "--json"}, 0, `"unfinished": "strake seed reset --to kept --yes -p ` + s.name + `"`},
			{[]string{"seed", "ls"}, 0, "a reset to it is unfinished"},
			{[]string{"seed", "ls", "--json"}, 0, `"unfinished": "strake seed reset --to kept --yes -p ` + s.name + `"`},
			{[]string{"exec", "-T", "store", "true"}, 0, "finishes it"},
			{[]string{"exec", "-T", "web", "true"}, 0, ""},
			{[]string{"start"}, 1, "finishes it"},
			{[]string{"start", "store"}, 1, "finishes it"},
			{[]string{"start", "web"}, 0, ""},
			{[]string{"restart", "-t", "0", "files"}, 1, "finishes it"},
			{[]string{"restart", "-t", "0", "web"}, 0, ""},
			{[]string{"run", "--rm", "-T", "fill", "true"}, 1, "finishes it"},
			{[]string{"run", "--rm", "-T", "web", "true"}, 0, ""},
			{[]string{"up"}, 1, "finishes it"},
			{[]string{"up", "--seed=kept"}, 1, "finishes it"},
			{[]string{"up", "migrate"}, 1, "finishes it"}, // it depends on store
			{[]string{"up", "web"}, 0, ""},
			{[]string{"plan"}, 1, "finishes it"},
			{[]string{"plan", "store"}, 1, "finishes it"},
			{[]string{"plan", "web"}, 0, ""},
			{[]string{"seed", "save", "half"}, 1, "finishes it"},
			{[]string{"seed", "reset", "store", "--yes"}, 1, "finishes it"}, // files would be left
			{[]string{"seed", "rm", "kept", "--yes"}, 1, "finishes it"},
			{[]string{"stop", "-t", "0"}, 0, ""},
			{[]string{"down", "-t", "0"}, 0, "finishes it"},
			{[]string{"up"}, 1, "finishes it"},
			{[]string{"seed", "reset", "--yes"}, 0, ""},
			{[]string{"ps"}, 0, ""},
		} {
			out, code := s.strake(t, []string{"VERSION=1"}, c.args...)
			if code != c.code || c.said != "" && !strings.Contains(out, c.said) || c.said == "" && strings.Contains(out, "finishes") {
				t.Errorf("strake %s beside an unfinished reset: exit %d, want %d and %q of it\n%s", strings.Join(c.args, " "), code, c.code, c.said, out)
			}
		}
		s.checkData(t, 0, "first 1", "more 1")

		id := lab.Docker(t, e, "inspect", "-f", "{{.Id}}={{.State.StartedAt}}", s.name+"-store-1")
		mark("save", id)
		lab.Docker(t, e, "stop", "-t", "0", s.name+"-store-1")
		if out := s.must(t, 1, "ps", "-a", "--json"); !strings.Contains(out, "strake start store -p "+s.name+" starts them again") || !strings.Contains(out, `"unfinished": "strake start store -p `+s.name+`"`) {
			t.Errorf("ps beside what a killed save stopped says\n%s", out)
		}
		s.must(t, 1, "start", "store")
		lab.Docker(t, e, "stop", "-t", "0", s.name+"-store-1")
		if out := s.must(t, 1, "ps", "-a"); strings.Contains(out, "again") {
			t.Errorf("ps of what was started and stopped since a killed save says\n%s", out)
		}
		s.must(t, 1, "start")
		if left := lab.Docker(t, e, "ps", "-aq", "--filter", "name=strake-save-"+s.name); left != "" {
			t.Errorf("start left the mark of a killed save: %s", left)
		}
		s.must(t, 1, "down", "-v", "-t", "0")
		if left := lab.Docker(t, e, "ps", "-aq", "--filter", "label=dev.strake.seed.project="+s.name); left != "" {
			t.Errorf("down -v left %s", left)
		}
	})
}

// TestSeed_SaveStartsWhatAKilledOneStopped: as it finds it stopped it would leave it so, and it never names an empty list.
func TestSeed_SaveStartsWhatAKilledOneStopped(t *testing.T) {
	lab.Each(t, func(t *testing.T, e lab.Engine) {
		s := newSeeded(t, e)
		s.must(t, 1, "up", "--seed")
		var starts []string
		for _, service := range []string{"store", "files"} {
			starts = append(starts, lab.Docker(t, e, "inspect", "-f", "{{.Id}}={{.State.StartedAt}}", s.name+"-"+service+"-1"))
		}
		lab.Docker(t, e, "create", "--name", "strake-save-"+s.name, "--label", "dev.strake.seed.project="+s.name, "--label", "dev.strake.seed.save="+strings.Join(starts, " "), "strake-empty:1", "claim")
		s.must(t, 1, "stop", "-t", "0")
		out := s.must(t, 1, "seed", "save", "kept")
		if strings.Contains(out, "stopping") || !strings.Contains(out, "starting files, store again") {
			t.Errorf("seed save after a killed one says\n%s", out)
		}
		s.checkData(t, 0, "first 1", "more 1")
		s.must(t, 1, "stop", "-t", "0")
		if out := s.must(t, 1, "seed", "save", "still"); strings.Contains(out, "stopping") || strings.Contains(out, "again") {
			t.Errorf("seed save of what stands still says\n%s", out)
		}
		for _, service := range []string{"store", "files"} {
			if got := lab.Docker(t, e, "inspect", "-f", "{{.State.Status}}", fmt.Sprintf("%s-%s-1", s.name, service)); got != "exited" {
				t.Errorf("%s, which stood still before seed save, is %s after it", service, got)
			}
		}
		lab.Docker(t, e, "rmi", s.name+"-seed-files:still") // as a save that was killed leaves it
		if out := s.must(t, 1, "seed", "ls"); !strings.Contains(out, "unfinished: strake seed rm still") {
			t.Errorf("seed ls of a part of a seed says\n%s", out)
		}
		s.must(t, 1, "seed", "rm", "still")
		if out, code := s.strake(t, []string{"VERSION=1"}, "seed", "rm", "kept", "kept", "--yes", "--json"); code != 0 || strings.Count(out, `"kept"`) != 1 {
			t.Errorf("seed rm kept kept --json: exit %d\n%s", code, out)
		}
		s.must(t, 1, "down", "-v", "-t", "0")
	})
}
