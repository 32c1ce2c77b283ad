// Package seed keeps a database's data as an image.
//
// A seed is made once, in a scratch stack: each service with x-strake.seed runs on its own image without the image's VOLUME, so that
// what it writes stays in the container; the dump is restored, the project's own steps run against it, it is stopped cleanly, and
// what it wrote becomes one layer on top of its image. A stack that starts from this image has the data at once: the engine's
// copy-on-write is what makes it quick.
//
// A seed is named by its Key, the digest of everything that the data depends on. Tags <project>-seed-<service>:<key> are given
// to finished images alone; a seed is there when all its services' images are.
package seed

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/strake-dev/strake/compose"
)

// Labels of seed images. None says anything of the build's environment.
const (
	// LabelProject is the project that the seed belongs to.
	LabelProject = "dev.strake.seed.project"
	// LabelService is the service that the image is for.
	LabelService = "dev.strake.seed.service"
	// LabelKey is the seed's Key, or the name that `save` gave it.
	LabelKey = "dev.strake.seed.key"
	// LabelSet is equal on the images that were made together: a seed whose images differ in it is none.
	LabelSet = "dev.strake.seed.set"
	// LabelServices are the services of the seed, sorted and joined by commas: without an image of each it is none.
	LabelServices = "dev.strake.seed.services"
	// LabelPaths is on the others: the paths of the service's own image that are VOLUMEs, joined by commas.
	LabelPaths = "dev.strake.seed.paths"
	// LabelData, LabelMigrations (joined by commas) and LabelCommit say which seeds can be made of this one: Base, and the commit
	// of the files, "" where they were not all committed.
	LabelData       = "dev.strake.seed.data"
	LabelMigrations = "dev.strake.seed.migrations"
	LabelCommit     = "dev.strake.seed.commit"
	// LabelDepth is how many seeds this one was made of, one on top of the other; LabelFlat is the size of the first in bytes.
	LabelDepth = "dev.strake.seed.depth"
	LabelFlat  = "dev.strake.seed.flat"
	// LabelFor is Facts.For, on seeds that one preview made for itself.
	LabelFor = "dev.strake.seed.for"
	// LabelVolumes is on images that hold volumes alone: the keys of the volumes in the file, in order, joined by commas. The data of
	// the n-th (from 0) is in folder /n.
	LabelVolumes = "dev.strake.seed.volumes"
)

// Engine is what seeds need of a Docker engine.
type Engine interface {
	compose.Host
	// Exec runs a command in a running container and returns its exit code. in may be nil.
	Exec(ctx context.Context, container string, command []string, in io.Reader, out io.Writer) (int, error)
	// CopyFrom is a path of a container as a tar archive, which the caller closes; fs.ErrNotExist where it is not there.
	CopyFrom(ctx context.Context, container, path string) (io.ReadCloser, error)
	// CopyTo unpacks a tar archive into a folder of a container, which may stand still.
	CopyTo(ctx context.Context, container, folder string, archive io.Reader) error
	// Started is when a container was started last; the zero time where it never was, or is gone.
	Started(ctx context.Context, container string) (time.Time, error)
	// Writers are the containers that run and have one of some volumes mounted so that they can write there, whosever they are.
	Writers(ctx context.Context, volumes []string) ([]compose.Container, error)
	// Log is the last lines that a container printed.
	Log(ctx context.Context, container string) string
	// Commit makes image ref of a container that stands still.
	Commit(ctx context.Context, container, ref string) error
	// Rewrap makes image to of the layers of from and of the configuration of like, as change leaves it.
	Rewrap(ctx context.Context, from, like, to string, change func(config map[string]any)) error
	// Import makes image ref of one layer.
	Import(ctx context.Context, ref string, layer io.Reader, labels map[string]string) error
	// Push sends image ref to the registry in its name, and returns the digest that it has there, "" where that is not said; Fetch gets it from there.
	Push(ctx context.Context, ref string, note func(compose.Event)) (digest string, err error)
	Fetch(ctx context.Context, ref string, note func(compose.Event)) error
	// Published is the digest of what the registry has under ref, "" for nothing.
	Published(ctx context.Context, ref string) (digest string, err error)
	// Tag gives an image one more name.
	Tag(ctx context.Context, ref, name string) error
	// Forget frees what the engine keeps of images that are gone.
	Forget(ctx context.Context) error
	// Images are the images that carry a label, whatever its value, the newest first.
	Images(ctx context.Context, label string) ([]Image, error)
}

// Image is an image of the engine.
type Image struct {
	ID      string
	Tags    []string
	Labels  map[string]string
	Size    int64 // bytes, with the layers that it shares
	Created time.Time
}

// StepError says which step of a build failed, and what its container printed last.
type StepError struct {
	Service string
	Doing   string // "migrate", "restore base.sql", …
	Log     string // may be empty
	Err     error
}

// Error names the step.
func (e *StepError) Error() string {
	return fmt.Sprintf("%s (service %s): %v", e.Doing, e.Service, e.Err)
}

// Unwrap is Err.
func (e *StepError) Unwrap() error { return e.Err }

// Ref is the tag of a service's image of a seed.
func Ref(project, service, key string) string { return project + "-seed-" + service + ":" + key }

// ScratchName is the project in which the seeds of a project are built, one at a time.
func ScratchName(project string) string { return project + "-seed" }
