package standin

import (
	"context"
	"crypto/md5"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/rclone/gofakes3"
)

// Folders of the store that are not buckets.
const (
	storeRecords = ".strake/objects" // what is known of objects beside their bytes, by bucket
	storeUploads = ".strake/uploads" // parts of uploads under way, by upload
	storeScratch = ".strake/scratch" // files before they get their names
)

// store keeps objects as files below a folder, out of which no name and no symbolic link leads (os.Root). Its files are not synced: what a
// power cut loses of a stand-in can be made again; a process that dies leaves whole files or none.
type store struct {
	root *os.Root
	// names lists a folder, where its file system takes names for the same that are not; else nil.
	names func(dir string) ([]string, error)
	// mu is held by whoever changes names, so that a folder is not taken away while a file is put into it, and a condition on a write
	// holds until it is done.
	mu      sync.Mutex
	uploads map[gofakes3.UploadID]*upload // guarded by mu
	newest  time.Time                     // of the file that was placed last; guarded by mu
}

var (
	_ gofakes3.Backend              = (*store)(nil)
	_ gofakes3.MultipartBackend     = (*store)(nil)
	_ gofakes3.ObjectTaggingBackend = (*store)(nil)
)

// openStore opens the store in a folder. What an earlier process left half done is removed when it is a day old: until then it may be that
// of another one, which has the folder too.
func openStore(dir string, now time.Time) (*store, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	s := &store{root: root, uploads: map[gofakes3.UploadID]*upload{}}
	for _, name := range []string{storeRecords, storeUploads, storeScratch} {
		err = errors.Join(err, root.MkdirAll(name, 0o777))
	}
	for _, name := range []string{storeUploads, storeScratch} {
		entries, readErr := fs.ReadDir(root.FS(), name)
		err = errors.Join(err, readErr)
		for _, e := range entries {
			if info, infoErr := e.Info(); infoErr == nil && now.Sub(info.ModTime()) > 24*time.Hour {
				err = errors.Join(err, root.RemoveAll(path.Join(name, e.Name())))
			}
		}
	}
	folds, probeErr := s.folds()
	if err = errors.Join(err, probeErr); err != nil {
		return nil, errors.Join(err, root.Close())
	}
	if folds {
		s.names = s.namesOf
	}
	return s, nil
}

// Close gives the folder back.
func (s *store) Close() error { return s.root.Close() }

// ListBuckets are the folders whose names may be a bucket's.
func (s *store) ListBuckets(context.Context) ([]gofakes3.BucketInfo, error) {
	entries, err := fs.ReadDir(s.root.FS(), ".")
	if err != nil {
		return nil, err
	}
	var all []gofakes3.BucketInfo
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.IsDir() && gofakes3.ValidateBucketName(e.Name()) == nil {
			all = append(all, gofakes3.BucketInfo{Name: e.Name(), CreationDate: gofakes3.NewContentTime(info.ModTime())})
		}
	}
	return all, nil
}

// CreateBucket makes a bucket. One that is there is its maker's, as in Amazon's us-east-1: it stays as it is.
func (s *store) CreateBucket(_ context.Context, name string) error { return s.makeBucket(name) }

func (s *store) makeBucket(name string) error {
	if err := gofakes3.ValidateBucketName(name); err != nil {
		return err
	}
	return s.root.MkdirAll(name, 0o777)
}

// BucketExists is whether a bucket's folder is there.
func (s *store) BucketExists(_ context.Context, name string) (bool, error) {
	if gofakes3.ValidateBucketName(name) != nil {
		return false, nil
	}
	info, err := s.root.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && info.IsDir(), err
}

