package standin_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// multipart sends an object in four parts of size bytes each.
func multipart(b bucket, size int) {
	t, ctx := b.t, b.t.Context()
	key := aws.String("big/file")
	u, err := b.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: uploads, Key: key, Metadata: map[string]string{"k": "v"}})
	if err != nil {
		t.Fatal(err)
	}
	var parts []types.CompletedPart
	var all []byte
	for i := range int32(4) {
		body := bytes.Repeat([]byte{byte(i), 1, 2, 3}, size/4)
		all = append(all, body...)
		o, err := b.UploadPart(ctx, &s3.UploadPartInput{Bucket: uploads, Key: key, UploadId: u.UploadId, PartNumber: aws.Int32(i + 1), Body: bytes.NewReader(body)})
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, types.CompletedPart{ETag: o.ETag, PartNumber: aws.Int32(i + 1)})
	}
	if l, err := b.ListParts(ctx, &s3.ListPartsInput{Bucket: uploads, Key: key, UploadId: u.UploadId}); err != nil || len(l.Parts) != 4 {
		t.Errorf("list parts = %v, %v, want 4", l, err)
	}
	complete := func(parts []types.CompletedPart) (*s3.CompleteMultipartUploadOutput, error) {
		return b.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{Bucket: uploads, Key: key, UploadId: u.UploadId, MultipartUpload: &types.CompletedMultipartUpload{Parts: parts}})
	}
	_, err = complete([]types.CompletedPart{parts[1], parts[0]})
	refused(t, "parts in the wrong order", err, "InvalidPartOrder", 400)
	_, err = complete([]types.CompletedPart{{ETag: parts[1].ETag, PartNumber: aws.Int32(1)}})
	refused(t, "part of another ETag", err, "InvalidPart", 400)
	if got := b.keys(""); len(got) != 0 {
		t.Errorf("before it is complete %q are listed, want nothing", got)
	}
	done, err := complete(parts)
	if err != nil {
		t.Fatal(err)
	}
	o, err := b.GetObject(ctx, &s3.GetObjectInput{Bucket: uploads, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Body.Close() // only read
	if got, err := io.ReadAll(o.Body); err != nil || !bytes.Equal(got, all) || *o.ETag != *done.ETag || o.Metadata["k"] != "v" {
		t.Errorf("got %d bytes, ETag %s, %v, %v, want %d, %s and k: v", len(got), *o.ETag, o.Metadata, err, len(all), *done.ETag)
	}
	if left, _ := os.ReadDir(filepath.Join(b.dir, ".strake", "uploads")); len(left) != 0 {
		t.Errorf("parts are left: %v", left)
	}
}

func TestS3_TakesObjectsInParts(t *testing.T) { multipart(newBucket(t), 5<<20) }

func TestS3_DropsUploads(t *testing.T) {
	b, ctx := newBucket(t), t.Context()
	u, err := b.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: uploads, Key: aws.String("x")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: uploads, Key: aws.String("x"), UploadId: u.UploadId}); err != nil {
		t.Fatal(err)
	}
	_, err = b.UploadPart(ctx, &s3.UploadPartInput{Bucket: uploads, Key: aws.String("x"), UploadId: u.UploadId, PartNumber: aws.Int32(1), Body: strings.NewReader("x")})
	refused(t, "part of a dropped upload", err, "NoSuchUpload", 404)
}

// Two may have one folder, as two stacks of a project do: what one is at must not go because the other starts.
func TestS3_LeavesUploadsOfOthersAlone(t *testing.T) {
	dir := t.TempDir()
	old := filepath.Join(dir, ".strake", "uploads", "old")
	if err := os.MkdirAll(old, 0o755); err != nil {
		t.Fatal(err)
	}
	if at := time.Now().Add(-25 * time.Hour); os.Chtimes(old, at, at) != nil {
		t.Fatal("the upload of yesterday cannot be made")
	}
	b, ctx := serveFolder(t, dir), t.Context()
	u, err := b.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: uploads, Key: aws.String("x")})
	if err != nil {
		t.Fatal(err)
	}
	serveFolder(t, dir)
	if _, err = b.UploadPart(ctx, &s3.UploadPartInput{Bucket: uploads, Key: aws.String("x"), UploadId: u.UploadId, PartNumber: aws.Int32(1), Body: strings.NewReader("x")}); err != nil {
		t.Errorf("a part of an upload, after another has started: %v", err)
	}
	if _, err := os.Stat(old); err == nil {
		t.Error("the upload of yesterday is left")
	}
}

