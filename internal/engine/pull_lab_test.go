//go:build lab

package engine_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/fixtures/lab"
	"github.com/strake-dev/strake/internal/engine"
)

// shop is a registry that wants a password, and an image in it that the engine does not have.
type shop struct {
	t      *testing.T
	lab    lab.Engine
	server *httptest.Server
	host   string
	ref    string

	mu        sync.Mutex
	manifests int // how often a manifest was asked for by its tag
}

const shopUser, shopPassword = "user", "pa55word"

// newShop fills a registry. Where public, it wants no password.
func newShop(t *testing.T, on lab.Engine, public bool) *shop {
	t.Helper()
	behind := lab.Registry(t)
	target, err := url.Parse("http://" + behind)
	if err != nil {
		t.Fatal(err)
	}
	s := &shop{t: t, lab: on}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	s.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); !public && (user != shopUser || password != shopPassword) {
			w.Header().Set("WWW-Authenticate", `Basic realm="shop"`)
			http.Error(w, `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`, http.StatusUnauthorized)
			return
		}
		if strings.HasSuffix(r.URL.Path, "/manifests/v1") {
			s.mu.Lock()
			s.manifests++
			s.mu.Unlock()
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(s.server.Close)
	s.host = strings.TrimPrefix(s.server.URL, "http://")
	name := lab.Name(t)
	s.ref = s.host + "/" + name + ":v1"
	lab.Docker(t, on, "tag", "strake-lab/busybox:1", behind+"/"+name+":v1")
	lab.Docker(t, on, "push", behind+"/"+name+":v1")
	lab.Docker(t, on, "rmi", behind+"/"+name+":v1")
	cleaner := open(t, on, t.TempDir())
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context()) // cancelled when cleanups run
		if err := cleaner.Do(ctx, compose.Step{Op: compose.RemoveImage, Target: s.ref}, nil); err != nil {
			t.Error(err)
		}
	})
	return s
}

// config is a folder with a Docker configuration.
func config(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// loggedIn is a configuration that has the shop's password.
func (s *shop) loggedIn() string {
	return config(s.t, fmt.Sprintf(`{"auths": {%q: {"auth": %q}}}`, s.host, base64.StdEncoding.EncodeToString([]byte(shopUser+":"+shopPassword))))
}

// TestMain puts a folder for the credential helpers of tests into PATH.
func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "strake-helpers-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	os.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	code := m.Run()
	_ = os.RemoveAll(dir) // it is in the system's folder for such things
	os.Exit(code)
}

// helper puts a credential helper into the folder that is in PATH for it, which has the shop's password, and returns a configuration that names it and
// a function that counts how often it was asked.
func (s *shop) helper() (folder string, asked func() int) {
	dir, _, _ := strings.Cut(os.Getenv("PATH"), string(os.PathListSeparator))
	log := filepath.Join(s.t.TempDir(), "log")
	name := lab.Name(s.t)
	script := fmt.Sprintf("#!/bin/sh\nread host\necho \"$host\" >> %s\nprintf '{\"ServerURL\":\"%%s\",\"Username\":\"%s\",\"Secret\":\"%s\"}' \"$host\"\n", log, shopUser, shopPassword)
	if err := os.WriteFile(filepath.Join(dir, "docker-credential-"+name), []byte(script), 0o755); err != nil {
		s.t.Fatal(err)
	}
	return config(s.t, fmt.Sprintf(`{"credsStore": %q}`, name)), func() int {
		text, err := os.ReadFile(log)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			s.t.Fatal(err)
		}
		return strings.Count(string(text), "\n")
	}
}

// pull pulls the shop's image and returns all events.
func pull(ctx context.Context, e *engine.Engine, ref string, present bool) ([]compose.Event, error) {
	var events []compose.Event
	err := e.Do(ctx, compose.Step{Op: compose.PullImage, Image: &compose.ImageStep{ImageRef: compose.ImageRef{Ref: ref}, Present: present}},
		func(ev compose.Event) { events = append(events, ev) })
	return events, err
}

func TestPull_FetchesAndSeesThatNothingChanged(t *testing.T) {
	lab.Each(t, func(t *testing.T, on lab.Engine) {
		s := newShop(t, on, true)
		e := open(t, on, t.TempDir())
		events, err := pull(t.Context(), e, s.ref, false)
		if err != nil {
			t.Fatal(err)
		}
		if last := events[len(events)-1]; last.Unchanged {
			t.Error("a first pull said that the image is unchanged")
		}
		events, err = pull(t.Context(), e, s.ref, true)
		if err != nil {
			t.Fatal(err)
		}
		if last := events[len(events)-1]; !last.Unchanged {
			t.Error("a second pull said that the image changed")
		}
	})
}

