package release

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/compose/regex"
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

// Tags of the ledger's repository. No environment has a dot in its name.
func tagOfBuild(commit string) string     { return "build-" + commit }
func tagOfTree(tree string) string        { return "tree-" + tree }
func tagOfHead(environment string) string { return "head-" + environment }
func tagOfEntry(environment string, n int) string {
	return "ledger-" + environment + "." + strconv.Itoa(n)
}

// Build is what was built of a commit, in full. None is ErrAbsent.
func (r *Registry) Build(ctx context.Context, commit string) (Build, error) {
	b, err := r.build(ctx, tagOfBuild(commit))
	if err == nil && b.Commit != commit {
		err = r.wrong(tagOfBuild(commit), "it is of "+Short(line(b.Commit)))
	}
	return b, err
}

// BuildOfTree is the last clean build of a commit of the repository itself with these files. None is ErrAbsent.
func (r *Registry) BuildOfTree(ctx context.Context, tree string) (Build, error) {
	b, err := r.build(ctx, tagOfTree(tree))
	if err == nil && (b.Tree != tree || b.Dirty || b.Foreign) {
		err = r.wrong(tagOfTree(tree), "it is of other files")
	}
	if err != nil {
		return b, err
	}
	of, err := r.Build(ctx, b.Commit) // the tag of the files is moved, that of the commit is not
	if err == nil && (of.Tree != tree || !maps.Equal(of.Images, b.Images) || !maps.Equal(of.Inputs, b.Inputs)) {
		err = r.wrong(tagOfTree(tree), "it is not what was published of "+Short(b.Commit))
	}
	return b, err
}

func (r *Registry) build(ctx context.Context, tag string) (b Build, err error) {
	m, err := r.read(ctx, LedgerRepository, tag)
	if err != nil {
		return b, err
	}
	if err := valueOf(m, &b); err != nil {
		return b, r.wrong(tag, err.Error())
	}
	b.Subject, b.Author, b.Branch, b.Actor = line(b.Subject), line(b.Author), line(b.Branch), line(b.Actor)
	if why := wrongImages(b.Commit, b.Images); why != "" {
		return b, r.wrong(tag, why)
	}
	return b, nil
}

// ErrForged is in the error for a record that says what strake does not write.
var ErrForged = errors.New("strake did not write it")

// wrong is the error for a record that says what strake does not write.
func (r *Registry) wrong(tag, why string) error {
	return &compose.HintedError{Err: fmt.Errorf("the record %s of %s/%s: %s: %w", tag, r.Path, LedgerRepository, why, ErrForged), Next: whoMayWrite}
}

// Record writes down what was built, and returns what is written there then. It comes after all images have their tags: a build that is recorded is whole.
// One that is there already is not replaced unless that is said, so that those who build the same commit at once have the same images of it. What is Foreign
// is always replaced by what is not, and never the other way round; compose.ErrHeld is that it was written at the same time.
func (r *Registry) Record(ctx context.Context, b Build, replace bool) (Build, error) {
	there, err := r.Build(ctx, b.Commit)
	if err == nil && there.Foreign != b.Foreign {
		replace = there.Foreign
	}
	if !errors.Is(err, ErrAbsent) && !replace {
		return there, err
	}
	image, err := artifact(b)
	if err != nil {
		return b, err
	}
	_, err = r.put(ctx, LedgerRepository, image, tagOfBuild(b.Commit))
	if errors.Is(err, ErrWritten) && replace {
		if there, readErr := r.read(ctx, LedgerRepository, tagOfBuild(b.Commit)); readErr == nil {
			err = r.store.remove(ctx, LedgerRepository, tagOfBuild(b.Commit), there.digest)
		}
		if err == nil {
			_, err = r.put(ctx, LedgerRepository, image, tagOfBuild(b.Commit))
		}
	}
	if err != nil && !errors.Is(err, ErrWritten) { // else somebody else was first
		return b, err
	}
	there, err = r.Build(ctx, b.Commit)
	if err == nil && there.Foreign && !b.Foreign {
		err = &compose.HintedError{Err: fmt.Errorf("pull request %d of another repository published %s at the same time: %w", there.PullRequest, Short(b.Commit), compose.ErrHeld), Next: "run strake build --push again"}
	}
	if err != nil || b.Dirty || b.Foreign || b.Tree == "" || !maps.Equal(there.Images, b.Images) {
		return there, err
	}
	if _, err = r.put(ctx, LedgerRepository, image, tagOfTree(b.Tree)); errors.Is(err, ErrWritten) { // by a registry that has all tags written once: the first one counts
		err = nil
	}
	return there, err
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
	return fmt.Sprintf("%s; where the tag %s is on something that is no entry, take that tag away there", whoMayWrite, tagOfEntry(e.Environment, e.Number))
}

