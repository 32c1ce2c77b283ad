package standin_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"github.com/strake-dev/strake/internal/offline/standin"
)

// bucket is the bucket "uploads" of a stand-in, with Amazon's own client.
type bucket struct {
	*s3.Client
	t   *testing.T
	dir string // the stand-in's
	url string
}

var uploads = aws.String("uploads")

// newBucket serves a folder for the length of a test.
func newBucket(t *testing.T) bucket { return serveFolder(t, t.TempDir()) }

func serveFolder(t *testing.T, dir string) bucket {
	t.Helper()
	h, err := standin.NewS3(standin.S3Options{Dir: dir, Buckets: []string{"uploads"}, Domains: []string{"localhost"}, Now: time.Now, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(h)
	t.Cleanup(func() {
		server.Close()
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return bucket{client(server.URL, standin.SecretKey), t, dir, server.URL}
}

func client(at, secret string) *s3.Client {
	return s3.New(s3.Options{Region: standin.Region, BaseEndpoint: &at, UsePathStyle: true, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(standin.AccessKey, secret, "")})
}

func (b bucket) put(key, body string) {
	b.t.Helper()
	if _, err := b.PutObject(b.t.Context(), &s3.PutObjectInput{Bucket: uploads, Key: &key, Body: strings.NewReader(body)}); err != nil {
		b.t.Fatalf("put %q: %v", key, err)
	}
}

func (b bucket) want(key, body string) {
	b.t.Helper()
	o, err := b.GetObject(b.t.Context(), &s3.GetObjectInput{Bucket: uploads, Key: &key})
	if err != nil {
		b.t.Fatalf("get %q: %v", key, err)
	}
	defer o.Body.Close() // only read
	if got, err := io.ReadAll(o.Body); err != nil || string(got) != body {
		b.t.Errorf("get %q = %.60q, %v, want %.60q", key, got, err, body)
	}
}

// keys lists all keys with a prefix.
func (b bucket) keys(prefix string) []string {
	b.t.Helper()
	o, err := b.ListObjectsV2(b.t.Context(), &s3.ListObjectsV2Input{Bucket: uploads, Prefix: &prefix})
	if err != nil {
		b.t.Fatal(err)
	}
	var all []string
	for _, k := range o.Contents {
		all = append(all, *k.Key)
	}
	return all
}

// refused fails unless err has a code of S3's API and an HTTP status.
func refused(t *testing.T, what string, err error, code string, status int) {
	t.Helper()
	var api smithy.APIError
	var response interface{ HTTPStatusCode() int }
	if !errors.As(err, &api) || api.ErrorCode() != code || !errors.As(err, &response) || response.HTTPStatusCode() != status {
		t.Errorf("%s = %v, want %s (%d)", what, err, code, status)
	}
}

func TestS3_KeepsAnObjectAsAFileWithItsMetadata(t *testing.T) {
	b, ctx := newBucket(t), t.Context()
	_, err := b.PutObject(ctx, &s3.PutObjectInput{Bucket: uploads, Key: aws.String("a/hello.txt"), Body: strings.NewReader("hello world"), ContentType: aws.String("text/plain"),
		CacheControl: aws.String("max-age=60"), Metadata: map[string]string{"owner": "ada", "note": "two words"}})
	if err != nil {
		t.Fatal(err)
	}
	b.want("a/hello.txt", "hello world")
	if text, err := os.ReadFile(filepath.Join(b.dir, "uploads", "a", "hello.txt")); err != nil || string(text) != "hello world" {
		t.Errorf("the file holds %q, %v", text, err)
	}
	o, err := b.HeadObject(ctx, &s3.HeadObjectInput{Bucket: uploads, Key: aws.String("a/hello.txt")})
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(*o.ContentLength, " ", *o.ContentType, " ", *o.CacheControl, " ", *o.ETag, " ", o.Metadata)
	if want := `11 text/plain max-age=60 "5eb63bbbe01eeed093cb22bb8f5acdc3" map[note:two words owner:ada]`; got != want {
		t.Errorf("head = %s, want %s", got, want)
	}
	if age := time.Since(*o.LastModified); age < -time.Minute || age > time.Minute {
		t.Errorf("last modified %s, want about now", o.LastModified)
	}
	_, err = b.GetObject(ctx, &s3.GetObjectInput{Bucket: uploads, Key: aws.String("nothing")})
	refused(t, "get of no object", err, "NoSuchKey", 404)
	_, err = b.HeadObject(ctx, &s3.HeadObjectInput{Bucket: uploads, Key: aws.String("a")})
	refused(t, "head of a folder", err, "NotFound", 404)
}

func TestS3_ServesRanges(t *testing.T) {
	b := newBucket(t)
	b.put("x", "hello world")
	for rng, want := range map[string]string{"bytes=6-10": "world bytes 6-10/11", "bytes=-5": "world bytes 6-10/11", "bytes=9-": "ld bytes 9-10/11", "bytes=0-0": "h bytes 0-0/11"} {
		o, err := b.GetObject(t.Context(), &s3.GetObjectInput{Bucket: uploads, Key: aws.String("x"), Range: &rng})
		if err != nil {
			t.Fatal(err)
		}
		if text, _ := io.ReadAll(o.Body); string(text)+" "+aws.ToString(o.ContentRange) != want {
			t.Errorf("%s = %q %s, want %s", rng, text, aws.ToString(o.ContentRange), want)
		}
	}
	_, err := b.GetObject(t.Context(), &s3.GetObjectInput{Bucket: uploads, Key: aws.String("x"), Range: aws.String("bytes=20-30")})
	refused(t, "range beyond the end", err, "InvalidRange", 416)
}

func TestS3_ListsInPages(t *testing.T) {
	b, ctx := newBucket(t), t.Context()
	for i := range 25 {
		b.put(fmt.Sprintf("list/%02d", i), "x")
	}
	for _, key := range []string{"list/sub/1", "list/sub/2", "list-", "list.", "other"} {
		b.put(key, "x")
	}
	var pages []string
	p := s3.NewListObjectsV2Paginator(b, &s3.ListObjectsV2Input{Bucket: uploads, Prefix: aws.String("list/"), Delimiter: aws.String("/"), MaxKeys: aws.Int32(10)})
	for p.HasMorePages() && len(pages) < 10 {
		o, err := p.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		page := fmt.Sprint(len(o.Contents), " keys ", *o.KeyCount)
		for _, c := range o.CommonPrefixes {
			page += " " + *c.Prefix
		}
		pages = append(pages, page)
	}
	if got, want := strings.Join(pages, ", "), "10 keys 10, 10 keys 10, 5 keys 6 list/sub/"; got != want {
		t.Errorf("pages are %s, want %s", got, want)
	}
	if got := b.keys("list"); !slices.IsSorted(got) || len(got) != 29 || got[0] != "list-" || got[28] != "list/sub/2" {
		t.Errorf("keys are %q, want 29 in the order of their bytes", got)
	}
	o, err := b.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: uploads, Prefix: aws.String("list/"), StartAfter: aws.String("list/22")})
	if err != nil || len(o.Contents) != 4 {
		t.Errorf("after list/22 there are %d, %v, want 4", len(o.Contents), err)
	}
	var tops []string
	one := s3.NewListObjectsV2Paginator(b, &s3.ListObjectsV2Input{Bucket: uploads, Delimiter: aws.String("/"), MaxKeys: aws.Int32(1)})
	for one.HasMorePages() && len(tops) < 10 {
		o, err := one.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range o.CommonPrefixes {
			tops = append(tops, *c.Prefix)
		}
		for _, c := range o.Contents {
			tops = append(tops, *c.Key)
		}
	}
	if got := strings.Join(tops, " "); got != "list- list. list/ other" {
		t.Errorf("one by one the top has %s, want list- list. list/ other", got)
	}
	v1, err := b.ListObjects(ctx, &s3.ListObjectsInput{Bucket: uploads, Prefix: aws.String("list/0"), MaxKeys: aws.Int32(4)})
	if err != nil || len(v1.Contents) != 4 || !*v1.IsTruncated {
		t.Errorf("the first version lists %d, %v, want 4 of more", len(v1.Contents), err)
	}
	none, err := b.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: uploads, Prefix: aws.String("../")})
	if err != nil || len(none.Contents) != 0 || none.KeyCount == nil || *none.KeyCount != 0 {
		t.Errorf("a prefix outside lists %v, %v, want nothing, counted", none, err)
	}
}

