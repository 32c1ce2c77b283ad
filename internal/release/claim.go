package release

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/strake-dev/strake/compose"
)

// Claims are how one move of an environment at a time is had: a reference of the project's origin, which git makes only where there is none, or else a tag
// that the registry has written once.
type Claims struct {
	// Git runs git in the project's repository and returns what it prints. It asks for no password.
	Git func(ctx context.Context, args ...string) (string, error)
	// Remote is the name of the origin; "" where there is none.
	Remote string
	// Registry has the claims where there is no origin, if it has tags written once. Else nothing is claimed.
	Registry *Registry
	Owner    compose.Owner
	Alive    func(compose.Owner) bool // whether an owner on this machine may still be at work
	Now      func() time.Time
	// Warn, where it is not nil, is told of a claim that could not be given back after what was done while it was held.
	Warn func(string)
}

// back is the error of what was done while a claim was held that could not be given back: none of its own where it was done, which is warned of.
func (c Claims) back(environment string, err, dropErr error) error {
	dropErr = fmt.Errorf("give back the claim of %s: %w", environment, dropErr)
	if err == nil && c.Warn != nil {
		c.Warn(dropErr.Error() + "; until it is given back, or for an hour, nobody else moves " + environment)
		return nil
	}
	return errors.Join(err, dropErr)
}

// How long what has to do with claims may take.
const (
	gitLimit  = 2 * time.Minute  // a git command: one whose remote does not answer must not hold a claim for ever
	moveLimit = 20 * time.Minute // what is done while a claim is held: moves take seconds
	claimAge  = time.Hour        // a claim of this age is taken for one whose owner is gone
)

// HeldError is returned where another moves the environment. It is compose.ErrHeld.
type HeldError struct {
	Environment, Remote string
	Owner               compose.Owner
}

// Error names who.
func (e *HeldError) Error() string {
	return fmt.Sprintf("%s is being moved by %q of %s on %s since %s", e.Environment, e.Owner.Command, e.Owner.User, e.Owner.Host, e.Owner.Since.Local().Format("15:04:05"))
}

// Unwrap is compose.ErrHeld.
func (e *HeldError) Unwrap() error { return compose.ErrHeld }

// Hint is how to go on.
func (e *HeldError) Hint() string {
	if e.Remote == "" {
		return "wait for it; where that machine is gone for good, its claim is over an hour after it was made"
	}
	return "wait for it; where that machine is gone for good, git push " + e.Remote + " :" + claimRef(e.Environment) + " takes the claim away"
}

func claimRef(environment string) string { return "refs/strake/claims/" + environment }

// Hold calls do while the claim of an environment is held, at most for some minutes. still is an error where the claim is another's by now. Where another
// holds it, Hold returns a *HeldError.
func (c Claims) Hold(ctx context.Context, environment string, do func(ctx context.Context, still func(context.Context) error) error) (err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, moveLimit, fmt.Errorf("moving %s took more than %s", environment, moveLimit))
	defer cancel()
	if c.Remote == "" {
		return c.holdTag(ctx, environment, do)
	}
	id, err := c.object(ctx)
	if err != nil {
		return fmt.Errorf("claim %s: %w", environment, err)
	}
	err = c.take(ctx, environment, id)
	var held *HeldError
	if errors.As(err, &held) {
		return err
	}
	defer func() { // also of one that was not had: the answer may be what was lost
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		if dropErr := c.drop(ctx, environment, id); dropErr != nil {
			if there, lookErr := c.there(ctx, environment); lookErr != nil || there == id {
				err = c.back(environment, err, dropErr)
			}
		}
	}()
	if err != nil {
		return err
	}
	return do(ctx, func(ctx context.Context) error { return c.still(ctx, environment, id) })
}

// still is an error where a claim is not id any more.
func (c Claims) still(ctx context.Context, environment, id string) error {
	there, err := c.there(ctx, environment)
	switch {
	case err != nil:
		return fmt.Errorf("look at the claim of %s: %w", environment, err)
	case there == id:
		return nil
	case there == "":
		return &compose.HintedError{Err: fmt.Errorf("the claim of %s was taken away: %w", environment, compose.ErrHeld), Next: "look at strake status"}
	}
	owner, err := c.ownerOf(ctx, claimRef(environment), there)
	return errors.Join(err, &HeldError{environment, c.Remote, owner})
}

