//go:build lab

package main_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strake-dev/strake/fixtures/lab"
)

// behindGateway is a stack that says what it is told, and publishes nothing on this machine.
const behindGateway = `
x-strake: {gateway: true}
services:
  web:
    image: strake-lab/volume:1
    command: [probe, serve, ":8000", "page of %[1]s"]
    x-strake: {route: {port: 8000}}
  api:
    image: strake-lab/volume:1
    command: [probe, serve, ":9000", "api of %[1]s"]
    x-strake: {route: {port: 9000}}
`

// TestGateway_LocalStacks: two work trees of one project are up at once, and each has its own addresses, until it is down.
func TestGateway_LocalStacks(t *testing.T) {
	lab.EachInSoak(t, func(t *testing.T, e lab.Engine) {
		pruned(t, e)
		env := []string{"STRAKE_CACHE_DIR=" + t.TempDir()}
		var trees []stack
		for _, name := range []string{"one", "two"} {
			s := newStack(t, e, fmt.Sprintf(behindGateway, name))
			out, code := s.strake(t, env, "up", "--json")
			if code != 0 {
				t.Fatalf("up of %s: exit %d\n%s", name, code, out)
			}
			trees = append(trees, s)
		}
		for i, s := range trees {
			name := []string{"one", "two"}[i]
			urls := s.gatewayURLs(t, env)
			if len(urls) != 2 || !strings.HasPrefix(urls[0], "http://"+s.name+".localhost:") || !strings.HasPrefix(urls[1], "http://api--"+s.name+".localhost:") {
				t.Fatalf("up of %s is served at %q, want its own name and that of api", s.name, urls)
			}
			for j, want := range []string{"page of " + name, "api of " + name} {
				if code, text := get(t, urls[j]); code != http.StatusOK || text != want {
					t.Errorf("%s answers %d %q, want %q", urls[j], code, text, want)
				}
			}
			if out, code := s.strake(t, env, "up"); code != 0 || !strings.Contains(out, "nothing to do") || !strings.Contains(out, urls[0]) {
				t.Errorf("a second up: exit %d, want nothing to do at %s\n%s", code, urls[0], out)
			}
		}
		if out, code := trees[0].strake(t, env, "up", "api", "--force-recreate"); code != 0 {
			t.Fatalf("up of one service: exit %d\n%s", code, out)
		}
		gone := trees[0].gatewayURLs(t, env)[0]
		if code, text := get(t, gone); code != http.StatusOK || text != "page of one" {
			t.Errorf("after an up of another service %s answers %d %q", gone, code, text)
		}
		if err := os.WriteFile(filepath.Join(trees[1].dir, "compose.yaml"), []byte(fmt.Sprintf(behindGateway, "three")), 0o644); err != nil {
			t.Fatal(err)
		}
		if out, code := trees[0].strake(t, env, "up", "--dry-run", "db"); code == 0 {
			t.Errorf("up of a service that is none: exit 0\n%s", out)
		}
		if out, code := trees[0].strake(t, env, "down", "-t", "0"); code != 0 {
			t.Fatalf("down: exit %d\n%s", code, out)
		}
		if left := lab.Docker(t, e, "network", "ls", "-q", "--filter", "name="+trees[0].name) + lab.Docker(t, e, "ps", "-aq", "--filter", "name="+trees[0].name); left != "" {
			t.Errorf("down left %s", left)
		}
		if code, _ := get(t, gone); code != http.StatusNotFound {
			t.Errorf("%s answers %d after down, want 404", gone, code)
		}
		if code, text := get(t, trees[1].gatewayURLs(t, env)[0]); code != http.StatusOK || text != "page of three" {
			t.Errorf("the other stack answers %d %q after a change, want its new page", code, text)
		}
		other := strings.ReplaceAll(fmt.Sprintf(behindGateway, "three"), "gateway: true", "gateway: false")
		if err := os.WriteFile(filepath.Join(trees[1].dir, "compose.yaml"), []byte(other), 0o644); err != nil {
			t.Fatal(err)
		}
		served := trees[1].gatewayURLs(t, env) // of an up that ends it
		if left := lab.Docker(t, e, "network", "ls", "-q", "--filter", "name=strake-local-"+trees[1].name); left != "" || len(served) > 0 {
			t.Errorf("without gateway network %q is left and %q is served", left, served)
		}
		if err := os.WriteFile(filepath.Join(trees[1].dir, "compose.yaml"), []byte(fmt.Sprintf(behindGateway, "three")), 0o644); err != nil {
			t.Fatal(err)
		}
		if len(trees[1].gatewayURLs(t, env)) != 2 {
			t.Error("up with gateway again serves nothing")
		}
		// What Docker Compose takes down strake prunes.
		lab.Docker(t, e, "compose", "-p", trees[1].name, "-f", filepath.Join(trees[1].dir, "compose.yaml"), "down", "-t", "0")
		if out, code := trees[1].strake(t, env, "prune", "--yes", "--json"); code != 0 || !strings.Contains(out, "strake-local-"+trees[1].name) {
			t.Errorf("prune after docker compose down: exit %d\n%s", code, out)
		}
		if left := lab.Docker(t, e, "network", "ls", "-q", "--filter", "name="+trees[1].name) + lab.Docker(t, e, "ps", "-aq", "--filter", "name="+trees[1].name); left != "" {
			t.Errorf("prune left %s", left)
		}
	})
}

// gatewayURLs are the addresses that up says the stack has behind the gateway.
func (s stack) gatewayURLs(t *testing.T, env []string) []string {
	t.Helper()
	cmd := s.command(t, env, "up", "--json")
	out, err := cmd.Output()
	var d struct{ Gateway []struct{ URL string } }
	if err := json.Unmarshal(out, &d); err != nil {
		t.Fatalf("up --json printed no document: %v\n%s", err, out)
	}
	if err != nil {
		t.Fatalf("up --json: %v\n%s", err, out)
	}
	var urls []string
	for _, g := range d.Gateway {
		urls = append(urls, g.URL)
	}
	return urls
}
