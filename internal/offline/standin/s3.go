package standin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/rclone/gofakes3"
	"github.com/rclone/gofakes3/signature"
)

// What clients of the S3 stand-in sign with. They are no secrets: nothing outside of the project's networks reaches it.
const (
	AccessKey = "strake"
	SecretKey = "strake-local"
	Region    = "us-east-1"
)

// HealthPath answers 200 where the stand-in is ready. It can be no bucket's, as those do not begin with a dot.
const HealthPath = "/.strake/health"

// S3Options say what an S3 serves.
type S3Options struct {
	// Dir is an existing folder: each bucket is a folder in it, and each object a file of its key's path in there. What strake has to know
	// beside (content types, metadata, hashes, uploads under way) is in its folder .strake.
	Dir string
	// Buckets are made where they are not there.
	Buckets []string
	// Domains are hostnames below which a bucket's name may stand, as SDKs ask by default: uploads.s3 for uploads.
	Domains []string
	Now     func() time.Time
	Log     *slog.Logger
}

// S3 answers requests of Amazon's S3 API out of a folder, those that are signed with AccessKey and SecretKey. What it does not do it
// refuses with NotImplemented: versions, policies, websites, ACLs but the private one.
type S3 struct {
	store   *store
	domains []string
	now     func() time.Time
	api     http.Handler
}

// NewS3 opens the folder. An upload in parts that an earlier one did not finish has to begin anew. The caller closes it.
func NewS3(o S3Options) (*S3, error) {
	s, err := openStore(o.Dir, o.Now())
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", o.Dir, err)
	}
	for _, b := range o.Buckets {
		if err := s.makeBucket(b); err != nil {
			return nil, errors.Join(fmt.Errorf("make bucket %s: %w", b, err), s.Close())
		}
	}
	// The clock of a laptop that slept may be behind for a while, which is nobody's business here: the skew is not limited.
	fake := gofakes3.New(s, gofakes3.WithTimeSkewLimit(0), gofakes3.WithLogger(s3Log{o.Log}))
	return &S3{store: s, domains: o.Domains, now: o.Now, api: fake.Server()}, nil
}

// Close gives the folder back. Requests that are under way fail.
func (s *S3) Close() error { return s.store.Close() }

// ServeHTTP answers one request.
func (s *S3) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == HealthPath {
		w.WriteHeader(http.StatusOK)
		return
	}
	if r.Method != http.MethodOptions { // browsers do not sign what they ask before a request
		if wrong := s.verify(r); wrong != nil {
			w.Header().Set("Content-Type", "application/xml")
			w.WriteHeader(wrong.HTTPStatusCode)
			_, _ = w.Write(signature.EncodeAPIErrorToResponse(*wrong)) // a client that is gone does not need it
			return
		}
	}
	// The library knows this framing under its unsigned name only; that the chunks are signed too is not checked.
	if r.Header.Get("X-Amz-Content-Sha256") == "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER" {
		r.Header.Set("X-Amz-Content-Sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER")
	}
	r = s.pathStyle(r)
	if r.Method == http.MethodGet && r.URL.Query().Get("list-type") == "2" {
		counted := &keyCounter{ResponseWriter: w}
		defer counted.end()
		w = counted
	}
	s.api.ServeHTTP(w, r)
}

// verify is what is wrong with the signature of a request, nil for nothing.
func (s *S3) verify(r *http.Request) *signature.APIError {
	if isPresignedV2(r) {
		bucket, _ := s.bucketInHost(r.Host)
		return verifyV2(r, bucket, s.now())
	}
	code := signature.V4SignVerifyWithLookup(r, func(key string) (string, bool) { return SecretKey, key == AccessKey })
	if code == signature.ErrNone {
		return nil
	}
	wrong := signature.GetAPIError(code)
	return &wrong
}

// keyCounter holds back a list of keys to add that there are none, which Amazon says, programs read and the library leaves out.
type keyCounter struct {
	http.ResponseWriter
	body bytes.Buffer
}

func (c *keyCounter) Write(p []byte) (int, error) { return c.body.Write(p) }

func (c *keyCounter) end() {
	body, last := c.body.Bytes(), []byte("</ListBucketResult>")
	if bytes.HasSuffix(body, last) && !bytes.Contains(body, []byte("<KeyCount>")) {
		body = slices.Concat(bytes.TrimSuffix(body, last), []byte("<KeyCount>0</KeyCount>"), last)
	}
	_, _ = c.ResponseWriter.Write(body) // a client that is gone does not need it
}

// pathStyle is a request with the bucket in its path, where it was in its host. The signature is of the request as it came: it is checked
// before.
func (s *S3) pathStyle(r *http.Request) *http.Request {
	bucket, ok := s.bucketInHost(r.Host)
	if !ok {
		return r
	}
	out := r.Clone(r.Context())
	out.URL.Path, out.URL.RawPath = "/"+bucket+r.URL.Path, ""
	return out
}

// bucketInHost is the bucket that a request's host names.
func (s *S3) bucketInHost(host string) (bucket string, ok bool) {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	for _, d := range s.domains {
		if bucket, ok := strings.CutSuffix(host, "."+d); ok && bucket != "" {
			return bucket, true
		}
	}
	return "", false
}

// s3Log passes on what the library calls an error.
type s3Log struct{ log *slog.Logger }

func (l s3Log) Print(level gofakes3.LogLevel, v ...any) {
	if level == gofakes3.LogErr && l.log != nil {
		l.log.Error(strings.TrimSpace(fmt.Sprintln(v...)))
	}
}

// serve answers requests at address until ctx ends, and then those that are under way for 5 s more at most.
func serve(ctx context.Context, address string, h http.Handler) error {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := server.Shutdown(last); err != nil {
		_ = server.Close() // what is still under way is cut
	}
	<-ended
	return nil
}

// ServeS3 is NewS3 at an address such as :9000, until ctx ends.
func ServeS3(ctx context.Context, address string, o S3Options) error {
	s, err := NewS3(o)
	if err != nil {
		return err
	}
	return errors.Join(serve(ctx, address, s), s.Close())
}
