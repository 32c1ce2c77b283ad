package release_test

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/strake-dev/strake/internal/release"
)

// requestsOf counts those that are about blobs, and those of each service that are not about what is kept.
func requestsOf(asked []string) (blobs int, of map[string]int) {
	of = map[string]int{}
	for _, one := range asked {
		if strings.Contains(one, "/blobs/") && !strings.Contains(one, release.LedgerRepository) {
			blobs++
		}
		for _, service := range services {
			if strings.Contains(one, "/shop/"+service+"/") && !strings.Contains(one, "/keep-") && !strings.Contains(one, "/prev-") {
				of[service]++
			}
		}
	}
	return blobs, of
}

// meeting is a registry that answers requests for a tag when all services have asked for it.
type meeting struct {
	*counted
	tag string
	all sync.WaitGroup
}

// RoundTrip implements http.RoundTripper.
func (m *meeting) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "/manifests/"+m.tag) {
		m.all.Done()
		m.all.Wait()
	}
	return m.counted.RoundTrip(r)
}

func TestRun_MovesServicesInParallel(t *testing.T) {
	_, c := newRegistry(t)
	b := built(t, c, 1)
	synctest.Test(t, func(t *testing.T) { // which finds that all wait for each other
		m := &meeting{counted: c, tag: "latest"}
		m.all.Add(len(services))
		r, err := release.NewRegistry("localhost:5000/shop", m)
		if err == nil {
			err = promote(t.Context(), r, "dev", b)
		}
		if err != nil {
			t.Error(err)
		}
	})
}

func TestRun_KeepsTheLastFiveReleases(t *testing.T) {
	r, c := newRegistry(t)
	var builds []release.Build
	for n := range 8 {
		b := built(t, c, n)
		builds = append(builds, b)
		if err := promote(t.Context(), r, "dev", b); err != nil {
			t.Fatal(err)
		}
	}
	if err := promote(t.Context(), r, "prod", builds[7]); err != nil {
		t.Fatal(err)
	}
	kept := func(environment string) (all []int) {
		for n, b := range builds {
			if has := tags(t, r, "keep-"+environment+"-"+b.Commit); len(has) == len(services) {
				all = append(all, n)
			} else if len(has) > 0 {
				t.Errorf("of %s %v is kept", b.Subject, has)
			}
		}
		return all
	}
	if got := kept("dev"); !slices.Equal(got, []int{3, 4, 5, 6, 7}) {
		t.Errorf("dev keeps %v, want the last five", got)
	}
	if err := rollback(t.Context(), r, "dev", 6); err != nil { // to one that is not kept any more, whose images are there
		t.Fatal(err)
	}
	if got := kept("dev"); !slices.Equal(got, []int{1, 4, 5, 6, 7}) {
		t.Errorf("after a rollback dev keeps %v, want the last five", got)
	}
	if got := kept("prod"); !slices.Equal(got, []int{7}) {
		t.Errorf("prod keeps %v, want its own release whatever dev does", got)
	}
	if err := r.Tag(t.Context(), "web", builds[0].Images["web"], "keep-dev-"+builds[2].Commit); err != nil {
		t.Fatal(err)
	}
	var drift *release.DriftError
	if err := promote(t.Context(), r, "dev", builds[2]); !errors.As(err, &drift) || drift.Service != "web" {
		t.Errorf("promote over what is kept and was moved = %v, want a DriftError of web", err)
	}
	if now := tags(t, r, "latest"); !maps.Equal(now, builds[1].Images) {
		t.Errorf("it moved the tags to %v", now)
	}
}

func TestRun_OfAnImageThatWasCleanedUpWithItsTags(t *testing.T) {
	r, c := newRegistry(t)
	b := built(t, c, 1)
	if err := promote(t.Context(), r, "dev", b); err != nil {
		t.Fatal(err)
	}
	for _, which := range []string{b.Images["web"], "latest", "keep-dev-" + b.Commit} {
		c.removeFrom(t, "web", which)
	}
	again := built(t, c, 2)
	again.Commit, again.Images = b.Commit, map[string]string{"api": b.Images["api"], "worker": b.Images["worker"], "web": again.Images["web"]}
	if err := promote(t.Context(), r, "dev", again); err != nil {
		t.Errorf("promote of what was built again = %v", err)
	}
	if now := tags(t, r, "latest"); !maps.Equal(now, again.Images) {
		t.Errorf("latest is on %v, want %v", now, again.Images)
	}
	c.removeFrom(t, "api", "latest")
	if err := promote(t.Context(), r, "dev", built(t, c, 3)); err != nil {
		t.Errorf("promote where a tag was taken away and its image is there = %v", err)
	}
}

func TestRollback_ToAnImageThatIsGoneNamesThoseThatAreThere(t *testing.T) {
	r, c := newRegistry(t)
	var builds []release.Build
	for n := range 4 {
		b := built(t, c, n)
		b.Commit = strings.Repeat(fmt.Sprint(n+1), 40)
		if _, err := r.Record(t.Context(), b, false); err != nil {
			t.Fatal(err)
		}
		builds = append(builds, b)
		if err := promote(t.Context(), r, "dev", b); err != nil {
			t.Fatal(err)
		}
	}
	if back := history(t, r, "dev").Back(); len(back) != 3 {
		t.Errorf("it can go back %d releases, want 3", len(back))
	}
	for _, which := range []string{builds[2].Images["web"], builds[0].Images["api"]} {
		for _, service := range []string{"web", "api"} {
			if _, err := r.Resolve(t.Context(), service, which); err == nil {
				c.removeFrom(t, service, which)
			}
		}
	}
	err := rollback(t.Context(), r, "dev", 1)
	var told interface{ Hint() string }
	if !errors.As(err, &told) || !strings.Contains(told.Hint(), release.Short(builds[1].Commit)) || strings.Contains(told.Hint(), release.Short(builds[0].Commit)) {
		t.Errorf("rollback = %v (%v), want a hint that names %s alone", err, told, release.Short(builds[1].Commit))
	}
}

func TestHistory_BackIsWhatIsKept(t *testing.T) {
	r, c := newRegistry(t)
	for n := range 8 {
		if err := promote(t.Context(), r, "dev", built(t, c, n)); err != nil {
			t.Fatal(err)
		}
	}
	h := history(t, r, "dev")
	if back := h.Back(); len(h.Line()) != 8 || len(back) != 4 || back[3].Commit != commitNumber(3) {
		t.Errorf("it can go back %d releases, want the 4 of the last five", len(back))
	}
	for i := range h {
		h[i].Kept = nil
	}
	if back := h.Back(); len(back) != 7 {
		t.Errorf("it can go back %d releases where nobody knows what is kept, want 7", len(back))
	}
}
