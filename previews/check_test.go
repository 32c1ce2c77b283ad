package previews_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strake-dev/strake/previews"
)

func TestCheck_FindsWhatIsRefused(t *testing.T) {
	const services = `
services:
  web:
    image: nginx
    privileged: true
    network_mode: host
    cap_add: [SYS_ADMIN]
    volumes:
      - data:/data
      - /etc/ssl:/ssl:ro
      - /var/run/docker.sock:/var/run/docker.sock
  job:
    build: .
    devices: [/dev/kvm]
volumes:
  data: {driver_opts: {type: nfs, device: x}}
`
	for _, c := range []struct{ head, want string }{
		{"x-strake: {ports: auto}", `
warning preview-refused  :0 volume data has driver_opts
warning preview-refused job compose.yaml:14 service job has devices
warning privileged web compose.yaml:5 service web has privileged
warning host-network web compose.yaml:6 service web has network_mode: host
warning preview-refused web compose.yaml:7 service web has cap_add SYS_ADMIN
warning preview-refused web compose.yaml:8 the mount at /ssl of service web leads out of the commit's files (/etc/ssl)
warning engine-socket web compose.yaml:8 the mount at /var/run/docker.sock of service web is the engine's socket or a folder that holds it
`},
		{"x-strake: {previews: {ttl: 1d}}", `
error preview-refused  :0 volume data has driver_opts
error preview-refused job compose.yaml:14 service job has devices
error privileged web compose.yaml:5 service web has privileged
error host-network web compose.yaml:6 service web has network_mode: host
error preview-refused web compose.yaml:7 service web has cap_add SYS_ADMIN
error preview-refused web compose.yaml:8 the mount at /ssl of service web leads out of the commit's files (/etc/ssl)
error engine-socket web compose.yaml:8 the mount at /var/run/docker.sock of service web is the engine's socket or a folder that holds it
`},
	} {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "Dockerfile"), "FROM scratch\n")
		p := load(t, dir, c.head+services)
		var got strings.Builder
		got.WriteString("\n")
		for _, f := range previews.Check(p, dir) {
			if f.Fix == "" {
				t.Errorf("Check found %+v, want what to do", f)
			}
			fmt.Fprintf(&got, "%s %s %s %s:%d %s\n", f.Level, f.Rule, f.Service, f.File, f.Line, f.What)
		}
		if got.String() != c.want {
			t.Errorf("Check found %swant %s", got.String(), c.want)
		}
	}
}

func TestCheck_FindsNothingInAPlainProject(t *testing.T) {
	dir := t.TempDir()
	p := load(t, dir, "services: {web: {image: nginx, ports: ['80:80']}}\n")
	if found := previews.Check(p, dir); len(found) > 0 {
		t.Errorf("Check = %v, want nothing", found)
	}
}