func TestPull_TakesCredentialsFromDockersConfiguration(t *testing.T) {
	lab.Each(t, func(t *testing.T, on lab.Engine) {
		s := newShop(t, on, false)
		broken := "pull image " + s.ref + ": credential helper docker-credential-nowhere, which "
		for _, c := range []struct{ name, config, text, hint string }{
			{"none", t.TempDir(), "pull image " + s.ref + ": " + s.host + " wants authentication", "run docker login " + s.host},
			{"missing helper", config(t, `{"credsStore": "nowhere"}`), broken, "install docker-credential-nowhere"},
		} {
			_, err := pull(t.Context(), open(t, on, c.config), s.ref, false)
			var hinted compose.Hinted
			if !errors.As(err, &hinted) || !strings.HasPrefix(err.Error(), c.text) || !strings.HasPrefix(hinted.Hint(), c.hint) {
				t.Errorf("%s: pull = %v, want %s and the hint %s", c.name, err, c.text, c.hint)
			}
		}
		if _, err := pull(t.Context(), open(t, on, s.loggedIn()), s.ref, false); err != nil {
			t.Errorf("pull with a password in auths: %v", err)
		}
		lab.Docker(t, on, "rmi", s.ref)
		helper, asked := s.helper()
		if _, err := pull(t.Context(), open(t, on, helper), s.ref, false); err != nil || asked() != 1 {
			t.Errorf("pull with a helper: %v; it was asked %d times, want 1", err, asked())
		}
	})
}

func TestPull_TwoAtOnceAreOne(t *testing.T) {
	lab.Each(t, func(t *testing.T, on lab.Engine) {
		s := newShop(t, on, false)
		helper, asked := s.helper()
		e := open(t, on, helper)
		var group sync.WaitGroup
		errs := make([]error, 4)
		begin := make(chan struct{})
		for i := range errs {
			group.Go(func() {
				<-begin
				_, errs[i] = pull(t.Context(), e, s.ref, false)
			})
		}
		close(begin)
		group.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		if n := asked(); n != 1 {
			t.Errorf("the helper was asked %d times, want 1", n)
		}
	})
}

func TestPull_WithoutNetworkUsesWhatIsHere(t *testing.T) {
	lab.Each(t, func(t *testing.T, on lab.Engine) {
		s := newShop(t, on, true)
		e := open(t, on, t.TempDir())
		if _, err := pull(t.Context(), e, s.ref, false); err != nil {
			t.Fatal(err)
		}
		s.server.Close()
		events, err := pull(t.Context(), e, s.ref, true)
		if err != nil {
			t.Fatal(err)
		}
		last := events[len(events)-1]
		if want := s.host + " does not answer: " + s.ref + " is used as it is here"; last.Kind != compose.StepWarning || !last.Unchanged || last.Text != want {
			t.Errorf("last event = %+v, want an unchanged warning %q", last, want)
		}
		_, err = pull(t.Context(), e, s.host+"/other:1", false)
		var hinted compose.Hinted
		if !errors.As(err, &hinted) || !strings.Contains(err.Error(), s.host+" does not answer (connection refused)") {
			t.Errorf("pull = %v, want that the registry does not answer", err)
		}
	})
}

func TestPull_SaysWhatIsAbsent(t *testing.T) {
	lab.Each(t, func(t *testing.T, on lab.Engine) {
		s := newShop(t, on, true)
		e := open(t, on, t.TempDir())
		for _, ref := range []string{strings.Replace(s.ref, ":v1", ":v9", 1), s.host + "/nothing:1"} {
			_, err := pull(t.Context(), e, ref, false)
			var hinted compose.Hinted
			if !errors.As(err, &hinted) || err.Error() != "pull image "+ref+": "+s.host+" has no such image or tag" {
				t.Errorf("pull = %v, want that there is no such image", err)
			}
		}
	})
}

func TestBuild_AsksForCredentialsOnlyWhenItFetches(t *testing.T) {
	lab.Each(t, func(t *testing.T, on lab.Engine) {
		s := newShop(t, on, false)
		b := newBench(t, on)
		helper, asked := s.helper()
		b.e = open(t, on, helper)
		*b.p.Services["web"].Build = types.BuildConfig{Context: b.dir, DockerfileInline: small + "RUN echo local\n"}
		b.mustBuild("web")
		if n := asked(); n != 0 {
			t.Errorf("a build on a local image asked the helper %d times", n)
		}
		*b.p.Services["web"].Build = types.BuildConfig{Context: b.dir, DockerfileInline: "FROM " + s.ref + "\nRUN echo fetched\n"}
		b.mustBuild("web")
		if asked() == 0 {
			t.Error("a build on an image of a registry did not ask the helper")
		}
		b.e = open(t, on, t.TempDir())
		*b.p.Services["web"].Build = types.BuildConfig{Context: b.dir, DockerfileInline: "\nFROM " + strings.Replace(s.ref, ":v1", ":v2", 1) + "\n"}
		_, err := b.build(t.Context(), "web", nil)
		if err == nil || !strings.Contains(err.Error(), "dockerfile_inline of service web:2: pull base image ") {
			t.Errorf("build without credentials = %v", err)
		}
	})
}

func TestBuild_WithoutNetworkUsesTheBaseThatIsHere(t *testing.T) {
	lab.Each(t, func(t *testing.T, on lab.Engine) {
		s := newShop(t, on, true)
		b := newBench(t, on)
		if _, err := pull(t.Context(), b.e, s.ref, false); err != nil {
			t.Fatal(err)
		}
		s.server.Close()
		*b.p.Services["web"].Build = types.BuildConfig{Context: b.dir, DockerfileInline: "FROM " + s.ref + "\nRUN echo " + s.host + "\n"}
		if _, err := b.build(t.Context(), "web", func(i *compose.ImageStep) { i.Pull = true }); err != nil {
			t.Fatal(err)
		}
		warned := 0
		for _, ev := range b.notes {
			if ev.Kind == compose.StepWarning {
				warned++
			}
		}
		if warned != 1 {
			t.Errorf("%d warnings, want 1: %+v", warned, b.notes)
		}
	})
}
