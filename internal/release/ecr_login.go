package release

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
)

// token is a login to ECR that AWS gives for some hours.
type token struct {
	user, password string
	until          time.Time
}

// tokenMargin is how long before its end a token is renewed.
const tokenMargin = 5 * time.Minute

// token is a login to the registry. It is asked for when there is none, or none that lasts.
// Source: Amazon ECR API, GetAuthorizationToken: 12 hours, user:password in base64.
func (a *amazon) token(ctx context.Context) (token, error) {
	a.mu.Lock()
	had := a.current
	a.mu.Unlock()
	if had.user != "" && time.Until(had.until) > tokenMargin {
		return had, nil
	}
	doing := "log in to " + a.host
	out, err := ask[ecr.GetAuthorizationTokenOutput](ctx, a, doing, &ecr.GetAuthorizationTokenInput{})
	if err != nil {
		return token{}, err
	}
	if len(out.AuthorizationData) == 0 {
		return token{}, errors.New(doing + ": AWS gives no token")
	}
	text, err := base64.StdEncoding.DecodeString(aws.ToString(out.AuthorizationData[0].AuthorizationToken))
	if err != nil {
		return token{}, errors.New(doing + ": AWS gives no token that can be read")
	}
	user, password, _ := strings.Cut(string(text), ":")
	t := token{user, password, aws.ToTime(out.AuthorizationData[0].ExpiresAt)}
	a.mu.Lock()
	a.current = t
	a.mu.Unlock()
	return t, nil
}

// forget drops a token that the registry does not take any more.
func (a *amazon) forget(password string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.current.password == password {
		a.current = token{}
	}
}

// login is who asks the registry: as Docker's configuration says, unless a role is taken, else by a token.
type login struct {
	amazon   *amazon
	registry name.Registry

	mu      sync.Mutex // guards what follows
	asked   bool
	docker  *authn.AuthConfig
	refused bool // Docker's was
}

var _ authn.ContextAuthenticator = (*login)(nil)

// fromDocker is the login that Docker has; nil where it has none, none that is taken, or where a role is taken.
func (l *login) fromDocker(ctx context.Context) *authn.AuthConfig {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.amazon.options.Role != "" || l.refused {
		return nil
	}
	if !l.asked {
		l.asked = true
		who, err := authn.Resolve(ctx, authn.DefaultKeychain, l.registry)
		if err == nil && who != authn.Anonymous { // a helper that is not there is no login, and AWS is asked
			l.docker, _ = authn.Authorization(ctx, who)
		}
	}
	return l.docker
}

// Authorization implements authn.Authenticator.
func (l *login) Authorization() (*authn.AuthConfig, error) {
	return nil, errors.New("the registry is asked without a context")
}

// AuthorizationContext implements authn.ContextAuthenticator.
func (l *login) AuthorizationContext(ctx context.Context) (*authn.AuthConfig, error) {
	if c := l.fromDocker(ctx); c != nil {
		return c, nil
	}
	t, err := l.amazon.token(ctx)
	return &authn.AuthConfig{Username: t.user, Password: t.password}, err
}

// renewing asks again with a new login where the one that a request has is over.
type renewing struct {
	login *login
	to    http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (n renewing) RoundTrip(r *http.Request) (*http.Response, error) {
	user, password, has := r.BasicAuth()
	answer, err := n.to.RoundTrip(r)
	if err != nil || !has || !isOver(answer) || r.Body != nil && r.Body != http.NoBody && r.GetBody == nil {
		return answer, err
	}
	if c := n.login.fromDocker(r.Context()); c != nil && c.Username == user && c.Password == password {
		n.login.mu.Lock()
		n.login.refused = true
		n.login.mu.Unlock()
	}
	n.login.amazon.forget(password)
	c, err := n.login.AuthorizationContext(r.Context())
	if err != nil {
		return answer, nil // what the registry said counts: there may be no AWS to ask
	}
	again := r.Clone(r.Context())
	if r.GetBody != nil {
		if again.Body, err = r.GetBody(); err != nil {
			return answer, nil
		}
	}
	answer.Body.Close()
	again.SetBasicAuth(c.Username, c.Password)
	return n.to.RoundTrip(again)
}

// isOver is whether a registry says that a login is over. Its answer can be read after that.
// Source: Amazon ECR User Guide, "Troubleshooting": 403, "Your authorization token has expired"; 401 of others.
func isOver(answer *http.Response) bool {
	switch answer.StatusCode {
	case http.StatusUnauthorized:
		return true
	case http.StatusForbidden:
		if answer.Request != nil && answer.Request.Method == http.MethodHead { // which has no text that says why
			return true
		}
		head, err := io.ReadAll(io.LimitReader(answer.Body, 4<<10))
		answer.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(bytes.NewReader(head), answer.Body), answer.Body}
		return err == nil && bytes.Contains(bytes.ToLower(head), []byte("token has expired"))
	}
	return false
}

// ForgetLogin is whether an error that an engine's push met is that the registry's token is over. The next Login is a new one.
func (r *Registry) ForgetLogin(err error) bool {
	if r.amazon == nil || err == nil || !strings.Contains(strings.ToLower(err.Error()), "token has expired") {
		return false
	}
	r.amazon.mu.Lock()
	defer r.amazon.mu.Unlock()
	r.amazon.current = token{}
	return true
}

// Login is who asks an engine to push to the registry where Docker's configuration says nothing: a token of ECR; "" for other registries.
func (r *Registry) Login(ctx context.Context) (user, password string, err error) {
	if r.amazon == nil {
		return "", "", nil
	}
	t, err := r.amazon.token(ctx)
	return t.user, t.password, err
}