// DeleteBucket removes a bucket without objects.
func (s *store) DeleteBucket(_ context.Context, name string) error {
	keys, err := s.keys(name, "")
	if err != nil {
		return err
	}
	if len(keys) > 0 {
		return gofakes3.ResourceError(gofakes3.ErrBucketNotEmpty, name)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.root.Remove(name); err != nil {
		return gofakes3.ErrorMessagef(gofakes3.ErrBucketNotEmpty, "The folder of bucket %s holds files that are no objects.", name)
	}
	return s.root.RemoveAll(path.Join(storeRecords, name))
}

// pathOf is where an object's file is. A key that is no path of a file is refused: one with an empty part, with . or .. as a part, or with
// a part that is too long. isFolder is that it ends in /, as the empty objects do that some tools make for folders.
func pathOf(bucket, key string) (file string, isFolder bool, err error) {
	if err := gofakes3.ValidateBucketName(bucket); err != nil {
		return "", false, err
	}
	name, isFolder := strings.CutSuffix(key, "/")
	for part := range strings.SplitSeq(name, "/") {
		switch {
		case part == "" || part == "." || part == "..":
			return "", false, gofakes3.ErrorMessagef(gofakes3.ErrInvalidArgument, "Key %q cannot be kept as a file: it has an empty part, . or .. in its path.", key)
		case len(part) > 255:
			return "", false, gofakes3.ErrorMessagef(gofakes3.ErrKeyTooLong, "Key %q cannot be kept as a file: a part of its path is longer than 255 bytes.", key)
		case strings.ContainsAny(part, "\x00\\"):
			return "", false, gofakes3.ErrorMessagef(gofakes3.ErrInvalidArgument, "Key %q cannot be kept as a file: it has a backslash or a zero byte.", key)
		}
	}
	return bucket + "/" + name, isFolder, nil
}

// PutObject keeps what body holds, size bytes or, if it is below 0, to its end. Where it fails nothing changed.
func (s *store) PutObject(ctx context.Context, bucket, key string, meta map[string]string, body io.Reader, size int64) (gofakes3.PutObjectResult, error) {
	file, isFolder, err := pathOf(bucket, key)
	if err != nil {
		return gofakes3.PutObjectResult{}, err
	}
	temp, sum, err := s.write(body, size)
	if err != nil {
		return gofakes3.PutObjectResult{}, err
	}
	defer func() { _ = s.root.Remove(temp) }() // it is gone where all went well
	r := record{Key: key, MD5: hex.EncodeToString(sum), Metadata: meta}
	if isFolder {
		err = s.placeFolder(ctx, bucket, file, r, temp)
	} else {
		err = s.place(ctx, bucket, file, r, temp)
	}
	return gofakes3.PutObjectResult{ETag: `"` + r.MD5 + `"`}, err
}

// write puts what body holds into a new file without a name of its own, and returns its path and MD5.
func (s *store) write(body io.Reader, size int64) (temp string, sum []byte, err error) {
	temp = storeScratch + "/" + rand.Text()
	f, err := s.root.OpenFile(temp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666)
	if err != nil {
		return "", nil, err
	}
	h := md5.New()
	n, err := io.Copy(io.MultiWriter(f, h), body)
	if err = errors.Join(err, f.Close()); err == nil && size >= 0 && n != size {
		err = gofakes3.ErrIncompleteBody
	}
	if err != nil {
		_ = s.root.Remove(temp) // what is left in there goes at the next start
		return "", nil, unjoined(err)
	}
	return temp, h.Sum(nil), nil
}

// unjoined is the only error of a join: the library knows its own only as they are.
func unjoined(err error) error {
	if all, ok := err.(interface{ Unwrap() []error }); ok && len(all.Unwrap()) == 1 {
		return all.Unwrap()[0]
	}
	return err
}

// place gives a written file its name, if the conditions of the request hold.
func (s *store) place(ctx context.Context, bucket, file string, r record, temp string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.holds(ctx, bucket, r.Key); err != nil {
		return err
	}
	if err := s.checkName(file, r.Key); err != nil {
		return err
	}
	if err := s.makeFolder(path.Dir(file), r.Key); err != nil {
		return err
	}
	was, err := s.root.Lstat(file)
	if err == nil && was.IsDir() {
		return gofakes3.ErrorMessagef(gofakes3.ErrInvalidRequest, "Key %q cannot be kept as a file: other keys begin with %q, so that it is a folder.", r.Key, r.Key+"/")
	}
	if err == nil {
		old, _ := s.recorded(bucket, r.Key)
		if before, ok := old.matching(was); ok {
			r.Before = &before
		}
	}
	info, err := s.dated(temp)
	if err != nil {
		return err
	}
	if err := s.note(bucket, r.of(info)); err != nil {
		return err
	}
	return s.root.Rename(temp, file)
}

// dated gives a file that is to be placed another time than that of the one before it: by its time a record tells its file from others of the
// same size, and the clock of a file system may stand for milliseconds.
func (s *store) dated(temp string) (fs.FileInfo, error) {
	info, err := s.root.Lstat(temp)
	if err != nil {
		return nil, err
	}
	if !info.ModTime().After(s.newest) {
		at := s.newest.Add(time.Microsecond)
		if err := s.root.Chtimes(temp, at, at); err != nil {
			return nil, err
		}
		if info, err = s.root.Lstat(temp); err != nil {
			return nil, err
		}
	}
	s.newest = info.ModTime()
	return info, nil
}

// placeFolder makes the folder of a key that ends in /, which holds nothing itself.
func (s *store) placeFolder(ctx context.Context, bucket, file string, r record, temp string) error {
	if info, err := s.root.Lstat(temp); err != nil || info.Size() > 0 {
		return gofakes3.ErrorMessagef(gofakes3.ErrInvalidArgument, "Key %q ends in / and is a folder, which holds no bytes.", r.Key)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.holds(ctx, bucket, r.Key); err != nil {
		return err
	}
	if err := s.checkName(file, r.Key); err != nil {
		return err
	}
	if err := s.makeFolder(file, r.Key); err != nil {
		return err
	}
	return s.note(bucket, r)
}

// makeFolder makes the folder in which a key's file is.
func (s *store) makeFolder(dir, key string) error {
	err := s.root.MkdirAll(dir, 0o777)
	if err == nil {
		return nil
	}
	for at := dir; at != "."; at = path.Dir(at) {
		if info, statErr := s.root.Lstat(at); statErr == nil && !info.IsDir() {
			_, parent, _ := strings.Cut(at, "/")
			return gofakes3.ErrorMessagef(gofakes3.ErrInvalidRequest, "Key %q cannot be kept as a file: there is an object %q, so that there can be no folder of that name.", key, parent)
		}
	}
	return fmt.Errorf("make folder %s: %w", dir, err)
}

// holds is nil where the conditions of the request on the object that is there hold. mu is held.
func (s *store) holds(ctx context.Context, bucket, key string) error {
	if !gofakes3.HasWriteConditions(ctx) {
		return nil
	}
	o, err := s.head(held{}, bucket, key)
	if err != nil && !gofakes3.HasErrorCode(err, gofakes3.ErrNoSuchKey) {
		return err
	}
	if err != nil {
		return gofakes3.CheckWriteConditions(ctx, false, "")
	}
	return gofakes3.CheckWriteConditions(ctx, true, hex.EncodeToString(o.Hash))
}

// DeleteObject removes an object, and folders in which nothing is left. One that is not there is removed already.
func (s *store) DeleteObject(_ context.Context, bucket, key string) (gofakes3.ObjectDeleteResult, error) {
	file, isFolder, err := pathOf(bucket, key)
	if err != nil {
		return gofakes3.ObjectDeleteResult{}, nil // no object can have that key
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if info, err := s.root.Lstat(file); err == nil && info.IsDir() != isFolder {
		return gofakes3.ObjectDeleteResult{}, nil
	}
	if other, err := s.otherName(file); err != nil || other != "" {
		return gofakes3.ObjectDeleteResult{}, err
	}
	if err := s.forget(bucket, key); err != nil {
		return gofakes3.ObjectDeleteResult{}, err
	}
	if err := s.root.Remove(file); err != nil && !isFolder && !isAbsent(err) {
		return gofakes3.ObjectDeleteResult{}, err
	} // a folder with objects in it stays
	for dir := path.Dir(file); dir != bucket && dir != "."; dir = path.Dir(dir) {
		if _, err := s.root.Lstat(recordFile(bucket, strings.TrimPrefix(dir, bucket+"/")+"/")); err == nil || s.root.Remove(dir) != nil {
			break // an object itself, or not empty
		}
	}
	return gofakes3.ObjectDeleteResult{}, nil
}

// DeleteMulti removes objects; of each that it cannot it says why.
func (s *store) DeleteMulti(ctx context.Context, bucket string, keys ...string) (gofakes3.MultiDeleteResult, error) {
	var out gofakes3.MultiDeleteResult
	for _, key := range keys {
		if _, err := s.DeleteObject(ctx, bucket, key); err != nil {
			one := gofakes3.ErrorResultFromError(err)
			one.Key = key
			out.Error = append(out.Error, one)
			continue
		}
		out.Deleted = append(out.Deleted, gofakes3.ObjectID{Key: key})
	}
	return out, nil
}

// CopyObject makes an object of the bytes of another.
func (s *store) CopyObject(ctx context.Context, fromBucket, fromKey, bucket, key string, meta map[string]string) (gofakes3.CopyObjectResult, error) {
	from, err := s.GetObject(ctx, fromBucket, fromKey, nil)
	if err != nil {
		return gofakes3.CopyObjectResult{}, err
	}
	defer from.Contents.Close() // only read
	made, err := s.PutObject(ctx, bucket, key, meta, from.Contents, from.Size)
	if err != nil {
		return gofakes3.CopyObjectResult{}, err
	}
	o, err := s.HeadObject(ctx, bucket, key)
	if err != nil {
		return gofakes3.CopyObjectResult{}, err
	}
	return gofakes3.CopyObjectResult{ETag: made.ETag, LastModified: gofakes3.NewContentTime(modifiedOf(o))}, nil
}
