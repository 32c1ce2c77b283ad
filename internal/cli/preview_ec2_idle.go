package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/strake-dev/strake/internal/host"
	"github.com/strake-dev/strake/previews"
)

// mostReached is how many machines are asked at a time.
const mostReached = 8

// errWanted is of a preview that somebody looks at.
var errWanted = errors.New("somebody looks at it")

// sleepIdle stops the machines of previews that nobody looks at: those that the gateway on them has sent to sleep. It asks each machine that could be one,
// over SSH, and returns those that sleep now.
func (w *previewing) sleepIdle(ctx context.Context, s Streams) (slept []host.Thing, err error) {
	idle := *w.policy.Idle
	if !w.policy.EC2.Scheduler || idle == 0 {
		return nil, nil
	}
	all, err := w.ec2.cloud.Machines(ctx)
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex // guards what follows
	var errs []error
	var each errgroup.Group
	each.SetLimit(mostReached)
	for _, m := range all {
		if m.State != "running" || m.Phase != string(previews.Ready) || m.Spot || m.Shared() || s.Now().Sub(m.Launched) < idle {
			continue
		}
		each.Go(func() error {
			m, err := w.other().sleepUnwanted(ctx, s, m)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				slept = append(slept, host.Thing{Kind: host.KindInstance, ID: m.ID, Preview: m.Preview, Lease: m.Lease, State: m.State, Why: "nobody looked at it for " + span(idle) + ": it sleeps"})
			} else if !errors.Is(err, errWanted) && !errors.Is(err, host.ErrWanted) && !errors.Is(err, host.ErrSoon) {
				errs = append(errs, fmt.Errorf("preview %s: %w", m.Preview, err))
			}
			return nil
		})
	}
	_ = each.Wait() // its errors are in errs
	slices.SortFunc(slept, func(a, b host.Thing) int { return strings.Compare(a.Preview, b.Preview) })
	return slept, errors.Join(errs...)
}

// other is for another machine than this one's, at the same time.
func (w *previewing) other() *previewing {
	one, sources, policy := *w, *w.sources, *w.sources.policy
	sources.policy = &policy
	one.sources, one.ec2, one.engine, one.manager = &sources, &machined{cloud: w.ec2.cloud}, nil, nil
	return &one
}

// sleepUnwanted stops the machine of a preview whose containers sleep; errWanted where they do not.
func (w *previewing) sleepUnwanted(ctx context.Context, s Streams, m host.Machine) (host.Machine, error) {
	defer func() { closeUnused(w.engine) }()
	if err := w.connect(ctx, s, m); err != nil {
		return m, err
	}
	asleep := func(ctx context.Context) error {
		p, err := w.manager.Show(ctx, w.project, m.Preview)
		if err == nil && p.State != previews.Asleep {
			err = errWanted
		}
		return err
	}
	err := asleep(ctx)
	if err == nil {
		m, err = w.ec2.cloud.Sleep(ctx, m, owner(s, "preview sync"), func(ctx context.Context) error {
			if err := asleep(ctx); err != nil {
				return err
			}
			return w.manager.Sleep(ctx, w.project, m.Preview) // the gateway may be at it
		})
	}
	return m, errors.Join(err, w.ec2.way.Close(ctx))
}
