package release

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/aws/smithy-go"
)

// answering is an ECR whose API answers as it is told, and notes what it is asked.
func answering(t *testing.T, answer func(in any) (any, error)) (*Registry, *[]any) {
	t.Helper()
	r, err := NewRegistry("111111111111.dkr.ecr.eu-west-1.amazonaws.com/shop", nil)
	if err != nil {
		t.Fatal(err)
	}
	var asked []any
	r.amazon.api = func(_ context.Context, in any) (any, error) {
		asked = append(asked, in)
		return answer(in)
	}
	return r, &asked
}

func TestECR_AsksOnceWhatIsWrittenOnce(t *testing.T) {
	r, asked := answering(t, func(any) (any, error) {
		return &ecr.DescribeRepositoriesOutput{Repositories: []types.Repository{{ImageTagMutability: types.ImageTagMutabilityImmutable}}}, nil
	})
	for range 2 {
		if once, err := r.WritesOnce(t.Context(), "claim-dev"); !once || err != nil {
			t.Errorf("WritesOnce = %v, %v; want it is", once, err)
		}
	}
	if _, is := (*asked)[0].(*ecr.DescribeRepositoriesInput); len(*asked) != 1 || !is {
		t.Errorf("it asked %T, want DescribeRepositories once", *asked)
	}
}

func TestECR_RemovesATagAndADigestInOneRequest(t *testing.T) {
	r, asked := answering(t, func(any) (any, error) {
		return &ecr.BatchDeleteImageOutput{Failures: []types.ImageFailure{{FailureCode: types.ImageFailureCodeImageTagDoesNotMatchDigest}}}, nil
	})
	digest := "sha256:" + strings.Repeat("a", 64)
	if err := r.store.remove(t.Context(), LedgerRepository, "claim-dev", digest); err != nil {
		t.Errorf("remove of a tag that is on another image by now = %v", err)
	}
	in, is := (*asked)[0].(*ecr.BatchDeleteImageInput)
	if len(*asked) != 1 || !is || len(in.ImageIds) != 1 || aws.ToString(in.ImageIds[0].ImageTag) != "claim-dev" || aws.ToString(in.ImageIds[0].ImageDigest) != digest {
		t.Errorf("it asked %+v, want one BatchDeleteImage of both", *asked)
	}
}

func TestForget_WarnsOnceAndAsksNoMoreWhereItMayNot(t *testing.T) {
	m := Move{Environment: "prod", Images: map[string]string{"web": "sha256:" + strings.Repeat("a", 64)}}
	var commits []string
	for n := range 14 {
		commits = append(commits, fmt.Sprintf("%040x", n))
	}
	for code, want := range map[string]int{"AccessDeniedException": 1, "ServerException": len(commits)} {
		r, asked := answering(t, func(any) (any, error) { return nil, &smithy.GenericAPIError{Code: code} })
		var warnings []string
		left := r.forget(t.Context(), m, commits, func(text string) { warnings = append(warnings, text) })
		if len(warnings) != 1 || len(*asked) != want || !slices.Equal(left, commits[:mostRetried]) {
			t.Errorf("%s: it asked %d times, warns %q and leaves %d; want %d times, one warning and %d", code, len(*asked), warnings, len(left), want, mostRetried)
		}
	}
	plain, err := NewRegistry("localhost:5000/shop", refusesAll{})
	if err != nil {
		t.Fatal(err)
	}
	if err := plain.store.remove(t.Context(), "web", "keep-prod-1", ""); !errors.Is(err, errMayNotUntag) {
		t.Errorf("remove by who may not = %v, want errMayNotUntag", err)
	}
}

// refusesAll is a registry in which one may read and not remove.
type refusesAll struct{}

// RoundTrip implements http.RoundTripper.
func (refusesAll) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	if r.Method == http.MethodDelete {
		w.WriteHeader(http.StatusForbidden)
	}
	answer := w.Result()
	answer.Request = r
	return answer, nil
}

// metadata is who says what credentials a machine has, with none or with some that last; it counts who asks. The process has no others.
func metadata(t *testing.T, has bool) *atomic.Int64 {
	t.Helper()
	var asked atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if !has {
			http.NotFound(w, r)
			return
		}
		fmt.Fprintf(w, `{"AccessKeyId":"a","SecretAccessKey":"b","Token":"c","Expiration":%q}`, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	}))
	t.Cleanup(s.Close)
	for name, value := range map[string]string{"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_PROFILE": "", "AWS_WEB_IDENTITY_TOKEN_FILE": "", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "", "AWS_EC2_METADATA_DISABLED": "",
		"AWS_CONFIG_FILE": t.TempDir() + "/none", "AWS_SHARED_CREDENTIALS_FILE": t.TempDir() + "/none", "DOCKER_CONFIG": t.TempDir(), "AWS_EC2_METADATA_SERVICE_ENDPOINT": s.URL, "AWS_CONTAINER_CREDENTIALS_FULL_URI": ""} {
		t.Setenv(name, value)
	}
	if has {
		t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", s.URL)
	}
	return &asked
}

func TestECR_AsksAMachineOnceWhoAsks(t *testing.T) {
	asked := metadata(t, false)
	r, _ := answering(t, nil)
	r.amazon.api = nil
	_, err := r.Resolve(t.Context(), "web", "latest")
	first := asked.Load()
	_, again := r.Resolve(t.Context(), "web", "latest")
	if !errors.Is(err, errNoCredentials) || !errors.Is(again, errNoCredentials) || first == 0 || asked.Load() != first {
		t.Errorf("Resolve = %v and %v after %d and %d requests, want that nobody is known and that it is asked once", err, again, first, asked.Load())
	}
}

func TestECR_AsksForNewCredentialsWhereTheyAreOver(t *testing.T) {
	asked := metadata(t, true)
	r, _ := answering(t, nil)
	r.amazon.api = nil
	if _, _, err := r.amazon.client(t.Context()); err != nil {
		t.Fatal(err)
	}
	first := asked.Load()
	over := true
	r.amazon.api = func(ctx context.Context, _ any) (any, error) {
		if over {
			over = false
			return nil, &smithy.GenericAPIError{Code: "ExpiredTokenException"}
		}
		_, err := r.amazon.credentials.Retrieve(ctx)
		return &ecr.PutImageOutput{}, err
	}
	if err := r.write(t.Context(), "web", "latest", manifest{}); err != nil || first != 1 || asked.Load() != 2 {
		t.Errorf("write = %v, with credentials that were asked for %d times and then %d; want once and once more", err, first, asked.Load())
	}
}