func TestS3_CopiesPartsOfObjects(t *testing.T) {
	b, ctx := newBucket(t), t.Context()
	b.put("from", "hello world")
	u, err := b.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: uploads, Key: aws.String("to")})
	if err != nil {
		t.Fatal(err)
	}
	p, err := b.UploadPartCopy(ctx, &s3.UploadPartCopyInput{Bucket: uploads, Key: aws.String("to"), UploadId: u.UploadId, PartNumber: aws.Int32(1),
		CopySource: aws.String("uploads/from"), CopySourceRange: aws.String("bytes=0-4")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = b.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{Bucket: uploads, Key: aws.String("to"), UploadId: u.UploadId,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: []types.CompletedPart{{ETag: p.CopyPartResult.ETag, PartNumber: aws.Int32(1)}}}}); err != nil {
		t.Fatal(err)
	}
	b.want("to", "hello")
}

func TestS3_PutsUnderConditions(t *testing.T) {
	b, ctx := newBucket(t), t.Context()
	put := func(body string, change func(*s3.PutObjectInput)) error {
		in := &s3.PutObjectInput{Bucket: uploads, Key: aws.String("x"), Body: strings.NewReader(body)}
		change(in)
		_, err := b.PutObject(ctx, in)
		return err
	}
	isNew := func(in *s3.PutObjectInput) { in.IfNoneMatch = aws.String("*") }
	if err := put("1", isNew); err != nil {
		t.Fatal(err)
	}
	refused(t, "a second new one", put("2", isNew), "PreconditionFailed", 412)
	refused(t, "one of another ETag", put("3", func(in *s3.PutObjectInput) { in.IfMatch = aws.String(`"0"`) }), "PreconditionFailed", 412)
	b.want("x", "1")

	won, body := make(chan error), strings.Repeat("x", 4<<20) // so large that all are asked for before the first is there
	for range 8 {
		go func() {
			_, err := b.PutObject(context.WithoutCancel(ctx), &s3.PutObjectInput{Bucket: uploads, Key: aws.String("race"), Body: strings.NewReader(body), IfNoneMatch: aws.String("*")})
			won <- err
		}()
	}
	winners := 0
	for range 8 {
		if <-won == nil {
			winners++
		}
	}
	if winners != 1 {
		t.Errorf("of 8 puts of a new object %d succeeded, want 1", winners)
	}
}

func TestS3_CopiesWithMetadata(t *testing.T) {
	b, ctx := newBucket(t), t.Context()
	if _, err := b.PutObject(ctx, &s3.PutObjectInput{Bucket: uploads, Key: aws.String("a b/ü"), Body: strings.NewReader("x"), Metadata: map[string]string{"owner": "ada"}}); err != nil {
		t.Fatal(err)
	}
	owner := func(key string) string {
		o, err := b.HeadObject(ctx, &s3.HeadObjectInput{Bucket: uploads, Key: &key})
		if err != nil {
			t.Fatal(err)
		}
		return o.Metadata["owner"]
	}
	for key, in := range map[string]s3.CopyObjectInput{"ada": {}, "bea": {MetadataDirective: types.MetadataDirectiveReplace, Metadata: map[string]string{"owner": "bea"}}, "": {MetadataDirective: types.MetadataDirectiveReplace}} {
		in.Bucket, in.Key, in.CopySource = uploads, aws.String("copy/"+key+"x"), aws.String("uploads/a%20b/%C3%BC")
		if _, err := b.CopyObject(ctx, &in); err != nil {
			t.Fatal(err)
		}
		if got := owner(*in.Key); got != key {
			t.Errorf("owner of the copy is %q, want %q", got, key)
		}
		b.want(*in.Key, "x")
	}
}

func TestS3_TakesChecksumsAndChunks(t *testing.T) {
	b, ctx := newBucket(t), t.Context()
	for _, a := range []types.ChecksumAlgorithm{types.ChecksumAlgorithmCrc32, types.ChecksumAlgorithmCrc32c, types.ChecksumAlgorithmSha1, types.ChecksumAlgorithmSha256, types.ChecksumAlgorithmCrc64nvme} {
		if _, err := b.PutObject(ctx, &s3.PutObjectInput{Bucket: uploads, Key: aws.String("sum"), Body: strings.NewReader(string(a)), ChecksumAlgorithm: a}); err != nil {
			t.Errorf("%s: %v", a, err)
			continue
		}
		o, err := b.GetObject(ctx, &s3.GetObjectInput{Bucket: uploads, Key: aws.String("sum"), ChecksumMode: types.ChecksumModeEnabled})
		if err != nil {
			t.Errorf("%s: %v", a, err)
			continue
		}
		if text, err := io.ReadAll(o.Body); err != nil || string(text) != string(a) {
			t.Errorf("%s: %q, %v", a, text, err)
		}
	}
}
