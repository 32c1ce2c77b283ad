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

// Claims are how one move of an environment at a time is had: a reference of the project's origin, which git makes only where there is none.
type Claims struct {
	// Git runs git in the project's repository and returns what it prints.
	Git func(ctx context.Context, args ...string) (string, error)
	// Remote is the name of the origin; "" where there is none, and then nothing is claimed.
	Remote string
	Owner  compose.Owner
	Alive  func(compose.Owner) bool
	Now    func() time.Time
}

// claimAge is how old a claim of another machine may be until its owner is taken for gone: a move takes seconds.
const claimAge = time.Hour

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
	return "wait for it; where that machine is gone for good, git push " + e.Remote + " :" + claimRef(e.Environment) + " takes the claim away"
}

func claimRef(environment string) string { return "refs/strake/claims/" + environment }

// Hold calls do while the claim of an environment is held. Where another holds it, it is *HeldError.
func (c Claims) Hold(ctx context.Context, environment string, do func() error) (err error) {
	if c.Remote == "" {
		return do()
	}
	id, err := c.object(ctx)
	if err != nil {
		return fmt.Errorf("claim %s: %w", environment, err)
	}
	if err := c.take(ctx, environment, id); err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		if giveErr := c.drop(ctx, environment, id); giveErr != nil {
			err = errors.Join(err, fmt.Errorf("give back the claim of %s: %w", environment, giveErr))
		}
	}()
	return do()
}

// object is a commit without files that says who claims.
func (c Claims) object(ctx context.Context) (id string, err error) {
	text, err := json.Marshal(c.Owner)
	if err != nil {
		return "", err
	}
	tree, err := c.Git(ctx, "hash-object", "-w", "-t", "tree", "/dev/null")
	if err != nil {
		return "", err
	}
	return c.Git(ctx, "-c", "user.name=strake", "-c", "user.email=strake@localhost", "-c", "commit.gpgSign=false", "commit-tree", tree, "-m", string(text))
}

// take makes the reference. One whose owner is known to be gone is taken away first.
func (c Claims) take(ctx context.Context, environment, id string) error {
	ref := claimRef(environment)
	for range 3 {
		_, pushErr := c.Git(ctx, "push", "--quiet", "--no-verify", "--force-with-lease="+ref+":", "--", c.Remote, id+":"+ref)
		if pushErr == nil {
			return nil
		}
		list, err := c.Git(ctx, "ls-remote", "--quiet", "--", c.Remote, ref)
		if err != nil {
			return fmt.Errorf("claim %s: %w", environment, err)
		}
		there, _, _ := strings.Cut(list, "\t")
		if there == "" { // given back meanwhile, or it cannot be pushed to
			if list, err = c.Git(ctx, "ls-remote", "--quiet", "--", c.Remote, ref); err == nil && list == "" {
				return &compose.HintedError{Err: fmt.Errorf("claim %s: %w", environment, pushErr), Next: "whoever promotes has to be allowed to push " + ref + " to " + c.Remote}
			}
			continue
		}
		owner, err := c.ownerOf(ctx, ref, there)
		if err != nil {
			return fmt.Errorf("claim %s: %w", environment, err)
		}
		if c.Alive(owner) && c.Now().Sub(owner.Since) < claimAge {
			return &HeldError{environment, c.Remote, owner}
		}
		if err := c.drop(ctx, environment, there); err != nil {
			continue // somebody else did
		}
	}
	return fmt.Errorf("claim %s: %s changes while it is claimed", environment, ref)
}

// ownerOf is who made a claim; one that cannot be read is nobody's.
func (c Claims) ownerOf(ctx context.Context, ref, id string) (owner compose.Owner, err error) {
	if _, err := c.Git(ctx, "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--refmap=", "--", c.Remote, ref); err != nil {
		return owner, err
	}
	text, err := c.Git(ctx, "show", "--no-patch", "--format=%B", "--end-of-options", id)
	if err != nil {
		return owner, err
	}
	_ = json.Unmarshal([]byte(text), &owner) // of nobody that is known: Since is long ago
	return owner, nil
}

// drop takes a claim away, if it is still that one.
func (c Claims) drop(ctx context.Context, environment, id string) error {
	ref := claimRef(environment)
	_, err := c.Git(ctx, "push", "--quiet", "--no-verify", "--force-with-lease="+ref+":"+id, "--", c.Remote, ":"+ref)
	return err
}
