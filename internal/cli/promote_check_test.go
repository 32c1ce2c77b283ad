package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestRunCheck_SeesNoHomeAndEndsWithWhatItStarted(t *testing.T) {
	s := Streams{Environ: []string{"PATH=" + os.Getenv("PATH"), "HOME=/root", "TOKEN=secret"}, Now: time.Now}
	dir, home := t.TempDir(), t.TempDir()
	if out, err := runCheck(t.Context(), s, dir, home, `echo "$HOME $TOKEN"; exit 3`); err == nil || out != home+" \n" {
		t.Errorf("a check sees %q (%v), want a home of its own and no variable that may be secret", out, err)
	}
	if out, err := runCheck(t.Context(), s, dir, home, `head -c 3000000 /dev/zero | tr '\\0' x; echo; echo end`); err != nil || !strings.HasSuffix(out, "end\n") || len(out) > 3*longestTail {
		t.Errorf("of a check that prints much %d bytes are kept (%v)", len(out), err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stopped")
	fifo := filepath.Join(dir, "fifo")
	if err := exec.Command("mkfifo", fifo).Run(); err != nil {
		t.Fatal(err)
	}
	go func() {
		f, err := os.Open(fifo) // until the grandchild is there
		if err == nil {
			_ = f.Close()
		}
		cancel(stop)
	}()
	began := time.Now()
	if _, err := runCheck(ctx, s, dir, home, `(exec 3>fifo; exec sleep 1000) & wait`); !errors.Is(err, stop) {
		t.Errorf("a check that is interrupted = %v", err)
	}
	if cut := time.Since(began); cut >= 5*time.Second { // WaitDelay, after which its output is not waited for any more
		t.Errorf("what the check started held its output for %s", cut)
	}
}

func TestGit_OfCommitsWithoutASubjectAndUnknownOnes(t *testing.T) {
	dir := t.TempDir()
	s := Streams{Environ: append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null"), Now: time.Now}
	for _, args := range [][]string{{"init", "-q"}, {"config", "log.showSignature", "true"},
		{"-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-q", "--allow-empty", "--allow-empty-message", "-m", ""}} {
		if _, err := gitSaid(t.Context(), s, dir, args...); err != nil {
			t.Fatal(err)
		}
	}
	f, err := factsOf(t.Context(), s, dir, "HEAD")
	if err != nil || f.Subject != "" || f.Author != "a@example.org" || len(f.ID) != 40 {
		t.Errorf("factsOf = %+v, %v", f, err)
	}
	if more, less, err := commitsApart(t.Context(), s, dir, f.ID, f.ID); err != nil || more == nil || len(more) != 0 || less == nil || len(less) != 0 {
		t.Errorf("commitsApart of a commit and itself = %#v, %#v, %v, want none", more, less, err)
	}
	if more, less, err := commitsApart(t.Context(), s, dir, strings.Repeat("a", 40), f.ID); err == nil || more != nil || less != nil {
		t.Errorf("commitsApart of one that is not there = %v, %v, %v, want an error", more, less, err)
	}
	sides := []string{"one", "two"}
	for i, name := range sides {
		commits := []string{"> " + name, "the same on both", "picked, and made to fit"}
		if i == 1 {
			commits[2] += "\n\n(cherry picked from commit " + sides[0] + ")" // which is its end, for a moment
		}
		if _, err := gitSaid(t.Context(), s, dir, "checkout", "-q", "--detach", f.ID); err != nil {
			t.Fatal(err)
		}
		for n, message := range commits {
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(n)), []byte(strings.Repeat(name, 1-n%2)), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, args := range [][]string{{"add", "-A"}, {"-c", "user.name=ada", "-c", "user.email=a@example.org", "commit", "-q", "-m", message}} {
				if _, err := gitSaid(t.Context(), s, dir, args...); err != nil {
					t.Fatal(err)
				}
			}
		}
		facts, err := factsOf(t.Context(), s, dir, "HEAD")
		if sides[i] = facts.ID; err != nil {
			t.Fatal(err)
		}
	}
	more, less, err := commitsApart(t.Context(), s, dir, sides[0], sides[1])
	if err != nil || len(more) != 3 || more[0].Commit != sides[1] || more[2].Subject != "> two" || more[2].Author != "ada" || len(less) != 1 || less[0].Subject != "> one" {
		t.Errorf("commitsApart of two sides = %q, %q, %v", more, less, err)
	}
}
