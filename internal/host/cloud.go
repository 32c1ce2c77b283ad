package host

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/aws/aws-sdk-go-v2/service/scheduler"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"

	"github.com/strake-dev/strake/compose"
)

// Options say where machines are made, and for which project.
type Options struct {
	Project  string
	Settings compose.EC2Settings // with defaults
	Budget   compose.PreviewBudget
	// Domain is that below which previews have names, in a public zone of the account; "" is none: they are found by other means.
	Domain string
	Idle   time.Duration // how long a machine that previews share may be empty; 0: until its lease ends
	// From is the address under which this machine reaches others: SSH is let in from there alone.
	From func(ctx context.Context) (netip.Addr, error)
	// Runs is an error where strake has nothing that runs on machines of an architecture, in Go's words such as arm64: none of these is launched. nil is none.
	Runs func(arch string) error
	// Alive is whether an owner may still be at work.
	Alive func(compose.Owner) bool
	Now   func() time.Time
	// Note is told what is being done; nil drops it.
	Note func(text string)
}

// Cloud makes, finds and removes the machines of one project in one region of the account that the AWS configuration names.
type Cloud struct {
	Options
	ec2       *ec2.Client
	ssm       *ssm.Client
	scheduler *scheduler.Client
	dns       *route53.Client
}

// Open reads the AWS configuration of who runs this; nothing is asked of AWS yet but what that configuration needs.
// Source: AWS SDK for Go v2, config.LoadDefaultConfig.
func Open(ctx context.Context, o Options) (*Cloud, error) {
	cfg, err := config.LoadDefaultConfig(ctx, config.WithRegion(o.Settings.Region), config.WithLogger(logging.Nop{})) // what matters of its talk is in errors
	if err != nil {
		return nil, explain("read the AWS configuration", err)
	}
	if cfg.Region == "" {
		return nil, &compose.HintedError{Err: errors.New("no region is named in which machines are made"), Next: "write x-strake.previews.ec2.region, or set AWS_REGION"}
	}
	o.Settings.Region = cfg.Region
	return &Cloud{Options: o, ec2: ec2.NewFromConfig(cfg), ssm: ssm.NewFromConfig(cfg), scheduler: scheduler.NewFromConfig(cfg), dns: route53.NewFromConfig(cfg)}, nil
}

func (c *Cloud) note(format string, args ...any) {
	if c.Note != nil {
		c.Note(fmt.Sprintf(format, args...))
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
func explain(doing string, err error) error {
	if err == nil {
		return nil
	}
	next := ""
	switch code := codeOf(err); {
	case code == "UnauthorizedOperation", code == "AccessDenied", code == "AccessDeniedException":
		next = "strake init --iam ec2 prints what whoever opens previews has to be allowed"
	case code == "AuthFailure", code == "UnrecognizedClientException", code == "ExpiredToken", code == "ExpiredTokenException", code == "InvalidClientTokenId":
		next = "sign in again, as with aws sso login, and look at aws sts get-caller-identity"
	case code == "RequestLimitExceeded", code == "Throttling", code == "ThrottlingException":
		next = "AWS takes no more calls for a moment; run it again, it goes on where it was"
	case code == "VcpuLimitExceeded", code == "InstanceLimitExceeded", code == "MaxSpotInstanceCountExceeded":
		next = "close previews that nobody needs, or ask AWS for a higher quota of EC2"
	case isProfile(err):
		next = "make that instance profile, or name another one in x-strake.previews.ec2.profile"
	case code == "" && strings.Contains(err.Error(), "get credentials"), strings.Contains(err.Error(), "no EC2 IMDS role found"):
		next = "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
	}
	return hinted(next, fmt.Errorf("%s: %w", doing, err))
}

func hinted(next string, err error) error {
	if next == "" {
		return err
	}
	return &compose.HintedError{Err: err, Next: next}
}

// token is what makes a launch happen once: the same for the same attempt, whoever makes it. AWS refuses it for other parameters.
// Source: Amazon EC2 API, Ensuring idempotency: at most 64 ASCII characters.
func (c *Cloud) token(preview string, lease int, a attempt) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{c.Project, preview, fmt.Sprint(lease), a.market, a.kind, a.subnet}, "\n")))
	return "strake-" + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:]))
}

// isOurs is whether an instance is one that strake launched for what its tags say: tags are copied with a click, the token is not.
func (c *Cloud) isOurs(m Machine) bool {
	return m.Project == c.Project && m.Preview != "" && m.Lease > 0 && m.token == c.token(m.Preview, m.Lease, m.attempt)
}

// groupName is the name of a lease's security group.
func (c *Cloud) groupName(preview string, lease int) string {
	sum := sha256.Sum256([]byte(c.Project + "\n" + preview)) // two may be written alike: a-b of c, b-c of a
	return fmt.Sprintf("strake-%s-%s-%d-%x", c.Project, preview, lease, sum[:4])
}

// parameterPath is where parameters of the project begin; keyName is that of its key, hostKeyName that of a lease's host key.
func (c *Cloud) parameterPath() string { return "/strake/" + c.Project + "/" }
func (c *Cloud) keyName() string       { return c.parameterPath() + "key" }
func (c *Cloud) hostKeyName(preview string, lease int) string {
	return fmt.Sprintf("%spreviews/%s/%d/host-key", c.parameterPath(), preview, lease)
}

// longestPauseAWS is the longest pause between two questions to AWS, or to a machine of it.
const longestPauseAWS = 5 * time.Second

// until calls do until it says that it is done, at growing intervals, or ctx ends.
func until(ctx context.Context, do func() (done bool, err error)) error {
	for wait := (&pauses{longest: longestPauseAWS}); ; {
		if done, err := do(); done || err != nil {
			return err
		}
		if err := wait.pass(ctx); err != nil {
			return err
		}
	}
}

// pages asks for one page after the other; ask returns the token of the next, nil or "" after the last. The SDK's paginators take their client as an
// interface, with which all of its operations get into the program: 35 MB.
func pages(ask func(token *string) (next *string, err error)) error {
	var token *string
	for {
		next, err := ask(token)
		switch {
		case err != nil || next == nil || *next == "":
			return err
		case token != nil && *next == *token:
			return errors.New("AWS gives the same page again and again")
		}
		token = next
	}
}