func TestS3_DeletesManyAndTheFoldersOfTheirs(t *testing.T) {
	b := newBucket(t)
	var ids []types.ObjectIdentifier
	for i := range 30 {
		key := fmt.Sprintf("deep/er/%02d", i)
		b.put(key, "x")
		ids = append(ids, types.ObjectIdentifier{Key: &key})
	}
	b.put("kept", "x")
	ids = append(ids, types.ObjectIdentifier{Key: aws.String("not/there")})
	o, err := b.DeleteObjects(t.Context(), &s3.DeleteObjectsInput{Bucket: uploads, Delete: &types.Delete{Objects: ids}})
	if err != nil || len(o.Errors) != 0 || len(o.Deleted) != 31 {
		t.Fatalf("delete = %v, %v", o, err)
	}
	if got := b.keys(""); !slices.Equal(got, []string{"kept"}) {
		t.Errorf("left are %q, want kept alone", got)
	}
	if _, err := os.Stat(filepath.Join(b.dir, "uploads", "deep")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder of deleted objects: %v, want gone", err)
	}
	_, err = b.DeleteBucket(t.Context(), &s3.DeleteBucketInput{Bucket: uploads})
	refused(t, "delete of a bucket that is not empty", err, "BucketNotEmpty", 409)
}

func TestS3_TakesPresignedRequests(t *testing.T) {
	b, ctx := newBucket(t), t.Context()
	b.put("x", "hello")
	sign := s3.NewPresignClient(b.Client)
	get, err := sign.PresignGetObject(ctx, &s3.GetObjectInput{Bucket: uploads, Key: aws.String("x"), ResponseContentDisposition: aws.String("attachment; filename=x.txt")})
	if err != nil {
		t.Fatal(err)
	}
	if status, body, h := ask(t, "GET", get.URL, ""); status != 200 || body != "hello" || h.Get("Content-Disposition") != "attachment; filename=x.txt" {
		t.Errorf("presigned GET = %d %q %v", status, body, h)
	}
	put, err := sign.PresignPutObject(ctx, &s3.PutObjectInput{Bucket: uploads, Key: aws.String("über/y")})
	if err != nil {
		t.Fatal(err)
	}
	if status, body, _ := ask(t, "PUT", put.URL, "by hand"); status != 200 {
		t.Errorf("presigned PUT = %d %s", status, body)
	}
	b.want("über/y", "by hand")
	for what, url := range map[string]string{"forged": strings.Replace(get.URL, "X-Amz-Signature=", "X-Amz-Signature=0", 1), "for another": strings.Replace(get.URL, "/uploads/x", "/uploads/y", 1), "no": b.url + "/uploads/x"} {
		if status, body, _ := ask(t, "GET", url, ""); status != 403 {
			t.Errorf("%s signature = %d %s, want 403", what, status, body)
		}
	}
	old, err := s3.NewPresignClient(b.Client, s3.WithPresignExpires(time.Nanosecond)).PresignGetObject(ctx, &s3.GetObjectInput{Bucket: uploads, Key: aws.String("x")})
	if err == nil {
		if status, _, _ := ask(t, "GET", strings.Replace(old.URL, "X-Amz-Expires=0", "X-Amz-Expires=-1", 1), ""); status == 200 {
			t.Error("a request that has expired is answered, want refused")
		}
	}
}

