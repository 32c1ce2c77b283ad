package standin

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"strings"

	"github.com/rclone/gofakes3"
)

// upload is an object that is sent in parts.
type upload struct {
	bucket, key string
	meta        map[string]string
	parts       map[int]part
}

// part is one part of an upload, in a file of its own.
type part struct {
	file, etag string
	size       int64
}

// CreateMultipartUpload begins an upload.
func (s *store) CreateMultipartUpload(_ context.Context, bucket, key string, meta map[string]string) (gofakes3.UploadID, error) {
	_, isFolder, err := pathOf(bucket, key)
	if err == nil && isFolder {
		err = gofakes3.ErrorMessagef(gofakes3.ErrInvalidArgument, "Key %q ends in / and is a folder, which holds no bytes.", key)
	}
	if err != nil {
		return "", err
	}
	id := gofakes3.UploadID(rand.Text())
	if err := s.root.Mkdir(storeUploads+"/"+string(id), 0o777); err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.uploads[id] = &upload{bucket, key, maps.Clone(meta), map[int]part{}}
	return id, nil
}

// UploadPart keeps a part of size bytes; one of that number that was sent before is replaced.
func (s *store) UploadPart(_ context.Context, _, _ string, id gofakes3.UploadID, number int, size int64, body io.Reader) (string, error) {
	temp, sum, err := s.write(body, size)
	if err != nil {
		return "", err
	}
	one := part{fmt.Sprintf("%s/%s/%d", storeUploads, id, number), `"` + hex.EncodeToString(sum) + `"`, size}
	s.mu.Lock()
	defer s.mu.Unlock()
	u, ok := s.uploads[id]
	if !ok {
		return "", errors.Join(gofakes3.ErrNoSuchUpload, s.root.Remove(temp))
	}
	if err := s.root.Rename(temp, one.file); err != nil {
		return "", err
	}
	u.parts[number] = one
	return one.etag, nil
}

// AbortMultipartUpload drops an upload.
func (s *store) AbortMultipartUpload(_ context.Context, _, _ string, id gofakes3.UploadID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.uploads, id)
	return s.root.RemoveAll(storeUploads + "/" + string(id))
}

// CompleteMultipartUpload makes the object of the parts that are named. Its ETag is the MD5 of all bytes, as of any other object, and not
// that of Amazon, which is a hash of hashes. An upload that could not be completed can be completed again.
func (s *store) CompleteMultipartUpload(ctx context.Context, bucket, key string, id gofakes3.UploadID, in *gofakes3.CompleteMultipartUploadRequest) (gofakes3.VersionID, string, error) {
	s.mu.Lock()
	u, ok := s.uploads[id]
	s.mu.Unlock()
	if !ok {
		return "", "", gofakes3.ErrNoSuchUpload
	}
	body := &joined{root: s.root}
	defer body.close()
	size, before := int64(0), 0
	for _, named := range in.Parts {
		s.mu.Lock()
		one, ok := u.parts[named.PartNumber]
		s.mu.Unlock()
		if named.PartNumber <= before {
			return "", "", gofakes3.ErrInvalidPartOrder
		}
		if !ok || strings.Trim(named.ETag, `"`) != strings.Trim(one.etag, `"`) {
			return "", "", gofakes3.ErrorMessagef(gofakes3.ErrInvalidPart, "Part %d was not sent, or has another ETag.", named.PartNumber)
		}
		body.files = append(body.files, one.file)
		size, before = size+one.size, named.PartNumber
	}
	if len(in.Parts) == 0 {
		return "", "", gofakes3.ErrMalformedXML
	}
	made, err := s.PutObject(ctx, bucket, key, u.meta, body, size)
	if err != nil {
		return "", "", err
	}
	return "", made.ETag, s.AbortMultipartUpload(ctx, bucket, key, id)
}

// joined reads files one after the other.
type joined struct {
	root  *os.Root
	files []string
	open  *os.File
}

func (j *joined) Read(p []byte) (int, error) {
	for {
		if j.open == nil {
			if len(j.files) == 0 {
				return 0, io.EOF
			}
			f, err := j.root.Open(j.files[0])
			if err != nil {
				return 0, err
			}
			j.open, j.files = f, j.files[1:]
		}
		n, err := j.open.Read(p)
		if n > 0 || err != nil && err != io.EOF {
			return n, err
		}
		if err == io.EOF {
			j.close()
		}
	}
}

// close gives back the file that is open.
func (j *joined) close() {
	if j.open != nil {
		_ = j.open.Close() // only read
		j.open = nil
	}
}
