package engine

import (
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/strake-dev/strake/compose"
)

// answering is an engine that answers each question with nothing, unless before does, and counts them.
func answering(t *testing.T, before func(w http.ResponseWriter, r *http.Request) bool) (e *Engine, requests func() []string) {
	t.Helper()
	host, requests := fakeEngineWith(t, "1.51", func(w http.ResponseWriter, r *http.Request) {
		switch {
		case before != nil && before(w, r):
		case strings.HasSuffix(r.URL.Path, "/info"), strings.HasSuffix(r.URL.Path, "/volumes"), strings.Contains(r.URL.Path, "/images/"):
			_, _ = w.Write([]byte("{}"))
		case r.Method == http.MethodGet:
			_, _ = w.Write([]byte("[]"))
		}
	})
	e, err := Open(t.Context(), Options{Host: host, Config: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e, requests
}

var (
	expectedScope = compose.Scope{Project: "shop", Containers: []string{"one", "two"}, Networks: []string{"net"}, Volumes: []string{"data"}, Images: []compose.ImageRef{{Ref: "web:1"}}}
	otherOrder    = compose.Scope{Project: "shop", Containers: []string{"two", "one"}, Networks: []string{"net"}, Volumes: []string{"data"}, Images: []compose.ImageRef{{Ref: "web:1"}}}
)

// asks are how many questions are asked for the scope: three of labels, three of names, one of an image, and one of what the engine is.
const asks = 8

func TestExpect_IsAskedOnce(t *testing.T) {
	e, requests := answering(t, nil)
	_ = requests()
	e.Learn(t.Context())
	e.Expect(t.Context(), compose.Scope{Project: "shop", Containers: expectedScope.Containers})
	e.Expect(t.Context(), compose.Scope{Networks: expectedScope.Networks, Volumes: expectedScope.Volumes, Images: expectedScope.Images})
	if _, err := e.Observe(t.Context(), otherOrder); err != nil {
		t.Fatal(err)
	}
	if got := requests(); len(got) != asks {
		t.Errorf("Observe after Expect asked %d times in all, want %d: %q", len(got), asks, got)
	}
	if _, err := e.Observe(t.Context(), otherOrder); err != nil {
		t.Fatal(err)
	}
	if got := requests(); len(got) != asks-1 { // what the engine is stays
		t.Errorf("the second Observe asked %d times, want %d: %q", len(got), asks-1, got)
	}
}

func TestExpect_IsNotBelieved(t *testing.T) {
	for name, do := range map[string]func(t *testing.T, e *Engine){
		"after Do": func(t *testing.T, e *Engine) {
			if err := e.Do(t.Context(), compose.Step{Op: compose.StopContainer, Target: "gone"}, nil); err != nil {
				t.Fatal(err)
			}
		},
		"after another Observe": func(t *testing.T, e *Engine) {
			if _, err := e.Observe(t.Context(), compose.Scope{Project: "another"}); err != nil {
				t.Fatal(err)
			}
		},
		"for another project": func(t *testing.T, e *Engine) {
			_ = e.expected.take()
			e.Expect(t.Context(), compose.Scope{Project: "another"})
		},
	} {
		t.Run(name, func(t *testing.T) {
			e, requests := answering(t, nil)
			e.Expect(t.Context(), expectedScope)
			do(t, e)
			e.learns.Wait()
			_ = requests()
			if _, err := e.Observe(t.Context(), expectedScope); err != nil {
				t.Fatal(err)
			}
			if got := slices.DeleteFunc(requests(), func(r string) bool { return strings.HasSuffix(r, "/info") }); len(got) != asks-1 {
				t.Errorf("Observe asked %d times, want %d: %q", len(got), asks-1, got)
			}
		})
	}
	t.Run("an error", func(t *testing.T) {
		var failing atomic.Bool
		e, _ := answering(t, func(w http.ResponseWriter, _ *http.Request) bool {
			if failing.Load() {
				w.WriteHeader(http.StatusInternalServerError)
			}
			return failing.Load()
		})
		failing.Store(true)
		e.Expect(t.Context(), expectedScope)
		e.learns.Wait()
		if _, err := e.Observe(t.Context(), expectedScope); err == nil {
			t.Error("Observe of an engine that fails = nil, want an error")
		}
		e.Expect(t.Context(), expectedScope)
		e.learns.Wait()
		failing.Store(false)
		if _, err := e.Observe(t.Context(), expectedScope); err != nil {
			t.Errorf("Observe = %v, want nil: the engine answers again", err)
		}
	})
}

func TestExpect_EndsWithClose(t *testing.T) {
	asked := make(chan struct{}, asks)
	e, _ := answering(t, func(_ http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/containers/json") {
			return false
		}
		asked <- struct{}{}
		<-r.Context().Done() // never answers
		return true
	})
	e.Expect(t.Context(), compose.Scope{Project: "shop"})
	<-asked
	known := e.expected.take()
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	for question, a := range known {
		if strings.HasPrefix(question, "containers") && a.err == nil {
			t.Errorf("%s = nil after Close, want an error", question)
		}
	}
}
