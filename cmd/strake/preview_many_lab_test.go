//go:build lab

package main_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/strake-dev/strake/fixtures/lab"
)

// everything is all that an engine has, and what the repository and strake's folder do.
func (r repository) everything(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, args := range [][]string{{"ps", "-a", "--format", "container {{.ID}} {{.Names}}"}, {"network", "ls", "--format", "network {{.ID}} {{.Name}}"},
		{"volume", "ls", "--format", "volume {{.Name}}"}, {"images", "-a", "--no-trunc", "--format", "image {{.ID}} {{.Repository}}:{{.Tag}}"}} {
		all = slices.AppendSeq(all, strings.Lines(lab.Docker(t, r.Engine, args...)+"\n"))
	}
	all = append(all, r.git(t, "for-each-ref"), r.git(t, "worktree", "list"), r.git(t, "status", "--short"))
	cache := strings.TrimPrefix(r.env[0], "STRAKE_CACHE_DIR=")
	err := filepath.WalkDir(filepath.Join(cache, "previews"), func(path string, d fs.DirEntry, err error) error {
		if d != nil {
			all = append(all, path)
		}
		return nil // there is none before and after
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(all)
	return all
}

// TestPreview_TwelveAtOnce: twelve pull requests opened at once are ready and reach nothing of each other; closed they leave nothing.
func TestPreview_TwelveAtOnce(t *testing.T) {
	const many = 12
	lab.EachInSoak(t, func(t *testing.T, e lab.Engine) {
		pruned(t, e)
		r := newRepository(t, e)
		r.git(t, "update-ref", "refs/pull/99/head", "HEAD")
		r.run(t, 0, "preview", "open", "99") // the gateway is there before and after, and the images that all are made of
		r.run(t, 0, "preview", "close", "99", "--yes")
		for n := range many {
			r.pushTo(t, fmt.Sprintf("refs/pull/%d/head", n+1), fmt.Sprint("text of ", n+1), "8000")
		}
		before := r.everything(t)

		previews := make([]shown, many)
		each := func(do func(n int) error) {
			t.Helper()
			var all errgroup.Group
			for n := range many {
				all.Go(func() error { return do(n) })
			}
			if err := all.Wait(); err != nil {
				t.Fatal(err)
			}
		}
		each(func(n int) error {
			out, err := r.try(t, 0, "preview", "open", fmt.Sprint(n+1), "--json")
			if err != nil {
				return err
			}
			return json.Unmarshal([]byte(out), &previews[n])
		})
		for n, p := range previews {
			if code, text := get(t, p.URL); code != 200 || text != fmt.Sprint("text of ", n+1) || p.State != "ready" {
				t.Errorf("%s, which is %s, answers %d %q, want the text of %d", p.URL, p.State, code, text, n+1)
			}
		}
		each(func(n int) error { r.isApart(t, previews[n], previews[(n+1)%many]); return nil })
		each(func(n int) error { _, err := r.try(t, 0, "preview", "close", fmt.Sprint(n+1), "--yes"); return err })
		if after := r.everything(t); !slices.Equal(before, after) {
			t.Errorf("before there was\n%q\nand after it there is\n%q", before, after)
		}
	})
}

// isApart tries from inside one preview to reach another.
func (r repository) isApart(t *testing.T, p, other shown) {
	inside := func(args ...string) (string, error) {
		cmd := r.command(t, r.env, append([]string{"preview", "exec", p.ID, "web", "probe"}, args...)...)
		out, err := cmd.CombinedOutput()
		return strings.TrimSpace(string(out)), err
	}
	gateway := lab.Docker(t, r.Engine, "inspect", "--format", `{{with index .NetworkSettings.Networks "`+p.Active+`_strake-edge"}}{{.IPAddress}}{{end}}`, "strake-gateway-proxy-1")
	host := func(p shown) string { return strings.TrimPrefix(p.URL, "http://") }
	port := host(p)[strings.LastIndexByte(host(p), ':'):]
	if out, err := inside("get", "http://"+gateway+port+"/", host(p)); err != nil || !strings.HasPrefix(out, "text of") {
		t.Errorf("%s asks the gateway for itself and gets %q, %v, want its page", p.ID, out, err)
	}
	if out, err := inside("get", "http://"+gateway+port+"/", host(other)); err == nil || !strings.Contains(out, "403") {
		t.Errorf("%s asks the gateway for %s and gets %q, %v, want 403", p.ID, other.ID, out, err)
	}
	if out, err := inside("resolve", "web--"+other.Stack+"--g1"); err == nil {
		t.Errorf("%s finds the address of %s: %s", p.ID, other.ID, out)
	}
	for _, service := range []string{"web", "db"} {
		for address := range strings.FieldsSeq(lab.Docker(t, r.Engine, "inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}", other.Active+"-"+service+"-1")) {
			if out, err := inside("get", "http://"+address+":8000/"); err == nil {
				t.Errorf("%s reaches %s of %s: %s", p.ID, service, other.ID, out)
			}
		}
	}
}
