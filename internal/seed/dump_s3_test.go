package seed

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rclone/gofakes3"
	"github.com/rclone/gofakes3/s3mem"

	"github.com/strake-dev/strake/compose"
)

// newBucket is an S3 server with bucket dumps, which the environment names; around may stand in front of it.
func newBucket(t *testing.T, around func(http.Handler) http.Handler) gofakes3.Backend {
	t.Helper()
	backend := s3mem.New()
	if err := backend.CreateBucket(t.Context(), "dumps"); err != nil {
		t.Fatal(err)
	}
	h := gofakes3.New(backend).Server()
	if around != nil {
		h = around(h)
	}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	for name, value := range map[string]string{"AWS_ENDPOINT_URL": server.URL, "AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "key", "AWS_REGION": "",
		"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null", "AWS_EC2_METADATA_DISABLED": "true", "AWS_MAX_ATTEMPTS": "1"} {
		t.Setenv(name, value)
	}
	return backend
}

func put(t *testing.T, b gofakes3.Backend, key, text string) {
	t.Helper()
	if _, err := b.PutObject(t.Context(), "dumps", key, nil, strings.NewReader(text), int64(len(text))); err != nil {
		t.Fatal(err)
	}
}

// dumpFact is the dump's fact in the key of a project whose database is restored from something.
func dumpFact(t *testing.T, from string, offline bool) (string, error) {
	t.Helper()
	dir := t.TempDir()
	text := fmt.Sprintf("services: {db: {image: postgres, x-strake: {seed: {from: %q}}}}", from)
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "compose.yaml"), []byte(text), 0o644), os.WriteFile(filepath.Join(dir, "local.sql"), []byte("select 1"), 0o644)); err != nil {
		t.Fatal(err)
	}
	p, err := compose.Load(t.Context(), compose.LoadOptions{Dir: dir, Name: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	f, err := FactsOf(t.Context(), p, FactsOptions{State: compose.State{Images: map[string]compose.Image{"postgres": {Content: "sha256:pg", Volumes: []string{"/data"}}}}, Offline: offline})
	return f.Services[0].Dump, err
}

func TestDumpInS3_CountsByItsContent(t *testing.T) {
	asked := map[string]int{}
	b := newBucket(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { asked[r.Method]++; h.ServeHTTP(w, r) })
	})
	fact := func(key string) string {
		f, err := dumpFact(t, "s3://dumps/"+key, false)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	put(t, b, "a/base.sql", "select 1")
	put(t, b, "copy.sql", "select 1")
	first := fact("a/base.sql")
	if first == "" || first != fact("copy.sql") {
		t.Errorf("the same content counts as %q and as %q", first, fact("copy.sql"))
	}
	put(t, b, "a/base.sql", "select 2")
	if first == fact("a/base.sql") {
		t.Errorf("other content counts as %q too", first)
	}
	if asked["GET"] > 0 {
		t.Errorf("the key took %d downloads, want none", asked["GET"])
	}
}

// TestDumpInS3_IsTheSameAsAFile where S3 has its SHA-256.
func TestDumpInS3_IsTheSameAsAFile(t *testing.T) {
	b := newBucket(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			sum := sha256.Sum256([]byte("select 1"))
			w.Header().Set("x-amz-checksum-sha256", base64.StdEncoding.EncodeToString(sum[:]))
			w.Header().Set("x-amz-checksum-type", "FULL_OBJECT")
			h.ServeHTTP(w, r)
		})
	})
	put(t, b, "base.sql", "select 1")
	local, err := dumpFact(t, "local.sql", true)
	remote, err2 := dumpFact(t, "s3://dumps/base.sql", false)
	if err := errors.Join(err, err2); err != nil || local != remote {
		t.Errorf("the file counts as %q, the object as %q (%v)", local, remote, err)
	}
}

