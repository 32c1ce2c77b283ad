package offline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// browsers are the programs that Browse can drive, by the names that Debian, Fedora, macOS and Google give them.
var browsers = []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"}

// Browser is a Chromium that is installed here, "" if there is none.
func Browser() string {
	for _, name := range browsers {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// browsePatience is how long one page may take, and pageTime what its own clock may count: timers run at once.
const (
	browsePatience = time.Minute
	pageTime       = 10 * time.Second
)

// Browse opens the pages of a report in a Chromium without a window that reaches nothing but this machine, and adds what they asked for
// elsewhere. It changes no profile of anybody's.
//
// Source: Chromium, content/public/common/content_switches and net/log/net_log_event_type_list.h.
func Browse(ctx context.Context, program string, r *PagesReport, allow []string) error {
	dir, err := os.MkdirTemp("", "strake-browse-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) // only what the browser wrote
	r.Browser = program
	for _, page := range r.Pages {
		asked, err := visit(ctx, program, dir, page)
		if err != nil {
			return fmt.Errorf("open %s in %s: %w", page, filepath.Base(program), err)
		}
		own, _ := url.Parse(page) // it was asked for
		for _, to := range asked {
			u, err := url.Parse(to)
			if err != nil || originOf(u) == originOf(own) || isHere(u.Hostname()) || !slices.Contains([]string{"http", "https", "ws", "wss"}, u.Scheme) {
				continue
			}
			r.asked(page, u)
		}
	}
	r.finish(allow)
	return nil
}

// asked marks what names an address as asked for, or notes that only the browser told of it.
func (r *PagesReport) asked(page string, u *url.URL) {
	found := false
	for i, one := range r.Resources {
		if one.URL == u.String() {
			r.Resources[i].Asked, found = true, true
		}
	}
	if !found {
		r.Resources = append(r.Resources, Resource{File: page, Kind: "request", URL: u.String(), Host: u.Hostname(), Asked: true})
	}
}

// visit opens a page and returns the addresses that it asked for.
func visit(ctx context.Context, program, dir, page string) ([]string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, browsePatience, fmt.Errorf("it did not end within %s", browsePatience))
	defer cancel()
	log := filepath.Join(dir, "net.json")
	args := []string{"--headless", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
		"--disable-extensions", "--disable-default-apps", "--metrics-recording-only", "--user-data-dir=" + filepath.Join(dir, "profile"),
		"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE *.localhost, EXCLUDE 127.0.0.1, EXCLUDE [::1]",
		"--no-proxy-server", "--log-net-log=" + log, fmt.Sprintf("--virtual-time-budget=%d", pageTime.Milliseconds()), "--dump-dom", page}
	if os.Geteuid() == 0 {
		args = append([]string{"--no-sandbox"}, args...) // it refuses to run as root otherwise
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), "HOME="+dir)
	var errs strings.Builder
	cmd.Stderr = &errs
	if err := cmd.Run(); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return nil, cause
		}
		return nil, fmt.Errorf("%w: %s", err, lastLine(errs.String()))
	}
	text, err := os.ReadFile(log)
	if err != nil {
		return nil, err
	}
	return requestsIn(text)
}

// lastLine is the last line of a text that says anything.
func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

// requestsIn are the addresses that pages asked for, of what a browser logged; what it asked for itself has no initiator that is a page.
func requestsIn(log []byte) ([]string, error) {
	var net struct {
		Constants struct{ LogEventTypes map[string]int }
		Events    []struct {
			Type   int
			Params struct {
				URL       string
				Initiator string
			}
		}
	}
	if err := json.Unmarshal(log, &net); err != nil {
		return nil, fmt.Errorf("read what it logged: %w", err)
	}
	start, ok := net.Constants.LogEventTypes["URL_REQUEST_START_JOB"]
	if !ok {
		return nil, errors.New("it logs in a form that is not known")
	}
	var all []string
	for _, e := range net.Events {
		if e.Type == start && strings.HasPrefix(e.Params.Initiator, "http") && !slices.Contains(all, e.Params.URL) {
			all = append(all, e.Params.URL)
		}
	}
	return all, nil
}
