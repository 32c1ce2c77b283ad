//go:build lab

package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/strake-dev/strake/fixtures/lab"
)

// withS3 is a program that uses the S3 stand-in.
const withS3 = `
x-strake: {standins: {s3: {buckets: [uploads], dir: ./objects}}}
services:
  web:
    image: %s
    init: true
    command: [sleep, infinity]
    volumes: ["./s3.py:/s3.py:ro"]
    x-strake: {uses: [s3]}
`

// TestStandIns_S3: what programs do with S3 they do with the stand-in; its objects are files of the folder's owner, and outlive the stack.
func TestStandIns_S3(t *testing.T) {
	script, err := filepath.Abs("testdata/standins/s3.py")
	if err != nil {
		t.Fatal(err)
	}
	lab.EachInSoak(t, func(t *testing.T, e lab.Engine) {
		s := newStack(t, e, fmt.Sprintf(withS3, lab.Server(t, e, "boto3")))
		text, err := os.ReadFile(script)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(s.dir, "s3.py"), text, 0o644); err != nil {
			t.Fatal(err)
		}
		const owner = 4321
		if err := os.Chown(s.dir, owner, owner); err != nil {
			t.Fatal(err)
		}
		env := []string{"STRAKE_CACHE_DIR=" + t.TempDir()}
		must := func(args ...string) string {
			t.Helper()
			out, code := s.strake(t, env, args...)
			if code != 0 {
				t.Fatalf("strake %s: exit %d\n%s", strings.Join(args, " "), code, out)
			}
			return out
		}
		must("up", "--offline", "web") // nothing is pulled
		if out := must("exec", "-T", "web", "python3", "/s3.py"); strings.Count(out, " ok") != 7 {
			t.Errorf("the script did\n%s", out)
		}
		at := filepath.Join(s.dir, "objects", "uploads", "über", "straße ☃.txt")
		if text, err := os.ReadFile(at); err != nil || string(text) != "über/straße ☃.txt" {
			t.Errorf("the file of an object holds %q, %v", text, err)
		}
		if info, err := os.Stat(at); err == nil {
			if uid := info.Sys().(*syscall.Stat_t).Uid; uid != owner {
				t.Errorf("the file of an object is %d's, want %d's, who has the folder", uid, owner)
			}
		}
		if out := must("up"); !strings.Contains(out, "nothing to do") {
			t.Errorf("a second up:\n%s", out)
		}
		program := lab.Docker(t, e, "inspect", "-f", "{{.Config.Image}}", s.name+"-s3-1")
		if out, _ := s.strake(t, env, "prune", "--dry-run"); strings.Contains(out, strings.TrimSpace(program)) {
			t.Errorf("prune would remove %s, on which the stand-in runs:\n%s", program, out)
		}
		must("down", "-v", "-t", "0")
		if left := lab.Docker(t, e, "ps", "-aq", "--filter", "name="+s.name); left != "" {
			t.Errorf("down left %s", left)
		}
		must("up")
		if out := must("exec", "-T", "web", "python3", "/s3.py", "again"); !strings.Contains(out, "still there") {
			t.Errorf("after down and up the script did\n%s", out)
		}
	})
}

// withMail is a program that sends mail, behind the gateway.
const withMail = `
x-strake: {gateway: true, standins: {mail: {}, s3: {buckets: [uploads]}, previews: true}}
services:
  web:
    image: %[1]s
    init: true
    command: [python3, -m, http.server, "8000"]
    ports: ["8000"]
    volumes: ["./mail.py:/mail.py:ro"]
    x-strake: {uses: [mail, s3]}
`

// stacked is a folder with the program of withMail.
func stacked(t *testing.T, e lab.Engine) stack {
	t.Helper()
	s := newStack(t, e, fmt.Sprintf(withMail, lab.Server(t, e, "boto3")))
	text, err := os.ReadFile("testdata/standins/mail.py")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.dir, "mail.py"), text, 0o644); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestStandIns_MailInABrowser: what a program sends shows on the page of the stand-in, and what it wrote in there runs nothing.
func TestStandIns_MailInABrowser(t *testing.T) {
	lab.EachInSoak(t, func(t *testing.T, e lab.Engine) {
		pruned(t, e)
		s := stacked(t, e)
		env := []string{"STRAKE_CACHE_DIR=" + t.TempDir()}
		urls := s.gatewayURLs(t, env)
		if len(urls) != 2 || !strings.HasPrefix(urls[0], "http://"+s.name+".localhost:") || !strings.HasPrefix(urls[1], "http://mail--"+s.name+".localhost:") {
			t.Fatalf("the stack is served at %q, want its own name and that of mail", urls)
		}
		b := lab.NewBrowser(t)
		b.Do(t, chromedp.Navigate(urls[1]), chromedp.WaitVisible(chromedp.CSS(".empty")))
		b.Screenshots(t, "no-mail")
		if out, code := s.strake(t, env, "exec", "-T", "web", "python3", "/mail.py"); code != 0 {
			t.Fatalf("the program sent nothing: exit %d\n%s", code, out)
		}
		b.Do(t, chromedp.WaitVisible(chromedp.CSS("ol"))) // by itself
		b.Screenshots(t, "list")
		if first := b.Text(t, "li"); !strings.Contains(first, "Reset your password") || !strings.Contains(first, "ada@example.com") {
			t.Errorf("the first message is %q, want the newest", first)
		}
		b.Do(t, chromedp.Click(chromedp.CSS("li:last-child a")), chromedp.WaitVisible(chromedp.CSS("iframe")))
		b.Screenshots(t, "message")
		if head := b.Text(t, "dl"); !strings.Contains(head, "Jötline <hello@jotline.example>") || !strings.Contains(head, "ada@example.com, hidden@example.com") {
			t.Errorf("its head is %q", head)
		}
		b.Do(t, chromedp.Navigate(strings.TrimSuffix(urls[1], "/")+"/m/1/html"), chromedp.WaitVisible(chromedp.CSS("h1")))
		if text := b.Text(t, "body"); !strings.Contains(text, "Hello Ada") || strings.Contains(text, "hacked") {
			t.Errorf("its HTML shows %q, want what was written, with no script run", text)
		}
		if out, code := s.strake(t, env, "down", "-t", "0"); code != 0 {
			t.Errorf("down: exit %d\n%s", code, out)
		}
	})
}

