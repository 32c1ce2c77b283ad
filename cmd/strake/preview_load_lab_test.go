//go:build lab

package main_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/strake-dev/strake/fixtures/lab"
)

// visitor is a client for which all names are this machine, as they are for a browser.
func visitor() *http.Client {
	return &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			_, port, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			return new(net.Dialer).DialContext(ctx, network, "127.0.0.1:"+port)
		}}}
}

// steady asks for a page so many times a second until ctx ends, and returns how often, and what was answered otherwise than with 200.
func steady(ctx context.Context, url string, perSecond int) (asked int, lost []string) {
	client := visitor()
	defer client.CloseIdleConnections()
	tick := time.NewTicker(time.Second / time.Duration(perSecond))
	defer tick.Stop()
	var all sync.WaitGroup
	var mu sync.Mutex
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
			asked++
			all.Go(func() {
				what := ""
				res, err := client.Get(url)
				if err != nil {
					what = err.Error()
				} else {
					_, err = io.Copy(io.Discard, res.Body)
					res.Body.Close()
					if err != nil || res.StatusCode != http.StatusOK {
						what = fmt.Sprint(res.Status, err)
					}
				}
				if what != "" {
					mu.Lock()
					lost = append(lost, what)
					mu.Unlock()
				}
			})
		}
	}
	all.Wait()
	return asked, lost
}

// talk sends texts over a WebSocket, and reads them again, until ctx ends.
func talk(ctx context.Context, url string) (said int, err error) {
	c, _, err := websocket.Dial(ctx, strings.Replace(url, "http://", "ws://", 1)+"/echo", &websocket.DialOptions{HTTPClient: visitor()})
	if err != nil {
		return 0, err
	}
	defer c.CloseNow()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return said, c.Close(websocket.StatusNormalClosure, "")
		case <-tick.C:
			text := fmt.Sprint(said)
			ctx := context.WithoutCancel(ctx) // what is said is answered
			if err := c.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
				return said, err
			}
			if _, got, err := c.Read(ctx); err != nil || string(got) != text {
				return said, errors.Join(err, fmt.Errorf("%q comes back as %q", text, got))
			}
			said++
		}
	}
}

// TestPreview_UpdatesLoseNoRequest: 200 requests a second are answered through updates, and the WebSockets of another preview go on.
func TestPreview_UpdatesLoseNoRequest(t *testing.T) {
	updates := lab.Count(3, 10)
	lab.EachInSoak(t, func(t *testing.T, e lab.Engine) {
		pruned(t, e)
		r := newRepository(t, e)
		r.push(t, "v0", "8000")
		r.pushTo(t, "refs/pull/43/head", "other", "8000")
		p := r.show(t, r.run(t, 0, "preview", "open", "42", "--json"))
		other := r.show(t, r.run(t, 0, "preview", "open", "43", "--json"))
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		var both sync.WaitGroup
		both.Go(func() {
			asked, lost := steady(ctx, p.URL+"/", 200)
			t.Logf("%d requests through %d updates on %s", asked, updates, e.Name)
			if len(lost) > 0 || asked < 200 {
				t.Errorf("of %d requests %d were not answered, the first with %s", asked, len(lost), append(lost, "none")[0])
			}
		})
		both.Go(func() {
			if said, err := talk(ctx, other.URL); err != nil || said < 10 {
				t.Errorf("a WebSocket of another preview ended after %d texts: %v", said, err)
			}
		})
		for n := range updates {
			text := fmt.Sprint("v", n+1)
			r.push(t, text, "8000")
			r.run(t, 0, "preview", "open", "42")
			if code, got := get(t, p.URL); code != http.StatusOK || got != text {
				t.Errorf("after update %d the page is %d %q, want %s", n+1, code, got, text)
			}
		}
		stop()
		both.Wait()
	})
}
