//go:build lab

package main_test

import (
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/strake-dev/strake/fixtures/lab"
)

// asking is what a project of released asks for before its prod takes a release.
const asking = `    prod: {tag: release, from: dev, approvals: {lead: 1, devops: 1}, approvers: {lead: [bob, ada], devops: [cyn]}}`

// people are keys of SSH, each in a file, and the line of allowed_signers of each.
func people(t *testing.T, names ...string) (keys, lines map[string]string) {
	t.Helper()
	dir := t.TempDir()
	keys, lines = map[string]string{}, map[string]string{}
	for _, name := range names {
		keys[name] = filepath.Join(dir, name)
		if out, err := exec.CommandContext(t.Context(), "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", keys[name]).CombinedOutput(); err != nil {
			t.Fatalf("ssh-keygen: %v\n%s", err, out)
		}
		public, err := os.ReadFile(keys[name] + ".pub")
		if err != nil {
			t.Fatal(err)
		}
		lines[name] = name + "," + name + "@example.org " + string(public)
	}
	return keys, lines
}

// asks makes prod ask for approvals of those people, and publishes that.
func (r repository) asks(t *testing.T, lines ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(r.dir, "compose.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	before, after, _ := strings.Cut(string(text), "    prod:")
	_, after, _ = strings.Cut(after, "\n")
	r.write(t, "compose.yaml", before+asking+"\n"+after)
	if err := os.MkdirAll(filepath.Join(r.dir, ".strake"), 0o755); err != nil {
		t.Fatal(err)
	}
	_, others := people(t, "t") // who commits, and approves nothing
	r.write(t, ".strake/allowed_signers", strings.Join(append(lines, others["t"]), ""))
	commit := r.commit(t, "ask for approvals")
	r.run(t, 0, "build", "--push")
	return commit
}

// agentOf is an agent of SSH that has a key, and the variable that names it.
func agentOf(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.ParseRawPrivateKey(text)
	if err != nil {
		t.Fatal(err)
	}
	ring := agent.NewKeyring()
	if err := ring.Add(agent.AddedKey{PrivateKey: key}); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "agent") // the path of a socket may have some 100 characters
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = agent.ServeAgent(ring, c) // it ends with the connection
			c.Close()
		}
	}()
	return "SSH_AUTH_SOCK=" + filepath.Join(dir, "s")
}

// refused runs a command that a policy refuses, and looks that it says why.
func (r repository) refused(t *testing.T, why string, args ...string) {
	t.Helper()
	cmd := r.command(t, r.env, args...)
	out, _ := cmd.CombinedOutput()
	if code := cmd.ProcessState.ExitCode(); code != 5 || !strings.Contains(string(out), why) {
		t.Errorf("strake %s = exit %d, want 5 and %q\n%s", strings.Join(args, " "), code, why, out)
	}
}

