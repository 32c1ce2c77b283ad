package bundle

import (
	"bytes"
	"cmp"
	"encoding/json"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// part is one image of a bundle, by its full name, for one platform.
type part struct{ name, platform string }

// partsOf are what the manifests of an index name, for each platform whose manifest is there, by what blobs say: those that are JSON.
// Source: OCI image layout 1.0; an index lists manifests, or an index of those of an image's platforms.
func partsOf(idx index, blobs map[string][]byte) map[part]saved {
	all := map[part]saved{}
	for _, d := range idx.Manifests {
		name := nameOf(d)
		if name == "" {
			continue
		}
		for _, m := range manifestsOf(d, blobs) {
			var c ocispec.Platform
			config := hexOf(m.Config)
			if json.Unmarshal(blobs[config], &c) != nil {
				continue
			}
			one := saved{Config: blobDir + config, RepoTags: []string{shortName(name)}, Layers: []string{}}
			for _, l := range m.Layers {
				one.Layers = append(one.Layers, blobDir+hexOf(l))
			}
			all[part{fullName(name), platforms.Format(platforms.Normalize(c))}] = one
		}
	}
	return all
}

// manifestsOf are the manifest that a descriptor is of, or those of an index that it is of; what is not there is left out.
func manifestsOf(d descriptor, blobs map[string][]byte) []imageManifest {
	var one struct {
		imageManifest
		Manifests []descriptor `json:"manifests"`
	}
	if json.Unmarshal(blobs[hexOf(d)], &one) != nil {
		return nil
	}
	if one.Config.Digest != "" {
		return []imageManifest{one.imageManifest}
	}
	var all []imageManifest
	for _, of := range one.Manifests {
		var m imageManifest
		if json.Unmarshal(blobs[hexOf(of)], &m) == nil && m.Config.Digest != "" {
			all = append(all, m)
		}
	}
	return all
}

// annotationName is what says in an index which image a manifest is of.
const annotationName = "io.containerd.image.name"

func nameOf(d descriptor) string { return d.Annotations[annotationName] }

// hexOf is a descriptor's digest in hex.
func hexOf(d descriptor) string { return strings.TrimPrefix(d.Digest, "sha256:") }

// shortName is a name as engines say it.
func shortName(name string) string {
	named, err := reference.ParseDockerRef(name)
	if err != nil {
		return name
	}
	return reference.FamiliarString(named)
}

// ImagesOn are the images that an engine of a platform needs.
func (a About) ImagesOn(platform string) []Image {
	return slices.DeleteFunc(slices.Clone(a.Images), func(i Image) bool { return cmp.Or(i.On, i.Platform) != platform })
}

// manifestFor is the manifest.json of an engine of one platform, by which those with graph drivers load: of each image its part for that
// platform. Parts of equal configuration are one image of several names.
func manifestFor(a About, platform string, parts map[part]saved) []saved {
	all := []saved{}
	for _, one := range a.ImagesOn(platform) {
		found, ok := parts[part{fullName(one.Name()), one.Platform}]
		if !ok {
			continue
		}
		if i := slices.IndexFunc(all, func(s saved) bool { return s.Config == found.Config }); i >= 0 {
			all[i].RepoTags = append(all[i].RepoTags, found.RepoTags...)
			continue
		}
		all = append(all, found)
	}
	return all
}

// jsonIn is a blob if it may be a manifest or a configuration, else nil: the bytes are given back.
func jsonIn(text []byte) []byte {
	if bytes.HasPrefix(text, []byte("{")) {
		return text
	}
	return nil
}
