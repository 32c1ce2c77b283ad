// Package previews gives a change of a project, such as a pull request, a stack of its own with data and a URL, and takes all of
// it away again.
//
// A Preview is a Stack, a Seed, a Route and a Lease for one commit. What is known of it that labels cannot say, because it
// changes, is its Record: a small file in a container that never runs, so that any machine which reaches the host sees the same.
// Everything that belongs to it carries LabelPreview; closing it is done when all that carries the label was looked for and is absent.
//
// An update makes a new generation: a compose project of its own beside the former one. It is proven there, the gateway
// switches, and the former one goes. What fails before the switch leaves the former generation serving.
//
// A pull request's compose file is written by whoever wrote the pull request. Source takes its commit out of the repository without running
// anything of it; LoadOptions has it loaded without the environment and the files of who opens it; Overlay makes a project of it that owns all
// that it uses, and refuses by name what would lead out of its containers.
package previews

import (
	"context"
	"net/netip"
	"time"

	"github.com/strake-dev/strake/compose"
)

// Labels of what belongs to previews.
const (
	// LabelPreview is on everything that a preview owns: the name of its Stack.
	LabelPreview = "dev.strake.preview"
	// LabelGeneration is on the containers, networks and volumes of one generation: its number.
	LabelGeneration = "dev.strake.generation"
	// LabelRecord is on the container that holds a preview's Record.
	LabelRecord = "dev.strake.record"
	// LabelCommit is on what was made for a commit.
	LabelCommit = "dev.strake.commit"
)

// Host is what previews need of where they run.
type Host interface {
	compose.Host
	// Keep writes files into record container name, which is made with the labels where it is missing; where labels is nil that is
	// fs.ErrNotExist.
	Keep(ctx context.Context, name string, labels map[string]string, files map[string][]byte) error
	// Kept reads a file of record container name; fs.ErrNotExist where it is not there.
	Kept(ctx context.Context, name, file string) ([]byte, error)
	// Subnets are those that are taken: of every network of the host, and what the machine's routes lead to where they are known.
	Subnets(ctx context.Context) ([]netip.Prefix, error)
	// Room is how much disk and memory is left where containers run.
	Room(ctx context.Context) (Room, error)
	// Size is how many bytes the containers and volumes with a label, as KEY=VALUE, hold; 0 where that is not to be had.
	Size(ctx context.Context, label string) (int64, error)
	// Log is the last lines that a container printed, "" where there are none to be had.
	Log(ctx context.Context, container string) string
}

// Router sends visitors to previews.
type Router interface {
	// Address makes the gateway be there and says how URLs are made: scheme and port as http://%s:7080.
	Address(ctx context.Context) (format string, err error)
	// Sync makes the routes be as the records of all previews say, and returns when they are. What is wrong with those of one stack is an
	// error where that stack is asked for, and no hindrance to the others.
	Sync(ctx context.Context, stack string) error
	// Drain returns when no request is under way to an upstream, or its patience ends: then it says how many are.
	Drain(ctx context.Context, upstream string, patience time.Duration) error
	// Leave takes the gateway out of a network that is going to be removed.
	Leave(ctx context.Context, network string) error
}

// Seeded is what Seeds knows of a project's seed. The zero value is a project without seeds.
type Seeded struct {
	Key string
	How string // it was had, where it was not there: built, or brought from elsewhere
	// Apply is the project as it starts from the seed with its data in the containers; nil without a seed.
	Apply func(*compose.Project) *compose.Project
	// Holders are the services that hold data: an update that keeps data keeps their containers.
	Holders []string
}

// Seeds makes seeds be there.
type Seeds interface {
	// Seal finds the seed from which a stack of the project starts, whose images are there: that of a commit's files, or of the nearest
	// commit before it on which only migrations have to run. Where there is none it makes one, which is the stack's own: nobody else starts
	// from what the files of a pull request made.
	Seal(ctx context.Context, stack, commit string, p *compose.Project, note func(string)) (Seeded, error)
	// Drop removes the images of the seeds that are a stack's own, but for that of a key; left are those that something runs on.
	Drop(ctx context.Context, held compose.Host, stack, but string) (gone, left []string, err error)
	// IsSeed is whether an image with these labels holds data of a seed: a file of a pull request cannot name it.
	IsSeed(labels map[string]string) bool
}

// Target is the commit that a preview is made of.
type Target struct {
	Commit
	Date time.Time // when it was committed
}

// Policy is what a project's default branch says of its previews, with the values of their secrets.
type Policy struct {
	Project  string // its own name
	Settings compose.Settings
	Secrets  map[string]string
}

// Sources finds commits and gives them folders.
type Sources interface {
	// Resolve finds the commit of a change.
	Resolve(ctx context.Context, c Change) (Target, error)
	// Policy is what the default branch says.
	Policy(ctx context.Context) (Policy, error)
	// Checkout writes the commit's files into a folder of their own for a generation, and returns it.
	Checkout(ctx context.Context, commit, generation string) (root string, err error)
	// Load reads the project of such a folder as a preview may see it.
	Load(ctx context.Context, root string, policy Policy) (*compose.Project, error)
	// Supply brings to the engine what the project of a commit is made of and is had otherwise than by building or pulling what it names, and says what it
	// brought; "" is nothing.
	Supply(ctx context.Context, commit string, p *compose.Project) (brought string, err error)
	// Trees are the generations of a stack that have a folder here.
	Trees(ctx context.Context, stack string) (generations []string, err error)
	// Remove removes the folders of generations, and returns those that are still there.
	Remove(ctx context.Context, generations []string) (left []string, err error)
}
