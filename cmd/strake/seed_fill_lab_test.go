//go:build lab

package main_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strake-dev/strake/fixtures/lab"
)

// odd is a stack whose data has what only a careful copy keeps: oddData makes it.
const odd = `
services:
  store:
    image: strake-lab/volume:1
    command: [sh, -c, "test -e /data/rows || sh /make; exec probe wait"]
    volumes: ["rows:/data", "./make:/make:ro"]
    healthcheck: {test: [CMD, test, -e, /data/rows]}
    x-strake: {seed: {}}
volumes: {rows: {}}
`

const oddData = `set -e
cd /data
mkdir -p base/5 empty
echo one > base/5/1
ln base/5/1 same
ln -s base/5/1 link
echo set > set
chmod 6755 set
mkfifo fifo
dd if=/dev/zero of=sparse bs=1 seek=5000000 count=1 2> /dev/null
chown -h 70:71 base base/5/1 link sparse
chmod 700 base
chmod 1770 .
touch -d "2001-09-09 01:46:40" set sparse
echo rows > rows
`

// list prints all there is to say of /data but for the times of folders, which are those of the copy.
const list = `cd /data && find . | sort | xargs stat -c "%n %F %a %u %g" && find . ! -type d | sort | xargs stat -c "%n %s %h %Y" && find . -type f | sort | xargs md5sum && readlink link`

// TestSeed_VolumeIsFilledAsItWasSealed: with owners, modes, times and links, by the engine or by strake's own container, which does it where files can
// share their blocks, unless the data is in more than one layer of the image.
func TestSeed_VolumeIsFilledAsItWasSealed(t *testing.T) {
	lab.Each(t, func(t *testing.T, e lab.Engine) {
		s := newStack(t, e, odd)
		if err := os.WriteFile(filepath.Join(s.dir, "make"), []byte(oddData), 0o644); err != nil {
			t.Fatal(err)
		}
		s.fillsAsSealed(t, true)
		two := strings.Replace(odd, "image: strake-lab/volume:1", "build: .", 1)
		if err := errors.Join(os.WriteFile(filepath.Join(s.dir, "compose.yaml"), []byte(two), 0o644),
			os.WriteFile(filepath.Join(s.dir, "Dockerfile"), []byte("FROM strake-lab/busybox:1\nCOPY make /data/first\nVOLUME /data\n"), 0o644)); err != nil {
			t.Fatal(err)
		}
		s.fillsAsSealed(t, false)
	})
}

// fillsAsSealed builds the seed of the stack, starts from it, and compares the volume with what is in the image; clones is whether its files can
// share their blocks.
func (s stack) fillsAsSealed(t *testing.T, clones bool) {
	t.Helper()
	s.must(t, 0, "seed", "build")
	ref := lab.Docker(t, s.Engine, "images", "--format", "{{.Repository}}:{{.Tag}}", s.name+"-seed-store")
	ref, _, _ = strings.Cut(ref, "\n") // the newest
	all := list
	if lab.Docker(t, s.Engine, "info", "--format", "{{.Driver}}") == "fuse-overlayfs" { // it says of a file with two names that it has one, and the engine copies it for each
		all = strings.Replace(list, " %h", "", 1)
	}
	want := lab.Docker(t, s.Engine, "run", "--rm", "--entrypoint", "sh", ref, "-c", all)
	began := lab.Docker(t, s.Engine, "info", "--format", "{{.SystemTime}}")
	s.must(t, 0, "up", "--seed")
	if got := lab.Docker(t, s.Engine, "exec", s.name+"-store-1", "sh", "-c", all); got != want {
		t.Errorf("the volume holds\n%s\nand the seed\n%s", got, want)
	}
	now := lab.Docker(t, s.Engine, "info", "--format", "{{.SystemTime}}")
	filled := lab.Docker(t, s.Engine, "events", "--since", began, "--until", now, "--filter", "container=strake-fill-data-"+s.name+"_rows", "--filter", "event=die", "--format", "{{.Actor.Attributes.exitCode}}")
	want = ""
	if strings.HasSuffix(s.Engine.Name, "-xfs") {
		want = map[bool]string{true: "0", false: "1"}[clones]
	}
	if filled != want {
		t.Errorf("a container that filled the volume ended with %q, want %q", filled, want)
	}
	s.must(t, 0, "down", "-v", "-t", "0")
	if left := lab.Docker(t, s.Engine, "ps", "-aq", "--filter", "label=com.docker.compose.project="+s.name); left != "" {
		t.Errorf("down left containers %s", left)
	}
}

// TestSeed_FillKilledTwice: where an up was killed while a volume was filled, and the next one while it removed that volume, the one after it has all data,
// and nobody has to look at what is in the volume.
func TestSeed_FillKilledTwice(t *testing.T) {
	lab.Each(t, func(t *testing.T, e lab.Engine) {
		s := newStack(t, e, odd)
		if err := os.WriteFile(filepath.Join(s.dir, "make"), []byte(oddData), 0o644); err != nil {
			t.Fatal(err)
		}
		s.must(t, 0, "seed", "build")
		s.must(t, 0, "up", "--seed") // what else it makes is there from now on
		want := lab.Docker(t, e, "exec", s.name+"-store-1", "sh", "-c", list)
		s.must(t, 0, "down", "-v", "-t", "0")
		there := func(name string) bool {
			return lab.Docker(t, e, "ps", "-aq", "--filter", "name="+name+s.name+"_rows") != ""
		}
		between := 0
		for n := 0; n < 6 || between == 0 && n < 60; n++ { // a kill comes after the change that it is for, and a quick engine is further by then
			n := n % 6
			s.killAt(t, 0, 4, "up", "--seed") // of the claim, the mark, the volume and what fills it
			s.killAt(t, 0, 2+n, "up", "--seed")
			if there("strake-fill-mark-") && !there("strake-fill-data-") {
				between++
			}
			s.must(t, 0, "up", "--seed")
			if got := lab.Docker(t, e, "exec", s.name+"-store-1", "sh", "-c", list); got != want {
				t.Fatalf("killed at change %d: the volume holds\n%s\nand the seed\n%s", 2+n, got, want)
			}
			if there("strake-fill-") {
				t.Fatalf("killed at change %d: what filled the volume is left", 2+n)
			}
			s.must(t, 0, "down", "-v", "-t", "0")
		}
		if between == 0 {
			t.Error("none was killed while it removed the volume")
		}
	})
}
