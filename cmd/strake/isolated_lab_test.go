//go:build lab

package main_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/strake-dev/strake/fixtures/lab"
)

// reaching is a stack that looks for what it should not: an API by its name, one by its address and the machine's metadata; its own database it may.
const reaching = `
services:
  web:
    image: strake-lab/volume:1
    command: [sh, -c, "probe get http://api.example.com:8081/charge; probe get http://203.0.113.9:8443/; probe get http://db:9000/; exec probe serve :8000 page"]
    depends_on: {db: {condition: service_started}}
    volumes: ["./files:/files"]
    x-strake: {route: {port: 8000}}
    healthcheck: {test: [CMD, probe, get, "http://127.0.0.1:8000/"], interval: 1m}
  job:
    image: strake-lab/volume:1
    command: [sh, -c, "probe get http://169.254.169.254/latest/meta-data/; probe get https://telemetry.example.org/; true"]
  db:
    image: strake-lab/volume:1
    command: [probe, serve, ":9000", "rows"]
    container_name: %s-database
    volumes: ["data:/data"]
x-strake: {offline: {allow: [%s]}}
volumes: {data: {}}
`

// isolatedReport is what offline report --json prints.
type isolatedReport struct {
	Proven, Ready bool
	Why           []string
	Attempts      []struct {
		Service, Name, Address string
		Ports                  []int
		Count                  int
		Allowed                bool
	}
	Networks []struct {
		Name             string
		Internal, Closed bool
	}
	Control []struct{ Tries []struct{ Failed bool } }
}

// report reads the report of the isolated stack, and the exit code.
func (s stack) report(t *testing.T, env []string) (r isolatedReport, code int) {
	t.Helper()
	cmd := s.command(t, env, "offline", "report", "--json")
	out, _ := cmd.Output() // the code tells
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatalf("offline report --json printed no report: %v\n%s", err, out)
	}
	return r, cmd.ProcessState.ExitCode()
}

