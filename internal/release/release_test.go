package release_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"math/rand/v2"
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

// counted lets requests through to a registry and counts them.
type counted struct {
	sync.Mutex
	handler http.Handler // the registry's
	asked   []string
	most    int // how many are let through; 0 is all
}

// RoundTrip implements http.RoundTripper.
func (c *counted) RoundTrip(r *http.Request) (*http.Response, error) {
	c.Lock()
	c.asked = append(c.asked, r.Method+" "+r.URL.Path)
	over := c.most > 0 && len(c.asked) > c.most
	c.Unlock()
	if over {
		return nil, errCut
	}
	return http.DefaultTransport.RoundTrip(r)
}

// limit begins to count anew, and lets so many requests through; 0 is all.
func (c *counted) limit(most int) {
	c.Lock()
	defer c.Unlock()
	c.asked, c.most = nil, most
}

// newRegistry is an empty registry.
func newRegistry(t *testing.T) (*release.Registry, *counted) {
	t.Helper()
	c := &counted{handler: registry.New(registry.Logger(log.New(io.Discard, "", 0)))}
	server := httptest.NewServer(c.handler)
	t.Cleanup(server.Close)
	return c.open(t, strings.TrimPrefix(server.URL, "http://")+"/shop"), c
}

// open is the registry as a process has it that has just begun.
func (c *counted) open(t *testing.T, path string) *release.Registry {
	t.Helper()
	r, err := release.NewRegistry(path, c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// commitNumber is a commit of the tests' history.
func commitNumber(n int) string { return fmt.Sprintf("%040x", n+0xc0ffee00) }

// built pushes the images of a commit, and records them.
func built(t *testing.T, r *release.Registry, n int) release.Build {
	t.Helper()
	b := release.Build{Commit: commitNumber(n), Tree: commitNumber(n + 1000), Subject: fmt.Sprintf("change %d", n), Images: map[string]string{}}
	for _, service := range services {
		image, err := random.Image(64, 1)
		if err != nil {
			t.Fatal(err)
		}
		ref, err := name.NewTag(r.Path + "/" + service + ":" + b.Commit)
		if err != nil {
			t.Fatal(err)
		}
		if err := remote.Write(ref, image); err != nil {
			t.Fatal(err)
		}
		digest, err := image.Digest()
		if err != nil {
			t.Fatal(err)
		}
		b.Images[service] = digest.String()
	}
	if err := r.Record(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	return b
}

// environments are those of the tests' project.
func environments() map[string]compose.EnvironmentSettings {
	return map[string]compose.EnvironmentSettings{"dev": {Tag: "latest"}, "prod": {Tag: "release", From: "dev"}}
}

func history(t *testing.T, r *release.Registry, environment string) release.History {
	t.Helper()
	h, err := r.History(t.Context(), environment, 0)
	if err != nil {
		t.Fatalf("History(%s) = %v", environment, err)
	}
	return h
}

func options() release.MoveOptions {
	return release.MoveOptions{Actor: "ada@example.org", Now: time.Now}
}

// promote promotes a build to an environment.
func promote(ctx context.Context, r *release.Registry, environment string, b release.Build) error {
	e := environments()[environment]
	have, err := r.History(ctx, environment, 0)
	if err != nil {
		return err
	}
	var from release.History
	if e.From != "" {
		if from, err = r.History(ctx, e.From, 0); err != nil {
			return err
		}
	}
	m, err := release.Promotion(environment, e, have, from, b, time.Now())
	if err == nil {
		_, err = r.Run(ctx, have, m, options())
	}
	return err
}

func rollback(ctx context.Context, r *release.Registry, environment string, steps int) error {
	have, err := r.History(ctx, environment, 0)
	if err != nil {
		return err
	}
	m, err := release.Rollback(environment, environments()[environment], have, steps, "")
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
	one, two := built(t, r, 1), built(t, r, 2)
	for _, b := range []release.Build{one, two} {
		for _, environment := range []string{"dev", "prod"} {
			c.limit(0)
			if err := promote(t.Context(), r, environment, b); err != nil {
				t.Fatalf("promote %s to %s = %v", b.Subject, environment, err)
			}
			blobs := 0
			for _, asked := range c.asked {
				if strings.Contains(asked, "/blobs/") && !strings.Contains(asked, release.LedgerRepository) {
					blobs++
				}
			}
			of := map[string]int{}
			for _, asked := range c.asked {
				for _, service := range services {
					if strings.Contains(asked, "/shop/"+service+"/") {
						of[service]++
					}
				}
			}
			t.Logf("%d requests: %v of services", len(c.asked), of)
			if blobs > 0 || of["web"] > 5 {
				t.Errorf("promote %s to %s asked %v, want no blob and three requests for each service beside the two that keep it", b.Subject, environment, c.asked)
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
	begun := release.History{{Number: 1, Environment: "dev", Action: release.Promoted, Commit: b.Commit, Images: b.Images, Time: now}}
	for name, c := range map[string]struct {
		build release.Build
		from  release.History
		want  string
	}{
		"soak": {b, runs, "wants 24h"}, "another commit": {other, runs, "which is"}, "dirty": {dirty, runs, "in no commit"},
		"nothing yet": {b, nil, "no release yet"}, "begun": {b, begun, "begun and is not done"},
	} {
		t.Run(name, func(t *testing.T) {
			var refused *release.PolicyError
			if _, err := release.Promotion("prod", e, nil, c.from, c.build, now); !errors.As(err, &refused) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Promotion = %v, want a refusal that says %q", err, c.want)
			}
		})
	}
	if _, err := release.Promotion("prod", e, nil, runs, b, now.Add(24*time.Hour)); err != nil {
		t.Errorf("Promotion after the soak = %v", err)
	}
}

func TestRun_LeavesATagAloneThatWasMovedByHand(t *testing.T) {
	r, _ := newRegistry(t)
	one, two := built(t, r, 1), built(t, r, 2)
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
	three := built(t, r, 3)
	if err := promote(t.Context(), r, "dev", three); !errors.As(err, &drift) || drift.Service != "web" {
		t.Errorf("promote over a tag that was moved = %v, want a DriftError of web", err)
	}
	if h := history(t, r, "dev"); len(h) != len(before)+2 {
		t.Errorf("the ledger has %d entries, want %d: what was refused is none", len(h), len(before)+2)
	}
}

func TestHistory_SaysWhereItIsBroken(t *testing.T) {
	r, c := newRegistry(t)
	for n := range 3 {
		if err := promote(t.Context(), r, "dev", built(t, r, n)); err != nil {
			t.Fatal(err)
		}
	}
	h := history(t, r, "dev")
	req := httptest.NewRequestWithContext(t.Context(), http.MethodDelete, "/v2/shop/"+release.LedgerRepository+"/manifests/"+h[2].Previous, nil)
	answer := httptest.NewRecorder()
	c.handler.ServeHTTP(answer, req)
	if answer.Code != http.StatusAccepted {
		t.Fatalf("delete an entry: %s", answer.Body)
	}
	var broken *release.BrokenError
	if got, err := r.History(t.Context(), "dev", 0); !errors.As(err, &broken) || broken.Number != h[2].Number-1 || len(got) != 3 {
		t.Errorf("History = %d entries, %v, want those after the one that is gone, and its number %d", len(got), err, h[2].Number-1)
	}
}

// TestRun_CutAtEveryRequest: whatever request is the last of a promotion, nobody takes what it leaves for a release that is whole, and the same again
// completes it.
func TestRun_CutAtEveryRequest(t *testing.T) {
	r, c := newRegistry(t)
	one := built(t, r, 1)
	if err := promote(t.Context(), r, "dev", one); err != nil {
		t.Fatal(err)
	}
	c.limit(0)
	last := built(t, r, 2)
	c.limit(0)
	if err := promote(t.Context(), r, "dev", last); err != nil {
		t.Fatal(err)
	}
	all := len(c.asked)
	for i := 1; i < all; i++ {
		next := built(t, r, 2+i)
		c.limit(i)
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		err := promote(ctx, c.open(t, r.Path), "dev", next)
		cancel()
		c.limit(0)
		if err == nil {
			t.Fatalf("cut after %d of %d requests it says that it is done", i, all)
		}
		h, now := history(t, r, "dev"), tags(t, r, "latest")
		if current, ok := h.Current(); ok && !maps.Equal(current.Images, now) {
			t.Errorf("cut after %d of %d requests the ledger says %s, and the tags are on %v", i, all, current.Subject, now)
		}
		if err := promote(t.Context(), c.open(t, r.Path), "dev", next); err != nil {
			t.Fatalf("cut after %d of %d requests the same again = %v", i, all, err)
		}
		current, ok := history(t, r, "dev").Current()
		if now := tags(t, r, "latest"); !ok || current.Commit != next.Commit || !maps.Equal(now, next.Images) {
			t.Errorf("cut after %d of %d requests and then again: %+v, tags on %v", i, all, current, now)
		}
		if kept := tags(t, r, "prev-latest"); !maps.Equal(kept, last.Images) {
			t.Errorf("cut after %d of %d requests and then again prev-latest is on %v, want %v", i, all, kept, last.Images)
		}
		last = next
	}
}

// TestMoves_OfAnyKindLeaveOneReleaseOrSayThatNot: random builds, promotions and rollbacks, of which some are cut off.
func TestMoves_OfAnyKindLeaveOneReleaseOrSayThatNot(t *testing.T) {
	for seed := range uint64(5) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 7))
			r, c := newRegistry(t)
			var builds []release.Build
			for n := range 40 {
				if len(builds) == 0 || random.IntN(4) == 0 {
					builds = append(builds, built(t, r, n))
				}
				if random.IntN(3) == 0 {
					c.limit(1 + random.IntN(30))
				}
				client := c.open(t, r.Path)
				environment := []string{"dev", "prod"}[random.IntN(2)]
				var err error
				if random.IntN(4) == 0 {
					err = rollback(t.Context(), client, environment, 1+random.IntN(2))
				} else {
					err = promote(t.Context(), client, environment, builds[random.IntN(len(builds))])
				}
				c.limit(0)
				for name, e := range environments() {
					now := tags(t, r, e.Tag)
					if current, ok := history(t, r, name).Current(); ok && !maps.Equal(current.Images, now) {
						t.Fatalf("step %d (%v): %s has %s as its release, and its tags are on %v", n, err, name, current.Subject, now)
					}
				}
			}
		})
	}
}

func TestRollback_GoesFurtherBackEachTime(t *testing.T) {
	var h release.History
	did := func(action release.Action, n int) {
		h = append(release.History{{Environment: "prod", Done: true, Action: action, Commit: commitNumber(n), Images: map[string]string{"web": fmt.Sprint(n)}}}, h...)
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
