package release

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// annotation is where an artifact of the ledger holds what it says, as JSON: in its manifest, so that one request reads it. Its blobs are the same for all.
const annotation = "dev.strake.ledger"

// artifact is a value as an artifact of the ledger.
// Source: OCI Image Specification 1.1, "Guidelines for Artifact Usage": an artifact without content has the empty JSON as its layer.
func artifact(value any) (v1.Image, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	image := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	image = mutate.ConfigMediaType(image, types.OCIConfigJSON)
	image, err = mutate.AppendLayers(image, static.NewLayer([]byte("{}"), "application/vnd.oci.empty.v1+json"))
	if err != nil {
		return nil, err
	}
	return mutate.Annotations(image, map[string]string{annotation: string(text)}).(v1.Image), nil
}

// valueOf reads what artifact wrote.
func valueOf(m manifest, value any) error {
	var a struct{ Annotations map[string]string }
	if err := json.Unmarshal(m.raw, &a); err != nil {
		return err
	}
	text, ok := a.Annotations[annotation]
	if !ok {
		return errors.New("it is none of strake's")
	}
	return json.Unmarshal([]byte(text), value)
}

// Tags of the ledger's repository.
func tagOfBuild(commit string) string     { return "build-" + commit }
func tagOfTree(tree string) string        { return "tree-" + tree }
func tagOfHead(environment string) string { return "ledger-" + environment }
func tagOfEntry(environment string, n int) string {
	return "ledger-" + environment + "-" + strconv.Itoa(n)
}

// Build is what was built of a commit, in full. None is ErrAbsent.
func (r *Registry) Build(ctx context.Context, commit string) (Build, error) {
	return r.build(ctx, tagOfBuild(commit))
}

// BuildOfTree is the last clean build of a commit with these files. None is ErrAbsent.
func (r *Registry) BuildOfTree(ctx context.Context, tree string) (Build, error) {
	return r.build(ctx, tagOfTree(tree))
}

func (r *Registry) build(ctx context.Context, tag string) (b Build, err error) {
	m, err := r.read(ctx, LedgerRepository, tag)
	if err != nil {
		return b, err
	}
	if err := valueOf(m, &b); err != nil {
		return b, fmt.Errorf("read what was built from %s of %s/%s: %w", tag, r.Path, LedgerRepository, err)
	}
	return b, nil
}

// Record writes down what was built. It comes after all images have their tags: a build that is recorded is whole.
func (r *Registry) Record(ctx context.Context, b Build) error {
	image, err := artifact(b)
	if err != nil {
		return err
	}
	tags := []string{tagOfBuild(b.Commit)}
	if !b.Dirty && b.Tree != "" {
		tags = append(tags, tagOfTree(b.Tree))
	}
	_, err = r.put(ctx, LedgerRepository, image, tags...)
	return err
}

// BrokenError is returned where a ledger does not hang together: something was removed from it or put into it.
type BrokenError struct {
	Environment string
	Number      int // of the entry at which it breaks
	Why         string
}

// Error says where.
func (e *BrokenError) Error() string {
	return fmt.Sprintf("the ledger of %s is broken at entry %d: %s", e.Environment, e.Number, e.Why)
}

// Hint is what to look at.
func (e *BrokenError) Hint() string {
	return "find out who may write to, or clean up, the repository " + LedgerRepository + " of the registry"
}

// History reads the ledger of an environment, at most so many entries; 0 is all. A chain that does not hang together is a *BrokenError, with what
// could be read of it.
func (r *Registry) History(ctx context.Context, environment string, most int) (History, error) {
	head, err := r.read(ctx, LedgerRepository, tagOfHead(environment))
	if errors.Is(err, ErrAbsent) {
		head, err = r.read(ctx, LedgerRepository, tagOfEntry(environment, 1)) // who wrote the first may have been cut off
		if errors.Is(err, ErrAbsent) {
			return nil, nil
		}
	}
	if err != nil {
		return nil, err
	}
	var h History
	e, err := entryOf(head, environment, 0)
	if err != nil {
		return nil, err
	}
	for { // the head's tag comes last, and may be behind
		m, err := r.read(ctx, LedgerRepository, tagOfEntry(environment, e.Number+1))
		if errors.Is(err, ErrAbsent) {
			break
		}
		if err != nil {
			return nil, err
		}
		next, err := entryOf(m, environment, e.Number+1)
		if err != nil {
			return nil, err
		}
		if next.Previous != e.digest {
			return nil, &BrokenError{environment, next.Number, "it does not follow " + e.digest}
		}
		e = next
	}
	for {
		h = append(h, e)
		if e.Number == 1 && e.Previous == "" || len(h) == most {
			return h, nil
		}
		m, err := r.read(ctx, LedgerRepository, e.Previous)
		if errors.Is(err, ErrAbsent) {
			return h, &BrokenError{environment, e.Number - 1, "the registry does not have it any more"}
		}
		if err != nil {
			return h, err
		}
		if e, err = entryOf(m, environment, e.Number-1); err != nil {
			return h, err
		}
	}
}

// entryOf reads the entry of a number; 0 is any.
func entryOf(m manifest, environment string, number int) (Entry, error) {
	var e Entry
	if err := valueOf(m, &e); err != nil {
		return e, &BrokenError{environment, number, err.Error()}
	}
	e.digest = m.digest
	switch {
	case e.Environment != environment:
		return e, &BrokenError{environment, number, fmt.Sprintf("it is one of %q", e.Environment)}
	case number > 0 && e.Number != number, e.Number < 1, (e.Number == 1) != (e.Previous == ""):
		return e, &BrokenError{environment, number, fmt.Sprintf("it has the number %d", e.Number)}
	}
	return e, nil
}

// ConflictError is returned where somebody else wrote to a ledger at the same time: nothing of the move was done.
type ConflictError struct {
	Environment string
	By          Entry
}

// Error names who.
func (e *ConflictError) Error() string {
	return fmt.Sprintf("%s of %s is under way: %s to %s, begun at %s", e.By.Action, e.Environment, e.By.Actor, Short(e.By.Commit), e.By.Time.Format("15:04:05"))
}

// Hint is what to do then.
func (e *ConflictError) Hint() string { return "look at strake status, and run it again" }

// append writes the next entry of a ledger, and looks that it is the one that counts: a registry lets two write the same tag.
func (r *Registry) append(ctx context.Context, h History, e Entry) (History, error) {
	e.Number, e.Previous = 1, ""
	if len(h) > 0 {
		e.Number, e.Previous = h[0].Number+1, h[0].digest
	}
	image, err := artifact(e)
	if err != nil {
		return h, err
	}
	tag := tagOfEntry(e.Environment, e.Number)
	there, err := r.read(ctx, LedgerRepository, tag)
	if errors.Is(err, ErrAbsent) {
		if _, err = r.put(ctx, LedgerRepository, image, tag); err == nil {
			there, err = r.read(ctx, LedgerRepository, tag)
		}
	}
	if err != nil {
		return h, err
	}
	hash, err := image.Digest()
	if err != nil {
		return h, err
	}
	if there.digest != hash.String() {
		other, err := entryOf(there, e.Environment, e.Number)
		if err != nil {
			return h, err
		}
		return h, &ConflictError{e.Environment, other}
	}
	e.digest = there.digest
	if err := r.write(ctx, LedgerRepository, tagOfHead(e.Environment), there); err != nil {
		return h, err
	}
	return append(History{e}, h...), nil
}
