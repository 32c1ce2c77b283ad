package engine

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"

	"github.com/docker/docker/api/types/image"
	"github.com/opencontainers/go-digest"
)

// filesOf are the files that have these layers of an image in its archive. An engine with a graph driver names them by what they hold, from
// Docker Engine 25 on. Others say only at the end of the archive which file is which, so that it is read twice.
func (s *stream) filesOf(ctx context.Context, name string, img image.InspectResponse, layers map[digest.Digest]bool) (map[string]bool, error) {
	files := map[string]bool{}
	if len(layers) == 0 {
		return files, nil
	}
	if img.Descriptor == nil && s.from.apiAtLeast("1.44") {
		for l := range layers {
			files["blobs/"+l.Algorithm().String()+"/"+l.Encoded()] = true
		}
		return files, nil
	}
	archive, err := s.from.Save(ctx, []string{name})
	if err != nil {
		return nil, err
	}
	all, err := layerFiles(archive)
	if err := errors.Join(err, archive.Close()); err != nil {
		return nil, err
	}
	for file, l := range all {
		if layers[l] {
			files[file] = true
		}
	}
	return files, nil
}

// largestConfig is the size of the largest file that is looked at as an image's configuration. One of a larger file is sent whole.
const largestConfig = 1 << 20

// layerFiles says of the files of an archive which layers they hold.
// Source: moby v20.10 and v28.5.2, image/tarexport; containerd v2, core/images/archive: manifest.json is in all of them.
func layerFiles(archive io.Reader) (map[string]digest.Digest, error) {
	const list = "manifest.json"
	small := map[string][]byte{}
	for in := tar.NewReader(archive); ; {
		h, err := in.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read the image's archive: %w", err)
		}
		if h.Typeflag != tar.TypeReg || h.Size == 0 || h.Size > largestConfig {
			continue
		}
		b, err := io.ReadAll(in)
		if err != nil {
			return nil, fmt.Errorf("read the image's archive: %w", err)
		}
		if name := path.Clean(h.Name); b[0] == '{' || name == list {
			small[name] = b
		}
	}
	var items []struct {
		Config string
		Layers []string
	}
	if err := json.Unmarshal(small[list], &items); err != nil {
		return nil, fmt.Errorf("read %s of the image's archive: %w", list, err)
	}
	files := map[string]digest.Digest{}
	for _, item := range items {
		var config struct {
			RootFS struct {
				DiffIDs []digest.Digest `json:"diff_ids"`
			} `json:"rootfs"`
		}
		if b := small[path.Clean(item.Config)]; json.Unmarshal(b, &config) != nil || len(config.RootFS.DiffIDs) != len(item.Layers) {
			continue // all of it is sent
		}
		for i, file := range item.Layers {
			files[path.Clean(file)] = config.RootFS.DiffIDs[i]
		}
	}
	return files, nil
}
