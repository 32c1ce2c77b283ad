package standin_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

func TestS3_TakesAnyKeyThatIsAPath(t *testing.T) {
	b := newBucket(t)
	keys := []string{"über/straße ☃.txt", "日本/語", "a b+c&d=e?f#g%20.txt", "quote'\"<>.txt", "star*~!()", "dots...x", ".hidden/x", "..x/y", strings.Repeat("long/", 150) + "x"}
	for _, key := range keys {
		b.put(key, key)
		b.want(key, key)
		if got := b.keys(key); !slices.Equal(got, []string{key}) {
			t.Errorf("list of %q = %q", key, got)
		}
	}
	if text, err := os.ReadFile(filepath.Join(b.dir, "uploads", "über", "straße ☃.txt")); err != nil || string(text) != keys[0] {
		t.Errorf("the file of %s holds %q, %v", keys[0], text, err)
	}
}

func TestS3_RefusesKeysThatLeaveTheFolder(t *testing.T) {
	outer := t.TempDir()
	dir := filepath.Join(outer, "s3")
	if err := os.MkdirAll(filepath.Join(dir, "other-bucket"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "uploads"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outer, filepath.Join(dir, "uploads", "link")); err != nil {
		t.Fatal(err)
	}
	b := serveFolder(t, dir)
	for _, key := range []string{"../../x", "../other-bucket/x", "a/../../../x", "..", "a/..", ".", "./x", "a/./b", "a//b", "/x", `..\..\x`, "../.strake/x", "a\x00b"} {
		_, err := b.PutObject(t.Context(), &s3.PutObjectInput{Bucket: uploads, Key: &key, Body: strings.NewReader("evil")})
		refused(t, fmt.Sprintf("put %q", key), err, "InvalidArgument", 400)
		_, err = b.GetObject(t.Context(), &s3.GetObjectInput{Bucket: uploads, Key: &key})
		refused(t, fmt.Sprintf("get %q", key), err, "InvalidArgument", 400)
	}
	for _, name := range []string{"..", ".strake", "../outside", "UPPER", "a"} {
		key := "x"
		if _, err := b.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &name, Key: &key, Body: strings.NewReader("evil")}); err == nil {
			t.Errorf("put into bucket %q is taken, want refused", name)
		}
	}
	key := "link/x"
	if _, err := b.PutObject(t.Context(), &s3.PutObjectInput{Bucket: uploads, Key: &key, Body: strings.NewReader("evil")}); err == nil {
		t.Error("put through a symbolic link that leaves the folder is taken, want refused")
	}
	sign := s3.NewPresignClient(b.Client)
	for _, raw := range []string{"/../../x", "/..%2f..%2fx", "/%2e%2e/%2e%2e/x", "/%252e%252e%252fx%00"} {
		put, err := sign.PresignPutObject(t.Context(), &s3.PutObjectInput{Bucket: uploads, Key: aws.String("KEY")})
		if err != nil {
			t.Fatal(err)
		}
		if status, body, _ := ask(t, "PUT", strings.Replace(put.URL, "/KEY", raw, 1), "evil"); status/100 != 4 {
			t.Errorf("%s = %d %s, want refused", raw, status, body)
		}
	}
	err := filepath.WalkDir(outer, func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && !strings.Contains(name, "/.strake/") {
			t.Errorf("%s was written, want nothing", name)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestS3_SaysWhyAKeyCannotBeAFile(t *testing.T) {
	b := newBucket(t)
	b.put("both", "1")
	key := "both/x"
	_, err := b.PutObject(t.Context(), &s3.PutObjectInput{Bucket: uploads, Key: &key, Body: strings.NewReader("2")})
	refused(t, "a key below another", err, "InvalidRequest", 400)
	b.put("deep/x", "1")
	key = "deep"
	_, err = b.PutObject(t.Context(), &s3.PutObjectInput{Bucket: uploads, Key: &key, Body: strings.NewReader("2")})
	refused(t, "a key above another", err, "InvalidRequest", 400)
	b.want("both", "1")
}

func TestS3_KeepsFolders(t *testing.T) {
	b := newBucket(t)
	b.put("folder/", "")
	b.put("folder/x", "1")
	if _, err := b.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: uploads, Key: aws.String("folder/x")}); err != nil {
		t.Fatal(err)
	}
	b.want("folder/", "")
	if got := b.keys(""); !slices.Equal(got, []string{"folder/"}) {
		t.Errorf("keys are %q, want folder/", got)
	}
	if _, err := b.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: uploads, Key: aws.String("folder/")}); err != nil {
		t.Fatal(err)
	}
	if got := b.keys(""); len(got) != 0 {
		t.Errorf("keys are %q, want none", got)
	}
}

func TestS3_ServesFilesThatWerePutThereByHand(t *testing.T) {
	dir := t.TempDir()
	b := serveFolder(t, dir)
	if _, err := b.PutObject(t.Context(), &s3.PutObjectInput{Bucket: uploads, Key: aws.String("x.png"), Body: strings.NewReader("old"), ContentType: aws.String("image/png")}); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"x.png": "new bytes", "hand.txt": "by hand"} {
		if err := os.WriteFile(filepath.Join(dir, "uploads", name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		b.want(name, text)
	}
	for name, want := range map[string]string{"x.png": `"83afa1ab818370731da1157d27957304" image/png`, "hand.txt": `"7d909037a76176adb749eda313187060" text/plain; charset=utf-8`} {
		o, err := b.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: uploads, Key: &name})
		if err != nil || *o.ETag+" "+*o.ContentType != want {
			t.Errorf("head of %s = %s %s, %v, want %s", name, *o.ETag, *o.ContentType, err, want)
		}
	}
	again := serveFolder(t, dir)
	again.want("x.png", "new bytes")
}