func TestS3_TakesRequestsOfTheSecondSignature(t *testing.T) {
	b := newBucket(t)
	b.put("a b/ü", "hello")
	sign := func(text string) string {
		h := hmac.New(sha1.New, []byte(standin.SecretKey))
		h.Write([]byte(text))
		return url.QueryEscape(base64.StdEncoding.EncodeToString(h.Sum(nil)))
	}
	until := fmt.Sprint(time.Now().Add(time.Minute).Unix())
	path, also := "/uploads/a%20b/%C3%BC", "?response-content-type=text/x"
	get := func(path, until, signature string) int {
		status, body, h := ask(t, "GET", b.url+path+"&AWSAccessKeyId="+standin.AccessKey+"&Expires="+until+"&Signature="+signature, "")
		if status == 200 && (body != "hello" || h.Get("Content-Type") != "text/x") {
			t.Errorf("%s is %q of type %s, want hello of type text/x", path, body, h.Get("Content-Type"))
		}
		return status
	}
	good := sign("GET\n\n\n" + until + "\n" + path + also)
	if got := get(path+also, until, good); got != 200 {
		t.Errorf("GET = %d, want 200", got)
	}
	if got := get(path+"?response-content-type=text/y", until, good); got != 403 {
		t.Errorf("GET of another type = %d, want 403", got)
	}
	if got := get(path+also, "1700000000", sign("GET\n\n\n1700000000\n"+path+also)); got != 403 {
		t.Errorf("GET of the past = %d, want 403", got)
	}
}

func ask(t *testing.T, method, url, body string) (int, string, http.Header) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close() // only read
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text), answer.Header
}

func TestS3_RefusesOtherKeys(t *testing.T) {
	b := newBucket(t)
	_, err := client(b.url, "wrong").ListBuckets(t.Context(), &s3.ListBucketsInput{})
	refused(t, "another secret", err, "SignatureDoesNotMatch", 403)
}

func TestS3_TakesBucketsInTheHost(t *testing.T) {
	b := newBucket(t)
	url := strings.Replace(b.url, "127.0.0.1", "localhost", 1)
	c := s3.New(s3.Options{Region: standin.Region, BaseEndpoint: &url, RetryMaxAttempts: 1, Credentials: credentials.NewStaticCredentialsProvider(standin.AccessKey, standin.SecretKey, ""),
		HTTPClient: toHost(strings.TrimPrefix(b.url, "http://"))})
	if _, err := c.PutObject(t.Context(), &s3.PutObjectInput{Bucket: uploads, Key: aws.String("a/ü b"), Body: strings.NewReader("hello")}); err != nil {
		t.Fatal(err)
	}
	b.want("a/ü b", "hello")
}

// toHost is a client that asks one address whatever the name.
func toHost(address string) *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	dial := t.DialContext
	t.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) { return dial(ctx, network, address) }
	return &http.Client{Transport: t}
}
