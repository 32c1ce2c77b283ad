package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
)

// Client talks to the proxy whose folder it is given.
type Client struct{ socket socket }

// NewClient is a client of the proxy of dir. It opens nothing yet.
func NewClient(dir string) *Client { return &Client{dial(filepath.Join(dir, ProxySocket))} }

// Close ends idle connections to the proxy.
func (c *Client) Close() { c.socket.client.CloseIdleConnections() }

// Replace puts t in force, as a whole, and keeps it on the proxy's disk. When it returns nil, every new request sees t.
// After an error the former table is in force, but where the error says that t is and was only not kept.
func (c *Client) Replace(ctx context.Context, t Table) error {
	return c.socket.call(ctx, http.MethodPut, "/table", t, nil)
}

// Table is the table in force.
func (c *Client) Table(ctx context.Context) (Table, error) {
	var t Table
	return t, c.socket.call(ctx, http.MethodGet, "/table", nil, &t)
}

// Visits is the use of each stack of the table, in its order.
func (c *Client) Visits(ctx context.Context) ([]Visit, error) {
	var v []Visit
	return v, c.socket.call(ctx, http.MethodGet, "/visits", nil, &v)
}

// Drained waits until no request is in flight to upstream. It is final once the table does not name upstream any more.
// When ctx ends before, the error says how many requests were left. WebSockets last as long as their ends want: who
// retires an upstream gives ctx a deadline.
func (c *Client) Drained(ctx context.Context, upstream string) error {
	n := -1
	for n != 0 {
		if err := c.socket.call(ctx, http.MethodGet, "/drained?upstream="+url.QueryEscape(upstream), nil, &n); err != nil {
			if n > 0 && ctx.Err() != nil {
				return fmt.Errorf("drain %s: %d requests in flight: %w", upstream, n, context.Cause(ctx))
			}
			return fmt.Errorf("drain %s: %w", upstream, err)
		}
	}
	return nil
}

// Certificate says how it stands with the certificate of a host, which it has be asked for where it is not there: it waits some seconds for it.
func (c *Client) Certificate(ctx context.Context, host string) (Certificate, error) {
	var all Certificate
	return all, c.socket.call(ctx, http.MethodGet, "/certificate?host="+url.QueryEscape(host), nil, &all)
}

// Ready is what the proxy says about itself. It fails while no proxy runs.
func (c *Client) Ready(ctx context.Context) (Readiness, error) {
	var r Readiness
	return r, c.socket.call(ctx, http.MethodGet, "/ready", nil, &r)
}

// socket is an HTTP client of one unix socket.
type socket struct{ client *http.Client }

func dial(path string) socket {
	return socket{&http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", path)
		},
	}}}
}

// call sends in as JSON, if any, and reads the answer into out, if any.
func (s socket) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("ask the gateway: %w", err)
		}
		body = bytes.NewReader(b)
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://gateway"+path, body)
	if err != nil {
		return fmt.Errorf("ask the gateway: %w", err)
	}
	answer, err := s.client.Do(r)
	if err != nil {
		return fmt.Errorf("ask the gateway: %w", errors.Unwrap(err)) // without the URL, which is none that a person can use
	}
	defer answer.Body.Close()
	if answer.StatusCode >= 300 {
		why, err := io.ReadAll(io.LimitReader(answer.Body, 64<<10))
		return errors.Join(fmt.Errorf("ask the gateway: %s", strings.TrimSpace(string(why))), err)
	}
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(answer.Body).Decode(out); err != nil {
		return fmt.Errorf("read the gateway's answer: %w", err)
	}
	return nil
}
