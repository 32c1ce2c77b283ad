package release_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/strake-dev/strake/internal/release"
)

// contract is what releases want of a registry, whichever it is. open is that registry as a process has it that has just begun; it has the repositories of
// the tests' services, and nothing in them.
func contract(t *testing.T, open func(*testing.T) *release.Registry) {
	t.Run("what is not there is absent", func(t *testing.T) {
		r := open(t)
		_, err := r.Resolve(t.Context(), "web", "nobody-wrote-it")
		_, buildErr := r.Build(t.Context(), commitNumber(99))
		if !errors.Is(err, release.ErrAbsent) || !errors.Is(buildErr, release.ErrAbsent) || len(history(t, r, "dev")) > 0 {
			t.Errorf("Resolve = %v, Build = %v, want both absent, and no history", err, buildErr)
		}
	})
	t.Run("a tag goes on the same bytes", func(t *testing.T) {
		r := open(t)
		image, index := some(t)
		for kind, made := range map[string]remote.Taggable{"image": image, "index": index} {
			from, to := "pr-1"+kind, "pr-2"+kind
			if err := r.Push(t.Context(), "web", from, made); err != nil {
				t.Fatalf("push of an %s = %v", kind, err)
			}
			want, err := made.RawManifest()
			if err != nil {
				t.Fatal(err)
			}
			for range 2 { // again is as good
				if err := open(t).Tag(t.Context(), "web", from, to); err != nil {
					t.Fatalf("Tag(%s) = %v", to, err)
				}
			}
			got, err := r.Raw(t.Context(), "web", to)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s is %s, %v; want what was pushed, %s", to, got, err, want)
			}
		}
	})
	t.Run("who records first has recorded", func(t *testing.T) {
		one, two := published(t, open(t), 1), published(t, open(t), 1)
		first, err := open(t).Record(t.Context(), one, false)
		if err != nil || !maps.Equal(first.Images, one.Images) {
			t.Fatalf("Record = %+v, %v", first, err)
		}
		if second, err := open(t).Record(t.Context(), two, false); err != nil || !maps.Equal(second.Images, one.Images) {
			t.Errorf("the second Record = %v, %v; want the first one's %v", second.Images, err, one.Images)
		}
		if replaced, err := open(t).Record(t.Context(), two, true); err != nil || !maps.Equal(replaced.Images, two.Images) {
			t.Errorf("Record that replaces = %v, %v; want %v", replaced.Images, err, two.Images)
		}
		if of, err := open(t).BuildOfTree(t.Context(), one.Tree); err != nil || of.Commit != one.Commit {
			t.Errorf("BuildOfTree = %+v, %v", of, err)
		}
	})
	t.Run("moves go forwards and back", func(t *testing.T) { contractOfMoves(t, open) })
}

func contractOfMoves(t *testing.T, open func(*testing.T) *release.Registry) {
	var builds []release.Build
	for n := range 2 {
		b, err := open(t).Record(t.Context(), published(t, open(t), 10+n), false)
		if err != nil {
			t.Fatal(err)
		}
		builds = append(builds, b)
		for _, environment := range []string{"dev", "prod"} {
			if err := promote(t.Context(), open(t), environment, b); err != nil {
				t.Fatalf("promote %s to %s = %v", b.Subject, environment, err)
			}
		}
	}
	if err := rollback(t.Context(), open(t), "prod", 1); err != nil {
		t.Fatal(err)
	}
	r := open(t)
	got := map[string]map[string]string{}
	for _, tag := range []string{"latest", "release", "prev-release", "keep-prod-" + builds[1].Commit} {
		got[tag] = tags(t, r, tag)
	}
	if !maps.Equal(got["release"], builds[0].Images) || !maps.Equal(got["prev-release"], builds[1].Images) || !maps.Equal(got["latest"], builds[1].Images) || !maps.Equal(got["keep-prod-"+builds[1].Commit], builds[1].Images) {
		t.Errorf("tags are on %v, want release on %v and the others on %v", got, builds[0].Images, builds[1].Images)
	}
	if h := history(t, r, "prod"); len(h) != 6 || len(h.Line()) != 1 {
		t.Errorf("the ledger has %d entries and %d to go back to, want 6 and 1", len(h), len(h.Line()))
	}
	// Two who looked at the same ledger: one of them moves.
	have, m, err := promotion(t.Context(), r, "prod", builds[1])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Run(t.Context(), have, m, options()); err != nil {
		t.Fatal(err)
	}
	other := options()
	other.Actor = "bob@example.org"
	var held *release.ConflictError
	if _, err := open(t).Run(t.Context(), have, m, other); !errors.As(err, &held) {
		t.Errorf("Run by what was there before = %v, want a *ConflictError", err)
	}
}

// some are an image, and an index of two platforms.
func some(t *testing.T) (v1.Image, v1.ImageIndex) {
	t.Helper()
	image, err := random.Image(300, 2)
	if err != nil {
		t.Fatal(err)
	}
	index, err := random.Index(200, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	return image, index
}

// published pushes images of a commit, and does not record them.
func published(t *testing.T, r *release.Registry, n int) release.Build {
	t.Helper()
	b := release.Build{Commit: commitNumber(n), Tree: commitNumber(n + 1000), Subject: fmt.Sprintf("change %d", n), Images: map[string]string{}}
	for _, service := range services {
		image, _ := some(t)
		digest, err := image.Digest()
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Push(t.Context(), service, "pr-"+digest.Hex[:12], image); err != nil {
			t.Fatal(err)
		}
		b.Images[service] = digest.String()
	}
	return b
}

func TestContract_InThisProcess(t *testing.T) {
	s := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(s.Close)
	contract(t, func(t *testing.T) *release.Registry {
		t.Helper()
		r, err := release.NewRegistry(s.Listener.Addr().String()+"/shop", http.DefaultTransport)
		if err != nil {
			t.Fatal(err)
		}
		return r
	})
}
