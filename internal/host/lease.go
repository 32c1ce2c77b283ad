package host

import (
	"context"
	"fmt"
	"time"

	"github.com/strake-dev/strake/compose"
)

// Lease is what a machine is wanted for.
type Lease struct {
	Preview string // its ID
	Commit  string
	Owner   compose.Owner
	Expires time.Time
	Ends    time.Time
	Idle    time.Duration // how long a machine that previews share may be empty; 0: until its lease ends
	// Hosts are names that its machine will have, as far as they are known: where one of them is taken nothing is launched.
	Hosts []string
}

// For is the lease with its times: from now for so long, and at most for the longest that a lease may last.
func (l Lease) For(now time.Time, span, longest time.Duration) Lease {
	l.Expires, l.Ends = now.Add(min(span, longest)), now.Add(longest)
	return l
}

// Renewed is where a machine's lease ends if it is given so long from now, in whole seconds: never sooner than it does, and not beyond its Ends.
func (m Machine) Renewed(now time.Time, span time.Duration) time.Time {
	end := now.Add(span).UTC()
	if !m.Ends.IsZero() && end.After(m.Ends) {
		end = m.Ends
	}
	if end.Before(m.Expires) {
		end = m.Expires
	}
	return end.Truncate(time.Second)
}

// Extend moves the end of a machine's lease, not beyond its Ends: on the machine, which ends itself then, and in its tags. One that ends there already
// is left as it is. A schedule that a sleep left is removed first, as it would end the machine where its lease ended before. It returns the machine
// with its lease.
func (c *Cloud) Extend(ctx context.Context, m Machine, w *Way, expires time.Time) (Machine, error) {
	m, err := c.unschedule(ctx, m)
	if err != nil {
		return m, err
	}
	if expires = expires.UTC().Truncate(time.Second); !m.Ends.IsZero() && expires.After(m.Ends) {
		expires = m.Ends
	}
	if expires.Equal(m.Expires) {
		return m, nil
	}
	if _, err := w.Run(ctx, moveLease(expires, m.Shared()), nil); err != nil {
		return m, fmt.Errorf("move the lease on machine %s: %w", m.ID, err)
	}
	if m.Shared() && expires.Before(m.Expires) { // it goes on for another preview
		return m, nil
	}
	if err := c.Mark(ctx, m, map[string]string{TagExpires: expires.Format(time.RFC3339)}); err != nil {
		return m, err
	}
	m.Expires = expires
	return m, nil
}
