package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/strake-dev/strake/internal/release"
)

// onWriteOnce is what publishes to a registry that has a tag on another image already, and lets nobody write a tag twice.
func onWriteOnce(t *testing.T, b release.Build, tag string) (w *pushing, there, made string, said *bytes.Buffer) {
	t.Helper()
	mine := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "/manifests/"+tag) {
			head := httptest.NewRecorder()
			mine.ServeHTTP(head, httptest.NewRequestWithContext(r.Context(), http.MethodHead, r.URL.Path, nil))
			if head.Code == http.StatusOK {
				w.WriteHeader(http.StatusBadRequest)
				fmt.Fprint(w, `{"errors":[{"code":"TAG_INVALID","message":"the tag is immutable"}]}`)
				return
			}
		}
		mine.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	path := s.Listener.Addr().String() + "/shop"
	push := func(tag string) string {
		image, err := random.Image(64, 1)
		if err != nil {
			t.Fatal(err)
		}
		ref, err := name.NewTag(path + "/web:" + tag)
		if err == nil {
			err = remote.Write(ref, image)
		}
		if err != nil {
			t.Fatal(err)
		}
		digest, err := image.Digest()
		if err != nil {
			t.Fatal(err)
		}
		return digest.String()
	}
	there, made = push(tag), push("made")
	r, err := release.NewRegistry(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	said = &bytes.Buffer{}
	return &pushing{releasing: &releasing{registry: r}, streams: Streams{Out: said, Err: said}, build: b, inputs: map[string]string{"api": "a", "web": "w"}}, there, made, said
}

func TestPush_TakesNoImageOfAnotherRepositorysPullRequest(t *testing.T) {
	b := release.Build{Commit: strings.Repeat("a", 40)}
	w, there, made, _ := onWriteOnce(t, b, b.Commit)
	w.there = &release.Build{Commit: b.Commit, Foreign: true, PullRequest: 42, Images: map[string]string{"web": there}}
	if got, err := w.tagOne(t.Context(), "web", made); got != "" || !errors.Is(err, release.ErrWritten) || !strings.Contains(err.Error(), "pull request 42") {
		t.Errorf("tagOne over an image of another repository = %q, %v; want none, and that it is of pull request 42", got, err)
	}
	foreign := b
	foreign.Foreign = true
	w, _, made, _ = onWriteOnce(t, foreign, b.Commit)
	if got, err := w.tagOne(t.Context(), "web", made); got != made || err != nil {
		t.Errorf("tagOne of another repository's image = %q, %v; want %q, beside the tag of the commit", got, err, made)
	}
	if got, want := w.remote("web"), "/shop/web:foreign-"+b.Commit; !strings.HasSuffix(got, want) {
		t.Errorf("an image of another repository is sent as %s, want …%s", got, want)
	}
}

func TestPush_RecordsNoInputsOfAnImageThatWasThere(t *testing.T) {
	b := release.Build{Commit: strings.Repeat("a", 40)}
	w, there, made, said := onWriteOnce(t, b, b.Commit)
	if got, err := w.tagOne(t.Context(), "web", made); got != there || err != nil {
		t.Errorf("tagOne = %q, %v; want %q, which has the tag already", got, err, there)
	}
	if got, want := w.recorded(), map[string]string{"api": "a"}; !maps.Equal(got, want) || !strings.Contains(said.String(), "stays its image") {
		t.Errorf("inputs that are recorded are %v, want %v; it says %s", got, want, said)
	}
	w, there, _, said = onWriteOnce(t, b, b.Commit)
	if got, err := w.had(t.Context(), "web", there); got != there || err != nil || len(w.recorded()) != 2 || said.Len() > 0 {
		t.Errorf("had of the image that was built = %q, %v, with the inputs %v; want %q with both. it says %s", got, err, w.recorded(), there, said)
	}
}
