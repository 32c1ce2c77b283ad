package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"github.com/strake-dev/strake/compose"
)

// bootPatience is how long a machine may take until it lets strake in, and until its engine answers.
const bootPatience = 10 * time.Minute

// Way is a way to a machine, whose security group lets this machine in as long as it is open.
type Way struct {
	*Connection
	shut    func(context.Context) error
	refresh *keeper
}

// Close ends the connection and lets nobody in any more.
func (w *Way) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	w.refresh.stop()
	return errors.Join(w.Connection.Close(), w.shut(ctx))
}

// keeper does something again and again until it is stopped.
type keeper struct {
	cancel context.CancelFunc
	done   chan struct{}
}

// keepDoing calls do at each tick, whatever became of ctx, until stop.
func keepDoing(ctx context.Context, tick <-chan time.Time, do func(context.Context)) *keeper {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	k := &keeper{cancel, make(chan struct{})}
	go func() {
		defer close(k.done)
		for {
			select {
			case <-tick:
				do(ctx)
			case <-ctx.Done():
				return
			}
		}
	}()
	return k
}

// stop returns when it does it no more; nil does nothing.
func (k *keeper) stop() {
	if k != nil {
		k.cancel()
		<-k.done
	}
}

// Reach connects to a machine, waits for its engine, and at the first time gives it a host key that nobody else knows. A machine with another host key
// than it must have is ErrHostKey.
func (c *Cloud) Reach(ctx context.Context, m Machine) (w *Way, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, bootPatience, fmt.Errorf("machine %s does not let strake in within %s", m.ID, bootPatience))
	defer cancel()
	login, err := c.keep(ctx, c.keyName(), map[string]string{TagProject: c.Project})
	if err != nil {
		return nil, err
	}
	shut, err := c.LetIn(ctx, m)
	if err != nil {
		return nil, err
	}
	w = &Way{shut: shut}
	defer func() {
		if err != nil && w.Connection != nil {
			err = errors.Join(err, w.Close(ctx))
		} else if err != nil {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
			defer cancel()
			err = errors.Join(err, shut(ctx))
		}
	}()
	if err := c.follow(ctx, m); err != nil {
		return nil, err
	}
	known, err := c.identity(ctx, m)
	if err != nil {
		return nil, err
	}
	if w.Connection, err = c.connectFirst(ctx, m, login, known); err != nil {
		return w, err
	}
	if known.private != "" {
		if err := c.ownHostKey(ctx, m, login, known, w); err != nil {
			return w, err
		}
	}
	w.refresh = keepDoing(ctx, time.Tick(refreshSSH), func(ctx context.Context) {
		if _, err := c.LetIn(ctx, m); err != nil && ctx.Err() == nil {
			c.note("machine %s: %v", m.ID, err) // what is connected stays so
		}
	})
	if err := c.booted(ctx, w); err != nil {
		return w, err
	}
	if m.Shared() {
		if _, err := w.Run(ctx, "sudo touch "+usedFile, nil); err != nil {
			return w, fmt.Errorf("say on machine %s that it is used: %w", m.ID, err)
		}
	}
	return w, nil
}

// hostKeyLock is a folder that is there on a machine while its host key is being replaced, until it boots again.
const hostKeyLock = "/run/strake-host-key"

// ownHostKey gives a machine a host key of its own where nobody else is at it; else it waits for who is, and connects again.
func (c *Cloud) ownHostKey(ctx context.Context, m Machine, login keyPair, known identity, w *Way) error {
	begin := time.Now()
	return until(ctx, func() (bool, error) {
		if _, err := w.Run(ctx, "sudo mkdir "+hostKeyLock, nil); err == nil {
			return true, c.replaceHostKey(ctx, m, login, known, w)
		}
		now, err := c.identity(ctx, m)
		if err != nil {
			return false, err
		}
		if now.private == "" {
			if err := w.Connection.Close(); err != nil {
				return false, err
			}
			w.Connection, err = c.connect(ctx, m, login, now)
			return true, err
		}
		if time.Since(begin) > time.Minute { // whoever was at it is gone
			begin = time.Now()
			if _, err := w.Run(ctx, "sudo rmdir "+hostKeyLock, nil); err != nil {
				return false, fmt.Errorf("replace the host key of machine %s: %w", m.ID, err)
			}
		}
		return false, nil
	})
}

// booted returns when the script of the first boot has ended; one that failed is an error with what it said last.
func (c *Cloud) booted(ctx context.Context, w *Way) error {
	return until(ctx, func() (bool, error) {
		out, err := w.Run(ctx, "sudo ls /var/lib/strake 2>/dev/null || true", nil)
		if err != nil {
			return false, context.Cause(ctx)
		}
		if strings.Contains(string(out), "failed") {
			said, _ := w.Run(ctx, "sudo tail -n 5 /var/log/cloud-init-output.log", nil) // "" is said less
			return false, fmt.Errorf("the first boot of %s failed: %s", w.target, strings.TrimSpace(string(said)))
		}
		return strings.Contains(string(out), "ready"), nil
	})
}

// connect connects to a machine that has one of the host keys that are known of it.
func (c *Cloud) connect(ctx context.Context, m Machine, login keyPair, known identity) (*Connection, error) {
	for {
		conn, err := c.connectOnce(ctx, m, login, known)
		if err == nil || errors.Is(err, ErrHostKey) || errors.Is(err, ErrLogin) || ctx.Err() != nil {
			return conn, err
		}
		if _, err := c.LetIn(ctx, m); err != nil { // who came from the same address may have closed it behind them
			return nil, err
		}
	}
}

