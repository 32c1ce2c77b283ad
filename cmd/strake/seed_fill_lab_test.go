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
		s.fillsAsSealed(t)
		two := strings.Replace(odd, "image: strake-lab/volume:1", "build: .", 1)
		if err := errors.Join(os.WriteFile(filepath.Join(s.dir, "compose.yaml"), []byte(two), 0o644),
			os.WriteFile(filepath.Join(s.dir, "Dockerfile"), []byte("FROM strake-lab/busybox:1\nCOPY make /data/first\nVOLUME /data\n"), 0o644)); err != nil {
			t.Fatal(err)
		}
		s.fillsAsSealed(t)
	})
}

// fillsAsSealed builds the seed of the stack, starts from it, and compares the volume with what is in the image.
func (s stack) fillsAsSealed(t *testing.T) {
	t.Helper()
	s.must(t, 0, "seed", "build")
	ref := lab.Docker(t, s.Engine, "images", "--format", "{{.Repository}}:{{.Tag}}", s.name+"-seed-store")
	ref, _, _ = strings.Cut(ref, "\n") // the newest
	want := lab.Docker(t, s.Engine, "run", "--rm", "--entrypoint", "sh", ref, "-c", list)
	began := lab.Docker(t, s.Engine, "info", "--format", "{{.SystemTime}}")
	s.must(t, 0, "up", "--seed")
	if got := lab.Docker(t, s.Engine, "exec", s.name+"-store-1", "sh", "-c", list); got != want {
		t.Errorf("the volume holds\n%s\nand the seed\n%s", got, want)
	}
	now := lab.Docker(t, s.Engine, "info", "--format", "{{.SystemTime}}")
	filled := lab.Docker(t, s.Engine, "events", "--since", began, "--until", now, "--filter", "container=strake-fill-data-"+s.name+"_rows", "--filter", "event=start", "--format", "{{.Action}}")
	if clones := strings.HasSuffix(s.Engine.Name, "-xfs"); (filled == "start") != clones {
		t.Errorf("a container that filled the volume ran: %q, want it: %v", filled, clones)
	}
	s.must(t, 0, "down", "-v", "-t", "0")
	if left := lab.Docker(t, s.Engine, "ps", "-aq", "--filter", "label=com.docker.compose.project="+s.name); left != "" {
		t.Errorf("down left containers %s", left)
	}
}
