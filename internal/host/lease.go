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

// lasts is where a machine's lease ends: whoever moves that of a shared one writes it down later than that of the preview on it.
func (m Machine) lasts() time.Time {
	end := m.Expires
	for _, s := range m.Shares {
		if m.Shared() && s.Expires.After(end) {
			end = s.Expires
		}
	}
	return end
}

// EndsSoon is whether a machine's lease ends before it could be started, or its end be moved: its own timer ends it then. One whose end is not known does not.
func (m Machine) EndsSoon(now time.Time) bool {
	end := m.lasts()
	return !end.IsZero() && end.Sub(now) < leastSleep
}

// Renewed is where the lease of a preview on a machine ends if it is given so long from now, in whole seconds: never sooner than it does, and not beyond its
// Ends.
func (m Machine) Renewed(preview string, now time.Time, span time.Duration) time.Time {
	end, expires, ends := now.Add(span).UTC(), m.Expires, m.Ends
	if s, ok := m.Share(preview); ok {
		expires, ends = s.Expires, s.Ends
	}
	if !ends.IsZero() && end.After(ends) {
		end = ends
	}
	if end.Before(expires) {
		end = expires
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
	if expires.Equal(m.Expires) && !m.Shared() {
		return m, nil
	}
	if _, err := w.Run(ctx, moveLease(expires, m.Shared()), nil); err != nil {
		return m, fmt.Errorf("move the lease on machine %s: %w", m.ID, err)
	}
	if m.Shared() && !expires.After(m.Expires) { // it goes on for another preview
		return m, nil
	}
	if err := c.Mark(ctx, m, map[string]string{TagExpires: expires.Format(time.RFC3339)}); err != nil {
		return m, err
	}
	m.Expires = expires
	return m, nil
}
