//go:build lab

package main_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/strake-dev/strake/fixtures/lab"
	"github.com/strake-dev/strake/fixtures/lab/awslab"
)

// machinePreview is a preview as list and open print it.
type machinePreview struct {
	ID, State, URL, Commit string
	Expires                time.Time
	Machine                struct {
		ID, Address, Type, State string
		Scheduled                time.Time
	}
}

// onEC2 has the previews of the repository be on machines of a cloud.
func (r *repository) onEC2(t *testing.T, environ []string) {
	t.Helper()
	r.onEC2With(t, environ, "")
}

// onEC2With is onEC2 with more settings of ec2.
func (r *repository) onEC2With(t *testing.T, environ []string, more string) {
	t.Helper()
	r.previewsOn(t, environ, "host: ec2, access: public, idle: "+cmp.Or(r.idle, "30m")+", ec2: {wildcard: lab.test"+more+"}")
}

// previewsOn writes a policy of previews into the repository's file.
func (r *repository) previewsOn(t *testing.T, environ []string, policy string) {
	t.Helper()
	r.env = append(append(r.env, environ...), "STRAKE_EC2_FROM=127.0.0.1")
	file := filepath.Join(r.dir, "compose.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text = append([]byte("x-strake: {previews: {"+policy+"}}\n"), text...)
	if err := os.WriteFile(file, text, 0o644); err != nil {
		t.Fatal(err)
	}
	r.git(t, "commit", "-q", "-a", "-m", "previews on EC2")
}

// pageAt is what a page says whose name nobody but a DNS service knows.
func pageAt(t *testing.T, at, address string) string {
	t.Helper()
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+u.Path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = u.Host
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%d %s", answer.StatusCode, strings.TrimSpace(string(text)))
}

func TestPreview_OnEC2(t *testing.T) {
	lab.EachInSoak(t, func(t *testing.T, e lab.Engine) {
		a := awslab.Start(t)
		a.Boot(t)
		r := newRepository(t, e)
		r.onEC2(t, a.Environ())
		must := func(args ...string) string {
			t.Helper()
			out, code := r.strake(t, r.env, append([]string{"preview"}, args...)...)
			if code != 0 {
				t.Fatalf("strake preview %s: exit %d\n%s", strings.Join(args, " "), code, out)
			}
			return out
		}
		list := func() (all []machinePreview) {
			t.Helper()
			if err := json.Unmarshal([]byte(must("list", "--json")), &all); err != nil {
				t.Fatal(err)
			}
			return all
		}
		began := time.Now()
		r.push(t, "v1", "8000")
		t.Log(must("open", "42"))
		t.Logf("opened in %s", time.Since(began).Round(time.Millisecond))
		all := list()
		if len(all) != 1 || all[0].State != "ready" || all[0].Machine.State != "running" || !strings.HasSuffix(all[0].URL, ".lab.test") {
			t.Fatalf("list --json = %+v, want one that is ready", all)
		}
		p := all[0]
		if page := pageAt(t, p.URL, p.Machine.Address); page != "200 v1" {
			t.Errorf("its page is %q, want v1", page)
		}
		if out := must("show", p.ID); !strings.Contains(out, "ready") {
			t.Errorf("show = %s", out)
		}
		r.push(t, "v2", "8000")
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() {
				if _, err := r.try(t, 0, "preview", "open", "42"); err != nil {
					t.Error(err)
				}
			})
		}
		both.Wait()
		all = list()
		if len(all) != 1 || all[0].Machine.ID != p.Machine.ID || all[0].Commit == p.Commit {
			t.Errorf("after two opens at once list --json = %+v, want %s with a newer commit", all, p.Machine.ID)
		}
		if page := pageAt(t, p.URL, p.Machine.Address); page != "200 v2" {
			t.Errorf("after the update its page is %q, want v2", page)
		}
		must("extend", p.ID, "100h")
		if after := list()[0]; !after.Expires.After(p.Expires) {
			t.Errorf("after extend the lease ends at %s, before at %s", after.Expires, p.Expires)
		}
		if out := must("exec", "-T", p.ID, "web", "echo", "inside"); !strings.Contains(out, "inside") {
			t.Errorf("exec = %s", out)
		}
		began = time.Now()
		t.Log(must("close", p.ID, "--yes"))
		t.Logf("closed in %s", time.Since(began).Round(time.Millisecond))
		if all := list(); len(all) != 0 {
			t.Errorf("after close list --json = %+v, want none", all)
		}
	})
}
