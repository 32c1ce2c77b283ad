package offline

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/distribution/reference"

	"github.com/strake-dev/strake/compose"
)

// LockFile is the name of the file in which a project's images are pinned, in the project's folder.
const LockFile = "strake.lock"

// Lock pins images by their references. Its JSON names are stable.
type Lock struct {
	Version int             `json:"version"` // of this form: 1
	Images  map[string]*Pin `json:"images"`
}

// Pin says which image a reference means.
type Pin struct {
	// Digest is by what a registry has it; "" of one that came from none.
	Digest    string               `json:"digest,omitempty"`
	Platforms map[string]PinnedOne `json:"platforms"` // by os/arch
}

// PinnedOne is a pinned image of one platform. An engine with graph drivers forgets, when it loads an image, what digest a registry has it by, and
// one that keeps images in containerd does not say the digest of the configuration: what both tell is Content, which is compose.Image.Content.
type PinnedOne struct {
	Config  string `json:"config,omitempty"`
	Content string `json:"content"`
}

// ReadLock reads the lock of a project's folder; fs.ErrNotExist, in a *compose.HintedError, where there is none.
func ReadLock(dir string) (*Lock, error) {
	file := filepath.Join(dir, LockFile)
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &compose.HintedError{Err: fmt.Errorf("read what images are pinned: %w", err), Next: "strake lock writes it"}
	}
	if err != nil {
		return nil, err
	}
	l := &Lock{}
	err = json.Unmarshal(text, l)
	if err == nil && l.Version != 1 {
		err = fmt.Errorf("its form is %d, and this strake reads 1", l.Version)
	}
	if err != nil {
		return nil, &compose.HintedError{Err: fmt.Errorf("read %s: %w", file, err), Next: "strake lock writes it anew"}
	}
	return l, nil
}

// Write writes the lock into a project's folder, so that there is the former or the new one, whole.
func (l *Lock) Write(dir string) error {
	text, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "."+LockFile+"-*")
	if err != nil {
		return err
	}
	_, err = f.Write(append(text, '\n'))
	if err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), filepath.Join(dir, LockFile))
	}
	if err != nil {
		_ = os.Remove(f.Name()) // the first error is the one that tells
	}
	return err
}

// Pinned is a lock of the images that references mean on a host. Of former it keeps the platforms that are of the same images; nil is none. A
// reference without an image is an error; all of them are named.
func Pinned(refs []string, have compose.State, former *Lock) (*Lock, error) {
	l := &Lock{Version: 1, Images: map[string]*Pin{}}
	var errs []error
	for _, ref := range refs {
		image, ok := have.Images[ref]
		if !ok {
			errs = append(errs, &compose.HintedError{Err: fmt.Errorf("image %s is not here", ref), Next: "run strake pull, and lock again"})
			continue
		}
		pin := &Pin{Digest: DigestOf(ref, image), Platforms: map[string]PinnedOne{}}
		if former != nil {
			if was := former.Images[ref]; was != nil && was.Digest == pin.Digest && pin.Digest != "" {
				maps.Copy(pin.Platforms, was.Platforms)
			}
		}
		pin.Platforms[image.Platform] = PinnedOne{Config: image.Config, Content: image.Content}
		l.Images[ref] = pin
	}
	return l, errors.Join(errs...)
}

// DigestOf is by what the registry of a reference has an image; "" where it came from none. An engine that keeps images in containerd says one also of
// what it built itself.
func DigestOf(ref string, image compose.Image) string {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return ""
	}
	for _, d := range image.Digests {
		if other, err := reference.ParseNormalizedNamed(d); err == nil && other.Name() == named.Name() {
			if pinned, ok := other.(reference.Digested); ok {
				return pinned.Digest().String()
			}
		}
	}
	return ""
}

// Unlocked is an image that is not the one that a lock pins.
type Unlocked struct {
	Ref     string
	Why     string
	Exactly string // the reference that a registry has it by: name@digest; "" where none does
}

// Check says which images are not those that are pinned: other ones, absent ones, and those that the lock does not know.
func (l *Lock) Check(refs []string, have compose.State) []Unlocked {
	var all []Unlocked
	platform := have.Engine.OS + "/" + have.Engine.Arch
	for _, ref := range refs {
		pin, image := l.Images[ref], have.Images[ref]
		if pin == nil {
			all = append(all, Unlocked{Ref: ref, Why: "it is not in " + LockFile})
			continue
		}
		u := Unlocked{Ref: ref}
		if named, err := reference.ParseNormalizedNamed(ref); err == nil && pin.Digest != "" {
			u.Exactly = reference.TrimNamed(named).Name() + "@" + pin.Digest
		}
		if image.Platform != "" {
			platform = image.Platform
		}
		want, ok := pin.Platforms[platform]
		switch {
		case image.ID == "":
			u.Why = "it is not here"
		case !ok:
			u.Why = LockFile + " has none for " + platform
		case image.Content != want.Content, image.Config != "" && want.Config != "" && image.Config != want.Config:
			is, pinned := image.Config, want.Config
			if is == "" || pinned == "" || is == pinned {
				is, pinned = image.Content, want.Content
			}
			u.Why = fmt.Sprintf("it is %.19s here, and %.19s is pinned", is, pinned)
		default:
			continue
		}
		all = append(all, u)
	}
	return all
}

// LockError says which images are not those that are pinned.
type LockError struct{ Unlocked []Unlocked }

// Error is a line for each.
func (e *LockError) Error() string {
	var lines []string
	for _, u := range e.Unlocked {
		lines = append(lines, fmt.Sprintf("image %s is not locked: %s", u.Ref, u.Why))
	}
	return strings.Join(lines, "\n")
}

// Hint is how to go on.
func (e *LockError) Hint() string {
	return "strake lock pins the images that are here; strake bundle load, or up --locked with a network, gets those that are pinned"
}

// References are the references of a project's images that it does not build, those that builds are made of included, sorted.
func References(p *compose.Project, builds []compose.BuildRef) []string {
	one := p.Copy()
	one.DisabledServices = map[string]compose.Service{}
	built := map[string]bool{}
	for name, s := range one.Services {
		if s.Build != nil || p.Settings.Services[name].StandIn || s.Labels[LabelRole] != "" { // what these run is strake's own
			built[compose.ImageName(p, s)] = true
		}
	}
	all := map[string]bool{}
	for _, ref := range compose.ScopeOf(one, builds).Images {
		if !built[ref.Ref] && ref.Ref != "" {
			all[ref.Ref] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}
