//go:build lab

package host_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/strake-dev/strake/fixtures/lab"
	"github.com/strake-dev/strake/fixtures/lab/awslab"
	"github.com/strake-dev/strake/internal/engine"
	"github.com/strake-dev/strake/internal/host"
)

// reachable is a script for user data, after which the machine has the host key and lets strake in with the other one. The user comes into
// the group of the engine later than that, and the engine later still.
const reachable = `#!/bin/sh
set -eu
useradd --create-home --shell /bin/bash strake
echo 'strake ALL=(ALL) NOPASSWD:ALL' >/etc/sudoers.d/90-strake
install -d -m 700 -o strake -g strake /home/strake/.ssh
echo '%USER%' >/home/strake/.ssh/authorized_keys
cat >/etc/ssh/ssh_host_ed25519_key <<.
%HOST%
.
systemctl restart ssh
until [ -e /tmp/go-on ]; do sleep 0.05; done
usermod -aG docker strake
systemctl enable --now docker
`

// bootedMachine is a machine of the lab on which reachable waits before its last lines.
func bootedMachine(t *testing.T) (to host.Target, instance string) {
	t.Helper()
	c := awslab.Start(t)
	c.Boot(t)
	api := ec2.NewFromConfig(c.Config())
	group, err := api.CreateSecurityGroup(t.Context(), &ec2.CreateSecurityGroupInput{GroupName: aws.String("lab"), Description: aws.String("lab")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := api.AuthorizeSecurityGroupIngress(t.Context(), &ec2.AuthorizeSecurityGroupIngressInput{GroupId: group.GroupId, IpPermissions: []types.IpPermission{{
		IpProtocol: aws.String("tcp"), FromPort: aws.Int32(22), ToPort: aws.Int32(22), IpRanges: []types.IpRange{{CidrIp: aws.String("127.0.0.1/32")}}}}}); err != nil {
		t.Fatal(err)
	}
	key, public, _ := keyPair(t)
	hostKey, hostPublic, _ := keyPair(t)
	data := strings.NewReplacer("%USER%", public, "%HOST%", strings.TrimSpace(string(hostKey))).Replace(reachable)
	out, err := api.RunInstances(t.Context(), &ec2.RunInstancesInput{
		ImageId: aws.String(string(awslab.AmazonLinux)), InstanceType: types.InstanceTypeT3Medium, MinCount: aws.Int32(1), MaxCount: aws.Int32(1),
		SecurityGroupIds: []string{*group.GroupId}, UserData: aws.String(base64.StdEncoding.EncodeToString([]byte(data))),
	})
	if err != nil {
		t.Fatal(err)
	}
	i := out.Instances[0]
	return host.Target{Address: *i.PrivateIpAddress, User: "strake", HostKey: hostPublic, Key: key, Alias: *i.InstanceId}, *i.InstanceId
}

// onMachine runs a script as root, past ssh.
func onMachine(t *testing.T, instance, script string) string {
	t.Helper()
	return lab.Docker(t, lab.System(t), "exec", instance, "sh", "-c", script)
}

func TestConnect_WithAMachine(t *testing.T) {
	to, instance := bootedMachine(t)
	began := time.Now()
	var c *host.Connection
	eventually(t, time.Minute, func() (err error) { // until user data brought the host key and the user, the machine is another one
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		c, err = host.Connect(ctx, to)
		return err
	})
	defer func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}()
	t.Logf("connected after %s", time.Since(began).Round(time.Millisecond))
	if _, err := openedThrough(t, c, instance); err == nil || !strings.Contains(err.Error(), "no engine answers at "+instance) {
		t.Errorf("before there is an engine: %v, want that none answers", err)
	}
	out, err := c.Run(t.Context(), "id -un; sudo tee /tmp/go-on", strings.NewReader("now"))
	if err != nil || string(out) != "strake\nnow" {
		t.Fatalf("Run = %q, %v", out, err)
	}
	answers := func() error {
		f, err := openedThrough(t, c, instance)
		if err == nil && (f.Local || !strings.HasPrefix(f.OperatingSystem, "Debian") || f.Endpoint != instance) {
			t.Errorf("the engine is %+v, want the machine's", f)
		}
		return err
	}
	eventually(t, time.Minute, answers) // though this login was made when strake was not in the group docker
	t.Logf("its engine answers after %s, %d cuts", time.Since(began).Round(time.Millisecond), c.Cuts())
	if c.Cuts() != 0 {
		t.Errorf("Cuts = %d, want 0: nothing broke off", c.Cuts())
	}

	t.Run("another host key", func(t *testing.T) {
		swapped := to
		_, swapped.HostKey, _ = keyPair(t)
		before := onMachine(t, instance, "pgrep -c -u strake sshd")
		if _, err := host.Connect(t.Context(), swapped); !errors.Is(err, host.ErrHostKey) {
			t.Errorf("Connect = %v, want ErrHostKey", err)
		}
		if after := onMachine(t, instance, "pgrep -c -u strake sshd"); after != before {
			t.Errorf("%s sessions of strake on the machine, want %s", after, before)
		}
	})
	t.Run("cut", func(t *testing.T) {
		began := time.Now()
		running := make(chan error, 1)
		go func() {
			_, err := c.Run(t.Context(), "sudo touch /tmp/runs; sleep 100", nil)
			running <- err
		}()
		eventually(t, 10*time.Second, func() error {
			if onMachine(t, instance, "ls /tmp") == "" || !strings.Contains(onMachine(t, instance, "ls /tmp"), "runs") {
				return errors.New("the script does not run")
			}
			return nil
		})
		onMachine(t, instance, "pkill -KILL -u strake sshd")
		select {
		case err := <-running:
			if err == nil {
				t.Error("a script whose connection broke off = nil, want an error")
			}
		case <-time.After(10 * time.Second):
			t.Fatal("a script whose connection broke off goes on")
		}
		cutAnd(t, c, 1, answers)
		t.Logf("the engine answers again %s after", time.Since(began).Round(time.Millisecond))
	})
	t.Run("silent", func(t *testing.T) {
		lab.Docker(t, lab.System(t), "pause", instance)
		began := time.Now()
		_, err := c.Run(t.Context(), "true", nil)
		t.Logf("noticed after %s: %v", time.Since(began).Round(time.Millisecond), err)
		if took := time.Since(began); err == nil || took > 20*time.Second {
			t.Errorf("Run on a machine that fell silent = %v after %s, want an error after some 15 s", err, took)
		}
		lab.Docker(t, lab.System(t), "unpause", instance)
		cutAnd(t, c, 2, answers)
	})
	t.Run("sockets forbidden", func(t *testing.T) {
		onMachine(t, instance, "echo AllowStreamLocalForwarding no >/etc/ssh/sshd_config.d/lab.conf; pkill -HUP -o -x sshd; pkill -KILL -u strake sshd")
		cutAnd(t, c, 3, answers)
		if got := onMachine(t, instance, "grep -c . /etc/ssh/sshd_config.d/lab.conf"); got != "1" {
			t.Fatalf("the server's configuration has %s lines", got)
		}
		e, err := engine.Open(t.Context(), engine.Options{Host: "unix://" + c.Socket(), Config: t.TempDir(), Remote: instance})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close() // everything was asked
		here, err := engine.Open(t.Context(), engine.Options{Host: lab.System(t).Host, Config: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		defer here.Close() // as above
		sent, err := here.StreamTo(t.Context(), e, []string{"strake-lab/web:1", "strake-lab/busybox:1"}, nil)
		t.Logf("images in %d KiB", sent>>10)
		if err != nil || sent > 10<<20 {
			t.Errorf("StreamTo = %d, %v, want the layer of both once", sent, err)
		}
		if got := onMachine(t, instance, "pgrep -fc '[s]ystem dial-stdio' || true"); got == "0" {
			t.Error("no dial-stdio runs on the machine, want one for each connection")
		}
	})
}

// cutAnd waits until the connection was made again for the nth time and the engine answers.
func cutAnd(t *testing.T, c *host.Connection, n int, answers func() error) {
	t.Helper()
	eventually(t, 30*time.Second, func() error {
		if got := c.Cuts(); got != n {
			return fmt.Errorf("%d cuts, want %d", got, n)
		}
		return answers()
	})
}

// openedThrough is what the engine behind the connection's socket says of itself.
func openedThrough(t *testing.T, c *host.Connection, name string) (engine.Facts, error) {
	t.Helper()
	e, err := engine.Open(t.Context(), engine.Options{Host: "unix://" + c.Socket(), Config: t.TempDir(), Remote: name})
	if err != nil {
		return engine.Facts{}, err
	}
	defer e.Close() // everything was asked
	return e.Facts(t.Context())
}
