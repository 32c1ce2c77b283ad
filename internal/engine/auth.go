package engine

import (
	"context"
	"errors"
	"os/exec"
	"strings"
	"sync"

	"github.com/distribution/reference"
	"github.com/docker/cli/cli/config/types"
	"github.com/docker/docker/api/types/registry"
	"github.com/moby/buildkit/session/auth"
	"google.golang.org/grpc"
)

// dockerHub is the key that Docker's configuration has for docker.io.
const dockerHub = "https://index.docker.io/v1/"

// credentialKey is what Docker's configuration calls a registry.
func credentialKey(host string) string {
	switch host {
	case "docker.io", "index.docker.io", "registry-1.docker.io":
		return dockerHub
	}
	return host
}

// credentials are what Docker's configuration and its helpers have for a registry; none is the zero value.
// A helper that is missing or fails is a *compose.HintedError that names it. Helpers are asked one at a time:
// some keychains hang when asked in parallel (docker/cli#1862).
func (e *Engine) credentials(ctx context.Context, host string) (types.AuthConfig, error) {
	key := credentialKey(host)
	type answer struct {
		auth types.AuthConfig
		err  error
	}
	got := make(chan answer, 1)
	// A helper takes no context. One that hangs must not hold up a cancelled run: it is left behind.
	go func() {
		e.transfers.asking.Lock()
		defer e.transfers.asking.Unlock()
		if ctx.Err() != nil {
			return
		}
		a, err := e.config.GetAuthConfig(key)
		if ask := e.transfers.logins[host]; ask != nil && err == nil && a.Username == "" && a.IdentityToken == "" && a.RegistryToken == "" && a.Auth == "" {
			a.Username, a.Password, err = ask(ctx)
		}
		got <- answer{a, err}
	}()
	select {
	case <-ctx.Done():
		return types.AuthConfig{}, context.Cause(ctx)
	case a := <-got:
		if a.err != nil {
			return types.AuthConfig{}, e.helperError(key, host, a.err)
		}
		return a.auth, nil
	}
}

// LogIn has ask say who is at a registry where Docker's configuration does not; "" is nobody.
func (e *Engine) LogIn(host string, ask func(ctx context.Context) (user, password string, err error)) {
	e.transfers.asking.Lock()
	defer e.transfers.asking.Unlock()
	if e.transfers.logins == nil {
		e.transfers.logins = map[string]func(context.Context) (string, string, error){}
	}
	e.transfers.logins[host] = ask
}

// helperError names the credential helper that did not answer.
func (e *Engine) helperError(key, host string, err error) error {
	helper := e.config.CredentialHelpers[key]
	if helper == "" {
		helper = e.config.CredentialsStore
	}
	if helper == "" {
		return hint("run docker login "+host, "read credentials for %s: %w", host, err)
	}
	program := "docker-credential-" + helper
	if errors.Is(err, exec.ErrNotFound) || has(err.Error(), "executable file not found") {
		return hint("install "+program+", or take it out of "+e.config.GetFilename(), "credential helper %s, which %s names for %s, is not installed", program, e.config.GetFilename(), host)
	}
	return hint("run docker login "+host+", or take the helper out of "+e.config.GetFilename(), "ask credential helper %s for %s: %s", program, host, oneLine(err.Error()))
}

// registryAuth is the header that a pull of ref carries; "" for no credentials.
func (e *Engine) registryAuth(ctx context.Context, ref string) (header string, err error) {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return "", hint("correct the image's name", "image name %s: %w", ref, err)
	}
	c, err := e.credentials(ctx, reference.Domain(named))
	if err != nil || c == (types.AuthConfig{}) {
		return "", err
	}
	return registry.EncodeAuthConfig(registry.AuthConfig{Username: c.Username, Password: c.Password, Auth: c.Auth,
		ServerAddress: c.ServerAddress, IdentityToken: c.IdentityToken, RegistryToken: c.RegistryToken})
}

// hostOf is the registry of a reference, as people say it.
func hostOf(ref string) string {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return "the registry"
	}
	return reference.Domain(named)
}

// buildAuth answers BuildKit when a registry wants credentials; it is not asked for images that are local.
// It hands out credentials and no tokens (the embedded server says so), as the engine pulls with credentials anyway.
type buildAuth struct {
	auth.UnimplementedAuthServer
	e *Engine

	mu     sync.Mutex
	failed error // a helper that did not answer
}

// Register implements session.Attachable.
func (a *buildAuth) Register(s *grpc.Server) { auth.RegisterAuthServer(s, a) }

// Credentials implements auth.AuthServer. A helper that fails means no credentials: the image may be public.
func (a *buildAuth) Credentials(ctx context.Context, req *auth.CredentialsRequest) (*auth.CredentialsResponse, error) {
	c, err := a.e.credentials(ctx, req.Host)
	if err != nil {
		a.mu.Lock()
		a.failed = err
		a.mu.Unlock()
		return &auth.CredentialsResponse{}, nil
	}
	if c.IdentityToken != "" {
		return &auth.CredentialsResponse{Secret: c.IdentityToken}, nil
	}
	return &auth.CredentialsResponse{Username: c.Username, Secret: c.Password}, nil
}

// failure is the helper's error, nil if all answered.
func (a *buildAuth) failure() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.failed
}

// oneLine is text with its lines put one after the other.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
