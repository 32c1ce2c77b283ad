//go:build lab

package main_test

import (
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/strake-dev/strake/fixtures/lab"
)

// TestPreview_HostileNames: whatever a branch is called, its preview has a name, an address and a page of its own, and nothing else comes of it.
func TestPreview_HostileNames(t *testing.T) {
	lab.EachInSoak(t, func(t *testing.T, e lab.Engine) {
		pruned(t, e)
		r := newRepository(t, e)
		branches := []string{"feature/login", "feature-login", "x;touch$IFS'pwned'`touch$IFS'pwned'`", strings.Repeat("n", 200), "ünï/✓"}
		for i, b := range branches {
			r.pushTo(t, "refs/heads/"+b, fmt.Sprint("page ", i), "8000")
		}
		texts := make([]string, len(branches))
		var all errgroup.Group
		all.SetLimit(2)
		for i, b := range branches {
			all.Go(func() (err error) {
				texts[i], err = r.try(t, 0, "preview", "open", "--branch="+b, "--json")
				return err
			})
		}
		if err := all.Wait(); err != nil {
			t.Fatal(err)
		}
		for i, b := range branches {
			p := r.show(t, texts[i])
			if code, text := get(t, p.URL); code != http.StatusOK || text != fmt.Sprint("page ", i) {
				t.Errorf("branch %q is at %s, which answers %d %q, want its page", b, p.URL, code, text)
			}
			if label, _, _ := strings.Cut(strings.TrimPrefix(p.URL, "http://"), "."); len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
				t.Errorf("branch %q is at %s, whose first label is none", b, p.URL)
			}
		}
		for _, args := range [][]string{{"../x"}, {"42;x"}, {strings.Repeat("9", 300)}, {"--branch", "../../x"}, {"--commit", "--upload-pack=touch pwned"}, {"--branch", "nobody made this"}, {"0"}, {"-1"}, {"--branch=-f"}} {
			if out, err := r.try(t, 0, append([]string{"preview", "open"}, args...)...); err == nil {
				t.Errorf("preview open %q = %s, want an error", args, out)
			}
			if out, err := r.try(t, 0, append([]string{"preview", "close", "--yes"}, args...)...); err == nil {
				t.Errorf("preview close %q = %s, want an error", args, out)
			}
		}
		if found, err := filepath.Glob(filepath.Join(r.dir, "*pwned*")); err != nil || len(found) > 0 {
			t.Errorf("a name was run: %q, %v", found, err)
		}
	})
}

// TestPreview_NeverHealthy: exit 3 and the last lines of the guilty service, which its address shows too.
func TestPreview_NeverHealthy(t *testing.T) {
	lab.EachInSoak(t, func(t *testing.T, e lab.Engine) {
		pruned(t, e)
		r := newRepository(t, e)
		r.push(t, "broken", "9") // nothing answers there
		cmd := r.command(t, r.env, "preview", "open", "42")
		out, _ := cmd.CombinedOutput() // its code says how it ended
		if code := cmd.ProcessState.ExitCode(); code != 3 || !strings.Contains(string(out), "last log lines of web") || !strings.Contains(string(out), "listening on") {
			t.Errorf("preview open of what never gets healthy: exit %d, want 3 and what web said\n%s", code, out)
		}
		p := r.show(t, r.run(t, 0, "preview", "show", "42", "--json"))
		if p.State != "failed" || p.Failure == nil || p.Failure.Service != "web" {
			t.Errorf("preview show = %+v, want it failed because of web", p)
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", "text/html")
		res, err := visitor().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		page, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"It did not start", "listening on", p.Commit[:12]} {
			if !strings.Contains(string(page), want) {
				t.Errorf("the page of what failed has no %q in it:\n%s", want, page)
			}
		}
		r.push(t, "mended", "8000")
		p = r.show(t, r.run(t, 0, "preview", "open", "42", "--json"))
		if code, text := get(t, p.URL); code != http.StatusOK || text != "mended" {
			t.Errorf("mended it answers %d %q", code, text)
		}
	})
}

// TestPreview_TwoAtOnce: of two opens of one pull request the newer commit stays, in one preview.
func TestPreview_TwoAtOnce(t *testing.T) {
	lab.EachInSoak(t, func(t *testing.T, e lab.Engine) {
		pruned(t, e)
		r := newRepository(t, e)
		r.push(t, "older", "8000")
		first := r.command(t, r.env, "preview", "open", "42")
		var said strings.Builder
		first.Stdout, first.Stderr = &said, &said
		if err := first.Start(); err != nil {
			t.Fatal(err)
		}
		for !strings.Contains(strings.Join(r.things(t), " "), "strake-preview-") {
			if t.Context().Err() != nil {
				t.Fatal("the first open makes no record")
			}
		}
		r.push(t, "newer", "8000")
		p := r.show(t, r.run(t, 0, "preview", "open", "42", "--json"))
		if err := first.Wait(); err == nil && first.ProcessState.ExitCode() == 0 && !strings.Contains(said.String(), "ready") {
			t.Errorf("the older open ended with nothing said: %s", said.String())
		}
		if code, text := get(t, p.URL); code != http.StatusOK || text != "newer" {
			t.Errorf("after two opens at once the page is %d %q, want that of the newer commit", code, text)
		}
		r.isWhole(t, "after two opens at once")
	})
}
