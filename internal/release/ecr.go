package release

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/compose/regex"
)

// amazon is Amazon's ECR: a registry of an account in a region.
type amazon struct {
	options RegistryOptions
	host    string
	below   string // the path in it
	account string // "" is that of who asks
	region  string // "" is that of the AWS configuration
	fips    bool
	login   *login

	mu          sync.Mutex                                             // guards what follows
	api         func(ctx context.Context, in any) (out any, err error) // see operations
	credentials *aws.CredentialsCache                                  // that it asks with
	renew       func()                                                 // drops them, and those by which they were had
	unknown     error                                                  // that AWS does not know who asks
	ledger      *repositoryState                                       // of LedgerRepository, as describe says it
	current     token                                                  // to the registry
}

// ecrHost is the name of a private registry of ECR.
// Source: Amazon ECR User Guide, "Private registry"; for names with on.aws, "Making requests to Amazon ECR registries".
var ecrHost = regex.New(`^([0-9]{12})\.dkr[.-]ecr(-fips)?\.([a-z0-9-]+)\.(amazonaws\.com|amazonaws\.com\.cn|on\.aws|on\.amazonwebservices\.com\.cn)$`)

// newAmazon is the ECR at a path; nil where there is another registry.
func newAmazon(path string, o RegistryOptions) *amazon {
	a := &amazon{options: o}
	a.host, a.below, _ = strings.Cut(path, "/")
	if m := ecrHost.FindStringSubmatch(a.host); m != nil {
		a.account, a.fips, a.region = m[1], m[2] != "", m[3]
		return a
	}
	if at, err := url.Parse(o.Endpoint); err != nil || o.Endpoint == "" || at.Host != a.host {
		return nil
	}
	return a
}

// repository is ECR's name of one.
func (a *amazon) repository(below string) string {
	return strings.TrimPrefix(a.below+"/"+below, "/")
}

// registryID is whose registry it is; nil is that of who asks.
func (a *amazon) registryID() *string {
	if a.account == "" {
		return nil
	}
	return &a.account
}

// errNoCredentials is in the error where nothing says who asks AWS.
var errNoCredentials = errors.New("AWS does not know who asks")

// How often AWS is asked where it takes no more requests for a moment, and how long a pause is at most: ECR lets some writes through each second, and
// services are moved in parallel.
const (
	attempts     = 8
	longestPause = 3 * time.Second
)

// client is ECR's, as whoever the AWS configuration says, in the role that is asked for.
// Source: AWS SDK for Go v2, config.LoadDefaultConfig; AWS STS API, AssumeRole.
func (a *amazon) client(ctx context.Context) (api func(context.Context, any) (any, error), renew func(), err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.api != nil || a.unknown != nil {
		return a.api, a.renew, a.unknown
	}
	options := []func(*config.LoadOptions) error{config.WithLogger(logging.Nop{}), config.WithRetryer(func() aws.Retryer {
		return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts, o.MaxBackoff = attempts, longestPause })
	})} // what matters of its talk is in errors
	if a.region != "" {
		options = append(options, config.WithRegion(a.region))
	}
	if a.fips {
		options = append(options, config.WithUseFIPSEndpoint(aws.FIPSEndpointStateEnabled))
	}
	cfg, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, nil, a.explain(ctx, "read the AWS configuration", err)
	}
	if a.options.Client != nil { // not before: with AWS_CA_BUNDLE the SDK takes none
		cfg.HTTPClient = &http.Client{Transport: a.options.Client}
	}
	if cfg.Region == "" {
		return nil, nil, &compose.HintedError{Err: errors.New("no region is named in which the registry is"), Next: "set AWS_REGION"}
	}
	if _, err := cfg.Credentials.Retrieve(ctx); err != nil {
		if ctx.Err() != nil {
			return nil, nil, context.Cause(ctx)
		}
		a.unknown = &compose.HintedError{Err: fmt.Errorf("%s: %w: %w", a.host, errNoCredentials, err),
			Next: "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run docker login " + a.host}
		return nil, nil, a.unknown // once: a machine's metadata is asked for long where there is none
	}
	caches := []*aws.CredentialsCache{cachedOnce(cfg.Credentials)}
	cfg.Credentials = caches[0]
	if a.options.Role != "" {
		person := sourceIdentity(a.options.Person)
		signer := aws.NewCredentialsCache(stscreds.NewAssumeRoleProvider(sts.NewFromConfig(cfg), a.options.Role, func(o *stscreds.AssumeRoleOptions) {
			o.RoleSessionName, o.SourceIdentity = person, &person
		}))
		if _, err := signer.Retrieve(ctx); err != nil {
			return nil, nil, a.explain(ctx, "take the role "+a.options.Role+" as "+person, err)
		}
		cfg.Credentials, caches = signer, append(caches, signer)
	}
	a.credentials = caches[len(caches)-1]
	a.api, a.renew = operations(ecr.NewFromConfig(cfg)), func() {
		for _, c := range caches {
			c.Invalidate()
		}
	}
	return a.api, a.renew, nil
}

// cachedOnce has credentials in one cache: that of the SDK's configuration where it has one, as a cache of a cache would stay when the outer one is dropped.
func cachedOnce(p aws.CredentialsProvider) *aws.CredentialsCache {
	if c, is := p.(*aws.CredentialsCache); is {
		return c
	}
	return aws.NewCredentialsCache(p)
}

