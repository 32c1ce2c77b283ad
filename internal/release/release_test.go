package release_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/release"
)

// services are those of the tests' project.
var services = []string{"api", "web", "worker"}

// errCut is what a request meets after the last that is let through.
var errCut = errors.New("the connection was cut")

// counted is a registry in this process; it counts requests and lets only some through.
type counted struct {
	sync.Mutex
	handler http.Handler
	asked   []string
	most    int // how many are let through; 0 is all
	wrote   int // how many of those wrote a manifest
}

// RoundTrip implements http.RoundTripper.
func (c *counted) RoundTrip(r *http.Request) (*http.Response, error) {
	c.Lock()
	c.asked = append(c.asked, r.Method+" "+r.URL.Path)
	over := c.most > 0 && len(c.asked) > c.most
	if !over && r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/manifests/") {
		c.wrote++
	}
	c.Unlock()
	if over {
		return nil, errCut
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	if r.Body == nil {
		r.Body = http.NoBody
	}
	answer := httptest.NewRecorder()
	c.handler.ServeHTTP(answer, r)
	said := answer.Result()
	said.Request = r
	return said, nil
}

// limit begins to count anew, and lets so many requests through; 0 is all.
func (c *counted) limit(most int) {
	c.Lock()
	defer c.Unlock()
	c.asked, c.most, c.wrote = nil, most, 0
}

// newRegistry is an empty registry.
func newRegistry(t *testing.T) (*release.Registry, *counted) {
	t.Helper()
	c := &counted{handler: registry.New(registry.Logger(log.New(io.Discard, "", 0)))}
	return c.open(t), c
}

// open is the registry as a process has it that has just begun.
func (c *counted) open(t *testing.T) *release.Registry {
	t.Helper()
	r, err := release.NewRegistry("localhost:5000/shop", c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// remove removes a manifest of the ledger's repository.
func (c *counted) remove(t *testing.T, which string) {
	t.Helper()
	c.removeFrom(t, release.LedgerRepository, which)
}

// removeFrom removes a manifest, or a tag, of a repository.
func (c *counted) removeFrom(t *testing.T, repository, which string) {
	t.Helper()
	answer := httptest.NewRecorder()
	c.handler.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodDelete, "/v2/shop/"+repository+"/manifests/"+which, nil))
	if answer.Code != http.StatusAccepted {
		t.Fatalf("delete %s: %s", which, answer.Body)
	}
}

// commitNumber is a commit of the tests' history.
func commitNumber(n int) string { return fmt.Sprintf("%040x", n+0xc0ffee00) }

