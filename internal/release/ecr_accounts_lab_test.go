//go:build lab

package release_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/fixtures/lab"
	"github.com/strake-dev/strake/fixtures/lab/awslab"
	"github.com/strake-dev/strake/internal/release"
)

const (
	other     = "222222222222"
	otherRole = "arn:aws:iam::" + other + ":role/promote"
)

// prepared has the registries of the tests' account, with their repositories made as strake registry init does, and f before them.
func prepared(t *testing.T) (e *awslab.ECR, f *awslab.Faults) {
	t.Helper()
	e = awslab.Start(t).ECR(t)
	f = e.Faults(t)
	asUser(t, f.Environ())
	initialised(t, amazon(t, f.URL, awslab.Account, ""), release.Share{Account: other}, release.Share{Account: other, Role: otherRole})
	return e, f
}

// initialised makes the repositories of a registry.
func initialised(t *testing.T, r *release.Registry, shares ...release.Share) {
	t.Helper()
	want := release.Repositories{Project: "shop", Services: services, Ledger: true, Moving: []string{"latest", "release", "two"}, Shares: shares}
	steps, err := r.PlanRepositories(t.Context(), want)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.MakeRepositories(t.Context(), steps, func(release.RepositoryStep) {}); err != nil {
		t.Fatal(err)
	}
	if steps, err = r.PlanRepositories(t.Context(), want); err != nil || len(steps) > 0 {
		t.Fatalf("the second plan = %v, %v; want nothing to do", steps, err)
	}
}

func TestECR_AnotherAccountHasACopy(t *testing.T) {
	_, f := prepared(t)
	from := amazon(t, f.URL, awslab.Account, "")
	f.Clear()
	to := amazon(t, f.URL, other, otherRole)
	initialised(t, to)
	if n := f.Count("sts", "AssumeRole"); n != 1 {
		t.Errorf("the role was taken %d times, want once", n)
	}
	for _, c := range f.Calls() {
		if c.Action == "AssumeRole" && !strings.Contains(c.Body, "SourceIdentity=Ada-L.--ada%40example.org-") {
			t.Errorf("the role was taken with %s, want who promotes as the source identity", c.Body)
		}
	}
	contractOfCopies(t, 11, from, func(client http.RoundTripper) *release.Registry {
		r, err := release.OpenRegistry(awslab.Host(other)+"/shop", release.RegistryOptions{Client: client, Endpoint: f.URL, Role: otherRole, Person: "ada"})
		if err != nil {
			t.Fatal(err)
		}
		return r
	})
}

func TestECR_LetsInWhoThePolicySays(t *testing.T) {
	_, f := prepared(t)
	mine := amazon(t, f.URL, awslab.Account, "")
	b := published(t, mine, 1)
	shared := amazon(t, f.URL, awslab.Account, otherRole)
	if err := shared.Tag(t.Context(), "web", b.Images["web"], "release"); err != nil {
		t.Errorf("Tag by a role that the policy lets in = %v", err)
	}
	stranger := amazon(t, f.URL, awslab.Account, "arn:aws:iam::333333333333:role/promote")
	image, _ := some(t)
	for doing, err := range map[string]error{"Tag": stranger.Tag(t.Context(), "web", b.Images["web"], "release"), "push": stranger.Push(t.Context(), "web", "pr-1", image)} {
		var told interface{ Hint() string }
		if err == nil || doing == "Tag" && (!errors.As(err, &told) || !strings.Contains(told.Hint(), "333333333333:role/promote")) {
			t.Errorf("%s by a stranger = %v, want that it is refused, and whom to allow it", doing, err)
		}
	}
	if got, err := mine.Resolve(t.Context(), "web", "release"); err != nil || got != b.Images["web"] {
		t.Errorf("release is on %s, %v", got, err)
	}
}

func TestECR_GoesOnWhereALoginEnds(t *testing.T) {
	e, f := prepared(t)
	r := amazon(t, f.URL, awslab.Account, "")
	published(t, r, 1)
	e.EndLogins()
	b := published(t, r, 2) // by a registry that has a token which it takes for good
	if n := f.Count("ecr", "GetAuthorizationToken"); n != 2 {
		t.Errorf("a token was asked for %d times, want once and once more", n)
	}
	f.Clear()
	f.Add(awslab.Fault{Service: "ecr", Action: "PutImage", Code: "ExpiredTokenException", Status: 400})
	if err := r.Tag(t.Context(), "web", b.Images["web"], "release"); err != nil {
		t.Errorf("Tag where the credentials end = %v", err)
	}
	f.Clear()
	f.Add(awslab.Fault{Service: "ecr", Action: "PutImage", Code: "ThrottlingException", Status: 400, Times: 2})
	if err := r.Tag(t.Context(), "web", b.Images["web"], "two"); err != nil || f.Count("ecr", "PutImage") != 3 {
		t.Errorf("Tag where AWS takes no more = %v after %d requests, want that it is asked again until it does", err, f.Count("ecr", "PutImage"))
	}
}