// sourceIdentity is a person as AWS writes them down.
// Source: AWS STS API, AssumeRole: 2 to 64 characters of [\w+=,.@-]; the name of the session has the same.
func sourceIdentity(person string) string {
	allowed := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune("_+=,.@-", r):
			return r
		}
		return '-'
	}, person)
	for len(allowed) < 2 {
		allowed += "-"
	}
	return allowed[:min(len(allowed), 64)]
}

// ask asks ECR once, and once more with new credentials where AWS says that those it had are over: their end is known, but not that of whoever takes a role
// away, or of a clock that is wrong.
func ask[O any](ctx context.Context, a *amazon, doing string, in any) (*O, error) {
	api, renew, err := a.client(ctx)
	if err != nil {
		return nil, err
	}
	out, err := api(ctx, in)
	if code := codeOf(err); code == "ExpiredTokenException" || code == "ExpiredToken" {
		renew()
		out, err = api(ctx, in)
	}
	if err != nil {
		return nil, a.explain(ctx, doing, err)
	}
	return out.(*O), nil
}

// operations are those of ECR that are asked, by their input. What is an interface, or is held by what is one, may not hold the client: all that ECR has
// would get into the program.
func operations(api *ecr.Client) func(context.Context, any) (any, error) {
	return func(ctx context.Context, in any) (any, error) {
		switch in := in.(type) {
		case *ecr.BatchGetImageInput:
			return api.BatchGetImage(ctx, in)
		case *ecr.PutImageInput:
			return api.PutImage(ctx, in)
		case *ecr.BatchDeleteImageInput:
			return api.BatchDeleteImage(ctx, in)
		case *ecr.GetAuthorizationTokenInput:
			return api.GetAuthorizationToken(ctx, in)
		case *ecr.DescribeRepositoriesInput:
			return api.DescribeRepositories(ctx, in)
		case *ecr.ListTagsForResourceInput:
			return api.ListTagsForResource(ctx, in)
		case *ecr.GetRepositoryPolicyInput:
			return api.GetRepositoryPolicy(ctx, in)
		case *ecr.GetLifecyclePolicyInput:
			return api.GetLifecyclePolicy(ctx, in)
		case *ecr.CreateRepositoryInput:
			return api.CreateRepository(ctx, in)
		case *ecr.PutImageTagMutabilityInput:
			return api.PutImageTagMutability(ctx, in)
		case *ecr.SetRepositoryPolicyInput:
			return api.SetRepositoryPolicy(ctx, in)
		case *ecr.DeleteRepositoryPolicyInput:
			return api.DeleteRepositoryPolicy(ctx, in)
		case *ecr.PutLifecyclePolicyInput:
			return api.PutLifecyclePolicy(ctx, in)
		}
		panic(fmt.Sprintf("ECR is asked %T", in))
	}
}

// codeOf is AWS's code of an error; "" if it is none of AWS's.
func codeOf(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

// explain says of an error of AWS what was being done, and where that is known what to do.
func (a *amazon) explain(ctx context.Context, doing string, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	hint := func(next string) error {
		return &compose.HintedError{Err: fmt.Errorf("%s: %w", doing, err), Next: next}
	}
	switch code := codeOf(err); code {
	case "":
		return hint("connect to a network, or correct x-strake.registry")
	case "RepositoryNotFoundException":
		return a.noRepository(doing, err)
	case "ImageTagAlreadyExistsException":
		return &compose.HintedError{Err: fmt.Errorf("%s: %w", doing, ErrWritten), Next: "tags of environments can be moved once strake registry init has run; those of commits and of the ledger are written once"}
	case "LayersNotFoundException", "ReferencedImagesNotFoundException":
		return fmt.Errorf("%s: %w: %w", doing, errBlobs, err)
	case "AccessDenied", "AccessDeniedException":
		switch {
		case strings.HasPrefix(doing, "take the role"):
			return hint("let the trust policy of the role name you, with sts:AssumeRole and sts:SetSourceIdentity")
		case a.options.Role != "":
			return hint("allow it to the role " + a.options.Role)
		}
		return hint("ask for that permission, or in another account run strake registry init there; aws sts get-caller-identity says who asks")
	case "UnrecognizedClientException", "InvalidClientTokenId", "ExpiredToken", "ExpiredTokenException", "InvalidSignatureException":
		return hint("sign in again, as with aws sso login, and look at aws sts get-caller-identity")
	case "ThrottlingException", "Throttling", "LimitExceededException", "RequestLimitExceeded":
		return hint("AWS takes no more requests for a moment; run it again, it goes on where it was")
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// noRepository is the error where ECR, which makes none by itself, does not have a repository.
func (a *amazon) noRepository(doing string, err error) error {
	return &compose.HintedError{Err: fmt.Errorf("%s: %w", doing, err), Next: "strake registry init makes the repositories of the project in " + a.host}
}

// transport is how requests of the registry's protocol get to it.
func (a *amazon) transport() http.RoundTripper {
	to := a.options.Client
	if to == nil {
		to = remote.DefaultTransport
	}
	if at, err := url.Parse(a.options.Endpoint); err == nil && a.options.Endpoint != "" {
		return elsewhere{at, to}
	}
	return to
}

// elsewhere sends requests to another address than their name has.
type elsewhere struct {
	at *url.URL
	to http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (e elsewhere) RoundTrip(r *http.Request) (*http.Response, error) {
	sent := r.Clone(r.Context())
	if sent.Host == "" {
		sent.Host = r.URL.Host
	}
	sent.URL.Scheme, sent.URL.Host = e.at.Scheme, e.at.Host
	answer, err := e.to.RoundTrip(sent)
	if err == nil {
		answer.Request = r // against whose address what it answers is resolved
	}
	return answer, err
}