// built pushes the images of a commit, and records them.
func built(t *testing.T, c *counted, n int) release.Build {
	t.Helper()
	b := release.Build{Commit: commitNumber(n), Tree: commitNumber(n + 1000), Subject: fmt.Sprintf("change %d", n), Images: map[string]string{}}
	for _, service := range services {
		image, err := random.Image(64, 1)
		if err != nil {
			t.Fatal(err)
		}
		ref, err := name.NewTag("localhost:5000/shop/" + service + ":" + b.Commit)
		if err != nil {
			t.Fatal(err)
		}
		if err := remote.Write(ref, image, remote.WithTransport(c)); err != nil {
			t.Fatal(err)
		}
		digest, err := image.Digest()
		if err != nil {
			t.Fatal(err)
		}
		b.Images[service] = digest.String()
	}
	b, err := c.open(t).Record(t.Context(), b, false)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// environments are those of the tests' project.
func environments() map[string]compose.EnvironmentSettings {
	return map[string]compose.EnvironmentSettings{"dev": {Tag: "latest"}, "prod": {Tag: "release", From: "dev"}, "dev-2": {Tag: "two"}}
}

func history(t *testing.T, r *release.Registry, environment string) release.History {
	t.Helper()
	h, err := r.History(t.Context(), environment, nil)
	if err != nil {
		t.Fatalf("History(%s) = %v", environment, err)
	}
	return h
}

func options() release.MoveOptions {
	return release.MoveOptions{Actor: "ada@example.org", Now: time.Now}
}

// promotion plans the promotion of a build to an environment.
func promotion(ctx context.Context, r *release.Registry, environment string, b release.Build) (have release.History, m release.Move, err error) {
	e := environments()[environment]
	tells := func(h release.History) bool { return h.Tells(services) }
	if have, err = r.History(ctx, environment, tells); err != nil {
		return have, m, err
	}
	var from release.History
	if e.From != "" {
		if from, err = r.History(ctx, e.From, tells); err != nil {
			return have, m, err
		}
	}
	m, err = release.Promotion(environment, e, have, from, b, time.Now())
	return have, m, err
}

// promote promotes a build to an environment.
func promote(ctx context.Context, r *release.Registry, environment string, b release.Build) error {
	have, m, err := promotion(ctx, r, environment, b)
	if err == nil {
		_, err = r.Run(ctx, have, m, options())
	}
	return err
}

// returning plans a rollback of an environment, to a commit where that is not "".
func returning(ctx context.Context, r *release.Registry, environment string, steps int, commit string) (release.History, release.Move, error) {
	plan := func(h release.History) (release.Move, error) {
		return release.Rollback(environment, environments()[environment], h, steps, commit)
	}
	have, err := r.History(ctx, environment, release.EnoughFor(plan))
	if err != nil {
		return have, release.Move{}, err
	}
	m, err := plan(have)
	return have, m, err
}

func rollback(ctx context.Context, r *release.Registry, environment string, steps int) error {
	have, m, err := returning(ctx, r, environment, steps, "")
	if err == nil {
		_, err = r.Run(ctx, have, m, options())
	}
	return err
}

// tags are the digests under a tag, by service.
func tags(t *testing.T, r *release.Registry, tag string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, service := range services {
		digest, err := r.Resolve(t.Context(), service, tag)
		if err != nil && !errors.Is(err, release.ErrAbsent) {
			t.Fatal(err)
		}
		if digest != "" {
			all[service] = digest
		}
	}
	return all
}

func TestRun_MovesTheSameDigestsForwardsAndBack(t *testing.T) {
	r, c := newRegistry(t)
	one, two := built(t, c, 1), built(t, c, 2)
	for _, b := range []release.Build{one, two} {
		for _, environment := range []string{"dev", "prod"} {
			c.limit(0)
			if err := promote(t.Context(), r, environment, b); err != nil {
				t.Fatalf("promote %s to %s = %v", b.Subject, environment, err)
			}
			if blobs, of := requestsOf(c.asked); blobs > 0 || of["web"] != 3 || of["api"] != 3 || of["worker"] != 3 {
				t.Errorf("promote %s to %s asked %v, want no blob and three requests for each service beside those that keep it", b.Subject, environment, c.asked)
			}
		}
	}
	if got := tags(t, r, "release"); !maps.Equal(got, two.Images) {
		t.Errorf("release is on %v, want %v", got, two.Images)
	}
	if got := tags(t, r, "prev-release"); !maps.Equal(got, one.Images) {
		t.Errorf("prev-release is on %v, want %v", got, one.Images)
	}
	if err := rollback(t.Context(), r, "prod", 1); err != nil {
		t.Fatal(err)
	}
	if got := tags(t, r, "release"); !maps.Equal(got, one.Images) {
		t.Errorf("after the rollback release is on %v, want %v", got, one.Images)
	}
	h := history(t, r, "prod")
	var said []string
	for _, e := range h.Releases() {
		said = append(said, string(e.Action)+" "+e.Subject)
	}
	if want := []string{"rollback change 1", "promote change 2", "promote change 1"}; !slices.Equal(said, want) {
		t.Errorf("the ledger says %v, want %v", said, want)
	}
}

func TestPromotion_Refusals(t *testing.T) {
	b := release.Build{Commit: commitNumber(1), Images: map[string]string{"web": "sha256:1"}}
	now := time.Now()
	runs := release.History{{Number: 2, Environment: "dev", Done: true, Commit: b.Commit, Images: b.Images, Time: now.Add(-time.Hour)}}
	e := compose.EnvironmentSettings{Tag: "release", From: "dev", Soak: 24 * time.Hour}
	other := b
	other.Commit = commitNumber(2)
	dirty := b
	dirty.Dirty = true
	foreign := b
	foreign.Foreign = true
	begun := release.History{{Number: 1, Environment: "dev", Action: release.Promoted, Commit: b.Commit, Images: b.Images, Time: now}}
	for name, c := range map[string]struct {
		build release.Build
		from  release.History
		want  string
	}{
		"soak": {b, runs, "wants 24h"}, "another commit": {other, runs, "which is"}, "dirty": {dirty, runs, "in no commit"},
		"foreign": {foreign, runs, "another repository"}, "nothing yet": {b, nil, "no release yet"}, "begun": {b, begun, "begun and is not done"},
	} {
		t.Run(name, func(t *testing.T) {
			var refused *release.PolicyError
			if _, err := release.Promotion("prod", e, nil, c.from, c.build, now); !errors.As(err, &refused) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Promotion = %v, want a refusal that says %q", err, c.want)
			}
		})
	}
	resumed := release.History{{Number: 1, Environment: "prod", Action: release.Promoted, Commit: b.Commit, Images: b.Images, Time: now}}
	later := release.History{{Number: 2, Environment: "dev", Action: release.Promoted, Done: true, Commit: other.Commit, Images: other.Images, Time: now}}
	if m, err := release.Promotion("prod", e, resumed, later, b, now); err != nil || m.Resumes == nil {
		t.Errorf("Promotion of what was begun, whatever dev runs by now = %v, want that it goes on", err)
	}
	if _, err := release.Promotion("prod", e, resumed, later, dirty, now); err == nil {
		t.Error("Promotion of another one than was begun = nil, want a refusal")
	}
	if _, err := release.Promotion("prod", e, nil, runs, b, now.Add(24*time.Hour)); err != nil {
		t.Errorf("Promotion after the soak = %v", err)
	}
}

