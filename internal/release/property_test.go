package release_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strake-dev/strake/internal/release"
)

// faulty is a registry whose answers go wrong at random: it is cut off before it does what it was asked or after, has errors, or throttles.
type faulty struct {
	*counted
	random *rand.Rand
	one    int // of so many requests one goes wrong; 0 is none
	did    map[string]int
}

// RoundTrip implements http.RoundTripper.
func (f *faulty) RoundTrip(r *http.Request) (*http.Response, error) {
	f.Lock()
	fault := -1
	if f.one > 0 && f.random.IntN(f.one) == 0 {
		fault = f.random.IntN(5)
		f.did[[]string{"cut", "lost", "500", "500 after", "429"}[fault]]++
	}
	f.Unlock()
	answer := func(code int, text string) (*http.Response, error) {
		w := httptest.NewRecorder()
		w.WriteHeader(code)
		fmt.Fprintf(w, `{"errors":[{"code":%q,"message":"as it happens"}]}`, text)
		said := w.Result()
		said.Request = r
		return said, nil
	}
	if fault == 0 {
		return nil, errCut
	} else if fault == 2 {
		return answer(http.StatusInternalServerError, "UNKNOWN")
	} else if fault == 4 {
		return answer(http.StatusTooManyRequests, "TOOMANYREQUESTS")
	}
	said, err := f.counted.RoundTrip(r)
	switch fault {
	case 1:
		return nil, errCut
	case 3:
		return answer(http.StatusInternalServerError, "UNKNOWN")
	}
	return said, err
}

// world is a project whose environments are moved at random.
type world struct {
	*faulty
	builds []release.Build
	own    bool // prod has a registry of its own
	fixes  int  // hotfixes that were done
}

// through is the registry as a new process has it, with faults or without.
func (w *world) through(t *testing.T, one int) *release.Registry {
	t.Helper()
	return w.open(t, "localhost:5000/shop", one)
}

// of is the registry of an environment's images.
func (w *world) of(t *testing.T, environment string, one int) *release.Registry {
	t.Helper()
	if environment == "prod" && w.own {
		return w.open(t, "localhost:5001/prod", one)
	}
	return w.through(t, one)
}