// TestIsolated_IsProvenAndSaysWhatItTried: the whole life of an isolated stack beside the project's own, and each way in which somebody may open it
// behind strake's back.
func TestIsolated_IsProvenAndSaysWhatItTried(t *testing.T) {
	lab.Each(t, func(t *testing.T, e lab.Engine) {
		pruned(t, e)
		env := []string{"STRAKE_CACHE_DIR=" + t.TempDir()}
		s := newStack(t, e, "")
		write := func(allow string) {
			if err := os.WriteFile(filepath.Join(s.dir, "compose.yaml"), fmt.Appendf(nil, reaching, s.name, allow), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		write("")
		if out, code := s.strake(t, env, "up", "db"); code != 0 {
			t.Fatalf("up of the project itself: exit %d\n%s", code, out)
		}
		own := lab.Docker(t, e, "ps", "-aq", "--no-trunc", "--filter", "label=com.docker.compose.project="+s.name)
		out, code := s.strake(t, env, "up", "--isolated")
		if code != 5 || !strings.Contains(out, s.name+"-isolated is proven") {
			t.Fatalf("up --isolated: exit %d, want 5 and a proof\n%s", code, out)
		}
		url := regexp.MustCompile(`http://` + s.name + `-isolated\.localhost:\d+`).FindString(out)
		if code, text := get(t, url); code != http.StatusOK || text != "page" {
			t.Errorf("%s answers %d %q through the gateway, want the page", url, code, text)
		}
		r, code := s.report(t, env)
		var tried []string
		for _, a := range r.Attempts {
			tried = append(tried, fmt.Sprintf("%s %s%s %v", a.Service, a.Name, a.Address, a.Ports))
		}
		want := []string{"job 169.254.169.254 [80]", "job telemetry.example.org [443]", "web 203.0.113.9 [8443]", "web api.example.com [8081]"}
		slices.Sort(tried)
		if !slices.Equal(tried, want) || code != 5 || !r.Proven || len(r.Control) < 2 {
			t.Errorf("offline report = %q, exit %d, %+v, want exactly %q, proven, and the control repeated", tried, code, r, want)
		}
		write("'*.example.com', telemetry.example.org, 203.0.113.9, 169.254.169.254")
		if _, code := s.report(t, env); code != 0 {
			t.Errorf("offline report with all of it allowed: exit %d, want 0", code)
		}
		if now := lab.Docker(t, e, "ps", "-aq", "--no-trunc", "--filter", "label=com.docker.compose.project="+s.name); now != own {
			t.Errorf("the project's own containers are %q, want them left alone: %q", now, own)
		}
		if out, code := s.strake(t, env, "up", "web"); code != 1 || !strings.Contains(out, "strake down --isolated") {
			t.Errorf("up of what the isolated stack may write to: exit %d, want 1\n%s", code, out)
		}
		s.opened(t, env)
		if out, code := s.strake(t, env, "up", "--isolated"); code != 0 || !strings.Contains(out, "is proven") {
			t.Errorf("up --isolated after all that: exit %d, want a stack that is made anew, and proven\n%s", code, out)
		}
		if out, code := s.strake(t, env, "down", "--isolated"); code != 0 {
			t.Errorf("down --isolated: exit %d\n%s", code, out)
		}
		filter := "name=" + s.name + "-isolated"
		if left := lab.Docker(t, e, "ps", "-aq", "--filter", filter) + lab.Docker(t, e, "network", "ls", "-q", "--filter", filter) + lab.Docker(t, e, "volume", "ls", "-q", "--filter", filter); left != "" {
			t.Errorf("down --isolated left %s", left)
		}
	})
}

// opened opens the isolated stack in several ways, each of which the report must name, and undoes each.
func (s stack) opened(t *testing.T, env []string) {
	t.Helper()
	holder, network, other := s.name+"-isolated-strake-net-web-1", s.name+"-isolated_default", s.name+"-other"
	docker := func(args ...string) { lab.Docker(t, s.Engine, args...) }
	docker("network", "create", other)
	defer docker("network", "rm", other)
	for _, c := range []struct {
		what     string
		do, undo [][]string
	}{
		{"uses the network of one that is", [][]string{{"run", "-d", "--name", other, "--network", "container:" + holder, "strake-lab/volume:1", "sleep", "1000"}}, [][]string{{"rm", "-f", other}}},
		{"is on network " + other, [][]string{{"network", "connect", other, holder}}, [][]string{{"network", "disconnect", other, holder}}},
		{"which is none of the stack's, is on network " + network,
			[][]string{{"run", "-d", "--name", other, "--network", network, "strake-lab/volume:1", "sleep", "1000"}}, [][]string{{"rm", "-f", other}}},
	} {
		for _, args := range c.do {
			docker(args...)
		}
		if r, code := s.report(t, env); r.Proven || code != 5 || !strings.Contains(strings.Join(r.Why, "\n"), c.what) {
			t.Errorf("offline report where a container %q = exit %d, %+v, want no proof", c.what, code, r)
		}
		for _, args := range c.undo {
			docker(args...)
		}
	}
	subnet := strings.TrimSpace(lab.Docker(t, s.Engine, "network", "inspect", "-f", "{{(index .IPAM.Config 0).Subnet}}", network))
	on := strings.Fields(lab.Docker(t, s.Engine, "network", "inspect", "-f", "{{range .Containers}}{{.Name}}={{.IPv4Address}} {{end}}", network))
	for _, c := range on {
		name, _, _ := strings.Cut(c, "=")
		docker("network", "disconnect", network, name)
	}
	docker("network", "rm", network)
	docker("network", "create", "--label", "com.docker.compose.project="+s.name+"-isolated", "--label", "com.docker.compose.network=default", "--subnet", subnet, network)
	for _, c := range on {
		name, at, _ := strings.Cut(c, "=")
		ip, _, _ := strings.Cut(at, "/")
		docker("network", "connect", "--ip", ip, network, name)
	}
	if r, code := s.report(t, env); r.Proven || code != 5 || !strings.Contains(strings.Join(r.Why, "\n"), "it is not internal any more") {
		t.Errorf("offline report on a network that leads out = exit %d, %+v, want no proof", code, r)
	}
}
