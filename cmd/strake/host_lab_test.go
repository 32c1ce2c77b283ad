//go:build lab

package main_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strake-dev/strake/fixtures/lab"
	"github.com/strake-dev/strake/fixtures/lab/awslab"
)

func TestHost_ListsAndRemoves(t *testing.T) {
	lab.EachInSoak(t, func(t *testing.T, e lab.Engine) {
		a := awslab.Start(t)
		a.Boot(t)
		r := newRepository(t, e)
		if out, code := r.strake(t, r.env, "host", "ls"); code != 1 || !strings.Contains(out, "host: ec2") {
			t.Errorf("host ls of a project without machines: exit %d\n%s\nwant it to say what to set", code, out)
		}
		r.onEC2(t, a.Environ())
		r.push(t, "v1", "8000")
		if out, code := r.strake(t, r.env, "preview", "open", "42"); code != 0 {
			t.Fatalf("preview open: exit %d\n%s", code, out)
		}
		out, code := r.strake(t, r.env, "host", "ls", "--json")
		var things []struct {
			Kind, ID, Preview, Project string
			Covered                    bool
			Cost                       float64
		}
		if err := json.Unmarshal([]byte(out), &things); err != nil || code != 0 || len(things) != 3 {
			t.Fatalf("host ls --json: exit %d, %v\n%s\nwant a machine, a parameter and a group", code, err, out)
		}
		machine := ""
		for _, thing := range things {
			if !thing.Covered || thing.Preview != "pr-42" || thing.Project == "" {
				t.Errorf("host ls --json has %+v, want it covered by the lease of pr-42", thing)
			}
			if thing.Kind == "instance" {
				machine = thing.ID
			}
		}
		all, _ := r.strake(t, r.env, "host", "ls", "--all-projects")
		listed, _ := r.strake(t, r.env, "preview", "list", "--all")
		t.Log(all, listed)
		if name := things[0].Project + "-pr-42"; !strings.Contains(all, machine) || !strings.Contains(all, name) || !strings.Contains(listed, name) {
			t.Errorf("host ls --all-projects and preview list --all do not name %s\n%s\n%s", name, all, listed)
		}
		for _, c := range []struct {
			args []string
			code int
			says string
		}{
			{[]string{machine, "--yes"}, 5, "strake preview close pr-42"},
			{[]string{"i-0123456789abcdef0", "--yes", "--force"}, 1, "strake host ls"},
			{[]string{machine, "--force"}, 2, "--yes"},
			{nil, 2, "strake host ls"},
			{[]string{machine, "--force", "--yes"}, 0, "gone  instance"},
		} {
			if out, code := r.strake(t, r.env, append([]string{"host", "rm"}, c.args...)...); code != c.code || !strings.Contains(out, c.says) {
				t.Errorf("host rm %s: exit %d, want %d and %q\n%s", strings.Join(c.args, " "), code, c.code, c.says, out)
			}
		}
		if out, code := r.strake(t, r.env, "host", "ls"); code != 0 || !strings.Contains(out, "there is nothing") {
			t.Errorf("after rm host ls: exit %d\n%s\nwant nothing", code, out)
		}
		for _, kv := range r.env {
			if dir, ok := strings.CutPrefix(kv, "STRAKE_CACHE_DIR="); ok {
				if left, err := os.ReadDir(filepath.Join(dir, "previews")); err == nil && len(left) > 0 {
					t.Errorf("after rm there are still work trees: %v", left)
				}
			}
		}
	})
}
