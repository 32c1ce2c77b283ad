package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/gateway"
	"github.com/strake-dev/strake/internal/host"
	"github.com/strake-dev/strake/previews"
)

// naming is how far the names of a preview are.
type naming struct {
	hosts  []string    // that lead to its machine, or will
	change host.Change // for which servers of the zone it is waited
}

// domainOf is that below which previews on EC2 have names of the account's own; "" where a DNS service answers for them.
func domainOf(p compose.PreviewSettings) string {
	if p.EC2.Wildcard != "" {
		return ""
	}
	return p.Domain
}

// point has names lead to the machine of a preview. It is done before the preview is made, so that it does not wait for the servers of the zone, and
// that a name which is taken is known at once.
func (w *previewing) point(ctx context.Context, hosts []string) (err error) {
	hosts = slices.Sorted(slices.Values(hosts))
	if slices.Equal(hosts, w.ec2.names.hosts) {
		return nil
	}
	change, err := w.ec2.cloud.Point(ctx, w.ec2.machine, w.ec2.preview, hosts)
	if err == nil {
		w.ec2.names.hosts, w.ec2.names.change = hosts, change
	}
	return err
}

// reachable waits until the names of a preview lead to its machine everywhere, and have certificates.
func (w *previewing) reachable(ctx context.Context, p previews.Preview) error {
	found := map[string]bool{}
	for _, at := range p.URLs {
		u, err := url.Parse(at)
		if err != nil {
			return fmt.Errorf("read the address of preview %s: %w", p.ID, err)
		}
		if name := u.Hostname(); domainOf(w.policy) == "" || strings.HasSuffix(name, "."+domainOf(w.policy)) { // not one of a former policy
			found[name] = true
		}
	}
	hosts := slices.Sorted(maps.Keys(found))
	if err := w.point(ctx, hosts); err != nil {
		return err
	}
	if w.ec2.names.change != (host.Change{}) {
		w.show.say("waiting until the servers of Route 53 have its names")
	}
	if err := w.ec2.cloud.Spread(ctx, w.ec2.machine, w.ec2.names.change); err != nil {
		return err
	}
	if w.ec2.authority == nil {
		return nil
	}
	for _, host := range hosts {
		if err := w.certificate(ctx, p, host); err != nil {
			return err
		}
	}
	return nil
}

// certificatePatience is how long it is waited for a certificate: a first request that fails is made again after a minute.
const certificatePatience = 100 * time.Second

// certificate waits until a host of a preview has a certificate.
func (w *previewing) certificate(ctx context.Context, p previews.Preview, host string) error {
	router := w.manager.Router.(*gatewayHost) // as use has it
	var c gateway.Certificate
	for end := time.Now().Add(certificatePatience); ; {
		why := c.Why
		c = gateway.Certificate{}
		if err := router.ctl(ctx, gatewayProxy, &c, "certificate", host); err != nil {
			return err
		}
		if c.Ready {
			return nil
		}
		if c.Why = cmp.Or(c.Why, why); c.Why != "" && c.Why != why {
			w.show.say("no certificate for " + host + " yet: " + c.Why)
		}
		if time.Now().After(end) {
			err := fmt.Errorf("preview %s is ready, but %s has no certificate yet: %w", p.ID, host, errors.New(cmp.Or(c.Why, "the authority takes its time")))
			return &compose.HintedError{Err: err, Next: "the gateway goes on asking whenever somebody comes, and strake preview open waits for it again; the authority has to reach " + host +
				" at port 80. Where it cannot, write x-strake.previews.ec2.acme: {directory: URL} of one that does, or {directory: none} for HTTP"}
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
