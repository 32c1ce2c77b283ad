package host

import (
	"context"

	"github.com/strake-dev/strake/compose"
)

// Unschedule takes the schedule of a machine away.
func (c *Cloud) Unschedule(ctx context.Context, m Machine) error {
	_, err := c.unschedule(ctx, m)
	return err
}

// OwnerText is an owner as tags hold it.
func OwnerText(o compose.Owner) string { return ownerText(o) }

// Follow is follow, which Reach calls.
func (c *Cloud) Follow(ctx context.Context, m Machine) error { return c.follow(ctx, m) }
