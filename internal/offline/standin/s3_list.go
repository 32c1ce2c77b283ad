package standin

import (
	"context"
	"encoding/hex"
	"io/fs"
	"slices"
	"strings"

	"github.com/rclone/gofakes3"
)

// keys are the keys of a bucket that begin with prefix, in the order of their bytes, as S3 lists them.
func (s *store) keys(bucket, prefix string) ([]string, error) {
	if err := gofakes3.ValidateBucketName(bucket); err != nil {
		return nil, err
	}
	start := bucket
	if i := strings.LastIndexByte(prefix, '/'); i > 0 {
		if start = bucket + "/" + prefix[:i]; !fs.ValidPath(start) {
			return nil, nil // no key can be below it
		}
	}
	var keys []string
	err := fs.WalkDir(s.root.FS(), start, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			if isAbsent(err) {
				return nil // it went meanwhile
			}
			return err
		}
		key := strings.TrimPrefix(name[len(bucket):], "/")
		if d.IsDir() {
			if key += "/"; key == "/" {
				return nil
			}
			if _, ok := s.recorded(bucket, key); !ok {
				return nil
			}
		} else if !d.Type().IsRegular() {
			return nil
		}
		if strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
		return nil
	})
	slices.Sort(keys)
	return keys, err
}

// ListBucket lists a page of the keys of a bucket, those that have a delimiter after the prefix as what they have in common. NextMarker is
// the last key or common prefix of the page, where more follow.
func (s *store) ListBucket(ctx context.Context, bucket string, p *gofakes3.Prefix, page gofakes3.ListBucketPage) (*gofakes3.ObjectList, error) {
	keys, err := s.keys(bucket, p.Prefix)
	if err != nil {
		return nil, err
	}
	out, last, count := gofakes3.NewObjectList(), "", int64(0)
	for _, key := range keys {
		if key <= page.Marker {
			continue
		}
		item, isCommon := key, false
		if p.Delimiter != "" {
			if i := strings.Index(key[len(p.Prefix):], p.Delimiter); i >= 0 {
				item, isCommon = key[:len(p.Prefix)+i+len(p.Delimiter)], true
			}
		}
		if isCommon && (item == last || item == page.Marker) {
			continue
		}
		if page.MaxKeys > 0 && count == page.MaxKeys {
			out.IsTruncated, out.NextMarker = true, last
			break
		}
		if isCommon {
			out.AddPrefix(item)
		} else {
			o, err := s.HeadObject(ctx, bucket, key)
			if gofakes3.HasErrorCode(err, gofakes3.ErrNoSuchKey) {
				continue // it went meanwhile
			}
			if err != nil {
				return nil, err
			}
			out.Add(&gofakes3.Content{Key: key, LastModified: gofakes3.NewContentTime(modifiedOf(o)), ETag: `"` + hex.EncodeToString(o.Hash) + `"`, Size: o.Size})
		}
		last, count = item, count+1
	}
	return out, nil
}
