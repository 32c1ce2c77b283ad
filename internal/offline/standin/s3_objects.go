package standin

import (
	"bytes"
	"cmp"
	"context"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"mime"
	"net/http"
	"os"
	"path"
	"sync"
	"syscall"
	"time"

	"github.com/rclone/gofakes3"
)

// record is what is known of an object beside its bytes. It is of the file with that size and time: one that somebody changed by hand, or
// put there, is an object too, whose hash is found anew.
//
// It is written before the file gets its name, with the record of what it replaces: a process that dies between the two leaves the old bytes
// with what was known of them.
type record struct {
	Key      string            `json:"key"`
	MD5      string            `json:"md5"` // in hexadecimal
	Size     int64             `json:"size"`
	Modified time.Time         `json:"modified"`
	Metadata map[string]string `json:"metadata,omitempty"` // headers
	Before   *record           `json:"before,omitempty"`
}

// of is the record of a file as it is now.
func (r record) of(info fs.FileInfo) record {
	r.Size, r.Modified = info.Size(), info.ModTime().UTC()
	return r
}

// isOf is whether the file is the one that was recorded.
func (r record) isOf(info fs.FileInfo) bool {
	return r.MD5 != "" && r.Size == info.Size() && r.Modified.Equal(info.ModTime())
}

// matching is the record, or the one before it, that is of a file; where none is, the record without the one before it.
func (r record) matching(info fs.FileInfo) (one record, ok bool) {
	if r.Before != nil && !r.isOf(info) && r.Before.isOf(info) {
		r = *r.Before
	}
	r.Before = nil
	return r, r.isOf(info)
}

// recordFile is where the record of an object is. Keys are hashed: a key may be longer than a file's name, and two that differ in case stay
// two on disks that make no difference.
func recordFile(bucket, key string) string {
	sum := sha256.Sum256([]byte(key))
	return path.Join(storeRecords, bucket, hex.EncodeToString(sum[:20])+".json")
}

// isAbsent is whether an error says that a file is not there, a folder of its path included.
func isAbsent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// recorded is the record of an object; a zero one where there is none that can be read.
func (s *store) recorded(bucket, key string) (r record, ok bool) {
	text, err := s.root.ReadFile(recordFile(bucket, key))
	if err != nil || json.Unmarshal(text, &r) != nil {
		return record{}, false
	}
	return r, true
}

// note keeps a record.
func (s *store) note(bucket string, r record) error {
	delete(r.Metadata, "Last-Modified") // the file's
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	temp, file := storeScratch+"/"+rand.Text(), recordFile(bucket, r.Key)
	if err := s.root.MkdirAll(path.Dir(file), 0o777); err != nil {
		return err
	}
	if err := s.root.WriteFile(temp, text, 0o666); err != nil {
		return err
	}
	return s.root.Rename(temp, file)
}

// forget drops a record.
func (s *store) forget(bucket, key string) error {
	if err := s.root.Remove(recordFile(bucket, key)); err != nil && !isAbsent(err) {
		return err
	}
	return nil
}

// GetObject opens an object, or the part of it that a range names. The caller closes its contents.
func (s *store) GetObject(_ context.Context, bucket, key string, want *gofakes3.ObjectRangeRequest) (*gofakes3.Object, error) {
	f, info, r, err := s.open(bucket, key)
	if err != nil {
		return nil, err
	}
	if f == nil { // a folder
		part, err := want.Range(0)
		return r.object(info, part, io.NopCloser(bytes.NewReader(nil))), err
	}
	part, err := want.Range(info.Size())
	if err != nil {
		_ = f.Close() // only read
		return nil, err
	}
	var body io.Reader = f
	if part != nil {
		body = io.NewSectionReader(f, part.Start, part.Length)
	}
	return r.object(info, part, struct {
		io.Reader
		io.Closer
	}{body, f}), nil
}

// HeadObject is an object without contents.
func (s *store) HeadObject(_ context.Context, bucket, key string) (*gofakes3.Object, error) {
	return s.head(&s.mu, bucket, key)
}

// head is HeadObject; mu is as for openWith.
func (s *store) head(mu sync.Locker, bucket, key string) (*gofakes3.Object, error) {
	f, info, r, err := s.openWith(mu, bucket, key)
	if err != nil {
		return nil, err
	}
	if f != nil {
		_ = f.Close() // only read
	}
	return r.object(info, nil, io.NopCloser(bytes.NewReader(nil))), nil
}

// held is the lock for whoever has the store's already.
type held struct{}

func (held) Lock()   {}
func (held) Unlock() {}

// openTries is how often an object is opened that is replaced meanwhile.
const openTries = 5

// open opens an object's file and finds its record. The file is nil for a key that is a folder.
func (s *store) open(bucket, key string) (*os.File, fs.FileInfo, record, error) {
	return s.openWith(&s.mu, bucket, key)
}

