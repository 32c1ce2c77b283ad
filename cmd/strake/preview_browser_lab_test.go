//go:build lab

package main_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/strake-dev/strake/fixtures/lab"
	"github.com/strake-dev/strake/fixtures/saas"
)

// newSaas is the demo project as a repository with pull request 42.
func newSaas(t *testing.T, e lab.Engine) repository {
	t.Helper()
	r := repository{stack: stack{Engine: e, name: lab.Name(t), dir: t.TempDir(), binary: lab.Program(t)}, environ: lab.Environ(t, e)}
	if err := saas.Repository(t.Context(), "../../fixtures/saas", r.dir); err != nil {
		t.Fatal(err)
	}
	r.env = []string{"STRAKE_CACHE_DIR=" + t.TempDir(), "GIT_CONFIG_GLOBAL=/dev/null"}
	r.closed(t)
	return r
}

// TestPreview_InABrowser: what a reviewer does with a pull request of the demo project.
func TestPreview_InABrowser(t *testing.T) {
	lab.EachInSoak(t, func(t *testing.T, e lab.Engine) {
		pruned(t, e)
		r := newSaas(t, e)
		p := r.show(t, r.run(t, 0, "preview", "open", "42", "--json"))
		b := lab.NewBrowser(t)
		b.Do(t, chromedp.Navigate(p.URL), chromedp.WaitVisible(chromedp.CSS("[data-demo]")))
		b.Screenshots(t, "sign-in")
		b.Do(t, chromedp.Click(chromedp.CSS("[data-demo]")), chromedp.WaitVisible(chromedp.CSS(".notes")))
		if first := b.Text(t, ".notes li"); !strings.Contains(first, "min to read") {
			t.Errorf("the first note is %q, want the minutes it takes to read: that is what the branch changes", first)
		}
		if head := b.Text(t, ".head"); !strings.Contains(head, "notes") || !strings.Contains(head, "page 1 of") {
			t.Errorf("the list's head is %q, want the seed's notes in it", head)
		}
		b.Screenshots(t, "notes")
		b.Do(t, chromedp.SetValue(chromedp.CSS("input[name=q]"), "harbour market"), chromedp.Submit(chromedp.CSS("form.find")),
			chromedp.WaitVisible(chromedp.CSS(".notes mark")))
		b.Screenshots(t, "found")
		file := filepath.Join(t.TempDir(), "review.txt")
		if err := os.WriteFile(file, []byte("seen by a reviewer\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		b.Do(t, chromedp.Navigate(p.URL+"/notes/new"), chromedp.SendKeys(chromedp.CSS("input[name=title]"), "Written in a preview"),
			chromedp.SendKeys(chromedp.CSS("textarea[name=body]"), "With a file."), chromedp.SetUploadFiles(chromedp.CSS("input[type=file]"), []string{file}),
			chromedp.Submit(chromedp.CSS("form.edit")), chromedp.WaitVisible(chromedp.CSS("ul.files")))
		if files := b.Text(t, "ul.files"); !strings.Contains(files, "review.txt") {
			t.Errorf("the note's files are %q, want review.txt", files)
		}
		b.Screenshots(t, "uploaded")

		r.run(t, 0, "preview", "sleep", "42")
		b.Do(t, chromedp.Reload(), chromedp.WaitVisible(chromedp.CSS("main.busy")))
		b.Screenshots(t, "waking")
		b.Do(t, chromedp.WaitVisible(chromedp.CSS("ul.files"))) // by itself, and still signed in
		if title := b.Text(t, "h1"); title != "Written in a preview" {
			t.Errorf("after waking the note is %q, want the one that was written", title)
		}
		b.Screenshots(t, "awake")

		const question = "select count(*) filter (where minutes > 0) > 2000 from notes"
		if rows := strings.TrimSpace(r.run(t, 0, "preview", "exec", "42", "db", "psql", "-U", "notes", "-At", "notes", "-c", question)); rows != "t" {
			t.Errorf("%s: %q, want t: the migration is applied to the seed's rows", question, rows)
		}
		r.run(t, 0, "preview", "close", "42", "--yes")
		b.Do(t, chromedp.Reload(), chromedp.WaitVisible(chromedp.CSS("main.still")))
		if page := b.Text(t, "body"); !strings.Contains(page, "Nothing here") {
			t.Errorf("after close the page says %q, want that nothing is here", page)
		}
		b.Screenshots(t, "closed")
		left := slices.DeleteFunc(r.things(t), func(thing string) bool { return strings.HasPrefix(thing, "image "+r.name+"-seed-") }) // the next one starts from it
		if len(left) > 0 {
			t.Errorf("after close there is %q", left)
		}
	})
}
