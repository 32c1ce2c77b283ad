package previews

import (
	"context"
	"errors"
	"strings"

	"github.com/strake-dev/strake/compose"
)

// Follow has a preview be reached in another domain, as where that says the address of the machine on which it is. One that is reached there already
// is left as it is. What its containers were told of their address, in STRAKE_URL, is of the former one until they are made anew.
func (m *Manager) Follow(ctx context.Context, project, id, domain string) error {
	r, err := m.find(ctx, project, id)
	if err != nil || !r.follow(domain) {
		return err
	}
	return m.change(ctx, project, id, func(ctx context.Context, _ compose.Host, r *Record) error {
		if !r.follow(domain) {
			return nil
		}
		return errors.Join(m.write(ctx, r), m.Router.Sync(ctx, r.Stack))
	})
}

// follow moves the names of a record to another domain, and returns whether there was one that was elsewhere. A name is a label and its domain.
func (r *Record) follow(domain string) (moved bool) {
	for i, route := range r.Routes {
		label, of, _ := strings.Cut(route.Host, ".")
		if of == domain {
			continue
		}
		moved = true
		r.Routes[i].Host = label + "." + domain
		move := func(url string) string { return strings.Replace(url, "://"+route.Host, "://"+r.Routes[i].Host, 1) }
		if route.Main {
			r.URL = move(r.URL)
		}
		if url, ok := r.URLs[route.Service]; ok {
			r.URLs[route.Service] = move(url)
		}
	}
	return moved
}
