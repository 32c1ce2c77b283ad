package seed

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"github.com/strake-dev/strake/compose"
)

// object is a dump that is in S3.
type object struct{ bucket, key string }

// s3Patience is how long S3 may take to say what an object is.
const s3Patience = 30 * time.Second

// objectOf reads s3://bucket/key; ok is false for what is the name of a file. Another URL, or half of one, is a *compose.HintedError.
func objectOf(from string) (o object, ok bool, err error) {
	scheme, rest, isURL := strings.Cut(from, "://")
	if !isURL {
		return object{}, false, nil
	}
	bucket, key, _ := strings.Cut(rest, "/")
	if scheme != "s3" || bucket == "" || key == "" || strings.HasSuffix(key, "/") {
		return object{}, false, &compose.HintedError{Err: fmt.Errorf("%s is neither a file nor an object in S3", from), Next: "write a path, or s3://bucket/path/dump.sql.zst"}
	}
	return object{bucket, key}, true, nil
}

// client speaks to S3, or to what AWS_ENDPOINT_URL names, with the credentials that the AWS command line would take.
func (o object) client(ctx context.Context) (*s3.Client, error) {
	c, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, &compose.HintedError{Err: fmt.Errorf("read the configuration of AWS: %w", err), Next: "correct ~/.aws/config, or AWS_PROFILE"}
	}
	region := c.Region
	client := s3.NewFromConfig(c, func(opt *s3.Options) {
		if opt.BaseEndpoint == nil {
			return
		}
		opt.UsePathStyle = true // names of buckets before that of another endpoint's host resolve nowhere
		if opt.Region == "" {
			opt.Region, region = "us-east-1", "us-east-1" // other endpoints have no regions, and the signature needs one
		}
	})
	if region == "" {
		return nil, &compose.HintedError{Err: errors.New("nothing says in which region it is"), Next: "set AWS_REGION to the bucket's region"}
	}
	return client, nil
}

// fact is what an object counts as in a seed's key, without its content being read: see contentFact.
func (o object) fact(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, s3Patience, errors.New("S3 does not answer"))
	defer cancel()
	client, err := o.client(ctx)
	if err != nil {
		return "", err
	}
	head, err := client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &o.bucket, Key: &o.key, ChecksumMode: types.ChecksumModeEnabled})
	if err != nil {
		return "", o.explain(ctx, err)
	}
	return contentFact(head.ChecksumSHA256, head.ChecksumType, head.ETag)
}

// open reads an object, which has to be what a fact says.
func (o object) open(ctx context.Context, fact string) (io.ReadCloser, error) {
	client, err := o.client(ctx)
	if err != nil {
		return nil, err
	}
	out, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: &o.bucket, Key: &o.key, ChecksumMode: types.ChecksumModeEnabled})
	if err != nil {
		return nil, o.explain(ctx, err)
	}
	is, err := contentFact(out.ChecksumSHA256, out.ChecksumType, out.ETag)
	if err == nil && is != fact {
		err = errReplaced()
	}
	if err != nil {
		return nil, errors.Join(err, out.Body.Close())
	}
	return out.Body, nil
}

// contentFact is the digest of an object's whole content, as that of a file with the same content, where S3 keeps it, else its
// ETag: that of other content is another, and the same content has another after an upload in other parts or with another encryption.
// Source: Amazon S3 API Reference, Object (ETag); User Guide, Checking object integrity.
func contentFact(sum *string, of types.ChecksumType, etag *string) (string, error) {
	raw, err := base64.StdEncoding.DecodeString(aws.ToString(sum))
	switch {
	case err == nil && len(raw) == 32 && of != types.ChecksumTypeComposite:
		return "sha256:" + hex.EncodeToString(raw), nil
	case aws.ToString(etag) != "":
		return "etag:" + strings.Trim(*etag, `"`), nil
	}
	return "", &compose.HintedError{Err: errors.New("the server says neither its ETag nor its SHA-256"), Next: "copy it to a file, and name that"}
}

// explain says in words what S3 said by codes.
func (o object) explain(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	hinted := func(next, format string, args ...any) error {
		return &compose.HintedError{Err: fmt.Errorf(format, args...), Next: next}
	}
	var said smithy.APIError
	code := ""
	if errors.As(err, &said) {
		code = said.ErrorCode()
	}
	switch code {
	case "NotFound", "NoSuchKey", "NoSuchBucket":
		return hinted("correct the name; aws s3 ls s3://"+o.bucket+"/ lists what is there", "there is no such object")
	case "Forbidden", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken":
		return hinted("aws sts get-caller-identity says whom you are taken for; s3:GetObject is what is needed", "S3 refuses to show it (%s)", code)
	case "MovedPermanently", "PermanentRedirect", "AuthorizationHeaderMalformed":
		return hinted("set AWS_REGION to the bucket's region", "bucket %s is in another region", o.bucket)
	}
	if text := err.Error(); strings.Contains(text, "get credentials") || strings.Contains(text, "refresh cached credentials") {
		return hinted("run aws configure or aws sso login, or set AWS_PROFILE", "there are no credentials for S3")
	}
	var broken *smithy.OperationError
	if errors.As(err, &broken) {
		err = broken.Err // without the name of the call
	}
	return hinted("look whether the network and AWS_ENDPOINT_URL are right", "ask S3: %w", err)
}
