//go:build lab

package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// seen is everything of one project on an engine, as `docker inspect` has it: by kind and name, "container st-1-web-1".
type seen map[string]map[string]any

// look asks the engine for all that belongs to the project or is named after it, and for the volumes without a name
// that its containers use.
func (p place) look(t *testing.T) seen {
	t.Helper()
	out := seen{}
	var containers []struct {
		ID     string
		Names  []string
		Labels map[string]string
		Mounts []struct{ Type, Name string }
	}
	p.get(t, "/containers/json?all=true", &containers)
	volumes := map[string]bool{}
	for _, c := range containers {
		if len(c.Names) == 0 || !p.owns(strings.TrimPrefix(c.Names[0], "/"), c.Labels) {
			continue
		}
		var one map[string]any
		if !p.get(t, "/containers/"+c.ID+"/json", &one) {
			continue // it went away in between, as one with --rm does
		}
		out["container "+strings.TrimPrefix(one["Name"].(string), "/")] = one
		for _, m := range c.Mounts {
			if m.Type == "volume" {
				volumes[m.Name] = true
			}
		}
	}
	var networks []struct {
		ID, Name string
		Labels   map[string]string
	}
	p.get(t, "/networks", &networks)
	for _, n := range networks {
		if p.owns(n.Name, n.Labels) {
			var one map[string]any
			if p.get(t, "/networks/"+n.ID, &one) {
				out["network "+n.Name] = one
			}
		}
	}
	var listed struct {
		Volumes []struct {
			Name   string
			Labels map[string]string
		}
	}
	p.get(t, "/volumes", &listed)
	for _, v := range listed.Volumes {
		if p.owns(v.Name, v.Labels) || volumes[v.Name] {
			var one map[string]any
			if p.get(t, "/volumes/"+v.Name, &one) {
				out["volume "+v.Name] = one
			}
		}
	}
	return out
}

func (p place) owns(name string, labels map[string]string) bool {
	return strings.HasPrefix(labels["com.docker.compose.project"], p.project) || strings.HasPrefix(name, p.project)
}

// get reads one answer of the engine; false when there is no such thing.
func (p place) get(t *testing.T, path string, into any) bool {
	t.Helper()
	u, err := url.Parse(p.engine.Host)
	if err != nil {
		t.Fatal(err)
	}
	address := u.Host
	if u.Scheme == "unix" {
		address = u.Path
	}
	tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, u.Scheme, address)
	}}
	defer tr.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://engine"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := (&http.Client{Transport: tr}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode == http.StatusNotFound {
		return false
	}
	if res.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s\n%s", path, res.Status, body)
	}
	if err := json.Unmarshal(body, into); err != nil {
		t.Fatalf("GET %s: %v", path, err)
	}
	return true
}

// ids are the containers' ids by name.
func (s seen) ids() map[string]string {
	out := map[string]string{}
	for name, one := range s {
		if strings.HasPrefix(name, "container ") {
			out[name] = one["Id"].(string)
		}
	}
	return out
}

// ended is the number of containers that have ended.
func (s seen) ended() int {
	n := 0
	for _, one := range s {
		if at(one, "State", "Status") == "exited" {
			n++
		}
	}
	return n
}

// names are what there is, sorted.
func (s seen) names() []string {
	var out []string
	for name := range s {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// at is a value inside an inspected thing, nil where a step of the path is missing.
func at(v any, path ...string) any {
	for _, step := range path {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[step]
	}
	return v
}

func text(v any) string {
	if v == nil {
		return ""
	}
	return fmt.Sprint(v)
}
