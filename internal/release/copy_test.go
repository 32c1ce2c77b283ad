package release_test

import (
	"bytes"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"

	"github.com/strake-dev/strake/internal/release"
)

// cutOff is an error that AWS's SDK takes for the end, and does not ask again after.
type cutOff struct{ error }

// Unwrap is why.
func (c cutOff) Unwrap() error { return c.error }

// CanceledError is true.
func (c cutOff) CanceledError() bool { return true }

// cutting lets so many requests through, and then none.
type cutting struct {
	left atomic.Int64
	sent atomic.Int64 // uploads of blobs that were begun
}

// RoundTrip implements http.RoundTripper.
func (c *cutting) RoundTrip(r *http.Request) (*http.Response, error) {
	if c.left.Add(-1) < 0 {
		return nil, cutOff{errCut}
	}
	if r.Method == http.MethodPatch {
		c.sent.Add(1)
	}
	return http.DefaultTransport.RoundTrip(r)
}

// through is a registry that is asked through a transport.
func through(t *testing.T, address string, client http.RoundTripper) *release.Registry {
	t.Helper()
	r, err := release.NewRegistry(address+"/prod", client)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// contractOfCopies copies an image and an index to another registry, cut off after ever more requests, by a step, until it is whole.
func contractOfCopies(t *testing.T, step int64, from *release.Registry, open func(client http.RoundTripper) *release.Registry) {
	image, index := some(t)
	if err := errors.Join(from.Push(t.Context(), "web", "latest", image), from.Push(t.Context(), "api", "latest", index)); err != nil {
		t.Fatal(err)
	}
	images := map[string]string{}
	for _, service := range []string{"api", "web"} {
		digest, err := from.Resolve(t.Context(), service, "latest")
		if err != nil {
			t.Fatal(err)
		}
		images[service] = digest
	}
	cuts, sent := 0, int64(0)
	for n := int64(1); ; n += step {
		c := &cutting{}
		c.left.Store(n)
		var last release.Copied
		err := open(c).Copy(t.Context(), from, images, func(service string, at release.Copied) {
			if service == "web" {
				last = release.Copied{Done: max(last.Done, at.Done), Total: at.Total}
			}
		})
		sent += c.sent.Load()
		if err == nil {
			break
		}
		if cuts++; !errors.Is(err, errCut) && !strings.Contains(err.Error(), errCut.Error()) || cuts > 200 {
			t.Fatalf("copy that is cut after %d requests = %v", n, err)
		}
		if last.Done > last.Total {
			t.Errorf("copied %d of %d bytes", last.Done, last.Total)
		}
	}
	t.Logf("%d copies were cut off, %d blobs were sent", cuts, sent)
	to := open(http.DefaultTransport)
	for service, digest := range images {
		want, err := from.Raw(t.Context(), service, digest)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := to.Raw(t.Context(), service, digest); err != nil || !bytes.Equal(got, want) || cuts == 0 {
			t.Errorf("the copy of %s is %s, %v after %d cuts; want %s", service, got, err, cuts, want)
		}
	}
	if err := to.Copy(t.Context(), from, map[string]string{"web": "sha256:" + strings.Repeat("0", 64)}, nil); !errors.Is(err, release.ErrAbsent) {
		t.Errorf("copy of what is not there = %v, want absent", err)
	}
}

// inProcess is a registry of this process.
func inProcess(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func TestCopy_GoesOnWhereItWasCutOff(t *testing.T) {
	from, to := through(t, inProcess(t), nil), inProcess(t)
	contractOfCopies(t, 3, from, func(client http.RoundTripper) *release.Registry { return through(t, to, client) })
}

func TestCopy_RunsAnEnvironmentFromARegistryOfItsOwn(t *testing.T) {
	r, c := newRegistry(t)
	b := built(t, c, 1)
	to := through(t, inProcess(t), nil)
	have, m, err := promotion(t.Context(), r, "dev", b)
	if err != nil {
		t.Fatal(err)
	}
	o := options()
	o.Images = to
	if _, err := r.Run(t.Context(), have, m, o); !errors.Is(err, release.ErrAbsent) {
		t.Errorf("Run before the copy = %v, want absent", err)
	}
	if err := to.Copy(t.Context(), r, b.Images, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Run(t.Context(), have, m, o); err != nil {
		t.Fatal(err)
	}
	if here, there := tags(t, r, "latest"), tags(t, to, "latest"); len(here) != 0 || len(there) != len(services) {
		t.Errorf("latest is on %v at home and on %v in the environment's registry, want none and all", here, there)
	}
	if there := tags(t, to, b.Commit); len(there) != len(services) { // else what keeps an image is all that it has
		t.Errorf("the commit's tag is on %v in the environment's registry, want all", there)
	}
	if h := history(t, r, "dev"); len(h.Releases()) != 1 {
		t.Errorf("the ledger at home has %d releases, want 1", len(h.Releases()))
	}
}