// there is the claim of an environment; "" for none.
func (c Claims) there(ctx context.Context, environment string) (id string, err error) {
	list, err := c.git(ctx, "ls-remote", "--quiet", "--", c.Remote, claimRef(environment))
	return Refs(list)[claimRef(environment)], err
}

// Refs are the references that git ls-remote lists, by their names in full. Which one was asked for has to be looked up by its name: git lists those too that
// only end in it, such as a branch that is called refs/heads/main.
// Source: git-ls-remote(1), patterns.
func Refs(list string) map[string]string {
	at := map[string]string{}
	for line := range strings.Lines(list) {
		if id, ref, ok := strings.Cut(strings.TrimSpace(line), "\t"); ok {
			at[ref] = id
		}
	}
	return at
}

// git is Git, which ends.
func (c Claims) git(ctx context.Context, args ...string) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, gitLimit, fmt.Errorf("git %s took more than %s", args[0], gitLimit))
	defer cancel()
	out, err := c.Git(ctx, args...)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return out, err
}

// object is a commit without files that says who claims.
func (c Claims) object(ctx context.Context) (id string, err error) {
	text, err := json.Marshal(c.Owner)
	if err != nil {
		return "", err
	}
	tree, err := c.git(ctx, "hash-object", "-w", "-t", "tree", "/dev/null")
	if err != nil {
		return "", err
	}
	return c.git(ctx, "-c", "user.name=strake", "-c", "user.email=strake@localhost", "-c", "commit.gpgSign=false", "commit-tree", tree, "-m", string(text))
}

// take makes the reference. One whose owner is known to be gone is taken away first.
func (c Claims) take(ctx context.Context, environment, id string) error {
	ref := claimRef(environment)
	var pushErr error
	for range 5 {
		_, pushErr = c.git(ctx, "push", "--quiet", "--no-verify", "--force-with-lease="+ref+":", "--", c.Remote, id+":"+ref)
		if pushErr == nil {
			return nil
		}
		there, err := c.there(ctx, environment)
		if err != nil {
			return fmt.Errorf("claim %s: %w", environment, err)
		}
		if there == id { // the answer was lost
			return nil
		}
		if there == "" { // given back meanwhile, or it cannot be pushed to
			continue
		}
		pushErr = nil
		owner, err := c.ownerOf(ctx, ref, there)
		if err != nil {
			if again, lookErr := c.there(ctx, environment); lookErr == nil && again != there {
				continue
			}
			return fmt.Errorf("claim %s: %w", environment, err)
		}
		if !c.isOver(owner) {
			return &HeldError{environment, c.Remote, owner}
		}
		if err := c.drop(ctx, environment, there); err != nil {
			continue // somebody else did
		}
	}
	if pushErr != nil {
		return &compose.HintedError{Err: fmt.Errorf("claim %s: %w", environment, pushErr), Next: "whoever promotes has to be allowed to push " + ref + " to " + c.Remote}
	}
	return fmt.Errorf("claim %s: %s changes while it is claimed", environment, ref)
}

// isOver is whether the owner of a claim is gone: by what this machine knows, or as the claim is old, or of a time to come, which none is made at.
func (c Claims) isOver(owner compose.Owner) bool {
	isDead := owner.Host == c.Owner.Host && !c.Alive(owner) // machines made from one image may be called the same, and those of CI are
	age := c.Now().Sub(owner.Since)
	return isDead || age >= claimAge || age < -clocksDiffer
}

// ownerOf is who made a claim; one that cannot be read is nobody's.
func (c Claims) ownerOf(ctx context.Context, ref, id string) (owner compose.Owner, err error) {
	if _, err := c.git(ctx, "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--refmap=", "--", c.Remote, ref); err != nil {
		return owner, err
	}
	text, err := c.git(ctx, "show", "--no-patch", "--format=%B", "--end-of-options", id)
	if err != nil {
		return owner, err
	}
	_ = json.Unmarshal([]byte(text), &owner) // of nobody that is known: Since is long ago
	return clean(owner), nil
}

// clean is an owner whose words are one line each: whoever may push wrote them.
func clean(o compose.Owner) compose.Owner {
	o.Host, o.User, o.Command = line(o.Host), line(o.User), line(o.Command)
	return o
}

// drop takes a claim away, if it is still that one.
func (c Claims) drop(ctx context.Context, environment, id string) error {
	ref := claimRef(environment)
	_, err := c.git(ctx, "push", "--quiet", "--no-verify", "--force-with-lease="+ref+":"+id, "--", c.Remote, ":"+ref)
	return err
}
