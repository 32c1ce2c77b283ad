//go:build lab

package main_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/strake-dev/strake/fixtures/lab"
)

// copied is a stack on another machine's engine with everything that is copied into its containers.
const copied = `
x-server: &server
  image: strake-lab/busybox:1
  command: ["sh", "-c", "trap 'exit 0' TERM; sleep 86400 & wait"]
  volumes: [./src:/app, "./src/version:/etc/version:ro", data:/data]
  configs: [version]
services:
  web: {<<: *server, scale: 2}
  shut: {<<: *server, read_only: true, volumes: [./src:/app], configs: []}
volumes: {data: {}}
configs: {version: {file: src/version}}
`

// TestUp_KilledWhileItCopies: the containers that the next up leaves have what is here, and nothing else is left.
func TestUp_KilledWhileItCopies(t *testing.T) {
	lab.Each(t, func(t *testing.T, e lab.Engine) {
		s := newStack(t, lab.Away(t, e), copied)
		version := func(n int) {
			src := filepath.Join(s.dir, "src")
			err := os.MkdirAll(src, 0o755)
			for i := range 50 { // so that copying takes its time
				err = errors.Join(err, os.WriteFile(filepath.Join(src, fmt.Sprint(i)), make([]byte, 400<<10), 0o644))
			}
			if err = errors.Join(err, os.WriteFile(filepath.Join(src, "version"), []byte(fmt.Sprint(n)), 0o644)); err != nil {
				t.Fatal(err)
			}
		}
		version(0)
		begin := time.Now()
		s.mustUp(t, 0)
		whole := time.Since(begin)
		for _, seed := range lab.Draws(t, e, 6, 60) {
			rnd := rand.New(rand.NewPCG(seed, 11))
			if rnd.IntN(3) == 0 { // also from nothing
				if out, code := s.strake(t, nil, "down", "-t", "0"); code != 0 {
					t.Fatalf("seed %d: strake down: exit %d\n%s", seed, code, out)
				}
			}
			n := int(seed) + 1
			version(n)
			for range 1 + rnd.IntN(2) {
				if rnd.IntN(2) == 0 {
					s.killAtCreate(t)
				} else {
					s.kill(t, n, time.Duration(rnd.Int64N(int64(whole))), "up")
				}
			}
			s.mustUp(t, n)
			s.checkCopies(t, seed, n)
		}
	})
}

// killAtCreate kills an up as soon as there is a container that it has not started yet.
func (s stack) killAtCreate(t *testing.T) {
	t.Helper()
	cmd := s.command(t, nil, "up")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = cmd.Wait() }() // how it ended is not what is tested
	for {
		if lab.Docker(t, s.Engine, "ps", "-aq", "--filter", "status=created", "--filter", "label=com.docker.compose.project="+s.name) != "" {
			_ = cmd.Process.Kill() // it may have ended by itself
			<-ended
			return
		}
		select {
		case <-ended:
			return
		default:
		}
	}
}

// checkCopies looks at what the containers have, and at which there are.
func (s stack) checkCopies(t *testing.T, seed uint64, version int) {
	t.Helper()
	all := strings.Fields(lab.Docker(t, s.Engine, "ps", "-a", "--filter", "label=com.docker.compose.project="+s.name, "--format", "{{.Names}}"))
	of := map[string]int{}
	for _, container := range all { // a service that lost its first container goes on with the next number, as Docker Compose has it
		service, _, _ := strings.Cut(strings.TrimPrefix(container, s.name+"-"), "-")
		of[service]++
		command, ok := map[string]string{"web": "cat /app/version /etc/version /version", "shut": "cat /app/version"}[service]
		if !ok {
			t.Fatalf("seed %d: there are %q, want those of web and shut alone", seed, all)
		}
		got := lab.Docker(t, s.Engine, "exec", container, "sh", "-c", command+"; ls /app | wc -l")
		if want := strings.Repeat(fmt.Sprint(version), strings.Count(command, "version")) + "51"; got != want {
			t.Errorf("seed %d: %s has %s, want %s", seed, container, got, want)
		}
	}
	if of["web"] != 2 || of["shut"] != 1 {
		t.Errorf("seed %d: there are %q, want two of web and one of shut", seed, all)
	}
	out, code := s.strake(t, nil, "plan")
	if code != 0 {
		t.Errorf("seed %d: strake plan: exit %d, want 0: there is nothing to do\n%s", seed, code, out)
	}
}
