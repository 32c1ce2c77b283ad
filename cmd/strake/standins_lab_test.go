//go:build lab

package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/strake-dev/strake/fixtures/lab"
)

// withS3 is a program that uses the S3 stand-in.
const withS3 = `
x-strake: {standins: {s3: {buckets: [uploads], dir: ./objects}}}
services:
  web:
    image: %s
    init: true
    command: [sleep, infinity]
    volumes: ["./s3.py:/s3.py:ro"]
    x-strake: {uses: [s3]}
`

// TestStandIns_S3: what programs do with S3 they do with the stand-in; its objects are files of the folder's owner, and outlive the stack.
func TestStandIns_S3(t *testing.T) {
	script, err := filepath.Abs("testdata/standins/s3.py")
	if err != nil {
		t.Fatal(err)
	}
	lab.EachInSoak(t, func(t *testing.T, e lab.Engine) {
		s := newStack(t, e, fmt.Sprintf(withS3, lab.Server(t, e, "boto3")))
		text, err := os.ReadFile(script)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(s.dir, "s3.py"), text, 0o644); err != nil {
			t.Fatal(err)
		}
		const owner = 4321
		if err := os.Chown(s.dir, owner, owner); err != nil {
			t.Fatal(err)
		}
		env := []string{"STRAKE_CACHE_DIR=" + t.TempDir()}
		must := func(args ...string) string {
			t.Helper()
			out, code := s.strake(t, env, args...)
			if code != 0 {
				t.Fatalf("strake %s: exit %d\n%s", strings.Join(args, " "), code, out)
			}
			return out
		}
		must("up", "--offline", "web") // nothing is pulled
		if out := must("exec", "-T", "web", "python3", "/s3.py"); strings.Count(out, " ok") != 7 {
			t.Errorf("the script did\n%s", out)
		}
		at := filepath.Join(s.dir, "objects", "uploads", "über", "straße ☃.txt")
		if text, err := os.ReadFile(at); err != nil || string(text) != "über/straße ☃.txt" {
			t.Errorf("the file of an object holds %q, %v", text, err)
		}
		if info, err := os.Stat(at); err == nil {
			if uid := info.Sys().(*syscall.Stat_t).Uid; uid != owner {
				t.Errorf("the file of an object is %d's, want %d's, who has the folder", uid, owner)
			}
		}
		if out := must("up"); !strings.Contains(out, "nothing to do") {
			t.Errorf("a second up:\n%s", out)
		}
		must("down", "-v", "-t", "0")
		if left := lab.Docker(t, e, "ps", "-aq", "--filter", "name="+s.name); left != "" {
			t.Errorf("down left %s", left)
		}
		must("up")
		if out := must("exec", "-T", "web", "python3", "/s3.py", "again"); !strings.Contains(out, "still there") {
			t.Errorf("after down and up the script did\n%s", out)
		}
	})
}
