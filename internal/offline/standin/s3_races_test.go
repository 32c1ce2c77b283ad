package standin_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// version is what an object says of itself in its metadata, and in its bytes.
func (b bucket) version(key string) (said, body, etag string, err error) {
	o, err := b.GetObject(b.t.Context(), &s3.GetObjectInput{Bucket: uploads, Key: &key})
	if err != nil {
		return "", "", "", err
	}
	text, err := io.ReadAll(o.Body)
	return o.Metadata["version"], strings.TrimSpace(string(text)), aws.ToString(o.ETag), err
}

func (b bucket) putVersion(key string, n int) error {
	text := strconv.Itoa(n)
	_, err := b.PutObject(b.t.Context(), &s3.PutObjectInput{Bucket: uploads, Key: &key, Body: strings.NewReader(fmt.Sprintf("%8s", text)), Metadata: map[string]string{"version": text}})
	return err
}

// TestS3_ReadsAndTagsLeaveWhatAWriteSays: whoever looks at an object while it is written must not bring back what was known of it.
func TestS3_ReadsAndTagsLeaveWhatAWriteSays(t *testing.T) {
	b, key, writes := newBucket(t), "one", 150
	if err := b.putVersion(key, 0); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if said, body, _, err := b.version(key); err != nil || said != body {
					t.Errorf("an object of version %s says that it is version %s, %v", body, said, err)
					return
				}
			}
		})
	}
	all.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			if _, err := b.PutObjectTagging(b.t.Context(), &s3.PutObjectTaggingInput{Bucket: uploads, Key: &key,
				Tagging: &types.Tagging{TagSet: []types.Tag{{Key: aws.String("k"), Value: aws.String("v")}}}}); err != nil {
				t.Errorf("tag: %v", err)
				return
			}
		}
	})
	for i := range writes {
		if err := b.putVersion(key, i+1); err != nil {
			t.Fatal(err)
		}
	}
	close(done)
	all.Wait()
	if said, body, _, err := b.version(key); err != nil || said != body || body != strconv.Itoa(writes) {
		t.Errorf("after %d writes the object is version %s and says %s, %v", writes, body, said, err)
	}
}

// TestS3_KeepsWhatIsKnownOfBytesThatStay: of a process that dies while it places an object.
func TestS3_KeepsWhatIsKnownOfBytesThatStay(t *testing.T) {
	b, key := newBucket(t), "one"
	file, aside := filepath.Join(b.dir, "uploads", key), filepath.Join(t.TempDir(), "aside")
	if err := b.putVersion(key, 1); err != nil {
		t.Fatal(err)
	}
	_, _, etag, err := b.version(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Link(file, aside); err != nil {
		t.Fatal(err)
	}
	if err := b.putVersion(key, 2); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(aside, file); err != nil { // as before the new one got its name
		t.Fatal(err)
	}
	for range 2 { // what is read leaves it so
		if said, body, got, err := b.version(key); err != nil || said != "1" || body != "1" || got != etag {
			t.Errorf("the object that was to be replaced is version %s, says %s and has %s, %v, want version 1 with %s", body, said, got, err, etag)
		}
	}
	if err := b.putVersion(key, 3); err != nil {
		t.Fatal(err)
	}
	if said, body, _, err := b.version(key); err != nil || said != "3" || body != "3" {
		t.Errorf("the object after the next write is version %s and says %s, %v, want 3", body, said, err)
	}
}