func TestApprove_NothingGoesToProdWithoutIt(t *testing.T) {
	lab.EachInSoak(t, func(t *testing.T, e lab.Engine) {
		r := releaseRepository(t, e)
		keys, lines := people(t, "ada", "bob", "cyn", "eve")
		r.run(t, 0, "build", "--push")
		commit := r.asks(t, lines["ada"], lines["bob"], lines["cyn"])
		short := commit[:7]
		r.refused(t, "lacks one approval as devops (of cyn) and one approval as lead (of bob or ada)", "promote", "prod", "--yes")
		r.refused(t, "strake approve prod "+short+" --as devops", "promote", "prod", "--dry-run")
		r.refused(t, "belongs to none of", "approve", "prod", "--as", "lead", "--key", keys["eve"])
		r.refused(t, "cyn may not approve for prod as lead", "approve", "prod", "--as", "lead", "--key", keys["cyn"])
		r.run(t, 2, "approve", "prod", "--as", "boss", "--key", keys["ada"])
		r.run(t, 2, "approve", "dev", "--as", "lead", "--key", keys["ada"])
		r.run(t, 10, "approve", "prod", "--as", "lead", "--key", keys["bob"], "--dry-run")
		r.run(t, 2, "approve", "prod", "--as", "lead", "--key", keys["bob"]) // there is no terminal to ask on

		clone := filepath.Join(t.TempDir(), "of-bob") // its folder has a name of its own
		r.git(t, "clone", "-q", r.git(t, "remote", "get-url", "origin"), clone)
		cmd := exec.CommandContext(t.Context(), r.binary, "approve", "prod", "--as", "lead", "--key", keys["bob"], "--yes")
		cmd.Dir, cmd.Env = clone, append(r.environ, r.env...)
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "bob approves "+short+" for prod as lead") {
			t.Errorf("approve in another clone = %v\n%s", err, out)
		}
		r.git(t, "config", "gpg.format", "ssh")
		r.git(t, "config", "user.signingKey", keys["cyn"]+".pub")
		t.Log(r.run(t, 0, "approve", "prod", commit, "--yes")) // as git signs commits, and of one role
		if out := r.run(t, 0, "approve", "prod", commit); !strings.Contains(out, "already") {
			t.Errorf("a second approval = %s", out)
		}
		t.Log(r.run(t, 0, "approve", "prod", "--withdraw", "--yes"))
		r.refused(t, "lacks one approval as devops", "promote", "prod", "--yes")
		r.git(t, "config", "--unset", "user.signingKey")
		r.env = append(r.env, agentOf(t, keys["cyn"]))
		if err := os.Remove(keys["cyn"]); err != nil { // the agent alone has it
			t.Fatal(err)
		}
		var d struct {
			Approvals []struct{ Who, Role, Key string }
			Missing   []any
		}
		if err := json.Unmarshal([]byte(r.run(t, 0, "approve", "prod", "--as", "devops", "--yes", "--json")), &d); err != nil || len(d.Approvals) != 2 || len(d.Missing) != 0 {
			t.Errorf("approve --json = %+v, %v, want two approvals and none that is missing", d, err)
		}

		r.asks(t, lines["ada"], lines["cyn"]) // bob left
		r.run(t, 0, "promote", "dev", commit, "--yes")
		r.refused(t, "has no such key", "promote", "prod", "--yes")
		r.asks(t, lines["ada"], lines["bob"], lines["cyn"])
		r.run(t, 0, "promote", "dev", commit, "--yes")
		t.Log(r.run(t, 0, "promote", "prod", "--yes"))
		if out := r.run(t, 0, "releases", "prod", "--json"); !strings.Contains(out, `"who": "bob"`) || !strings.Contains(out, `"who": "cyn"`) {
			t.Errorf("releases --json = %s, want the approvals", out)
		}
	})
}

func TestApprove_NobodyApprovesTheirOwn(t *testing.T) {
	lab.EachInSoak(t, func(t *testing.T, e lab.Engine) {
		r := releaseRepository(t, e)
		keys, lines := people(t, "ada", "bob", "cyn")
		r.run(t, 0, "build", "--push")
		r.run(t, 0, "promote", "prod", "--yes")
		r.asks(t, lines["ada"], lines["bob"], lines["cyn"])
		r.git(t, "commit", "-q", "--allow-empty", "--author", "Ada <Ada@example.org>", "-m", "of ada")
		r.git(t, "commit", "-q", "--allow-empty", "-m", "with bob\n\nCo-authored-by: Bob <bob@example.org>")
		r.write(t, "web/page", "web v2")
		last := r.commit(t, "last")
		r.run(t, 0, "build", "--push")
		for _, who := range []string{"ada", "bob"} {
			r.refused(t, who+" wrote some of it", "approve", "prod", "--as", "lead", "--key", keys[who])
		}
		r.run(t, 0, "approve", "prod", "--as", "devops", "--key", keys["cyn"], "--yes")
		r.git(t, "commit", "-q", "--allow-empty", "--author", "Bob <1+bob@users.noreply.example.org>", "-m", "of bob, by another address")
		r.write(t, "web/page", "web v3")
		r.commit(t, "and one more")
		r.run(t, 0, "build", "--push")
		r.refused(t, "1+bob@users.noreply.example.org wrote some of", "approve", "prod", "--as", "devops", "--key", keys["cyn"], "--yes")
		r.refused(t, "1+bob@users.noreply.example.org wrote some of", "promote", "prod", "--yes")
		if out := r.run(t, 0, "status"); !strings.Contains(out, "says who 1+bob@users.noreply.example.org is") {
			t.Errorf("status = %s, want who it is that nobody knows", out)
		}
		r.run(t, 0, "promote", "dev", last, "--yes")
		r.refused(t, "nobody is left who may", "promote", "prod", "--yes")
	})
}