// TestStandIns_InAPreview: a preview has stand-ins with data of its own, which goes with it.
func TestStandIns_InAPreview(t *testing.T) {
	lab.EachInSoak(t, func(t *testing.T, e lab.Engine) {
		pruned(t, e)
		r := repository{stack: stacked(t, e), environ: lab.Environ(t, e), env: []string{"STRAKE_CACHE_DIR=" + t.TempDir(), "GIT_CONFIG_GLOBAL=/dev/null"}}
		r.closed(t)
		r.git(t, "init", "-q", "-b", "main")
		r.git(t, "add", "-A")
		r.git(t, "commit", "-q", "-m", "v0")
		r.git(t, "update-ref", "refs/pull/42/head", "HEAD")
		p := r.show(t, r.run(t, 0, "preview", "open", "42", "--json"))
		if p.State != "ready" {
			t.Fatalf("preview open = %+v, want it ready", p)
		}
		const puts = `import boto3, os
c = boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL_S3"])
c.put_object(Bucket="uploads", Key="x", Body=b"of a preview")
print(c.get_object(Bucket="uploads", Key="x")["Body"].read().decode())`
		if out := r.run(t, 0, "preview", "exec", "42", "web", "python3", "-c", puts); !strings.Contains(out, "of a preview") {
			t.Errorf("the program in the preview printed %q", out)
		}
		r.run(t, 0, "preview", "exec", "42", "web", "python3", "/mail.py")
		mail := strings.Replace(p.URL, "://", "://mail--", 1)
		if code, text := get(t, mail); code != 200 || !strings.Contains(text, "Reset your password") {
			t.Errorf("%s answers %d %.500s, want the page with the mail", mail, code, text)
		}
		if _, err := os.Stat(filepath.Join(r.dir, ".s3")); err == nil {
			t.Error("the preview has objects in the project's own folder")
		}
		r.git(t, "commit", "-q", "--allow-empty", "-m", "v1")
		r.git(t, "update-ref", "refs/pull/42/head", "HEAD")
		r.run(t, 0, "preview", "open", "42")
		if out := r.run(t, 0, "preview", "exec", "42", "web", "python3", "-c", puts); !strings.Contains(out, "of a preview") {
			t.Errorf("after a push the program in the preview printed %q", out)
		}
		r.run(t, 0, "preview", "sleep", "42")
		r.run(t, 0, "preview", "wake", "42")
		if out := r.run(t, 0, "preview", "exec", "42", "web", "python3", "-c", puts); !strings.Contains(out, "of a preview") {
			t.Errorf("after waking the program in the preview printed %q", out)
		}
		r.run(t, 0, "preview", "close", "42", "--yes")
		if left := r.things(t); len(left) > 0 {
			t.Errorf("after close there is %q", left)
		}
	})
}

// TestStandIns_Isolated: a stack that uses stand-ins is proven to need nothing else, and what it does with them is no attempt to get out.
func TestStandIns_Isolated(t *testing.T) {
	lab.EachInSoak(t, func(t *testing.T, e lab.Engine) {
		pruned(t, e)
		s := stacked(t, e)
		env := []string{"STRAKE_CACHE_DIR=" + t.TempDir()}
		if out, code := s.strake(t, env, "up", "--isolated"); code != 0 {
			t.Fatalf("up --isolated: exit %d, want a proof\n%s", code, out)
		}
		const puts = `import boto3, os
from botocore.config import Config
for style in ["path", "virtual"]:
    c = boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL_S3"], config=Config(s3={"addressing_style": style}))
    c.put_object(Bucket="uploads", Key=style, Body=b"x")`
		lab.Docker(t, e, "exec", s.name+"-isolated-web-1", "python3", "-c", puts)
		lab.Docker(t, e, "exec", s.name+"-isolated-web-1", "python3", "/mail.py")
		if r, code := s.report(t, env); code != 0 {
			t.Errorf("offline report: exit %d, want no attempt: %+v", code, r)
		}
		if out, code := s.strake(t, env, "down", "--isolated", "-t", "0"); code != 0 {
			t.Errorf("down --isolated: exit %d\n%s", code, out)
		}
	})
}
