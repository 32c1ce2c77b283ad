package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestImagesWith_AsksAgain where an image went while the engine made its list.
func TestImagesWith_AsksAgain(t *testing.T) {
	for _, c := range []struct {
		status, fails, want int
	}{{http.StatusNotFound, 2, 3}, {http.StatusInternalServerError, 2, 1}, {http.StatusNotFound, 100, 5}} {
		asked := 0
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Api-Version", "1.51")
			if !strings.HasSuffix(r.URL.Path, "/images/json") {
				return
			}
			if asked++; asked <= c.fails {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(c.status)
				fmt.Fprint(w, `{"message":"failed to read config content: content digest sha256:d7: not found"}`)
				return
			}
			fmt.Fprint(w, `[{"Id":"sha256:a"}]`)
		}))
		e, err := Open(t.Context(), Options{Host: "tcp://" + server.Listener.Addr().String(), Config: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		images, err := e.ImagesWith(t.Context(), "some.label")
		if asked != c.want || (len(images) == 1) != (c.want == 3) || (err == nil) != (c.want == 3) {
			t.Errorf("of an engine that answers %d %d times it asked %d times and got %v, %v, want %d", c.status, c.fails, asked, images, err, c.want)
		}
		_ = e.Close() // everything was asked and answered
		server.Close()
	}
}

// TestImport_SaysThatItWasCalledOff, and not that there is no engine, as the client does.
func TestImport_SaysThatItWasCalledOff(t *testing.T) {
	interrupted := errors.New("interrupted")
	ctx, cancel := context.WithCancelCause(t.Context())
	layer, written := io.Pipe()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", "1.51")
		if strings.HasSuffix(r.URL.Path, "/images/create") {
			cancel(interrupted)
			_ = written.CloseWithError(interrupted) // never fails; the client waits for who writes
			_, _ = io.Copy(io.Discard, r.Body)      // until it breaks off
		}
	}))
	defer server.Close()
	e, err := Open(t.Context(), Options{Host: "tcp://" + server.Listener.Addr().String(), Config: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close() // it is a fake
	if err := e.Import(ctx, "none:1", layer, nil); err != interrupted {
		t.Errorf("Import that is called off = %v, want %v", err, interrupted)
	}
}
