package host_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/strake-dev/strake/internal/host"
)

// keyPair is a key as ssh reads it, and its public half as authorized_keys has it.
func keyPair(t *testing.T) (private []byte, public string, signer ssh.Signer) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		t.Fatal(err)
	}
	if signer, err = ssh.NewSignerFromKey(key); err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(block), strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey()))), signer
}

// sshServer is an SSH server of this process: what a machine's is like from outside. Commands run here by sh, with an engine's stand-in.
type sshServer struct {
	target     host.Target // which leads to it
	noSockets  bool        // it forbids to forward sockets
	engineDown bool        // nothing listens at the engine's socket

	config *ssh.ServerConfig
	engine string // the socket of the engine's stand-in

	mu     sync.Mutex // guards what follows
	drop   int        // connections that are still to be dropped, as a machine that boots does
	tries  []string   // ways in which somebody tried to log in
	logins int
	opens  []string // what was asked for inside
	conns  map[net.Conn]bool
}

// newSSHServer starts one that ends with the test.
func newSSHServer(t *testing.T) *sshServer {
	t.Helper()
	private, _, user := keyPair(t)
	_, hostKey, signer := keyPair(t)
	s := &sshServer{conns: map[net.Conn]bool{}}
	s.config = &ssh.ServerConfig{
		PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if string(key.Marshal()) != string(user.PublicKey().Marshal()) {
				return nil, errors.New("another key")
			}
			return nil, nil
		},
		AuthLogCallback: func(_ ssh.ConnMetadata, method string, _ error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.tries = append(s.tries, method)
		},
	}
	s.config.AddHostKey(signer)
	dir, err := os.MkdirTemp("", "eng") // short: a socket's path has 107 bytes at most
	if err != nil {
		t.Fatal(err)
	}
	s.engine = filepath.Join(dir, "s")
	e, err := net.Listen("unix", s.engine)
	if err != nil {
		t.Fatal(err)
	}
	web := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body)
		_, _ = io.WriteString(w, "OK")
	})}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := l.Addr().(*net.TCPAddr)
	s.target = host.Target{Address: at.IP.String(), Port: at.Port, User: "strake", HostKey: hostKey, Key: private, Alias: "i-0test"}
	var running sync.WaitGroup
	running.Go(func() { _ = web.Serve(e) })
	running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { s.serve(conn) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		web.Close()
		s.cut()
		running.Wait()
		os.RemoveAll(dir)
	})
	return s
}

// cut drops every connection.
func (s *sshServer) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.Close()
	}
}

// with lets do look at or change the server.
func (s *sshServer) with(do func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	do()
}

func (s *sshServer) serve(conn net.Conn) {
	defer conn.Close()
	s.mu.Lock()
	s.conns[conn] = true
	dropped := s.drop > 0
	s.drop--
	s.mu.Unlock()
	if dropped {
		return
	}
	_, channels, requests, err := ssh.NewServerConn(conn, s.config)
	if err != nil {
		return
	}
	s.with(func() { s.logins++ })
	go ssh.DiscardRequests(requests)
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for n := range channels {
		running.Go(func() { s.open(ctx, n) })
	}
	stop() // programs end with the connection
	running.Wait()
}

func (s *sshServer) open(ctx context.Context, n ssh.NewChannel) {
	s.mu.Lock()
	s.opens = append(s.opens, n.ChannelType())
	refused, down := s.noSockets, s.engineDown
	s.mu.Unlock()
	switch n.ChannelType() {
	case "direct-streamlocal@openssh.com":
		if refused || down {
			_ = n.Reject(ssh.ConnectionFailed, "open failed") // as OpenSSH says it in both cases
			return
		}
		to, err := net.Dial("unix", s.engine)
		if err != nil {
			_ = n.Reject(ssh.ConnectionFailed, err.Error())
			return
		}
		ch, requests, err := n.Accept()
		if err != nil {
			return
		}
		go ssh.DiscardRequests(requests)
		join(ch, to.(*net.UnixConn))
	case "session":
		ch, requests, err := n.Accept()
		if err != nil {
			return
		}
		var running sync.WaitGroup
		defer running.Wait()
		for r := range requests {
			if r.Type != "exec" {
				_ = r.Reply(r.Type == "env", nil)
				continue
			}
			_ = r.Reply(true, nil)
			var asked struct{ Command string }
			if err := ssh.Unmarshal(r.Payload, &asked); err == nil {
				running.Go(func() { s.exec(ctx, ch, asked.Command, down) })
			}
		}
	default:
		_ = n.Reject(ssh.Prohibited, "not here")
	}
}

// exec runs a command, docker's among them.
func (s *sshServer) exec(ctx context.Context, ch ssh.Channel, text string, down bool) {
	defer ch.Close()
	code := 0
	if strings.Contains(text, "docker system dial-stdio") {
		to, err := net.Dial("unix", s.engine)
		if err != nil || down {
			code = 1
		} else {
			join(ch, to.(*net.UnixConn))
		}
	} else {
		cmd := exec.CommandContext(ctx, "sh", "-c", text)
		in, err := cmd.StdinPipe()
		if err != nil {
			return
		}
		go func() {
			_, _ = io.Copy(in, ch)
			in.Close()
		}()
		cmd.Stdout, cmd.Stderr = ch, ch.Stderr()
		_ = cmd.Run()
		code = cmd.ProcessState.ExitCode()
	}
	_, _ = ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Code uint32 }{uint32(code)}))
}

func join(ch ssh.Channel, to *net.UnixConn) {
	var both sync.WaitGroup
	both.Go(func() {
		_, _ = io.Copy(to, ch)
		_ = to.CloseWrite()
	})
	_, _ = io.Copy(ch, to)
	_ = ch.CloseWrite()
	both.Wait()
	to.Close()
	ch.Close()
}
