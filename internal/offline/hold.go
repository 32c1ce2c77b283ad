package offline

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"slices"
	"time"
)

// HoldOptions say what a holder lets through.
type HoldOptions struct {
	Allow  []netip.Prefix // the stack's own networks
	Beside []netip.Prefix // the network in which the gateway is, if there is one
	Out    io.Writer      // what it counted, a line of JSON each
	Now    func() time.Time
}

// countEvery is how often counters are read.
const countEvery = 250 * time.Millisecond

// Hold refuses and counts what is sent from this network to anywhere but Allow, until ctx ends. Where the kernel cannot, that is printed, and
// nothing is counted: the networks themselves lead nowhere.
func Hold(ctx context.Context, o HoldOptions) error {
	began := o.Now().UTC()
	if err := say(o.Out, line{Began: &began}); err != nil {
		return err
	}
	count, err := refuseOthers(o.Allow)
	if err != nil {
		if err := say(o.Out, line{Uncounted: err.Error()}); err != nil {
			return err
		}
	}
	closer, err := beReady()
	if err != nil {
		return err
	}
	defer closer.Close() // the process ends
	t := newTally(o.Now)
	tick := time.NewTicker(countEvery)
	defer tick.Stop()
	last, known := map[sighting]int{}, append(slices.Clone(o.Allow), o.Beside...)
	for {
		ended := false
		select {
		case <-ctx.Done():
			ended = true
		case <-tick.C:
		}
		if err := errors.Join(readCounters(count, t, last), t.flush(o.Out, ended), t.watch(o.Out, known)); err != nil || ended {
			return err
		}
	}
}

// counter reads packets that were counted, by where they were sent; nil counts nothing.
type counter func() (map[sighting]int, error)

// readCounters adds to a tally what a counter says beyond what it said the last time.
func readCounters(count counter, t *tally, last map[sighting]int) error {
	if count == nil {
		return nil
	}
	now, err := count()
	if err != nil {
		return err
	}
	for a, n := range now {
		if n > last[a] {
			t.add(a, n-last[a])
			last[a] = n
		}
	}
	return nil
}
