// Package bundle carries the images of a stack in one file, to a machine without a network.
//
// A bundle is a tar archive in zstd that is an OCI image layout and what `docker load` reads at once: blobs by their digests, each once,
// index.json, manifest.json, and strake-bundle.json, which says what the images are for. `zstd -d < x.tar.zst | docker load` takes it too.
//
// Source: OCI image layout 1.0; moby, image/tarexport.
package bundle

import "time"

// The members of a bundle beside its blobs.
const (
	aboutFile    = "strake-bundle.json"
	layoutFile   = "oci-layout"
	indexFile    = "index.json"
	manifestFile = "manifest.json"
	blobDir      = "blobs/sha256/"
)

const layoutText = `{"imageLayoutVersion":"1.0.0"}`

// About says what a bundle holds. Its JSON names are stable.
type About struct {
	Version   int       `json:"version"` // of this form, which Write says
	Project   string    `json:"project"`
	Commit    string    `json:"commit,omitempty"`
	Platforms []string  `json:"platforms"` // os/arch[/variant] of the engines that it is for; by the first, programs load it that know of one
	Strake    string    `json:"strake"`    // the version that wrote it
	Created   time.Time `json:"created"`
	Images    []Image   `json:"images"` // by reference, then platform
}

// form is the version of what is written here.
const form = 2

// Image is one of a bundle's images.
type Image struct {
	Ref string `json:"ref"`
	For string `json:"for"` // "service web", "base image of web (Dockerfile:1)", "seed 1a2b of db", "strake itself"
	// Platform is what the image is for, os/arch[/variant], normalized. On is the platform of the engines that need it; "" is the image's own.
	Platform string `json:"platform"`
	On       string `json:"on,omitempty"`
	// Config is the digest of its configuration, by which engines with graph drivers know it; Content is compose.Image.Content, which is
	// equal on every engine.
	Config  string `json:"config"`
	Content string `json:"content,omitempty"`
}

// descriptor, index and the others are what a bundle's own files hold, as far as it is looked at here.
type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int64             `json:"size"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

type index struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Manifests     []descriptor `json:"manifests"`
}

type imageManifest struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Config        descriptor   `json:"config"`
	Layers        []descriptor `json:"layers"`
}

// saved is one image of a manifest.json, as engines write and read it. Source: moby, image/tarexport, manifestItem.
type saved struct {
	Config   string
	RepoTags []string
	Layers   []string
}
