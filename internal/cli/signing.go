package cli

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/strake-dev/strake/compose"
	"github.com/strake-dev/strake/internal/release"
	"github.com/strake-dev/strake/previews"
)

// signingKey is a key of SSH with which somebody signs.
type signingKey struct {
	public string // as a line of authorized_keys
	file   string // of the key or its public half; "" where an agent has it
}

// signingKeys are the keys that git would sign commits with, the first one first, or else all that the agent has. Nothing is asked of their owner.
// Source: git-config(1), user.signingKey, gpg.format and gpg.ssh.defaultKeyCommand.
func signingKeys(ctx context.Context, s Streams, dir, file string) ([]signingKey, error) {
	if file != "" {
		return keyOfFile(file)
	}
	format, _ := git(ctx, s, dir, "config", "--get", "gpg.format") // unset is an error of git's
	if format == "ssh" {
		if key, _ := git(ctx, s, dir, "config", "--get", "user.signingKey"); key != "" {
			if literal, ok := strings.CutPrefix(key, "key::"); ok || strings.HasPrefix(key, "ssh-") {
				return []signingKey{{public: literal}}, nil
			}
			path, err := gitSaid(ctx, s, dir, "config", "--type=path", "--get", "user.signingKey")
			if err != nil {
				return nil, err
			}
			return keyOfFile(path)
		}
		if command, _ := git(ctx, s, dir, "config", "--get", "gpg.ssh.defaultKeyCommand"); command != "" {
			return keysOf(ctx, s, "sh", "-c", command)
		}
	}
	keys, err := keysOf(ctx, s, "ssh-add", "-L")
	if err != nil {
		return nil, &compose.HintedError{Err: fmt.Errorf("there is no key to sign with: %w", err),
			Next: "git config gpg.format ssh and git config user.signingKey ~/.ssh/id_ed25519.pub name one, as for commits; or say --key FILE"}
	}
	return keys, nil
}

// keyOfFile is the key of a file, or of the public one beside it.
func keyOfFile(file string) ([]signingKey, error) {
	text, err := os.ReadFile(strings.TrimSuffix(file, ".pub") + ".pub")
	if err != nil {
		return nil, &compose.HintedError{Err: fmt.Errorf("read the public key to sign with: %w", err), Next: "ssh-keygen -y -f " + strings.TrimSuffix(file, ".pub") + " prints it"}
	}
	return []signingKey{{public: strings.TrimSpace(string(text)), file: file}}, nil
}

// keysOf are the public keys that a command prints, which an agent has.
func keysOf(ctx context.Context, s Streams, command string, args ...string) (keys []signingKey, err error) {
	cmd := exec.CommandContext(ctx, command, args...)
	cmd.Env = s.Environ
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %s", command, cmp.Or(strings.TrimSpace(said.String()), strings.TrimSpace(string(out)), err.Error()))
	}
	for line := range strings.Lines(string(out)) {
		if line = strings.TrimSpace(strings.TrimPrefix(line, "key::")); line != "" {
			keys = append(keys, signingKey{public: line})
		}
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%s prints no key", command)
	}
	return keys, nil
}

// sign is a signature of OpenSSH for approvals, made as git has its own made: with keys in files, in agents and on tokens, and passwords asked for on the
// terminal. Source: ssh-keygen(1), -Y sign; git-config(1), gpg.ssh.program.
func (k signingKey) sign(ctx context.Context, s Streams, dir string, text []byte) (signature []byte, err error) {
	temp, err := previews.Scratch("strake-sign-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temp)) }()
	what, file := filepath.Join(temp, "approval"), k.file
	args := []string{"-Y", "sign", "-n", release.Namespace}
	if file == "" {
		file = filepath.Join(temp, "key.pub")
		if err := os.WriteFile(file, []byte(k.public+"\n"), 0o600); err != nil {
			return nil, err
		}
		args = append(args, "-U") // an agent has the other half
	}
	if err := os.WriteFile(what, text, 0o600); err != nil {
		return nil, err
	}
	program, _ := git(ctx, s, dir, "config", "--type=path", "--get", "gpg.ssh.program") // unset is an error of git's
	if program == "" {
		program, args = "ssh-keygen", append(args, "-q")
	}
	cmd := exec.CommandContext(ctx, program, append(args, "-f", file, what)...)
	cmd.Env, cmd.Stdin = s.Environ, s.In
	var said bytes.Buffer
	cmd.Stderr = io.MultiWriter(s.Err, &said) // it may ask for a touch of the token
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		last := strings.TrimSpace(said.String())
		return nil, &compose.HintedError{Err: fmt.Errorf("sign with %s: %s", program, cmp.Or(last[strings.LastIndexByte(last, '\n')+1:], err.Error())), Next: "ssh-add adds the key to the agent; --key names another one"}
	}
	return os.ReadFile(what + ".sig")
}