func TestRun_LeavesATagAloneThatWasMovedByHand(t *testing.T) {
	r, c := newRegistry(t)
	one, two := built(t, c, 1), built(t, c, 2)
	if err := promote(t.Context(), r, "dev", one); err != nil {
		t.Fatal(err)
	}
	if err := r.Tag(t.Context(), "web", two.Images["web"], "latest"); err != nil {
		t.Fatal(err)
	}
	before := history(t, r, "dev")
	var drift *release.DriftError
	if err := promote(t.Context(), r, "dev", two); err != nil {
		t.Errorf("promote to what the tag is on already = %v", err)
	}
	if err := r.Tag(t.Context(), "web", one.Images["web"], "latest"); err != nil {
		t.Fatal(err)
	}
	three := built(t, c, 3)
	if err := promote(t.Context(), r, "dev", three); !errors.As(err, &drift) || drift.Service != "web" {
		t.Errorf("promote over a tag that was moved = %v, want a DriftError of web", err)
	}
	if h := history(t, r, "dev"); len(h) != len(before)+2 {
		t.Errorf("the ledger has %d entries, want %d: what was refused is none", len(h), len(before)+2)
	}
}

func TestRollback_GoesFurtherBackEachTime(t *testing.T) {
	var h release.History
	did := func(action release.Action, n int) {
		h = append(release.History{{Number: len(h) + 1, Environment: "prod", Done: true, Action: action, Commit: commitNumber(n), Images: map[string]string{"web": fmt.Sprint(n)}}}, h...)
	}
	back := func(steps int, commit string) string {
		m, err := release.Rollback("prod", environments()["prod"], h, steps, commit)
		if err != nil {
			return err.Error()
		}
		return m.Images["web"]
	}
	for n := range 4 {
		did(release.Promoted, n)
	}
	if got := back(1, ""); got != "2" {
		t.Errorf("one back from 3 is %s, want 2", got)
	}
	did(release.RolledBack, 2)
	if got := back(1, ""); got != "1" {
		t.Errorf("one back after a rollback to 2 is %s, want 1", got)
	}
	if got := back(1, commitNumber(3)); got != "3" {
		t.Errorf("back to what was rolled back is %s, want 3", got)
	}
	if got := back(5, ""); !strings.Contains(got, "there are 2") {
		t.Errorf("five back says %s, want how many there are", got)
	}
	did(release.Promoted, 4)
	if got := back(1, ""); got != "2" {
		t.Errorf("one back from 4, which came after 2, is %s, want 2", got)
	}
}