const whoMayWrite = "find out who may write to, or clean up, the repository " + LedgerRepository + " of the registry"

// History reads the ledger of an environment from its newest entry until what was read is enough; nil is all. A chain that does not hang together is
// a *BrokenError, with what could be read of it.
func (r *Registry) History(ctx context.Context, environment string, enough func(History) bool) (History, error) {
	e, err := r.newest(ctx, environment)
	if errors.Is(err, ErrAbsent) {
		return nil, nil
	}
	broken := err
	if e.digest == "" {
		return nil, err
	}
	var h History
	for {
		h = append(h, e)
		if e.Number == 1 || enough != nil && enough(h) {
			return h, broken
		}
		m, err := r.read(ctx, LedgerRepository, e.Previous)
		if errors.Is(err, ErrAbsent) {
			return h, cmp.Or(broken, error(&BrokenError{environment, e.Number - 1, "the registry does not have it any more"}))
		}
		if err != nil {
			return h, err
		}
		if e, err = entryOf(m, environment, e.Number-1); err != nil {
			return h, cmp.Or(broken, err)
		}
	}
}

// newest is the newest entry of a ledger; none is ErrAbsent. Where what follows it does not hang together with it, it is returned with a *BrokenError.
func (r *Registry) newest(ctx context.Context, environment string) (e Entry, err error) {
	head, err := r.read(ctx, LedgerRepository, tagOfHead(environment))
	if errors.Is(err, ErrAbsent) {
		head, err = r.read(ctx, LedgerRepository, tagOfEntry(environment, 1)) // who wrote the first may have been cut off
	}
	if err != nil {
		return e, err
	}
	if e, err = entryOf(head, environment, 0); err != nil { // somebody moved it: the entries have numbers, and tags of those
		broken := err
		if head, err = r.read(ctx, LedgerRepository, tagOfEntry(environment, 1)); errors.Is(err, ErrAbsent) {
			return Entry{}, broken
		}
		if err == nil {
			e, err = entryOf(head, environment, 1)
		}
		if err != nil {
			return Entry{}, err
		}
	}
	if head, err = r.read(ctx, LedgerRepository, tagOfEntry(environment, e.Number)); errors.Is(err, ErrAbsent) {
		return Entry{}, &BrokenError{environment, e.Number, "the registry does not have it under its number"}
	}
	if err != nil {
		return Entry{}, err
	}
	if head.digest != e.digest { // the head may be moved, and the numbers may be written once
		if e, err = entryOf(head, environment, e.Number); err != nil {
			return Entry{}, err
		}
	}
	for { // the head's tag comes last, and may be behind
		m, err := r.read(ctx, LedgerRepository, tagOfEntry(environment, e.Number+1))
		if errors.Is(err, ErrAbsent) {
			return e, nil
		}
		if err != nil {
			return Entry{}, err
		}
		next, err := entryOf(m, environment, e.Number+1)
		if err == nil && next.Previous != e.digest {
			err = &BrokenError{environment, next.Number, "it does not follow " + e.digest}
		}
		if err != nil {
			return e, err
		}
		e = next
	}
}