func (w *world) open(t *testing.T, path string, one int) *release.Registry {
	t.Helper()
	w.Lock() // a ping that lost the race for the scheme may still ask
	w.one = one
	w.Unlock()
	r, err := release.NewRegistry(path, w.faulty)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// step does one thing at random, and says what it was. What a fault ended is an error.
func (w *world) step(t *testing.T, one int) (did string, err error) {
	n := w.random.IntN(10)
	if n == 0 || len(w.builds) < 2 {
		b := built(t, w.counted, len(w.builds))
		again := b
		again.Images = map[string]string{"web": b.Images["api"]}
		there, err := w.through(t, one).Record(t.Context(), again, false)
		if err == nil && !maps.Equal(there.Images, b.Images) {
			t.Errorf("what was recorded of %s was replaced", b.Subject)
		}
		w.builds = append(w.builds, b)
		return "record " + b.Subject, err
	}
	environment := []string{"dev", "dev", "prod"}[w.random.IntN(3)]
	b := w.builds[max(0, len(w.builds)-1-w.random.IntN(4))]
	plan := func(ctx context.Context, r *release.Registry) (release.History, release.Move, error) {
		return promotion(ctx, r, environment, b)
	}
	if n < 4 {
		steps := 1 + w.random.IntN(3)
		plan = func(ctx context.Context, r *release.Registry) (release.History, release.Move, error) {
			return returning(ctx, r, environment, steps, "")
		}
	}
	if n == 9 { // past dev
		environment = "prod"
		plan = func(ctx context.Context, r *release.Registry) (release.History, release.Move, error) {
			return hotfix(ctx, r, b)
		}
	}
	r := w.through(t, one)
	have, m, err := plan(t.Context(), r)
	did = fmt.Sprintf("%s of %s to %s", m.Action, environment, m.Subject)
	var refused *release.PolicyError
	if errors.As(err, &refused) || err == nil && m.IsDone() {
		return "", nil
	}
	if err == nil {
		err = w.run(t, r, have, m, one)
	}
	if err == nil && n == 9 {
		w.fixes++
	}
	return did, err
}

// hotfix plans the promotion of a build to prod that dev does not run.
func hotfix(ctx context.Context, r *release.Registry, b release.Build) (release.History, release.Move, error) {
	e := environments()["prod"]
	e.From = ""
	have, err := r.History(ctx, "prod", func(h release.History) bool { return h.Tells(services) })
	if err != nil {
		return have, release.Move{}, err
	}
	m, err := release.Promotion("prod", e, have, nil, b, time.Now())
	m.Hotfix = &release.Hotfix{Branch: "hotfix/" + b.Subject, Base: commitNumber(0), Fixes: []release.Fix{{Commit: b.Commit, Subject: b.Subject, Patch: b.Tree}}}
	return have, m, err
}

// run carries a move out, and before that brings the images to where the environment has its own: without faults, which the tests of Copy have.
func (w *world) run(t *testing.T, r *release.Registry, have release.History, m release.Move, one int) error {
	if err := w.of(t, m.Environment, 0).Copy(t.Context(), w.through(t, 0), m.Images, nil); err != nil {
		return err
	}
	o := options()
	o.Images = w.of(t, m.Environment, one)
	_, err := r.Run(t.Context(), have, m, o)
	return err
}

// tagsIn are those of a repository.
func (w *world) tagsIn(t *testing.T, r *release.Registry, service string) []string {
	t.Helper()
	answer := httptest.NewRecorder()
	w.handler.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v2/"+r.Path[strings.IndexByte(r.Path, '/')+1:]+"/"+service+"/tags/list", nil))
	var list struct{ Tags []string }
	text, err := io.ReadAll(answer.Result().Body)
	if err == nil && answer.Code != http.StatusNotFound { // nothing was brought there yet
		err = json.NewDecoder(bytes.NewReader(text)).Decode(&list)
	}
	if err != nil {
		t.Fatal(err)
	}
	return list.Tags
}

// check looks that what the ledgers say is so, of every environment.
func (w *world) check(t *testing.T, after string) {
	t.Helper()
	r := w.through(t, 0)
	for name, e := range environments() {
		h := history(t, r, name) // it follows the chain of digests
		replayed := map[string]string{}
		for i, entry := range slices.Backward(h) {
			if entry.Number != len(h)-i {
				t.Fatalf("%s: entry %d of %s has the number %d", after, len(h)-i, name, entry.Number)
			}
			if !entry.Done {
				continue
			}
			if i+1 >= len(h) || h[i+1].Done || h[i+1].Commit != entry.Commit || h[i+1].Action != entry.Action {
				t.Fatalf("%s: entry %d of %s ends a move that did not begin", after, entry.Number, name)
			}
			if b, err := r.Build(t.Context(), entry.Commit); err != nil || !maps.Equal(b.Images, entry.Images) {
				t.Fatalf("%s: %s ran %v at %s, built is %v (%v)", after, name, entry.Images, entry.Subject, b.Images, err)
			}
			replayed = entry.Images
		}
		current, whole := h.Current()
		at := w.of(t, name, 0)
		now := tags(t, at, e.Tag)
		if whole && (!maps.Equal(current.Images, now) || !maps.Equal(replayed, now)) {
			t.Fatalf("%s: the release of %s is %s, the ledger replays to %v, and its tags are on %v", after, name, current.Subject, replayed, now)
		}
		if _, begun := h.Begun(); !whole && !begun && len(now) > 0 {
			t.Fatalf("%s: %s has no release, and tags on %v", after, name, now)
		}
		w.checkKept(t, at, after, name, h)
		w.checkDebts(t, after, h)
	}
}

// checkKept looks that the last releases have their tags, and that there are no others but those of a move that is not done.
func (w *world) checkKept(t *testing.T, r *release.Registry, after, name string, h release.History) {
	t.Helper()
	var want []string
	last, _ := h.Last()
	least := last.Kept
	if _, whole := h.Current(); !whole { // a move whose end could not be written down took the oldest one's tags before
		least = least[:min(len(least), 4)]
	}
	for _, e := range h.Releases() {
		if slices.Contains(want, e.Commit) || len(want) >= 4 && !slices.Contains(least, e.Commit) { // the fifth, where a move was begun and given up since
			continue
		}
		want = append(want, e.Commit)
		if kept := tags(t, r, "keep-"+name+"-"+e.Commit); !maps.Equal(kept, e.Images) {
			t.Fatalf("%s: of %s %s is kept as %v, want %v", after, name, e.Subject, kept, e.Images)
		}
	}
	if len(h) > 0 {
		want = append(append(want, h[0].Kept...), h[0].Left...) // those that could not be taken away, and of a move that was begun
	}
	for _, service := range services {
		for _, tag := range w.tagsIn(t, r, service) {
			if commit, is := strings.CutPrefix(tag, "keep-"+name+"-"); is && len(commit) == 40 && !slices.Contains(want, commit) {
				t.Fatalf("%s: %s of %s is left, want those of %v", after, tag, service, want)
			}
		}
	}
}

// checkDebts looks that of all hotfixes of releases that the environment has, or can go back to, is said that they are owed.
func (w *world) checkDebts(t *testing.T, after string, h release.History) {
	t.Helper()
	var want, got []string
	for _, e := range h.Line() {
		if e.Hotfix != nil && !slices.Contains(want, e.Commit) {
			want = append(want, e.Commit)
		}
	}
	for _, d := range h.Debts(func(release.Hotfix) (release.Patches, error) { return release.Patches{}, nil }) {
		got = append(got, d.Commit)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("%s: %q is owed, want %q", after, got, want)
	}
}

// TestMoves_AtRandomWithFaults builds, promotes, takes hotfixes and rolls back at random, to a registry of prod's own or not, while the registry fails at random: the digests under an environment's tag are those
// of one commit, or the environment is told to be incomplete; the ledger replays to the tags; and what was begun is completed when the registry works again.
func TestMoves_AtRandomWithFaults(t *testing.T) {
	var failed, done, fixes int // of all seeds: what one of them does depends on which of two requests at once comes first
	faults := map[string]int{}
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // retries wait, and nobody should for them
				_, c := newRegistry(t)
				w := &world{faulty: &faulty{counted: c, random: rand.New(rand.NewPCG(seed, 11)), did: map[string]int{}}, own: seed%2 == 1}
				for n := range 60 {
					did, err := w.step(t, 4+w.random.IntN(40))
					if err != nil {
						failed++
					} else if did != "" {
						done++
					}
					w.check(t, fmt.Sprintf("seed %d, step %d, %s (%v)", seed, n, did, err))
				}
				for _, name := range []string{"dev", "prod"} {
					begun, is := history(t, w.through(t, 0), name).Begun()
					if !is {
						continue
					}
					r := w.through(t, 0)
					i := slices.IndexFunc(w.builds, func(b release.Build) bool { return b.Commit == begun.Commit })
					have, m, err := promotion(t.Context(), r, name, w.builds[i])
					if begun.Hotfix != nil {
						have, m, err = hotfix(t.Context(), r, w.builds[i])
					}
					if begun.Action == release.RolledBack {
						have, m, err = returning(t.Context(), r, name, 1, "")
					}
					var refused *release.PolicyError
					if errors.As(err, &refused) { // dev went on meanwhile
						continue
					}
					if err == nil {
						err = w.run(t, r, have, m, 0)
					}
					if err != nil {
						t.Errorf("%s when all works again: %v", begun.Command(), err)
					}
					w.check(t, "in the end")
				}
				time.Sleep(time.Hour) // of the bubble: a ping that lost the race for the scheme waits to ask again, and ends before the bubble does
				fixes += w.fixes
				w.Lock()
				defer w.Unlock()
				for what, n := range w.did {
					faults[what] += n
				}
			})
		})
	}
	t.Logf("%d steps failed, %d were done, %d of them hotfixes; faults: %v", failed, done, fixes, faults)
	if failed < 30 || done < 30 || fixes < 3 || len(faults) < 5 {
		t.Errorf("%d steps failed and %d were done, %d of them hotfixes, with the faults %v: too few to tell", failed, done, fixes, faults)
	}
}
