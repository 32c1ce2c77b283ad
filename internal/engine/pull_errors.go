package engine

import (
	"fmt"
	"strings"

	"github.com/docker/docker/client"

	"github.com/strake-dev/strake/compose"
)

// failure is the kind of an error that a registry caused.
type failure int

const (
	other failure = iota
	absent
	absentOrPrivate // the registry does not say which
	refused
	rateLimited
	unreachableRegistry
	untrusted
	wrongPlatform
	diskFull
)

// failures are the words by which each kind is known, in the order in which they are looked for: the engine gives
// the registry's words and no code. Source: moby, distribution/errors.go; distribution, registry/api/errcode.
var failures = []struct {
	kind  failure
	words []string
}{
	{rateLimited, []string{"toomanyrequests", "too many requests", "rate limit"}},
	{diskFull, []string{"no space left on device"}},
	{wrongPlatform, []string{"no matching manifest", "no match for platform", "does not match the specified platform", "does not provide the specified platform"}},
	{refused, []string{"unauthorized", "authentication required", "no basic auth credentials", "incorrect username or password"}},
	{absentOrPrivate, []string{"pull access denied", "repository does not exist", "denied", "insufficient_scope", "403 forbidden"}},
	{absent, []string{"manifest unknown", "not found", "name unknown"}},
	{untrusted, []string{"x509:", "server gave http response to https client", "tls: "}},
	{unreachableRegistry, []string{"no such host", "dial tcp", "i/o timeout", "connection refused", "connection reset", "network is unreachable", "no route to host",
		"client.timeout", "handshake timeout", "server misbehaving", "temporary failure in name resolution", "request canceled while waiting",
		"context deadline exceeded", ": eof", "unexpected eof", "503 service unavailable", "502 bad gateway"}},
}

// failureOf is the kind of an error of a pull or of a build's pull. An engine that does not answer is other.
func failureOf(err error) failure {
	if err == nil || client.IsErrConnectionFailed(err) {
		return other
	}
	text := err.Error()
	for _, f := range failures {
		if has(text, f.words...) {
			return f.kind
		}
	}
	return other
}

// pullError says why an image was not pulled and what to do about it.
func pullError(ref, platform string, err error) error {
	text, next := explainPull(ref, platform, err)
	if next == "" {
		return fmt.Errorf("pull image %s: %w", ref, err)
	}
	return &compose.HintedError{Err: &toldError{"pull image " + ref + ": " + text, err}, Next: next}
}

// explainPull is what went wrong with an image of a registry and what to do; "" for what is not known.
func explainPull(ref, platform string, err error) (text, next string) {
	host := hostOf(ref)
	login := "docker login " + host
	if host == "docker.io" {
		login = "docker login"
	}
	switch failureOf(err) {
	case absent:
		return host + " has no such image or tag", "correct the name or tag of " + ref
	case absentOrPrivate:
		return host + " has no such image, or it is private", "correct the name, or run " + login
	case refused:
		return host + " wants authentication", "run " + login
	case rateLimited:
		return host + " limits how often it may be asked, and the limit is reached", "run " + login + ", or wait"
	case unreachableRegistry:
		return fmt.Sprintf("%s does not answer (%s)", host, lastCause(err)), "connect to a network, or bring the image here with docker load"
	case untrusted:
		return fmt.Sprintf("%s is not trusted by the engine (%s)", host, lastCause(err)), "add its certificate to the engine, or the registry to insecure-registries in the engine's configuration"
	case wrongPlatform:
		if platform == "" {
			platform = "the engine's platform"
		}
		return "it is not made for " + platform, "set the service's platform to one that the image has"
	case diskFull:
		return "the engine's disk is full", "run docker system df, and remove what is not needed"
	}
	return "", ""
}

// lastCause is the last part of an error's text: "connection refused" of "dial tcp 127.0.0.1:5000: connect: connection refused".
func lastCause(err error) string {
	s := oneLine(err.Error())
	return strings.TrimSuffix(strings.TrimSpace(s[strings.LastIndex(s, ": ")+1:]), ".")
}

// toldError is an error in other words.
type toldError struct {
	text string
	err  error
}

func (e *toldError) Error() string { return e.text }

func (e *toldError) Unwrap() error { return e.err }