func TestDumpInS3_IsReadAsItIs(t *testing.T) {
	b := newBucket(t, nil)
	text := "-- Dumped from database version 15.3\n" + strings.Repeat("select 1;\n", 10_000)
	put(t, b, "base.sql.gz", string(packed(t, []byte(text))))
	fact, err := dumpFact(t, "s3://dumps/base.sql.gz", false)
	if err != nil {
		t.Fatal(err)
	}
	read := func(fact string) (string, error) {
		ctx, cancel := context.WithCancelCause(t.Context())
		defer cancel(nil)
		d, err := (&build{}).openDump(ctx, "s3://dumps/base.sql.gz", fact, cancel)
		if err != nil {
			return "", err
		}
		all, err := io.ReadAll(d)
		return string(all), errors.Join(err, d.Close())
	}
	if got, err := read(fact); err != nil || got != text {
		t.Errorf("it reads as %d bytes (%v), want %d", len(got), err, len(text))
	}
	put(t, b, "base.sql.gz", string(packed(t, []byte("select 2;"))))
	if _, err := read(fact); err == nil || !strings.Contains(err.Error(), "replaced") {
		t.Errorf("of an object that was replaced it says %v", err)
	}
}

// TestDumpInS3_TellsThatTheConnectionBroke, so that a server does not take it for the end.
func TestDumpInS3_TellsThatTheConnectionBroke(t *testing.T) {
	b := newBucket(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet {
				w = &breaking{ResponseWriter: w, left: 50_000}
			}
			h.ServeHTTP(w, r)
		})
	})
	put(t, b, "base.sql", strings.Repeat("select 1;\n", 20_000))
	fact, err := dumpFact(t, "s3://dumps/base.sql", false)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	d, err := (&build{}).openDump(ctx, "s3://dumps/base.sql", fact, cancel)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if _, err := io.Copy(io.Discard, d); err == nil || context.Cause(ctx) == nil {
		t.Errorf("reading ends with %v and the work with %v, want both to fail", err, context.Cause(ctx))
	}
}

// breaking ends the connection after some bytes.
type breaking struct {
	http.ResponseWriter
	left int
}

func (b *breaking) Write(p []byte) (int, error) {
	if b.left -= len(p); b.left < 0 {
		panic(http.ErrAbortHandler)
	}
	return b.ResponseWriter.Write(p)
}

func TestDumpInS3_SaysWhatIsWrong(t *testing.T) {
	for name, c := range map[string]struct {
		from, text, hint string
		offline          bool
		around           func(http.Handler) http.Handler
		env              map[string]string
	}{
		"no object":      {from: "s3://dumps/none.sql", text: "dump s3://dumps/none.sql of service db: there is no such object", hint: "aws s3 ls s3://dumps/"},
		"no bucket":      {from: "s3://none/none.sql", text: "there is no such object", hint: "aws s3 ls"},
		"offline":        {from: "s3://dumps/base.sql", offline: true, text: "it is in S3, and offline forbids the network", hint: "up --seed=NAME"},
		"other URLs":     {from: "https://dumps/base.sql", text: "https://dumps/base.sql is neither a file nor an object in S3", hint: "s3://bucket/path"},
		"half a name":    {from: "s3://dumps", text: "is neither a file", hint: "s3://bucket/path"},
		"refused":        {from: "s3://dumps/base.sql", around: status(403), text: "S3 refuses to show it (Forbidden)", hint: "aws sts get-caller-identity"},
		"elsewhere":      {from: "s3://dumps/base.sql", around: status(301), text: "bucket dumps is in another region", hint: "AWS_REGION"},
		"broken":         {from: "s3://dumps/base.sql", around: status(500), text: "ask S3: ", hint: "AWS_ENDPOINT_URL"},
		"no credentials": {from: "s3://dumps/base.sql", env: map[string]string{"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, text: "there are no credentials for S3", hint: "aws configure"},
		"no region":      {from: "s3://dumps/base.sql", env: map[string]string{"AWS_ENDPOINT_URL": ""}, text: "nothing says in which region it is", hint: "AWS_REGION"},
	} {
		t.Run(name, func(t *testing.T) {
			newBucket(t, c.around)
			for k, v := range c.env {
				t.Setenv(k, v)
			}
			_, err := dumpFact(t, c.from, c.offline)
			var hinted compose.Hinted
			if !errors.As(err, &hinted) || !strings.Contains(err.Error(), c.text) || !strings.Contains(hinted.Hint(), c.hint) {
				t.Errorf("it says %v, want %q and a hint with %q", err, c.text, c.hint)
			}
		})
	}
}

// status answers every request with a code.
func status(code int) func(http.Handler) http.Handler {
	return func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(code) })
	}
}
