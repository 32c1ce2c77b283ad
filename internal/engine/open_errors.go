package engine

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"

	"github.com/docker/cli/cli/context/store"
	"github.com/docker/docker/client"
)

// unreachable says why no engine answered at an endpoint and what to do about it.
// The client wraps dial errors into text, so that some kinds are known by their words only.
func unreachable(where endpoint, err error) error {
	text := err.Error()
	said := fmt.Sprintf("no engine answers at %s", where)
	path := strings.TrimPrefix(where.Host, "unix://")
	var netErr net.Error
	switch {
	case where.machine != "":
		return hint("try again: a connection that broke off is made again by itself; else check that the machine runs, and Docker on it",
			"%s: %s", said, lastSentence(text))
	case has(text, "permission denied") && where.local:
		return hint("add yourself to the group docker (sudo usermod -aG docker $USER) and sign in again",
			"%s: permission denied", said)
	case errors.Is(err, os.ErrPermission):
		return hint("check the rights of "+path, "%s: %w", said, err)
	case strings.HasPrefix(where.Host, "ssh://"):
		return hint("check that `ssh "+strings.TrimPrefix(where.Host, "ssh://")+" docker version` works without a question",
			"%s: %s", said, lastSentence(text))
	case where.local && socketMissing(path):
		return hint(startEngine(), "%s: there is no such socket", said)
	case has(text, "connection refused") && where.local, has(text, "cannot connect to the docker daemon") && where.local:
		return hint(startEngine(), "%s: nothing listens on the socket", said)
	case has(text, "connection refused", "cannot connect to the docker daemon"):
		return hint("check the address and port, and that the engine listens there", "%s: connection refused", said)
	case has(text, "no such host"):
		return hint("check the name in "+where.origin, "%s: unknown host name", said)
	case has(text, "http response to https client", "malformed http response"):
		return hint("set or unset DOCKER_TLS_VERIFY: one side speaks TLS and the other does not", "%s: %w", said, err)
	case has(text, "x509:", "tls:", "certificate"):
		return hint("check DOCKER_CERT_PATH (ca.pem, cert.pem, key.pem) or the context's certificates", "%s: %w", said, err)
	case has(text, "eof", "connection reset", "503", "starting"):
		return hint("wait a moment and try again: the engine is starting or stopping", "%s: it hung up", said)
	case errors.As(err, &netErr) && netErr.Timeout():
		return hint("check the network to the engine", "%s: no answer in time", said)
	case client.IsErrConnectionFailed(err):
		return hint(startEngine(), "%s", said)
	}
	return hint("run `strake doctor`", "%s: %w", said, err)
}

// silent is the error for an engine that was reached and did not answer in time.
func silent(where endpoint) error {
	next := "check the network to the engine, and that it does not hang"
	if where.local {
		next = "the engine hangs, or is not what listens there: restart it, or name another one with --host or --context"
	}
	return hint(next, "no engine answers at %s: no answer in time", where)
}

// startEngine is how an engine is started on this kind of machine.
func startEngine() string {
	switch runtime.GOOS {
	case "linux":
		return "start the engine: sudo systemctl start docker (or set DOCKER_HOST, or choose a context)"
	case "darwin":
		return "start Docker Desktop, OrbStack or Colima (or set DOCKER_HOST, or choose a context)"
	}
	return "start Docker Desktop (or set DOCKER_HOST, or choose a context)"
}

func socketMissing(path string) bool {
	_, err := os.Stat(path)
	return errors.Is(err, os.ErrNotExist)
}

// unknownContext names the context that is nearest to the one that was asked for.
func unknownContext(s store.Lister, name string, err error) error {
	known := []string{"default"}
	if list, listErr := s.List(); listErr == nil { // the answer is about the name; a store that cannot be listed has no names
		for _, m := range list {
			known = append(known, m.Name)
		}
	}
	if _, statErr := os.Stat(name); statErr != nil && !errors.Is(statErr, os.ErrNotExist) {
		return fmt.Errorf("read docker context %s: %w", name, err)
	}
	if near := nearest(name, known); near != "" {
		return hint("did you mean "+near+"?", "there is no docker context %s", name)
	}
	return hint("known contexts: "+strings.Join(known, ", "), "there is no docker context %s", name)
}

// nearest is the word that is at most a third of name's letters away from it, or "".
func nearest(name string, words []string) string {
	best, limit := "", max(1, len(name)/3)+1
	for _, w := range words {
		if d := editDistance(name, w); d < limit {
			best, limit = w, d
		}
	}
	return best
}

// editDistance is the number of letters to insert, remove or replace.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		previous := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := previous
			if a[i] != b[j] {
				cost++
			}
			previous = row[j+1]
			row[j+1] = min(cost, row[j]+1, previous+1)
		}
	}
	return row[len(b)]
}

// has is whether the text contains one of the phrases, in whatever case.
func has(text string, phrases ...string) bool {
	text = strings.ToLower(text)
	for _, p := range phrases {
		if strings.Contains(text, p) {
			return true
		}
	}
	return false
}

// lastSentence is what stands after the last ": " of an error's last line.
func lastSentence(text string) string {
	text = strings.TrimSpace(text)
	text = text[strings.LastIndexByte(text, '\n')+1:]
	return strings.TrimSpace(text)
}