// roundPatience is how long a machine is tried until it is looked whether it lets this one in.
const roundPatience = 15 * time.Second

func (c *Cloud) connectOnce(ctx context.Context, m Machine, login keyPair, known identity) (*Connection, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, roundPatience, errors.New("it does not let strake in"))
	defer cancel()
	var errs []error
	for _, key := range known.public {
		conn, err := Connect(ctx, Target{Address: m.Address, User: LoginUser, HostKey: key, Key: login.private, Alias: m.ID})
		if err == nil {
			return conn, nil
		}
		errs = append(errs, err)
		if !errors.Is(err, ErrHostKey) {
			break
		}
	}
	return nil, errors.Join(errs...)
}

// firstPatience is how long a machine may take, from when it first answers, until it has the host key and the user of its first boot.
const firstPatience = 3 * time.Minute

// connectFirst is connect, and tries again where a machine that was not connected to yet has another host key or does not know the user: its
// system makes a key of its own before the script of the first boot runs. Nothing is sent to it meanwhile.
func (c *Cloud) connectFirst(ctx context.Context, m Machine, login keyPair, known identity) (conn *Connection, err error) {
	if known.private == "" {
		return c.connect(ctx, m, login, known)
	}
	begin := time.Now()
	waitErr := until(ctx, func() (bool, error) {
		conn, err = c.connect(ctx, m, login, known)
		early := (errors.Is(err, ErrHostKey) || errors.Is(err, ErrLogin)) && time.Since(begin) < firstPatience
		return !early, nil
	})
	if err == nil {
		err = waitErr
	}
	return conn, err
}

// identity is what is known of a machine's host key. Until its first connection the private one is in the parameter and in the user data; then a
// new one is written on the machine, of which only the public key is known elsewhere. In between either may be the machine's.
type identity struct {
	private string   // of the first; "" once it was replaced
	public  []string // those that the machine may have
}

// identity reads what is known of a machine's host key.
func (c *Cloud) identity(ctx context.Context, m Machine) (identity, error) {
	name := c.hostKeyName(m.Preview, m.Lease)
	found, err := c.ssm.GetParameter(ctx, &ssm.GetParameterInput{Name: &name, WithDecryption: aws.Bool(true)})
	if codeOf(err) == "ParameterNotFound" {
		return identity{}, &compose.HintedError{Err: fmt.Errorf("the host key of machine %s is not in the parameter store", m.ID), Next: m.Removal() + " removes it, and open makes another one"}
	}
	if err != nil {
		return identity{}, explain("read parameter "+name, err)
	}
	return readIdentity(aws.ToString(found.Parameter.Value))
}

// readIdentity reads what identity.String writes.
func readIdentity(text string) (identity, error) {
	var i identity
	if private, rest, ok := strings.Cut(text, privateEnd); ok {
		pair, err := readKeyPair([]byte(private + privateEnd))
		if err != nil {
			return i, err
		}
		i.private, i.public, text = private+privateEnd, []string{pair.public}, rest
	}
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			i.public = append(i.public, line)
		}
	}
	if len(i.public) == 0 {
		return i, errors.New("the parameter of the host key holds none")
	}
	return i, nil
}

// replaceHostKey gives a machine a host key that only it has, and connects again.
func (c *Cloud) replaceHostKey(ctx context.Context, m Machine, login keyPair, known identity, w *Way) error {
	fresh, err := newKeyPair("strake " + m.ID)
	if err != nil {
		return err
	}
	if err := c.writeIdentity(ctx, m, known.private+fresh.public+"\n"); err != nil {
		return err
	}
	const script = "set -e; umask 077; sudo tee /etc/ssh/strake_new >/dev/null; sudo chmod 600 /etc/ssh/strake_new; " +
		"sudo ssh-keygen -y -f /etc/ssh/strake_new | sudo tee /etc/ssh/ssh_host_ed25519_key.pub >/dev/null; sudo mv /etc/ssh/strake_new /etc/ssh/ssh_host_ed25519_key; " +
		"sudo systemctl reload sshd 2>/dev/null || sudo systemctl reload ssh 2>/dev/null || sudo systemctl restart sshd 2>/dev/null || sudo systemctl restart ssh"
	if _, err := w.Run(ctx, script, bytes.NewReader(fresh.private)); err != nil {
		return fmt.Errorf("give machine %s a host key of its own: %w", m.ID, err)
	}
	if err := w.Connection.Close(); err != nil {
		return err
	}
	if w.Connection, err = c.connect(ctx, m, login, identity{public: []string{fresh.public}}); err != nil {
		return err
	}
	if err := c.writeIdentity(ctx, m, fresh.public+"\n"); err != nil {
		return err
	}
	_, err = w.Run(ctx, "sudo rmdir "+hostKeyLock, nil)
	return err
}

// writeIdentity writes down what is known of a machine's host key.
// Source: AWS Systems Manager API, PutParameter.
func (c *Cloud) writeIdentity(ctx context.Context, m Machine, text string) error {
	name := c.hostKeyName(m.Preview, m.Lease)
	_, err := c.ssm.PutParameter(ctx, &ssm.PutParameterInput{Name: &name, Value: &text, Type: types.ParameterTypeSecureString, Overwrite: aws.Bool(true)})
	return explain("write parameter "+name, err)
}
