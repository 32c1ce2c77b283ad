package host

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"golang.org/x/crypto/ssh"
)

// keyPair is a key of SSH: the private one in OpenSSH's form, the public one as authorized_keys has it.
type keyPair struct {
	private []byte
	public  string
}

// newKeyPair makes a key of ed25519.
func newKeyPair(comment string) (keyPair, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return keyPair{}, err
	}
	block, err := ssh.MarshalPrivateKey(private, comment)
	if err != nil {
		return keyPair{}, err
	}
	text, err := publicText(public)
	return keyPair{pem.EncodeToMemory(block), text}, err
}

// publicText is a public key as authorized_keys has it.
func publicText(key any) (string, error) {
	public, err := ssh.NewPublicKey(key)
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(public))), nil
}

// readKeyPair is the pair of a private key.
func readKeyPair(private []byte) (keyPair, error) {
	signer, err := ssh.ParsePrivateKey(private)
	if err != nil {
		return keyPair{}, fmt.Errorf("read a key of SSH: %w", err)
	}
	return keyPair{private, strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey())))}, nil
}

// privateEnd is how a private key ends. Source: OpenSSH, PROTOCOL.key.
const privateEnd = "-----END OPENSSH PRIVATE KEY-----\n"

// keep is the key in a parameter, without a private part if that is a machine's which has another one by now. The parameter is made with a new key
// where it is not there. Of two who make it one's is kept, and both have that.
// Source: AWS Systems Manager API, GetParameter, PutParameter: without Overwrite the second is ParameterAlreadyExists.
func (c *Cloud) keep(ctx context.Context, name string, tags map[string]string) (keyPair, error) {
	for wait := (&pauses{longest: longestPauseAWS}); ; {
		found, err := c.ssm.GetParameter(ctx, &ssm.GetParameterInput{Name: &name, WithDecryption: aws.Bool(true)})
		if err == nil {
			if text := aws.ToString(found.Parameter.Value); strings.Contains(text, "PRIVATE KEY") {
				private, _, _ := strings.Cut(text, privateEnd)
				return readKeyPair([]byte(private + privateEnd))
			}
			return keyPair{}, nil // a host key that was replaced
		}
		if codeOf(err) != "ParameterNotFound" {
			return keyPair{}, explain("read parameter "+name, err)
		}
		made, err := newKeyPair("strake " + c.Project)
		if err != nil {
			return keyPair{}, err
		}
		in := &ssm.PutParameterInput{Name: &name, Value: aws.String(string(made.private)), Type: types.ParameterTypeSecureString, Description: aws.String("A key of strake's.")}
		for key, value := range tags {
			in.Tags = append(in.Tags, types.Tag{Key: aws.String(key), Value: aws.String(value)})
		}
		_, err = c.ssm.PutParameter(ctx, in)
		if err == nil {
			return made, nil
		}
		if codeOf(err) != "ParameterAlreadyExists" {
			return keyPair{}, explain("keep a key in parameter "+name, err)
		}
		if err := wait.pass(ctx); err != nil {
			return keyPair{}, err
		}
	}
}