func TestECR_APromotionMovesNoBlobAndAsksLittle(t *testing.T) {
	_, f := prepared(t)
	r := amazon(t, f.URL, awslab.Account, "")
	for n := range 2 {
		b, err := r.Record(t.Context(), published(t, r, n), false)
		if err != nil {
			t.Fatal(err)
		}
		f.Clear()
		if err := promote(t.Context(), r, "dev", b); err != nil {
			t.Fatal(err)
		}
	}
	of, blobs := 0, 0
	for _, c := range f.Calls() {
		if strings.Contains(c.Body, `"shop/web"`) {
			of++
		}
		if c.Service != "ecr" {
			blobs++
		}
	}
	t.Logf("%d requests, %d of web", len(f.Calls()), of)
	if of > 6 || blobs > 0 {
		t.Errorf("a promotion asked %d times for web and %d times for blobs, want three times beside the three that keep, and none", of, blobs)
	}
}

func TestECR_OfThoseWhoClaimOneWins(t *testing.T) {
	_, f := prepared(t)
	claims := func(n int) release.Claims {
		return release.Claims{Registry: amazon(t, f.URL, awslab.Account, ""), Now: time.Now, Alive: func(compose.Owner) bool { return true },
			Owner: compose.Owner{Host: "here", User: fmt.Sprint("person-", n), Command: "promote prod", PID: n, Since: time.Now().UTC()}}
	}
	if sure, err := claims(0).IsSure(t.Context()); err != nil || !sure {
		t.Fatalf("IsSure = %v, %v", sure, err)
	}
	err := claims(0).Hold(t.Context(), "prod", func(ctx context.Context, still func(context.Context) error) error {
		var held *release.HeldError
		if err := claims(1).Hold(ctx, "prod", func(context.Context, func(context.Context) error) error { return nil }); !errors.As(err, &held) || held.Owner.User != "person-0" {
			t.Errorf("Hold of what is held = %v, want who has it", err)
		}
		if err := claims(2).Hold(ctx, "dev", func(ctx context.Context, still func(context.Context) error) error { return still(ctx) }); err != nil {
			t.Errorf("Hold of another environment = %v", err)
		}
		if err := still(ctx); err != nil {
			t.Errorf("still = %v", err)
		}
		late := claims(3)
		late.Now = func() time.Time { return time.Now().Add(2 * time.Hour) }
		if err := late.Hold(ctx, "prod", func(ctx context.Context, _ func(context.Context) error) error {
			if err := still(ctx); !errors.Is(err, compose.ErrHeld) {
				t.Errorf("still, after another took over = %v, want held", err)
			}
			return nil
		}); err != nil {
			t.Errorf("Hold of a claim that is old = %v", err)
		}
		return nil
	})
	if err != nil {
		t.Errorf("Hold = %v", err)
	}
	won, done := make(chan int, 8), make(chan error, 8)
	enough := make(chan struct{})
	for n := range 8 {
		go func() {
			done <- claims(10+n).Hold(t.Context(), "prod", func(context.Context, func(context.Context) error) error {
				won <- n
				<-enough
				return nil
			})
		}()
	}
	for range 7 {
		if err := <-done; !errors.Is(err, compose.ErrHeld) {
			t.Errorf("Hold of one of eight = %v, want held", err)
		}
	}
	close(enough)
	if err := <-done; err != nil || len(won) != 1 {
		t.Errorf("the last of eight = %v, and %d won; want one", err, len(won))
	}
}

func TestCopy_BetweenDockerRegistries(t *testing.T) {
	from, to := through(t, lab.Registry(t), nil), lab.Registry(t)
	contractOfCopies(t, 3, from, func(client http.RoundTripper) *release.Registry { return through(t, to, client) })
	same := through(t, to, nil)
	image, _ := some(t)
	if err := same.Push(t.Context(), "web", "latest", image); err != nil {
		t.Fatal(err)
	}
	digest, err := same.Resolve(t.Context(), "web", "latest")
	if err != nil {
		t.Fatal(err)
	}
	counting := &cutting{}
	counting.left.Store(1000)
	aside, err := release.NewRegistry(to+"/aside", counting)
	if err != nil {
		t.Fatal(err)
	}
	if err := aside.Copy(t.Context(), same, map[string]string{"web": digest}, nil); err != nil || counting.sent.Load() != 0 {
		t.Errorf("copy within one registry = %v, and sent %d blobs; want that all are mounted", err, counting.sent.Load())
	}
	if got, err := aside.Resolve(t.Context(), "web", digest); err != nil || got != digest {
		t.Errorf("the copy = %s, %v; want %s", got, err, digest)
	}
}