// entryOf reads the entry of a number; 0 is any.
func entryOf(m manifest, environment string, number int) (Entry, error) {
	var e Entry
	if err := valueOf(m, &e); err != nil {
		return e, &BrokenError{environment, number, err.Error()}
	}
	e.digest, e.Subject, e.Actor = m.digest, line(e.Subject), line(e.Actor)
	for i, a := range e.Approvals {
		e.Approvals[i].Role, e.Approvals[i].Who = line(a.Role), line(a.Who)
	}
	for i, c := range e.Checks {
		e.Checks[i].Command = line(c.Command)
	}
	if e.Hotfix != nil {
		e.Hotfix.Branch = line(e.Hotfix.Branch)
		names := []string{e.Hotfix.Base, cmp.Or(e.Hotfix.Whole, e.Hotfix.Base)}
		for i, f := range e.Hotfix.Fixes {
			e.Hotfix.Fixes[i].Subject = line(f.Subject)
			names = append(names, f.Commit, cmp.Or(f.Patch, f.Commit)) // one that changes nothing has none
		}
		for _, name := range names {
			if !commitName.MatchString(name) {
				return e, &BrokenError{environment, number, fmt.Sprintf("it tells of a hotfix of %q", name)}
			}
		}
	}
	why := wrongImages(e.Commit, e.Images)
	switch {
	case e.Environment != environment:
		why = fmt.Sprintf("it is one of %q", e.Environment)
	case number > 0 && e.Number != number, e.Number < 1, (e.Number == 1) != (e.Previous == ""), e.Previous != "" && !digestName.MatchString(e.Previous):
		why = fmt.Sprintf("it has the number %d and follows %q", e.Number, e.Previous)
	case e.Action != Promoted && e.Action != RolledBack:
		why = fmt.Sprintf("it tells of %q", e.Action)
	}
	for _, commit := range slices.Concat(e.Kept, e.Left) {
		if !commitName.MatchString(commit) {
			why = fmt.Sprintf("it keeps %q", commit)
		}
	}
	if why != "" {
		return e, &BrokenError{environment, number, why}
	}
	return e, nil
}

var (
	commitName  = regex.New(`^([0-9a-f]{40}|[0-9a-f]{64})(-dirty-[0-9a-f]+)?$`)
	digestName  = regex.New(`^sha256:[0-9a-f]{64}$`)
	serviceName = regex.New(`^[a-zA-Z0-9]+([._-]+[a-zA-Z0-9]+)*$`)
)

// wrongImages is why a commit or the images by service are none; "" where they are. What is in the registry may be somebody else's.
func wrongImages(commit string, images map[string]string) string {
	if !commitName.MatchString(commit) {
		return fmt.Sprintf("%q is no commit", commit)
	}
	for service, digest := range images {
		if !serviceName.MatchString(service) || service == LedgerRepository || !digestName.MatchString(digest) {
			return fmt.Sprintf("%q at %q is no image of a service", service, digest)
		}
	}
	return ""
}

// line is text that is shown to people as one line, without what moves a terminal's cursor or turns its text around.
func line(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Zl, r) || unicode.Is(unicode.Zp, r) {
			return ' '
		}
		return r
	}, text)
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

// Unwrap is compose.ErrHeld.
func (e *ConflictError) Unwrap() error { return compose.ErrHeld }

// Hint is what to do then.
func (e *ConflictError) Hint() string { return "look at strake status, and run it again" }

// holds looks that the newest entry of a ledger is still the one that counts under its number.
func (r *Registry) holds(ctx context.Context, h History) error {
	there, err := r.read(ctx, LedgerRepository, tagOfEntry(h[0].Environment, h[0].Number))
	if err != nil || there.digest == h[0].digest {
		return err
	}
	return conflict(there, h[0])
}

// conflict is the error where an entry is there instead of mine.
func conflict(there manifest, mine Entry) error {
	other, err := entryOf(there, mine.Environment, mine.Number)
	if err != nil {
		return err
	}
	return &ConflictError{mine.Environment, other}
}

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
		if _, err = r.put(ctx, LedgerRepository, image, tag); err == nil || errors.Is(err, ErrWritten) {
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
	e.digest = hash.String()
	if there.digest != e.digest {
		return h, conflict(there, e)
	}
	_ = r.write(ctx, LedgerRepository, tagOfHead(e.Environment), there) // it is written: the head saves readers a request, and they look further than it
	return append(History{e}, h...), nil
}
