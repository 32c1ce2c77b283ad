//go:build lab

package main_test

import (
	"strings"
	"testing"

	"github.com/strake-dev/strake/fixtures/lab"
)

// bare is a stack whose image does not have the folder that its data is in, which it writes but once, and into whose containers texts are copied.
const bare = `
services:
  store:
    image: strake-lab/busybox:1
    command: [sh, -c, "test -e /data/rows || cat /proc/sys/kernel/random/uuid > /data/rows; exec probe wait"]
    volumes: ["rows:/data"]
    healthcheck: {test: [CMD, test, -e, /data/rows], interval: 1s}
    KIND: [{source: text, target: /etc/text}]
    x-strake: {seed: {}}
volumes: {rows: {}}
KIND: {text: {FROM}}
`

// TestSeed_HasTheFolderThatAnImageLacks: also where texts are copied into the container in which the data is written.
func TestSeed_HasTheFolderThatAnImageLacks(t *testing.T) {
	lab.Each(t, func(t *testing.T, e lab.Engine) {
		for kind, from := range map[string]string{"configs": "content: text", "secrets": "environment: VERSION"} {
			t.Run(kind, func(t *testing.T) {
				s := newStack(t, e, strings.NewReplacer("KIND", kind, "FROM", from).Replace(bare))
				s.must(t, 1, "seed", "build")
				ref := lab.Docker(t, e, "images", "--format", "{{.Repository}}:{{.Tag}}", s.name+"-seed-store")
				rows := lab.Docker(t, e, "run", "--rm", "--entrypoint", "cat", ref, "/data/rows")
				for _, mode := range []string{"layer", "volume"} {
					s.must(t, 1, "up", "--seed", "--seed-mode", mode)
					if got := lab.Docker(t, e, "exec", s.name+"-store-1", "cat", "/data/rows"); got != rows {
						t.Errorf("in mode %s it has %q, and the seed %q", mode, got, rows)
					}
					s.must(t, 1, "down", "-v", "-t", "0")
				}
			})
		}
	})
}

// TestSeed_IsNoneWithoutTheFolderOfItsData: what has no folder where the file says that its data is cannot be sealed, and nothing has the seed's tag.
func TestSeed_IsNoneWithoutTheFolderOfItsData(t *testing.T) {
	lab.Each(t, func(t *testing.T, e lab.Engine) {
		s := newStack(t, e, strings.NewReplacer("KIND", "configs", "FROM", "content: text", "exec probe", "mv /data /kept && exec probe", "test, -e, /data/rows]", "test, -e, /kept/rows]").Replace(bare))
		out, code := s.strake(t, []string{"VERSION=1"}, "seed", "build")
		if code != 1 || !strings.Contains(out, "folder /data is not in its container") || !strings.Contains(out, "→ see that") {
			t.Errorf("seed build without the folder of the data: exit %d, want 1 and what is missing\n%s", code, out)
		}
		if tags := lab.Docker(t, e, "images", "-q", s.name+"-seed-store"); tags != "" {
			t.Errorf("seed build without the folder of the data made images %s", tags)
		}
	})
}
