//go:build lab

package main_test

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/strake-dev/strake/fixtures/lab"
)

// TestPreview_KilledAnywhere: an open, an update or a close that is killed at a random moment leaves nothing that sync does not put
// right: what is there afterwards is of previews that are listed, and of the generations that serve.
func TestPreview_KilledAnywhere(t *testing.T) {
	seeds := lab.Count(5, 60)
	lab.EachInSoak(t, func(t *testing.T, e lab.Engine) {
		pruned(t, e)
		r := newRepository(t, e)
		r.push(t, "first", "8000")
		begin := time.Now()
		r.run(t, 0, "preview", "open", "42")
		whole := time.Since(begin)
		r.run(t, 0, "preview", "close", "42", "--yes")
		for seed := range seeds {
			rnd := rand.New(rand.NewPCG(seed, 11))
			what, after := []string{"open", "update", "close"}[seed%3], time.Duration(rnd.Int64N(int64(whole)))
			if what != "open" {
				r.push(t, fmt.Sprint("before ", seed), "8000")
				r.run(t, 0, "preview", "open", "42")
			}
			text := fmt.Sprint("text ", seed)
			r.push(t, text, "8000")
			if what == "close" {
				r.killWith(t, after/4, "preview", "close", "42", "--yes")
			} else {
				r.killWith(t, after, "preview", "open", "42")
			}
			r.run(t, 0, "preview", "sync")
			r.isWhole(t, fmt.Sprintf("seed %d: %s killed after %s", seed, what, after))
			r.run(t, 0, "preview", "open", "42")
			var p shown
			if err := json.Unmarshal([]byte(r.run(t, 0, "preview", "show", "42", "--json")), &p); err != nil {
				t.Fatal(err)
			}
			if code, got := get(t, p.URL); code != 200 || got != text {
				t.Fatalf("seed %d: opened again it answers %d %q, want %q", seed, code, got, text)
			}
			r.run(t, 0, "preview", "close", "42", "--yes")
			if left := r.things(t); len(left) > 0 {
				t.Fatalf("seed %d: after close there is %q", seed, left)
			}
		}
	})
}

// killWith begins a command in the repository's environment and kills it after so long.
func (r repository) killWith(t *testing.T, after time.Duration, args ...string) {
	t.Helper()
	cmd := r.command(t, r.env, args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(after, func() { _ = cmd.Process.Kill() }) // it may have ended by itself
	defer timer.Stop()
	_ = cmd.Wait() // killed, or done
}

// isWhole looks that everything there is belongs to the generations that serve.
func (r repository) isWhole(t *testing.T, when string) {
	t.Helper()
	var all []shown
	if err := json.Unmarshal([]byte(r.run(t, 0, "preview", "list", "--json")), &all); err != nil {
		t.Fatal(err)
	}
	things := r.things(t)
	if len(all) == 0 && len(things) > 0 {
		t.Fatalf("%s: no preview is there, and %q", when, things)
	}
	for _, p := range all {
		p = r.show(t, r.run(t, 0, "preview", "show", p.ID, "--json"))
		if p.State == "ready" {
			if code, _ := get(t, p.URL); code != 200 {
				t.Errorf("%s: it says ready and answers %d", when, code)
			}
		}
		for _, thing := range things {
			what, name, _ := strings.Cut(thing, " ")
			if what == "image" || strings.HasPrefix(name, "strake-preview-") || p.Active == "" {
				continue
			}
			if !strings.HasPrefix(name, p.Active+"-") && !strings.HasPrefix(name, p.Active+"_") {
				t.Errorf("%s: %s is there, and %s serves", when, thing, p.Active)
			}
		}
		if !slices.Contains([]string{"ready", "failed"}, p.State) {
			t.Errorf("%s: it is %s, want it ready or failed", when, p.State)
		}
	}
}

// TestPreview_Restarts: an engine that restarts, or a gateway that is killed, has the addresses again by itself; who slept sleeps on.
func TestPreview_Restarts(t *testing.T) {
	e := lab.Private(t, lab.PrivateOptions{Images: true})
	pruned(t, e)
	r := newRepository(t, e)
	r.push(t, "awake", "8000")
	r.pushTo(t, "refs/pull/43/head", "sleeper", "8000")
	p := r.show(t, r.run(t, 0, "preview", "open", "42", "--json"))
	sleeper := r.show(t, r.run(t, 0, "preview", "open", "43", "--json"))
	r.run(t, 0, "preview", "sleep", "43")
	for _, restart := range []func(){
		func() {
			lab.Docker(t, e, "kill", "strake-gateway-proxy-1", "strake-gateway-controller-1")
			lab.Docker(t, e, "start", "strake-gateway-proxy-1", "strake-gateway-controller-1")
		},
		func() { e.Restart(t) },
	} {
		restart()
		if got := await(t, p.URL); got != "awake" {
			t.Errorf("after a restart the page is %q, want awake", got)
		}
		if n := lab.Docker(t, e, "ps", "-q", "--filter", "label=dev.strake.preview="+sleeper.Stack); n != "" {
			t.Errorf("after a restart these containers of one that sleeps run: %q", n)
		}
	}
	if got := await(t, sleeper.URL); got != "sleeper" {
		t.Errorf("a visit after restarts wakes %q, want sleeper", got)
	}
}

// await asks for a page until it is answered with 200.
func await(t *testing.T, url string) string {
	t.Helper()
	client := visitor()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for last := ""; ; {
		res, err := client.Get(url)
		if err == nil {
			var text []byte
			text, err = io.ReadAll(res.Body)
			res.Body.Close()
			if last = fmt.Sprint(res.Status, " ", string(text)); err == nil && res.StatusCode == 200 {
				return strings.TrimSpace(string(text))
			}
		} else {
			last = err.Error()
		}
		select {
		case <-deadline:
			t.Fatalf("%s is not answered with 200 for a minute: %s", url, last)
		case <-tick.C:
		}
	}
}
