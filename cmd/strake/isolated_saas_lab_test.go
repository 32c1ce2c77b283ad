//go:build lab

package main_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/strake-dev/strake/fixtures/lab"
)

// withStandIns are the options by which the demo project keeps attachments in the S3 stand-in and sends mail to the other one.
func withStandIns(args ...string) []string {
	return append([]string{"-f", "compose.yaml", "-f", "standins.yaml"}, args...)
}

// TestIsolated_TheDemoProjectWorksWhole: what its users do works without any way out, and nothing tries to find one. Of a copy with six faults
// exactly these are found, each where it is.
func TestIsolated_TheDemoProjectWorksWhole(t *testing.T) {
	lab.EachInSoak(t, func(t *testing.T, e lab.Engine) {
		pruned(t, e)
		s := stack{Engine: e, name: lab.Name(t), dir: t.TempDir(), binary: lab.Program(t)}
		if err := os.CopyFS(s.dir, os.DirFS("../../fixtures/saas")); err != nil {
			t.Fatal(err)
		}
		env := []string{"STRAKE_CACHE_DIR=" + t.TempDir()}
		out, code := s.strake(t, env, withStandIns("up", "--isolated")...)
		if code != 0 || !strings.Contains(out, "nothing was tried to be reached") {
			t.Fatalf("up --isolated: exit %d\n%s", code, out)
		}
		url := func(host string) string {
			at := regexp.MustCompile(`http://` + host + `-isolated\.localhost:\d+`).FindString(out)
			if at == "" {
				t.Fatalf("up --isolated says no address of %s:\n%s", host, out)
			}
			return at
		}
		usesDemo(t, url(s.name), url("mail--"+s.name))
		lab.Docker(t, e, "run", "--rm", "--network", "none", "-v", s.name+"-isolated_strake-s3:/d:ro", "strake-lab/busybox:1", "grep", "-rq", "written without a network", "/d/uploads")
		cmd := s.command(t, env, withStandIns("offline", "report", "--json")...)
		text, err := cmd.Output()
		var r isolatedReport
		if err != nil || json.Unmarshal(text, &r) != nil || !r.Proven || !r.Ready || len(r.Attempts) > 0 {
			t.Errorf("offline report after all that = %v\n%s\nwant it proven, and nothing tried", err, text)
		}
		s.planted(t)
		if out, code = s.strake(t, env, withStandIns("up", "--isolated", "--build")...); code != 5 {
			t.Errorf("up --isolated with faults: exit %d, want 5\n%s", code, out)
		}
		s.tried(t, env)
		got := s.loaded(t, env, url(s.name))
		got = append(got, s.tried(t, env)...) // once more, when all of it was asked
		slices.Sort(got)
		want := []string{"api 169.254.169.254 [80]", "api billing.example.com [80]", "base.html https://cdn.example.net/lib.js", "seed 203.0.113.7 [8080]",
			"site.css https://fonts.example.net/inter.woff2", "worker uploads.s3.amazonaws.com [443]"}
		if !slices.Equal(got, want) {
			t.Errorf("with six faults planted these were found:\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if out, code := s.strake(t, env, "down", "--isolated"); code != 0 {
			t.Errorf("down --isolated: exit %d\n%s", code, out)
		}
	})
}

// usesDemo signs in, uploads a file and receives a mail.
func usesDemo(t *testing.T, app, mail string) {
	t.Helper()
	b := lab.NewBrowser(t)
	file := filepath.Join(t.TempDir(), "offline.txt")
	if err := os.WriteFile(file, []byte("written without a network\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	b.Do(t, chromedp.Navigate(app), chromedp.WaitVisible(chromedp.CSS("[data-demo]")), chromedp.Click(chromedp.CSS("[data-demo]")), chromedp.WaitVisible(chromedp.CSS(".notes")))
	b.Do(t, chromedp.Navigate(app+"/notes/new"), chromedp.SendKeys(chromedp.CSS("input[name=title]"), "Written offline"),
		chromedp.SendKeys(chromedp.CSS("textarea[name=body]"), "With a file."), chromedp.SetUploadFiles(chromedp.CSS("input[type=file]"), []string{file}),
		chromedp.Submit(chromedp.CSS("form.edit")), chromedp.WaitVisible(chromedp.CSS("ul.files")))
	b.Screenshots(t, "isolated-uploaded")
	b.Do(t, chromedp.Navigate(app+"/digest"), chromedp.WaitVisible(chromedp.CSS(".digest")), chromedp.SetAttributeValue(chromedp.CSS("body"), "data-former", "1"),
		chromedp.Click(chromedp.CSS(".digest .head button")), chromedp.WaitVisible(chromedp.CSS("body:not([data-former]) .digest:not(:has(.working)) .totals"))) // it is written anew, and the page shows it
	b.Do(t, chromedp.Navigate(mail), chromedp.WaitVisible(chromedp.CSS("ol li .subject")))
	b.Screenshots(t, "isolated-mail")
	b.Do(t, chromedp.Click(chromedp.CSS("ol li a")), chromedp.WaitVisible(chromedp.CSS("pre")))
	if text := b.Text(t, "pre"); !strings.Contains(text, "Week of") {
		t.Errorf("the mail says %q, want the digest", text)
	}
}

// planted plants six faults into the copy.
func (s stack) planted(t *testing.T) {
	t.Helper()
	change := func(file, old, new string) {
		t.Helper()
		name := filepath.Join(s.dir, filepath.FromSlash(file))
		text, err := os.ReadFile(name)
		if err != nil || !strings.Contains(string(text), old) {
			t.Fatalf("%s has no %q (%v)", file, old, err)
		}
		if err := os.WriteFile(name, []byte(strings.Replace(string(text), old, new, 1)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	asks := func(url string) string {
		return fmt.Sprintf("\ntry:\n    __import__('urllib.request').request.urlopen('%s', timeout=3)\nexcept OSError:\n    pass\n", url)
	}
	change("app/notes/templates/base.html", "</head>", `  <script src="https://cdn.example.net/lib.js" defer></script>`+"\n</head>")
	change("app/notes/static/site.css", ".skip {", `@font-face { font-family: Inter; src: url("https://fonts.example.net/inter.woff2"); }`+"\n.skip {")
	change("app/notes/health.py", `"""`, asks("http://169.254.169.254/latest/meta-data/")+asks("http://billing.example.com/charge")+`"""`)
	change("app/notes/seed.py", `"""`, asks("http://203.0.113.7:8080/")+`"""`)
	change("app/notes/worker.py", "    digest.write_missing()", "    digest.write_missing()\n    import threading\n    from . import storage\n    threading.Thread(target=lambda: storage.from_environment().exists('x'), daemon=True).start()")
	change("standins.yaml", "  worker: {environment: {S3_BUCKET: uploads}, x-strake: {uses: [s3, mail]}}",
		"  worker: {environment: {S3_BUCKET: uploads, AWS_ACCESS_KEY_ID: a, AWS_SECRET_ACCESS_KEY: b}, x-strake: {uses: [mail]}}")
}

// tried is what the report says of services.
func (s stack) tried(t *testing.T, env []string) []string {
	t.Helper()
	var r isolatedReport
	for range 20 { // each takes a second or two; the worker tries when it is ready
		text, _ := s.command(t, env, withStandIns("offline", "report", "--json")...).Output() // its code is 5
		if err := json.Unmarshal(text, &r); err != nil {
			t.Fatalf("offline report printed no report: %v\n%s", err, text)
		}
		if len(r.Attempts) >= 4 {
			break
		}
	}
	if !r.Proven {
		t.Errorf("offline report with faults = %+v, want it proven all the same", r)
	}
	var all []string
	for _, a := range r.Attempts {
		all = append(all, fmt.Sprintf("%s %s%s %v", a.Service, a.Name, a.Address, a.Ports))
	}
	return all
}

// loaded is what the pages load from elsewhere, by the file that it is written in.
func (s stack) loaded(t *testing.T, env []string, url string) []string {
	t.Helper()
	text, _ := s.command(t, env, "offline", "pages", url, "--no-browser", "--json").Output() // its code is 5
	var r struct {
		Resources []struct{ File, URL string }
	}
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatalf("offline pages printed no report: %v\n%s", err, text)
	}
	var all []string
	for _, one := range r.Resources {
		in := "base.html"
		if strings.Contains(one.File, "site.css") {
			in = "site.css"
		}
		if line := in + " " + one.URL; !slices.Contains(all, line) {
			all = append(all, line)
		}
	}
	return all
}