// openWith is open; mu is the store's lock, or held.
func (s *store) openWith(mu sync.Locker, bucket, key string) (*os.File, fs.FileInfo, record, error) {
	file, isFolder, err := pathOf(bucket, key)
	if err != nil {
		return nil, nil, record{}, err
	}
	for try := 1; ; try++ {
		f, info, r, err := s.look(bucket, file, key, isFolder)
		if err != nil || f == nil {
			return nil, info, r, err
		}
		r, ok := r.matching(info)
		if ok {
			return f, info, r, nil
		}
		r, isThere, err := s.learn(mu, bucket, file, key, f, info)
		if err == nil && (isThere || try == openTries) {
			return f, info, r, nil
		}
		if err = errors.Join(err, f.Close()); err != nil {
			return nil, nil, record{}, fmt.Errorf("read %s: %w", file, err)
		}
	}
}

// look opens an object's file and reads its record, which may be that of another one.
func (s *store) look(bucket, file, key string, isFolder bool) (*os.File, fs.FileInfo, record, error) {
	r, ok := s.recorded(bucket, key)
	info, err := s.root.Stat(file)
	switch {
	case isAbsent(err) || err == nil && (info.IsDir() != isFolder || isFolder && !ok):
		return nil, nil, record{}, gofakes3.KeyNotFound(key)
	case err != nil:
		return nil, nil, record{}, err
	case isFolder:
		return nil, info, r, nil
	case !info.Mode().IsRegular(): // a pipe would be waited for
		return nil, nil, record{}, gofakes3.KeyNotFound(key)
	case !ok: // put there by hand, or the file of another key
		if other, err := s.otherName(file); err != nil || other != "" {
			return nil, nil, record{}, cmp.Or(err, error(gofakes3.KeyNotFound(key)))
		}
	}
	f, err := s.root.Open(file)
	if isAbsent(err) {
		return nil, nil, record{}, gofakes3.KeyNotFound(key)
	}
	if err != nil {
		return nil, nil, record{}, err
	}
	if info, err = f.Stat(); err != nil {
		return nil, nil, record{}, errors.Join(fmt.Errorf("read %s: %w", file, err), f.Close())
	}
	return f, info, r, nil
}

// learn is the record of a file whose record did not seem to be its own: a write came between, or somebody put the file there or changed it by
// hand, whose hash it finds and notes. f is at its beginning then. isThere is that the key still has this file: of one that was replaced nothing is noted.
func (s *store) learn(mu sync.Locker, bucket, file, key string, f *os.File, info fs.FileInfo) (r record, isThere bool, err error) {
	now := func() (record, bool) { // whoever writes holds the lock until file and record are both there
		r, _ := s.recorded(bucket, key)
		return r.matching(info)
	}
	mu.Lock()
	r, ok := now()
	mu.Unlock()
	if ok {
		return r, true, nil
	}
	h := md5.New()
	if _, err := io.Copy(h, f); err != nil {
		return r, false, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return r, false, err
	}
	mu.Lock()
	defer mu.Unlock()
	if r, ok = now(); ok {
		return r, true, nil
	}
	r.Key, r.MD5 = key, hex.EncodeToString(h.Sum(nil))
	for name := range r.Metadata {
		if len(name) > 15 && name[:15] == "X-Amz-Checksum-" {
			delete(r.Metadata, name) // of what it was
		}
	}
	r = r.of(info)
	there, err := s.root.Stat(file)
	if isAbsent(err) || err == nil && (!os.SameFile(there, info) || !r.isOf(there)) {
		return r, false, nil
	}
	if err != nil {
		return r, false, err
	}
	return r, true, s.note(bucket, r)
}

// object is an object as the library takes it.
func (r record) object(info fs.FileInfo, part *gofakes3.ObjectRange, contents io.ReadCloser) *gofakes3.Object {
	meta := maps.Clone(r.Metadata)
	if meta == nil {
		meta = map[string]string{}
	}
	if meta["Content-Type"] == "" {
		meta["Content-Type"] = cmp.Or(mime.TypeByExtension(path.Ext(r.Key)), "binary/octet-stream")
	}
	meta["Last-Modified"] = info.ModTime().UTC().Format(http.TimeFormat)
	sum, err := hex.DecodeString(r.MD5)
	if err != nil {
		sum = nil // a record that somebody wrote by hand
	}
	size := info.Size()
	if info.IsDir() {
		size = 0
	}
	return &gofakes3.Object{Name: r.Key, Metadata: meta, Size: size, Hash: sum, Range: part, Contents: contents}
}

// modifiedOf is when an object was written, to the second.
func modifiedOf(o *gofakes3.Object) time.Time {
	at, _ := http.ParseTime(o.Metadata["Last-Modified"]) // object wrote it
	return at
}

// SetObjectTagging replaces the tags of an object.
func (s *store) SetObjectTagging(_ context.Context, bucket, key, tagging string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, _, r, err := s.openWith(held{}, bucket, key)
	if err != nil {
		return err
	}
	if f != nil {
		defer f.Close() // only read
	}
	if r.Metadata == nil {
		r.Metadata = map[string]string{}
	}
	if r.Metadata[gofakes3.TaggingMetadataKey] = tagging; tagging == "" {
		delete(r.Metadata, gofakes3.TaggingMetadataKey)
	}
	return s.note(bucket, r)
}
