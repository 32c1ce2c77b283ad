//go:build lab

package main_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/strake-dev/strake/fixtures/lab"
)

// watch calls do, and meanwhile change each time that the engine tells of a container or a volume of the stack which comes, goes, starts or ends; it returns
// when do has, and all that the engine told of until then was passed on.
// Source: Docker Engine API 1.41, GET /events.
func (s stack) watch(t *testing.T, do, change func()) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	socket := strings.TrimPrefix(s.Engine.Host, "unix://")
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}
	filters := `{"type":["container","volume"],"event":["create","start","die","destroy"]}`
	ask, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://engine/v1.41/events?filters="+url.QueryEscape(filters), nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := client.Do(ask) // it is told of all that comes after the head of the answer
	if err != nil {
		t.Fatal(err)
	}
	end := s.name + "-watched"
	told := make(chan struct{})
	go func() {
		defer close(told)
		defer answer.Body.Close() // it is at its end, or nobody needs it
		for events := json.NewDecoder(answer.Body); ; {
			var e struct {
				Actor struct {
					ID         string
					Attributes map[string]string
				}
			}
			if events.Decode(&e) != nil || e.Actor.ID == end {
				return
			}
			if strings.Contains(e.Actor.ID+" "+e.Actor.Attributes["name"], s.name) {
				change()
			}
		}
	}()
	do()
	lab.Docker(t, s.Engine, "volume", "create", end) // it comes last
	<-told
	lab.Docker(t, s.Engine, "volume", "rm", end)
}

// killAt runs a command and kills it at the n-th change that the engine tells of, from 1, where it has not ended by then. Which change that is does not
// depend on how fast the machine is, but on what strake has done.
func (s stack) killAt(t *testing.T, version, n int, args ...string) {
	t.Helper()
	cmd := s.command(t, []string{fmt.Sprint("VERSION=", version)}, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	at, changes := make(chan struct{}), 0
	s.watch(t, func() {
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		select {
		case <-at:
			_ = cmd.Process.Kill() // it may have ended by itself
			<-ended
		case err := <-ended:
			if err != nil {
				t.Logf("strake %s that was to be killed at change %d: %v\n%s", strings.Join(args, " "), n, err, out.String())
			}
		}
	}, func() {
		if changes++; changes == n {
			close(at)
		}
	})
}
