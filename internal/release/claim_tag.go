package release

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/strake-dev/strake/compose"
)

// tagOfClaim is the tag of the ledger's repository that the one who moves an environment has.
func tagOfClaim(environment string) string { return "claim-" + environment }

// IsSure is whether of those who claim at once only one has it.
func (c Claims) IsSure(ctx context.Context) (bool, error) {
	if c.Remote != "" || c.Registry == nil {
		return c.Remote != "", nil
	}
	return c.Registry.WritesOnce(ctx, tagOfClaim("any"))
}

// holdTag is Hold with a tag of the registry; without one that is written once nothing is claimed.
func (c Claims) holdTag(ctx context.Context, environment string, do func(ctx context.Context, still func(context.Context) error) error) (err error) {
	sure, err := c.IsSure(ctx)
	if err != nil {
		return fmt.Errorf("claim %s: %w", environment, err)
	}
	if !sure {
		return do(ctx, func(context.Context) error { return nil })
	}
	mine, err := c.takeTag(ctx, environment)
	var held *HeldError
	if errors.As(err, &held) {
		return err
	}
	defer func() { // also of one that was not had: the answer may be what was lost
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		if dropErr := c.Registry.store.remove(ctx, LedgerRepository, tagOfClaim(environment), mine); dropErr != nil {
			err = c.back(environment, err, dropErr)
		}
	}()
	if err != nil {
		return err
	}
	return do(ctx, func(ctx context.Context) error {
		there, owner, err := c.claimTag(ctx, environment)
		switch {
		case errors.Is(err, ErrAbsent):
			return &compose.HintedError{Err: fmt.Errorf("the claim of %s was taken away: %w", environment, compose.ErrHeld), Next: "look at strake status"}
		case err != nil:
			return fmt.Errorf("look at the claim of %s: %w", environment, err)
		case there != mine:
			return &HeldError{environment, "", owner}
		}
		return nil
	})
}

// claimTag is the claim of an environment, and whose it is. None is ErrAbsent.
func (c Claims) claimTag(ctx context.Context, environment string) (digest string, owner compose.Owner, err error) {
	m, err := c.Registry.read(ctx, LedgerRepository, tagOfClaim(environment))
	if err == nil {
		_ = valueOf(m, &owner) // of nobody that is known: Since is long ago
	}
	return m.digest, clean(owner), err
}

// takeTag has the tag be on an artifact that says who claims, and returns its digest. One whose owner is known to be gone is taken away first.
func (c Claims) takeTag(ctx context.Context, environment string) (mine string, err error) {
	image, err := artifact(c.Owner)
	if err != nil {
		return "", err
	}
	hash, err := image.Digest()
	if err != nil {
		return "", err
	}
	mine = hash.String()
	for range 5 {
		if there, _, err := c.claimTag(ctx, environment); err == nil && there == mine { // of this process: nobody else has the same
			return mine, &HeldError{environment, "", c.Owner}
		}
		_, err := c.Registry.put(ctx, LedgerRepository, image, tagOfClaim(environment))
		if !errors.Is(err, ErrWritten) {
			return mine, err
		}
		there, owner, err := c.claimTag(ctx, environment)
		if errors.Is(err, ErrAbsent) { // given back meanwhile
			continue
		}
		if err != nil {
			return mine, err
		}
		if !c.isOver(owner) {
			return mine, &HeldError{environment, "", owner}
		}
		if err := c.Registry.store.remove(ctx, LedgerRepository, tagOfClaim(environment), there); err != nil {
			return mine, err
		}
	}
	return mine, fmt.Errorf("claim %s: the tag %s changes while it is claimed", environment, tagOfClaim(environment))
}
