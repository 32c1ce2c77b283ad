// Command bench compares the gateway's requests per second with those of a stock Caddy, each before the same service and
// in a process of its own, asked by wrk in turns. It prints one line for each turn, and the ratio of the medians.
//
//	go run ./internal/gateway/bench -rounds 3 -seconds 8
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/strake-dev/strake/internal/gateway"
)

func main() {
	rounds := flag.Int("rounds", 3, "turns of each side")
	seconds := flag.Int("seconds", 8, "how long one turn lasts")
	connections := flag.Int("connections", 32, "connections of wrk")
	role := flag.String("role", "", "what this process is: backend, gateway, caddy; none: who starts them")
	upstream := flag.String("upstream", "", "the service's address")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var err error
	switch *role {
	case "backend":
		err = backend(ctx)
	case "gateway":
		err = ours(ctx, *upstream)
	case "caddy":
		err = stock(ctx, *upstream)
	default:
		err = compare(ctx, *rounds, *seconds, *connections)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// backend answers 1 KiB, and prints its address.
func backend(ctx context.Context) error {
	body := []byte(strings.Repeat("x", 1024))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(ln.Addr())
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body) })}
	context.AfterFunc(ctx, func() { _ = s.Close() })
	return s.Serve(ln)
}

// ours is the gateway with 50 stacks, of which the last is asked.
func ours(ctx context.Context, upstream string) error {
	dir, err := os.MkdirTemp("", "strake-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var t gateway.Table
	for i := range 50 {
		name := fmt.Sprintf("app-%d", i)
		t.Stacks = append(t.Stacks, gateway.Stack{Name: name, State: gateway.Ready, NoIndex: true})
		t.Routes = append(t.Routes, gateway.Route{Host: name + ".test", Stack: name, Upstream: upstream})
	}
	at := make(chan gateway.Listening, 1)
	ended := make(chan error, 1)
	go func() {
		ended <- gateway.Serve(ctx, gateway.Options{Dir: dir, HTTP: "127.0.0.1:0", Started: func(l gateway.Listening) { at <- l }})
	}()
	select {
	case l := <-at:
		client := gateway.NewClient(dir)
		if err := client.Replace(ctx, t); err != nil {
			return err
		}
		fmt.Println(l.HTTP)
		return <-ended
	case err := <-ended:
		return err
	}
}

// stock is Caddy as its own "reverse-proxy" command would configure it: one host, one upstream.
func stock(ctx context.Context, upstream string) error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	address := ln.Addr().String()
	if err := ln.Close(); err != nil {
		return err
	}
	config, err := json.Marshal(map[string]any{
		"admin":   map[string]any{"disabled": true, "config": map[string]any{"persist": false}},
		"logging": map[string]any{"logs": map[string]any{"default": map[string]any{"level": "ERROR"}}},
		"apps": map[string]any{"http": map[string]any{"servers": map[string]any{"proxy": map[string]any{
			"listen": []string{address}, "automatic_https": map[string]any{"disable": true},
			"routes": []any{map[string]any{"handle": []any{map[string]any{"handler": "reverse_proxy",
				"upstreams": []any{map[string]any{"dial": upstream}}}}}},
		}}}},
	})
	if err != nil {
		return err
	}
	if err := caddy.Load(config, true); err != nil {
		return err
	}
	fmt.Println(address)
	<-ctx.Done()
	return caddy.Stop()
}

// process is this program in another role.
type process struct {
	cmd     *exec.Cmd
	address string
}

func begin(ctx context.Context, role, upstream string) (process, error) {
	self, err := os.Executable()
	if err != nil {
		return process{}, err
	}
	cmd := exec.CommandContext(ctx, self, "-role", role, "-upstream", upstream)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return process{}, err
	}
	if err := cmd.Start(); err != nil {
		return process{}, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return process{}, fmt.Errorf("start %s: %w", role, err)
	}
	return process{cmd, strings.TrimSpace(line)}, nil
}

// compare asks both sides in turns.
func compare(ctx context.Context, rounds, seconds, connections int) error {
	ctx, cancel := context.WithCancel(ctx)
	service, err := begin(ctx, "backend", "")
	if err != nil {
		cancel()
		return err
	}
	sides := []string{"gateway", "caddy"}
	at := map[string]process{}
	for _, side := range sides {
		if at[side], err = begin(ctx, side, service.address); err != nil {
			cancel()
			return err
		}
	}
	defer func() {
		cancel()
		for _, p := range append([]process{service}, at["gateway"], at["caddy"]) {
			_ = p.cmd.Wait() // interrupted by us
		}
	}()
	rates := map[string][]float64{}
	for range rounds {
		for _, side := range sides {
			rate, err := wrk(ctx, at[side].address, seconds, connections)
			if err != nil {
				return fmt.Errorf("measure %s: %w", side, err)
			}
			fmt.Printf("%-8s %9.0f requests/s\n", side, rate)
			rates[side] = append(rates[side], rate)
		}
	}
	ours, theirs := median(rates["gateway"]), median(rates["caddy"])
	fmt.Printf("gateway / stock Caddy %s: %.2f\n", "v2.11.9", ours/theirs)
	return nil
}

// wrk is the requests per second of one turn. Any answer but 2xx fails it.
func wrk(ctx context.Context, address string, seconds, connections int) (float64, error) {
	out, err := exec.CommandContext(ctx, "wrk", "-t1", "-c"+strconv.Itoa(connections), "-d"+strconv.Itoa(seconds)+"s",
		"-H", "Host: app-49.test", "-H", "User-Agent: Mozilla/5.0 (X11; Linux x86_64) Chrome/140.0", "http://"+address+"/").CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("%w: %s", err, out)
	}
	m := regexp.MustCompile(`Requests/sec:\s+([0-9.]+)`).FindSubmatch(out)
	if m == nil || strings.Contains(string(out), "Non-2xx") || strings.Contains(string(out), "Socket errors") {
		return 0, fmt.Errorf("wrk says: %s", out)
	}
	return strconv.ParseFloat(string(m[1]), 64)
}

func median(f []float64) float64 {
	slices.Sort(f)
	return f[len(f)/2]
}
